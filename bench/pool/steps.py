"""Steps that a benchmark runs in a separate process (`bench.fresh`), and their data."""

import threading
import time
from array import array
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from jobs.ledger.ledger import Ledger
from jobs.plans.planner import plan_manifest
from jobs.queue.broker import Broker
from jobs.queue.enqueue import enqueue_due
from jobs.records.job import ClassifySpec, Job, Source, job_id
from jobs.records.outcome import Counts, ErrorExample, Outcome
from jobs.records.plan import Plan
from jobs.records.tallies.clusters import CellRecord, ClustersRecord
from jobs.records.tallies.ranking import RankingRecord, Step
from jobs.records.tallies.tally import TallyRecord
from jobs.reduce.reducer import reduce_job
from jobs.reduce.summary import STAGES
from jobs.submit.submission import classify_job, submit
from savs.scores.clusters import key_of

CLASSES = ("cat", "dog", "owl")
WRITE_AHEAD = 10_000  # rows of a manifest that are written at a time
SHARD_ROWS = 256
LOOK = 0.01  # seconds between two counts of threads
MONDAY = datetime(2030, 1, 7, 8, tzinfo=UTC)


def write_manifest(path: str, rows: int) -> int:
    """Write a manifest of rows of about 100 bytes and return its size in bytes. Row ids contain the class, as
    the fake model requires."""
    lines = (
        f'{{"image": "pictures/{i:08d}.jpg", "question": "What is it?", '
        f'"question_id": "{CLASSES[i % 3]}-{i:06d}", "label": "{CLASSES[i % 3]}"}}\n'
        for i in range(rows)
    )
    with Path(path).open("w") as stream:
        while some := "".join(islice(lines, WRITE_AHEAD)):
            stream.write(some)
    return Path(path).stat().st_size


def plan(manifest: str) -> tuple[float, int, int]:
    """Plan the manifest; return seconds, rows, and unusable rows."""
    began = time.perf_counter()
    found = plan_manifest(manifest, None, labelled=False)
    return time.perf_counter() - began, found.rows, found.problems


def put_on_queue(broker: str, workspace: str, manifest: str, model: str) -> tuple[float, int]:
    """Submit a job with one row per shard; return seconds from its plan to its last message, and shards."""
    ledger = Ledger(workspace)
    job = classify_job("large", model, manifest, "/artifact", shard_size=1, batch_tokens=1)
    jobs = submit(ledger, [job])
    began = time.perf_counter()
    counts = enqueue_due(ledger, Broker(broker), jobs)
    return time.perf_counter() - began, counts[job.job_id]


def write_ledger(workspace: str, shards: int) -> str:
    """Write a ledger with one job whose shards all have an outcome but no part; return the job's id."""
    rows = shards * SHARD_ROWS
    numbers = array("q", range(0, rows, SHARD_ROWS))
    spec = ClassifySpec(
        name="large",
        model="tests/fake",
        data=Source(url="/data/rows.jsonl", etag=f"{shards:064d}"),
        artifact="/artifact",
        shard_size=SHARD_ROWS,
        batch_tokens=8,
    )
    job = Job(job_id=job_id(spec), submitted=MONDAY, spec=spec)
    places = array("q", (100 * n for n in numbers)), array("q", (n + 1 for n in numbers))
    Ledger(workspace).create_job(job, Plan(rows, SHARD_ROWS, 100 * rows, "image", 0, *places))
    commits = Path(workspace) / "jobs" / job.job_id / "commits"
    commits.mkdir()
    for number in range(shards):
        (commits / f"{number:07d}.json").write_text(outcome(number).model_dump_json(indent=1))
    return job.job_id


def outcome(number: int) -> Outcome:
    """Return a shard's outcome as a worker writes it: three classes, one failed row, a label for every row,
    and an image and twenty heads' votes for each."""
    good = SHARD_ROWS - 1
    each = good // 9
    pairs = [(a, b) for a in CLASSES for b in CLASSES]
    keys = [key_of(f"/data/{number * SHARD_ROWS + i}.jpg") for i in range(1, 9 * each + 1)]
    cells = tuple(
        CellRecord(outcome=(int(a == b),), names=(a, b), keys=tuple(sorted(keys[n::9])))
        for n, (a, b) in enumerate(pairs)
    )
    steps = tuple(Step(50 * votes, votes % 9, votes % 15) for votes in range(1, 21))
    example = ErrorExample(
        index=number * SHARD_ROWS, id=f"q{number}", kind="missing_media", message="/data/x.jpg does not exist"
    )
    return Outcome(
        shard=number,
        status="done",
        attempt=f"{number:016x}",
        part=f"{number:07d}-{number:016x}.jsonl",
        sha256=f"{number:064x}",
        counts=Counts(rows=SHARD_ROWS, labelled=good, failed=1),
        tally=TallyRecord(
            predicted=dict.fromkeys(CLASSES, good // 3),
            confusion=tuple((a, b, each) for a, b in pairs),
            errors={"missing_media": 1},
            rows=ClustersRecord(cells=cells),
            ranking=RankingRecord(
                labels=dict.fromkeys(CLASSES, 3 * each), scored=dict.fromkeys(CLASSES, steps)
            ),
        ),
        examples=(example,),
        timings=dict.fromkeys((*STAGES, "worker"), 0.0001),
    )


def reduce(workspace: str, job: str) -> tuple[float, int, int]:
    """Reduce the job, even if it was reduced before; return seconds, the number of shards added up, and the
    most threads that read at once."""
    ledger = Ledger(workspace)
    most = [0]
    threading.Thread(target=_count_readers, args=(most,), daemon=True).start()
    began = time.perf_counter()
    summary = reduce_job(ledger, ledger.job(job))
    assert summary is not None and summary["status"] == "done", summary
    return time.perf_counter() - began, summary["shards"], most[0]


def _count_readers(most: list[int]) -> None:
    while True:
        most[0] = max(most[0], threading.active_count() - 2)  # without the main thread and this one
        time.sleep(LOOK)
