"""Compares the simulation with real workers: `python -m bench.fleet.real`, under two minutes.

Three worker processes with real Redis, and a model that only waits, run thirty shards. One is killed in the
middle of a shard, its second in one run and its last in another, and another worker is started at once, as
Kubernetes does. The simulation is given the same numbers, the measured time to start a worker among them. The
last line is JSON. The exit code is 1 if the finish time or the number of repeats differ by more than 15 %.
"""

import json
import os
import re
import signal
import sys
import time
from dataclasses import dataclass

from bench.figures import Figure
from bench.fleet.settings import Fleet, Loss, Scaling, SimulatedJob
from bench.fleet.simulation import Simulation
from bench.pool.servers import folder, pool, redis
from tests.pool.servers import SHORT, TIMES, Pool, wait_until

SHARDS, WORKERS, BATCHES, BATCH_ROWS = 30, 3, 3, 4
BATCH, LOAD = 1.0, 3.0  # seconds
SHARDS_KILLED = (2, 10)  # of the victim, counted from 1
KILLED_AFTER = 1.5  # seconds into that shard
APART = "≤ 0.15"  # of the real figure
PATIENCE = 120.0  # seconds


@dataclass(frozen=True)
class Run:
    """What was seen. Times in seconds, from the job's first claim.

    start     of a worker process, without loading its model
    finished  when all shards had an outcome
    repeats   claims beyond one per shard
    """

    start: float
    finished: float
    repeats: int


def run_real(shard: int) -> Run:
    """Return what was seen when a worker was killed in its shard of this number."""
    with folder() as place, redis() as server, pool(server, place) as workers:
        return _play(workers, shard)


def _play(pool: Pool, shard: int) -> Run:
    told = SHORT | {"FAKE_BATCH_SECONDS": str(BATCH), "FAKE_LOAD_SECONDS": str(LOAD)}
    pool.start("cpu", **told)
    began = time.monotonic()
    victim = pool.start(**told)
    wait_until(lambda: "ready, queue" in pool.log(1), "the first worker is ready", PATIENCE)
    start = time.monotonic() - began - LOAD
    for _ in range(WORKERS - 1):
        pool.start(**told)
    for number in range(2, WORKERS + 1):
        wait_until(lambda number=number: "ready, queue" in pool.log(number), "all are ready", PATIENCE)  # type: ignore[misc]

    _, job = pool.submit(SHARDS * BATCHES * BATCH_ROWS, BATCHES * BATCH_ROWS)

    def claims(*numbers: int) -> int:
        logs = "".join(pool.log(number) for number in numbers)
        return len(re.findall(rf"shard claimed job={job.job_id} ", logs))

    everyone = range(1, WORKERS + 1)
    wait_until(lambda: claims(*everyone), "the first shard is claimed", PATIENCE)
    began = time.monotonic()
    wait_until(lambda: claims(1) == shard, "the victim claims its shard", PATIENCE)
    time.sleep(KILLED_AFTER)
    os.killpg(victim.pid, signal.SIGKILL)
    pool.start(**told)
    wait_until(lambda: len(pool.ledger.committed(job.job_id)) == SHARDS, "all shards are done", PATIENCE)
    finished = time.monotonic()
    repeats = claims(*everyone, WORKERS + 1) - SHARDS
    return Run(start, finished - began, repeats)


def run_simulated(real: Run, shard: int) -> tuple[float, int]:
    """Return finish time and repeats of the same in virtual time."""
    fleet = Fleet(
        scaling=Scaling(maximum=WORKERS, grow_by=WORKERS, stabilisation=1e9),  # nobody scales here
        times=TIMES,
        node_start=0.0,
        pod_start=real.start,
        load=LOAD,
        unnoticed=0.0,
        batch=BATCH,
        spot_life=None,
        latency=0.0,
    )
    ready = real.start + LOAD
    loss = Loss(ready + (shard - 1) * BATCHES * BATCH + KILLED_AFTER, node=0)
    account = Simulation(fleet, [SimulatedJob(0.0, (BATCHES * BATCH,) * SHARDS)], losses=[loss]).run()
    return account.finished[0] - ready, account.repeats


def main() -> int:
    figures: list[Figure] = []
    for shard in SHARDS_KILLED:
        real = run_real(shard)
        finished, repeats = run_simulated(real, shard)
        name = f"killed in shard {shard}"
        figures += [
            Figure(f"{name}: finish, real", real.finished, "s"),
            Figure(f"{name}: finish, simulated", finished, "s"),
            Figure(f"{name}: finish, apart", abs(finished / real.finished - 1), "of it", APART),
            Figure(f"{name}: repeats, real", real.repeats, "shards"),
            Figure(
                f"{name}: repeats, apart", abs(repeats - real.repeats) / max(real.repeats, 1), "of it", APART
            ),
        ]
    print(*figures, sep="\n")
    print(json.dumps([figure.to_json() for figure in figures], ensure_ascii=False))
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped
    sys.exit(main())
