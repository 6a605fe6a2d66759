"""What a worker is told, from options, `SAVS_…` variables or `savs.toml`, and Celery's settings.

Each of Celery's settings below is there because its default loses or repeats long GPU tasks; the
reasons are measurements on celery 5.7 and Redis 7, kept in `docs/queue.md`.
"""

from dataclasses import dataclass, field
from typing import Any

from jobs.queue.broker import lanes
from jobs.queue.timeouts import Timeouts
from jobs.settings import LogLevel
from workers.logs import LogFormat

SOCKET_TIMEOUT = 30.0  # seconds
CHILD_LOAD_TIMEOUT = 3600.0  # seconds that loading a model may take before the child is killed


@dataclass(frozen=True)
class WorkerSettings:
    """One worker: its queue and its ledger, where else it may read, whether it tries its model first, how
    patient it is, and what it shows of itself: its log, and metrics where there is a port for them."""

    broker_url: str
    workspace: str
    queue: str
    model: str | None = None
    roots: tuple[str, ...] = ()
    allow_http: bool = False
    self_test: bool = True
    times: Timeouts = field(default_factory=Timeouts)
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"
    metrics_port: int | None = None


def celery_settings(settings: WorkerSettings) -> dict[str, Any]:
    """For `app.conf.update`."""
    return {
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "task_ignore_result": True,
        # The board recovers what is lost; Celery's own redelivery runs live tasks twice.
        "task_acks_late": False,
        # One message at a time, counted by the tasks that run, not by messages without an acknowledgement:
        # one that got lost with its connection would keep the worker from ever looking at Redis again.
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 0,
        "task_time_limit": settings.times.shard_limit,
        # A child that loads a model for minutes is not dead.
        "worker_proc_alive_timeout": CHILD_LOAD_TIMEOUT,
        # Otherwise every blip of the network kills the child and its model.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_keepalive": True,
            "queue_order_strategy": "round_robin",  # lanes in turn: a small job passes a large one
            "priority_steps": [0],
        },
        "worker_hijack_root_logger": False,
        "worker_consumer": "workers.messages:RefusingConsumer",
        "worker_send_task_events": False,
        "task_default_queue": lanes(settings.queue)[0],
        "worker_enable_remote_control": False,
    }
