"""The servers and pools that a benchmark starts and stops: Redis, S3, workers.

Redis runs with the settings of `deploy/redis`: append-only, synced every second. S3 is moto over HTTP in a
separate process; its latency and throughput are not those of a real S3.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.queue.timeouts import Timeouts
from savs.storage import s3_client
from tests.pool.servers import Pool, RedisServer, redis_binary, wait_until

START_PATIENCE = 120.0  # seconds in which a server or worker must start
PRODUCT = Timeouts()  # those of a real pool; the fake worker's defaults are for tests
ENVIRONMENT = {
    "SAVS_TOUCH_EVERY": str(PRODUCT.touch),
    "SAVS_NO_LIFE_LIMIT": str(PRODUCT.no_life),
    "SAVS_SWEEP_EVERY": str(PRODUCT.sweep),
    "OMP_NUM_THREADS": "1",
}


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is removed with its contents."""
    with tempfile.TemporaryDirectory(prefix="savs-bench-") as path:
        yield Path(path)


class SyncedEverySecond(RedisServer):
    """A Redis that syncs every second; the tests' server syncs every write so that it can be killed."""

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        options += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        self.process = subprocess.Popen([redis_binary(), *options], stdout=subprocess.DEVNULL)
        wait_until(self.answers, "redis-server answers", START_PATIENCE)


@contextmanager
def redis() -> Iterator[SyncedEverySecond]:
    """A local Redis."""
    with folder() as place:
        server = SyncedEverySecond(place, free_port())
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def s3(preload: Path | None = None) -> Iterator[str]:
    """A local S3 with the buckets `corpus` and `workspace`; the latter contains the files below `preload`.

    Its address is also `SAVS_S3_ENDPOINT_URL` of this process and of its child processes.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.pool.s3", str(port), *([str(preload)] if preload else [])],
        stderr=subprocess.DEVNULL,
    )
    settings = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    before = dict(os.environ)
    os.environ |= settings | {"SAVS_S3_ENDPOINT_URL": url}
    try:
        wait_until(lambda: listens(port), "S3 answers", START_PATIENCE)
        yield url
    finally:
        os.environ.clear()
        os.environ |= before
        server.kill()
        server.wait()
        s3_client.cache_clear()


@contextmanager
def pool(server: RedisServer, place: Path, remote: str | None = None) -> Iterator[Pool]:
    """A pool without workers, with its workspace under `place` or at `remote`."""
    (place / "logs").mkdir()
    found = Pool(server, place / "workspace", place / "logs", remote)
    try:
        yield found
    finally:
        found.stop()


def start_workers(workers: Pool, gpus: int, **environment: str) -> None:
    """Start `gpus` more GPU workers, and a cpu worker if there is none; return once all are ready."""
    if not workers.workers:
        workers.start("cpu", **ENVIRONMENT)
    before = workers.broker.workers(workers.queue)
    for _ in range(gpus):
        workers.start("gpu", **ENVIRONMENT, **environment)
    wait_until(
        lambda: workers.broker.workers(workers.queue) == before + gpus, "workers are ready", START_PATIENCE
    )


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
