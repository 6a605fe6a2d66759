"""Planning a large manifest: seconds, and the submitter's peak memory.

Every row is parsed and validated. The manifest is local and was written just before, so it is in
the system's cache: this measures the processor, not disks or S3.
"""

from pathlib import Path

from bench.figures import Figure
from bench.fresh import fresh
from bench.pool.servers import folder

ROWS = 10**7
SECONDS = "≤ 60"
PEAK_MB = "≤ 200"


def measure() -> list[Figure]:
    with folder() as place:
        manifest = str(place / "rows.jsonl")
        size, _ = fresh("pool.steps.write_manifest", manifest, ROWS)
        with Path(manifest).open("a") as stream:
            stream.write('{"image": 3}\n')  # shows that the last row is validated too
        (seconds, rows, problems), peak = fresh("pool.steps.plan", manifest)
    assert (rows, problems) == (ROWS + 1, 1)
    return [
        Figure("plan: bytes a row", size / ROWS, "B"),
        Figure("plan: 10^7 rows", seconds, "s", SECONDS),
        Figure("plan: peak memory", peak, "MB", PEAK_MB),
    ]
