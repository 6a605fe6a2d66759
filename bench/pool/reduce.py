"""Reducing many commits: seconds, and whether memory grows with their number.

In a local folder the commits are in the system's cache. On S3 it measures mostly moto, which shares the
two cores and answers a few hundred requests per second.
"""

from bench.figures import Figure
from bench.fresh import fresh
from bench.pool.servers import folder, s3

FEW, MANY = 1_000, 10_000  # commits
FOLDER_SECONDS = "≤ 30"
S3_SECONDS = "≤ 60"
MAX_THREADS = "≤ 16"
GROWTH_MB = "≤ 20"  # for ten times as many commits


def measure() -> list[Figure]:
    with folder() as place:
        jobs = {n: fresh("pool.steps.write_ledger", str(place / "ledger"), n)[0] for n in (FEW, MANY)}
        local = reduced(str(place / "ledger"), jobs)
        with s3(preload=place):
            remote = reduced("s3://workspace/ledger", jobs)
    return [
        Figure("reduce: 10,000 commits, folder", local[MANY][0], "s", FOLDER_SECONDS),
        Figure("reduce: 10,000 commits, S3", remote[MANY][0], "s", S3_SECONDS),
        Figure("reduce: threads that read", max(local[MANY][2], remote[MANY][2]), "", MAX_THREADS),
        *memory("folder", local),
        *memory("S3", remote),
    ]


def reduced(workspace: str, jobs: dict[int, str]) -> dict[int, tuple[float, float, int]]:
    """Return, per number of commits: seconds, peak memory in MB, and threads that read."""
    found = {}
    for commits, job in jobs.items():
        (seconds, shards, threads), peak = fresh("pool.steps.reduce", workspace, job)
        assert shards == commits
        found[commits] = (seconds, peak, threads)
    return found


def memory(where: str, found: dict[int, tuple[float, float, int]]) -> list[Figure]:
    few, many = found[FEW][1], found[MANY][1]
    return [
        Figure(f"reduce: peak memory, {where}", many, "MB"),
        Figure(f"reduce: that above 1,000 commits, {where}", many - few, "MB", GROWTH_MB),
    ]
