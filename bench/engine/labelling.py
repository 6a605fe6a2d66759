"""Steps that `bench.scale` runs in separate processes: draw images, fit an artifact, label."""

import functools
import json
import re
import time
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from unittest.mock import patch

from bench.engine import workloads
from bench.engine.workloads import Workload
from bench.fresh import MB
from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.run.inprocess import InProcessQueue, drain, enqueue
from jobs.submit.submission import classify_job, extract_job, submit
from savs.engine import extract, windows
from savs.loading import load_model
from savs.readout.fit import DEFAULT_HEADS

SIDE = 84  # pixels
EXAMPLES = 40
TRAIN, DATA = "train.jsonl", "data.jsonl"


class Silent:
    """A watcher without output."""

    def loading(self, model: str) -> AbstractContextManager[None]:
        return nullcontext()

    def started(self, job: Job, rows: int, done: int) -> None: ...

    def advanced(self, job: Job, rows: int) -> None: ...

    def gave_up(self, job: Job, shard: int, reason: str) -> None: ...


def write_manifest(place: str, items: int) -> None:
    """Draw the images; write the manifest of all of them and that of the examples."""
    samples = workloads.samples(Workload("scale", "demo", SIDE, False, items, 1, 0), Path(place))
    lines = [
        json.dumps({"image": s.media[0], "question": s.question, "question_id": s.id, "label": s.label})
        for s in samples
    ]
    Path(place, DATA).write_text("".join(f"{line}\n" for line in lines))
    Path(place, TRAIN).write_text("".join(f"{line}\n" for line in lines[:EXAMPLES]))


def fit(place: str) -> str:
    """Fit an artifact on the examples; return its address."""
    ledger = Ledger(f"{place}/fitted")
    job = extract_job(
        "scale",
        "demo",
        f"{place}/{TRAIN}",
        heads=DEFAULT_HEADS,
        readout="reference",
        shard_size=None,
        batch_tokens=None,
    )
    run(ledger, job)
    return ledger.artifact_url("scale", job.job_id)


def label(place: str, artifact: str, items: int, shard: int, budget: int, window: int) -> tuple[float, float]:
    """Label the first `items` images; return items per second, and the MB of the process before."""
    sizes = f"{items}-{shard}-{budget}-{window}"
    manifest = Path(place, f"{sizes}.jsonl")
    with Path(place, DATA).open() as lines:
        manifest.write_text("".join(islice(lines, items)))
    job = classify_job("scale", "demo", str(manifest), artifact, shard_size=shard, batch_tokens=budget)
    with patch.object(extract, "read_ahead", functools.partial(windows.read_ahead, limit=window)):
        seconds, loaded = run(Ledger(f"{place}/{sizes}"), job)
    return items / seconds, loaded


def run(ledger: Ledger, job: Job) -> tuple[float, float]:
    """Run a job to its end. Return its seconds, and the MB of the process when the model was loaded. The
    peak memory of loading is reset if the system allows it, so the process' peak is that of the job."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    [job] = submit(ledger, [job])
    model = load_model("demo", device="cpu")
    loaded, forget = resident_mb(), Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5")  # reset the peak (man 5 proc)
    queue, began = InProcessQueue(), time.perf_counter()
    enqueue(ledger, queue, job)
    drain(ledger, queue, lambda name: model, Silent())
    seconds = time.perf_counter() - began
    summary = ledger.summary(job.job_id)
    assert summary is not None and summary["status"] == "done" and not summary["failed"], summary
    return seconds, loaded


def resident_mb() -> float:
    """Return the current memory of this process. Raises AssertionError if the system does not report it."""
    found = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None, "no VmRSS"
    return int(found[1]) * 1024 / MB
