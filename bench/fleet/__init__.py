"""A pool that grows, shrinks and loses nodes, in virtual time: `python -m bench.fleet`.

`settings` has the numbers, `scaling` acts as KEDA and Kubernetes' autoscaler do, `simulation` plays a queue,
its workers and their nodes event by event, `account` says what every paid second was spent on, `sweep`
compares settings, and `real` compares the simulation with real workers.
"""
