"""The workers of a pool: the Celery app, the process that holds the model, and `savs-worker`."""
