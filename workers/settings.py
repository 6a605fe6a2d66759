"""A worker's settings, from options, `SAVS_…` variables or `savs.toml`, and Celery's settings.

Each of Celery's settings below is set because its default loses or repeats long GPU tasks; the reasons are
measurements on celery 5.7 and Redis 7, described in `docs/queue.md`.
"""

from dataclasses import dataclass, field
from typing import Any

from jobs.queue.broker import lanes
from jobs.queue.timeouts import Timeouts
from jobs.settings import LogLevel
from workers.monitoring.logs import LogFormat

LOOPBACK = "127.0.0.1"
SOCKET_TIMEOUT = 30.0  # seconds
CHILD_LOAD_TIMEOUT = 3600.0  # seconds that loading a model may take before the child is killed


@dataclass(frozen=True)
class WorkerSettings:
    """One worker: its broker, workspace, queue and model, its allowed roots, whether it runs the self-test,
    its timeouts, its log and metrics (none without a port), the folder of its signs of life, and after how
    many seconds without work it ends."""

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
    metrics_host: str = LOOPBACK
    runtime_dir: str | None = None
    exit_when_idle: float | None = None


def celery_settings(settings: WorkerSettings) -> dict[str, Any]:
    """The settings for `app.conf.update`."""
    return {
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "task_ignore_result": True,
        # The board recovers lost units; Celery's own redelivery runs tasks twice that are still running.
        "task_acks_late": False,
        # One message at a time, counted by running tasks, not by unacknowledged messages: one whose
        # acknowledgement was lost with its connection would keep the worker from reading Redis ever again.
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 0,
        "task_time_limit": settings.times.shard_limit,
        # A child may take minutes to load a model.
        "worker_proc_alive_timeout": CHILD_LOAD_TIMEOUT,
        # Otherwise every short network failure kills the child and its model.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # An error reply (READONLY in a failover, OOM, LOADING, UNBLOCKED) passes, like a lost connection.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_keepalive": True,
            "queue_order_strategy": "round_robin",  # lanes in turn: a small job does not wait for a large one
            "priority_steps": [0],
            # The board recovers what is lost; these keys would only be more that strangers can spoil.
            "ack_emulation": False,
        },
        "worker_hijack_root_logger": False,
        "broker_transport": "workers.messages.transport:Transport",
        "worker_send_task_events": False,
        "task_default_queue": lanes(settings.queue)[0],
        "worker_enable_remote_control": False,
    }
