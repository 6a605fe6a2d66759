"""What was run, in words: a job's spec, model, artifact, times and cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec, Job, awaited
from savs.artifact.artifact import Artifact

HOUR = 3600.0  # seconds


@dataclass(frozen=True)
class Fact:
    """A name and a value, both for people."""

    name: str
    value: str


@dataclass(frozen=True)
class Spent:
    """Seconds of workers: for the corpus, with its pilot, and for the examples. `rows` of the corpus did not
    fail."""

    corpus: float
    examples: float
    rows: int

    @property
    def whole(self) -> float:
        return self.corpus + self.examples


def spent_on(ledger: Ledger, job: Job, summary: Mapping[str, Any]) -> Spent:
    """Return the time that workers spent on a job and on the jobs that it waited for."""
    seconds = {"extract": 0.0, "pilot": 0.0, "classify": _worker_seconds(summary)}
    seen, before = {job.job_id}, awaited(job.spec)
    while before is not None and before not in seen and ledger.is_there(before):
        seen.add(before)  # jobs that were changed may wait for each other
        earlier = ledger.job(before)
        seconds[earlier.spec.kind] += _worker_seconds(ledger.summary(before) or {})
        before = awaited(earlier.spec)
    rows = summary["rows"] - summary["failed"]
    return Spent(seconds["classify"] + seconds["pilot"], seconds["extract"], rows)


def _worker_seconds(summary: Mapping[str, Any]) -> float:
    return float(summary.get("timings", {}).get("worker_seconds", 0.0))


def facts_of(
    job: Job, artifact: Artifact | None, spent: Spent, ended: datetime | None, price: float | None
) -> list[Fact]:
    """Return what was run.

    ended  when the last shard ended; None if it is not known
    price  of an hour of a worker; None if it is not known
    """
    assert isinstance(job.spec, ClassifySpec)
    source = job.spec.source
    found = [
        Fact("Job", job.job_id),
        Fact("Corpus", source.url),
        Fact("Format", source.format),
        Fact("Model", _model(job, artifact)),
        *_how(job.spec, artifact),
        Fact("Submitted", _time(job.submitted)),
    ]
    if ended is not None:
        found.append(Fact("Last shard ended", _time(ended)))
    if job.note:
        found.append(Fact("Note", job.note))
    return [*found, *_cost(spent, price)]


def _model(job: Job, artifact: Artifact | None) -> str:
    if artifact is None:
        return job.spec.model
    made = artifact.manifest.origin.model
    return f"{job.spec.model} ({made.dtype}, fingerprint {made.fingerprint[:12]})"


def _how(spec: ClassifySpec, artifact: Artifact | None) -> list[Fact]:
    if spec.zero_shot is not None:
        asked = (
            "the text that the model generates"
            if spec.zero_shot.method == "greedy"
            else "the likeliest class"
        )
        return [Fact("Method", f"zero-shot: {asked}")]
    if artifact is None:
        return [Fact("Artifact", f"{spec.artifact} (it cannot be read)")]
    manifest = artifact.manifest
    found = [Fact("Artifact", f"{manifest.name}/{manifest.version} (digest {artifact.digest})")]
    why = "" if manifest.choice is None else f": {manifest.choice.why}"
    found.append(Fact("Readout", f"{manifest.readout}{why}"))
    found.append(Fact("Examples", f"{len(manifest.training):,}, {len(manifest.classes):,} classes"))
    if manifest.question is not None:
        found.append(Fact("Question", manifest.question))
    if decided := spec.decision.model_dump(exclude_defaults=True):
        found.append(Fact("Decision", ", ".join(f"{name} {value}" for name, value in decided.items())))
    return found


def _cost(spent: Spent, price: float | None) -> list[Fact]:
    each = 1000 * spent.corpus / spent.rows if spent.rows else None
    found = [Fact("Worker-seconds", f"{_seconds(spent.corpus)}; {_seconds(spent.examples)} for the examples")]
    if each is not None:
        found.append(Fact("Per 1,000 items", f"{_seconds(each)} worker-seconds"))
    if price is not None:
        money = f"{spent.whole / HOUR * price:,.2f} at {price:g} per worker-hour"
        per = "" if each is None else f"; {each / HOUR * price:,.4f} per 1,000 items"
        found.append(Fact("Cost", money + per))
    return found


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2f}"


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S %Z")
