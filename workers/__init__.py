"""What runs on GPU machines: the Celery app, the process that holds the model, and `savs-worker`."""
