"""What can be seen of a worker from outside."""

from pathlib import Path

from tests.pool.servers import Pool, children
from tests.pool.zygote import WorkerProcess


def waits(pool: Pool) -> bool:
    """Whether a worker has started, found Redis and now waits for a message."""
    return any(client["cmd"] == "brpop" for client in pool.broker.redis.client_list())


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def sweeps(pid: int) -> bool:
    """Whether a process of a cpu worker is its sweeper."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def sweepers(worker: WorkerProcess) -> list[int]:
    """Process ids of a cpu worker's sweeper, if it runs."""
    return [pid for pid in children(worker) if sweeps(pid) and runs(pid)]
