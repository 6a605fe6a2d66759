"""The queue of a pool: JSON messages to Celery by task name, and the boards beside them.

Redis is a hint here, never the truth: whatever it loses is put back from the ledger. This module
publishes and looks; it does not run tasks (see `workers`).
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jobs.board import Board
from savs.errors import BrokerError

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from jobs.messages import ReduceJob, RunShard

SUBMITTER_TIMEOUT = 5.0  # seconds without an answer before a command gives up
PUBLISH_BATCH = 500  # messages per round trip
WORKER_LIFE = 30  # seconds after which a worker that says nothing counts as gone
CPU_QUEUE = "savs.cpu"


def gpu_queue(model: str) -> str:
    """The queue of one model, for example `savs.gpu.qwen2.5_vl`; a path or hub id ends in its hash."""
    if re.fullmatch(r"[A-Za-z0-9._-]+", model):
        return f"savs.gpu.{model}"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", model.rstrip("/").rpartition("/")[2])
    return f"savs.gpu.{stem}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


class Broker:
    """A connection to Redis for publishing and for the boards.

    timeout  seconds without an answer before BrokerError
    """

    def __init__(self, url: str, timeout: float = SUBMITTER_TIMEOUT) -> None:
        self.url, self.timeout = url, timeout

    @cached_property
    def redis(self) -> "Redis":
        from redis import Redis

        return Redis.from_url(
            self.url,
            socket_timeout=self.timeout,
            socket_connect_timeout=self.timeout,
            socket_keepalive=True,
        )

    @cached_property
    def app(self) -> "Celery":
        return publishing_app(self.url, self.timeout)

    def board(self, queue: str) -> Board:
        return Board(self.redis, queue)

    def publish(self, queue: str, messages: "Iterable[RunShard | ReduceJob]") -> None:
        """Sends messages to `queue`, in batches. Raises BrokerError where Redis does not answer."""
        from kombu.exceptions import OperationalError
        from redis.exceptions import RedisError

        try:
            with self.app.producer_pool.acquire(block=True) as producer, producer.batch(PUBLISH_BATCH):
                for message in messages:
                    self.app.send_task(
                        message.task,
                        args=[message.model_dump(mode="json")],
                        queue=queue,
                        producer=producer,
                        ignore_result=True,
                        retry=False,
                    )
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerError(
                f"{hidden(self.url)} does not answer ({error}); submitting again is safe"
            ) from error

    def show_life(self, queue: str, worker: str) -> None:
        """Says that `worker` serves `queue`; forgotten after WORKER_LIFE seconds."""
        self.redis.set(f"savs:worker:{queue}:{worker}", 1, ex=WORKER_LIFE)

    def workers(self, queue: str) -> int:
        """Workers that serve `queue` now, as far as their last sign of life tells."""
        return sum(1 for _ in self.redis.scan_iter(match=f"savs:worker:{queue}:*", count=1000))

    def oldest(self, queue: str) -> float | None:
        """When the oldest waiting message of `queue` was published, in Redis's seconds; None if none."""
        raw = self.redis.lindex(queue, -1)
        return None if raw is None else message_time(raw)


def message_time(raw: bytes | str) -> float:
    """The `at` of a message as it lies in Redis; 0 where it is none of ours."""
    try:
        body = json.loads(base64.b64decode(json.loads(raw)["body"]))
        return float(body[0][0]["at"])
    except (ValueError, KeyError, TypeError, IndexError):
        return 0.0


def publishing_app(url: str, timeout: float) -> "Celery":
    """A Celery app that can send and never waits longer than `timeout` seconds for Redis."""
    from celery import Celery

    app = Celery("savs", broker=url, set_as_current=False)
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
    }
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        result_backend=None,
        task_create_missing_queues=True,
        broker_transport_options=options,
        broker_connection_timeout=timeout,
        broker_connection_max_retries=0,
    )
    return app


def hidden(url: str) -> str:
    """A broker's address without its password."""
    return re.sub(r"//[^@/]*@", "//…@", url)
