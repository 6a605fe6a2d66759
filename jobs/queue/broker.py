"""The connection to a pool's Redis: publishes JSON messages for Celery, and reads lanes and workers.

Redis holds only hints: anything it loses is restored from the ledger. This module does not run tasks
(see `workers`).
"""

import base64
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jobs.queue.board import LANES, MAX_DIGITS, Board
from jobs.records.message import CPU_QUEUE
from savs.errors import BrokerError

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Producer
    from redis import Redis

    from jobs.records.message import PlanJob, ReduceJob, RunShard

SUBMITTER_TIMEOUT = 5.0  # seconds without an answer before a command gives up
PUBLISH_BATCH = 500  # messages per round trip
MORE_MEMORY = "raise maxmemory, or remove what other programs keep in it"
GIVEN_UP = "savs:givenup"  # how many shards sweeps have given up
WORKER_LIFE = 30  # seconds without a report after which a worker counts as gone


@dataclass(frozen=True)
class ServingWorker:
    """A worker that serves a queue: its host and process, its workspace, and its allowed roots."""

    host: str
    pid: int
    workspace: str
    roots: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.host}:{self.pid}"


def lanes(queue: str) -> list[str]:
    """The Redis lists of a queue. All messages of a job are in one of them, in order."""
    return [f"{queue}:{lane}" for lane in range(LANES)]


class Broker:
    """A connection to Redis for publishing and for the boards.

    timeout  seconds without an answer before BrokerError
    lasting  whether the publishing connection is kept open and reused
    """

    def __init__(self, url: str, timeout: float = SUBMITTER_TIMEOUT, lasting: bool = True) -> None:
        self.url, self.timeout, self.lasting = url, timeout, lasting

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

    def free_lane(self, queue: str) -> int:
        """The lane of `queue` with the fewest messages, so that a new job waits as little as possible."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for lane in lanes(queue):
                pipeline.llen(lane)
            lengths = pipeline.execute()
        return int(lengths.index(min(lengths)))

    def publish(self, queue: str, lane: int, messages: "Iterable[RunShard | PlanJob | ReduceJob]") -> None:
        """Sends messages to a lane of `queue`, in batches. Raises BrokerError if Redis does not answer."""
        from kombu.exceptions import OperationalError
        from redis.exceptions import RedisError

        try:
            with self._producer() as producer, producer.batch(PUBLISH_BATCH):
                for message in messages:
                    producer.publish(
                        celery_body(message),
                        routing_key=lanes(queue)[lane],
                        headers=celery_headers(message),
                        content_type="application/json",
                        content_encoding="utf-8",
                    )
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerError(f"{why_unusable(self.url, error)}; submitting again is safe") from error

    @contextmanager
    def _producer(self) -> "Iterator[Producer]":
        if self.lasting:
            with self.app.producer_pool.acquire(block=True) as producer:
                yield producer
        else:
            with self.app.connection_for_write() as connection:
                yield self.app.amqp.Producer(connection)

    def show_life(self, queue: str, worker: ServingWorker) -> None:
        """Records that `worker` serves `queue`; the record expires after WORKER_LIFE seconds."""
        self.redis.set(f"savs:worker:{queue}:{worker.name}", json.dumps(asdict(worker)), ex=WORKER_LIFE)

    def end_life(self, queue: str, worker: ServingWorker) -> None:
        """Records that `worker` has ended."""
        self.redis.delete(f"savs:worker:{queue}:{worker.name}")

    def count_given_up(self) -> None:
        """Counts a shard that a sweep gives up: it has no metrics of its own."""
        self.redis.incr(GIVEN_UP)

    def serving(self, queue: str) -> "Iterator[ServingWorker]":
        """The workers that serve `queue` now, according to their last reports. Other values of such a key are
        left out."""
        from redis.exceptions import ResponseError

        for key in self.redis.scan_iter(match=f"savs:worker:{queue}:*", count=1000):
            try:
                found = self.redis.get(key)
            except ResponseError:  # not a string, so not from a worker
                continue
            if found is not None and (worker := _serving_worker(found)) is not None:
                yield worker

    def alive(self, queue: str) -> set[str]:
        """The names of the workers that serve `queue` now."""
        start = f"savs:worker:{queue}:"
        keys = self.redis.scan_iter(match=f"{start}*", count=1000)
        return {key.decode(errors="replace")[len(start) :] for key in keys}

    def workers(self, queue: str) -> int:
        """Returns the number of workers that serve `queue` now."""
        return len(self.alive(queue))

    def models_on(self, host: str) -> int:
        """Returns the number of workers with a model that serve any queue on `host` now."""
        cpu = f"savs:worker:{CPU_QUEUE}:"
        names = (
            key.decode(errors="replace") for key in self.redis.scan_iter(match="savs:worker:*", count=1000)
        )
        return sum(f":{host}:" in name for name in names if not name.startswith(cpu))

    def oldest(self, queue: str) -> list[float | None]:
        """Per lane of `queue`: when its oldest waiting message was published, in seconds of Redis's
        clock; None if the lane is empty."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for lane in lanes(queue):
                pipeline.lindex(lane, -1)
            return [None if raw is None else message_time(raw) for raw in pipeline.execute()]


def _serving_worker(report: bytes | str) -> ServingWorker | None:
    """The worker of a report; None if the report is not from a worker."""
    try:
        about = json.loads(report)
        host, pid, workspace, roots = (about[name] for name in ("host", "pid", "workspace", "roots"))
        texts = (host, workspace, *roots)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if isinstance(roots, list) and isinstance(pid, int) and all(isinstance(text, str) for text in texts):
        return ServingWorker(host, pid, workspace, tuple(roots))
    return None


def celery_body(message: "PlanJob | ReduceJob | RunShard") -> str:
    """A call of a task with `message` as its only argument, in Celery's message protocol 2: arguments,
    keyword arguments, and callbacks (none)."""
    return f"[[{message.model_dump_json(exclude_none=True)}],{{}},{{}}]"


def celery_headers(message: "PlanJob | ReduceJob | RunShard") -> dict[str, str]:
    """The headers that a worker needs. `Celery.send_task` sends 19, which repeat all arguments in readable
    form: two thirds of a message."""
    return {"lang": "py", "task": message.task, "id": uuid.uuid4().hex}


def message_time(raw: bytes | str) -> float:
    """The `at` of a message as stored in Redis; 0 if the message is not from savs."""
    try:
        body = json.loads(base64.b64decode(json.loads(raw)["body"]))
        at = float(body[0][0]["at"])
        return at if 0 <= at < 10**MAX_DIGITS else 0.0
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return 0.0


def publishing_app(url: str, timeout: float) -> "Celery":
    """A Celery app that only sends, and never waits longer than `timeout` seconds for Redis."""
    from celery import Celery

    app = Celery("savs", broker=url, set_as_current=False)
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "priority_steps": [0],
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


def why_unusable(url: str, error: Exception) -> str:
    """Why a broker could not be used, in one sentence without its password."""
    if "command not allowed when used memory" in str(error):  # the words of every Redis, and of Valkey
        return f"{without_password(url)} takes no writes, because its memory is full; {MORE_MEMORY}"
    return f"{without_password(url)} does not answer ({error})"


def without_password(url: str) -> str:
    """A broker's address without its password."""
    return re.sub(r"(password=)[^&]*", r"\1…", re.sub(r"://.*@", "://…@", url))
