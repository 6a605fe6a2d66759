"""The ledger: a job's state, as objects in its workspace. Nothing else is the truth.

    <workspace>/artifacts/<name>/<version>/        made by savs.artifacts
    <workspace>/jobs/<job_id>/
        job.json                        the job, as submitted
        shards.json                     where its shards lie in the manifest
        parts/0000042-<attempt>.jsonl   an attempt's rows (classify) or vectors (.safetensors, extract)
        commits/0000042.json            the shard's one outcome
        cancelled.json                  present while the job is cancelled
        summary.json                    a pure function of all of the above

A part counts only if a commit names it. A commit is created conditionally and never replaced, so
a shard has one outcome however often it ran. See `docs/ledger.md`.
"""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.planning import Plan
from jobs.specs import SCHEMA, Job, Strict, parse
from savs.errors import JobNotFound, LedgerError, NotFound
from savs.metrics import Tally
from savs.storage import Store, join, open_store

EXAMPLES = 3  # error rows that a commit quotes per kind


class Counts(Strict):
    """Rows of a shard: each is labelled, abstained or failed."""

    rows: int = 0
    labelled: int = 0
    abstained: int = 0
    failed: int = 0


class ErrorExample(Strict):
    index: int
    id: str
    kind: str
    message: str


class Tallied(Strict):
    """A `Tally` in JSON: the confusion as (label, prediction, rows)."""

    predicted: dict[str, int] = Field(default_factory=dict)
    confusion: tuple[tuple[str, str, int], ...] = ()
    errors: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def of(cls, tally: Tally) -> "Tallied":
        return cls(
            predicted=dict(sorted(tally.predicted.items())),
            confusion=tuple((a, b, n) for (a, b), n in sorted(tally.confusion.items())),
            errors=dict(sorted(tally.errors.items())),
        )

    def tally(self) -> Tally:
        return Tally(
            Counter(self.predicted),
            Counter({(a, b): n for a, b, n in self.confusion}),
            Counter(self.errors),
        )


class Outcome(Strict):
    """`commits/<shard>.json`: what became of a shard, once and for all."""

    schema_version: Literal[1] = SCHEMA
    shard: Annotated[int, Field(ge=0)]
    status: Literal["done", "failed"]
    attempt: str
    part: str | None = None
    sha256: str | None = None
    counts: Counts = Counts()
    tally: Tallied = Tallied()
    examples: tuple[ErrorExample, ...] = ()
    timings: dict[str, float] = Field(default_factory=dict)
    reason: str | None = None


class Ledger:
    """The jobs of one workspace."""

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self.store: Store = open_store(workspace)

    def artifact_url(self, name: str, version: str) -> str:
        return join(self.workspace, "artifacts", name, version)

    def job_url(self, job_id: str) -> str:
        return join(self.workspace, "jobs", job_id)

    def create_job(self, job: Job, plan: Plan) -> Job:
        """Writes the plan, then the job. Where the job is there already, that one is the answer."""
        self.store.create(_key(job.job_id, "shards.json"), plan.model_dump_json().encode())
        self.store.create(_key(job.job_id, "job.json"), job.model_dump_json(indent=1).encode())
        return self.job(job.job_id)

    def job(self, job_id: str) -> Job:
        key = _key(job_id, "job.json")
        try:
            job = parse(Job, self.store.read(key), key)
        except NotFound as error:
            raise JobNotFound(f"no job {job_id!r} in {self.workspace}") from error
        if job.job_id != job_id:
            raise LedgerError(f"{key} is another job's: {job.job_id}")
        return job

    def jobs(self, name: str | None = None) -> list[Job]:
        """All jobs, or those of one name, in the order they were submitted."""
        ids = [
            key.split("/")[1]
            for key in self.store.list("jobs")
            if key.count("/") == 2 and key.endswith("/job.json")
        ]
        found = [self.job(job_id) for job_id in ids]
        return sorted(
            (job for job in found if name is None or job.spec.name == name or job.job_id == name),
            key=lambda job: (job.submitted, job.spec.kind == "classify", job.job_id),
        )

    def plan(self, job_id: str) -> Plan:
        key = _key(job_id, "shards.json")
        try:
            return parse(Plan, self.store.read(key), key)
        except NotFound as error:
            raise LedgerError(f"job {job_id} has no {key}") from error

    def write_part(self, job_id: str, shard: int, suffix: str, data: bytes) -> tuple[str, str, str]:
        """Stores an attempt's part under a name of its own: (attempt, name, sha256)."""
        attempt = uuid.uuid4().hex[:16]
        name = f"{shard:07d}-{attempt}{suffix}"
        self.store.write(_key(job_id, f"parts/{name}"), data)
        return attempt, name, hashlib.sha256(data).hexdigest()

    def commit(self, job_id: str, outcome: Outcome) -> Outcome:
        """Makes `outcome` the shard's outcome, unless it has one. Answers the one that counts."""
        key = _commit_key(job_id, outcome.shard)
        if self.store.create(key, outcome.model_dump_json(indent=1).encode()):
            return outcome
        # Either another attempt was first, or this one's own write was repeated after a lost answer.
        return parse(Outcome, self.store.read(key), key)

    def outcome(self, job_id: str, shard: int) -> Outcome | None:
        key = _commit_key(job_id, shard)
        try:
            outcome = parse(Outcome, self.store.read(key), key)
        except NotFound:
            return None
        if outcome.shard != shard:
            raise LedgerError(f"{key} is another shard's: {outcome.shard}")
        return outcome

    def committed(self, job_id: str) -> set[int]:
        """Numbers of the shards that have an outcome."""
        numbers = set()
        for key in self.store.list(_key(job_id, "commits")):
            number = key.rsplit("/", 1)[1].removesuffix(".json")
            if not (number.isascii() and number.isdigit()):
                raise LedgerError(f"{key} is no outcome of a shard")
            numbers.add(int(number))
        return numbers

    def outcomes(self, job_id: str) -> list[Outcome]:
        """Every outcome, by shard number."""
        found = (self.outcome(job_id, shard) for shard in sorted(self.committed(job_id)))
        return [outcome for outcome in found if outcome is not None]

    def read_part(self, job_id: str, outcome: Outcome) -> bytes:
        """The part that `outcome` names. Raises LedgerError where it is not what was committed."""
        if outcome.part is None:
            raise LedgerError(f"job {job_id}: shard {outcome.shard} has no part")
        try:
            data = self.store.read(_key(job_id, f"parts/{outcome.part}"))
        except NotFound as error:
            raise LedgerError(f"job {job_id}: {outcome.part} was committed and is gone") from error
        if hashlib.sha256(data).hexdigest() != outcome.sha256:
            raise LedgerError(f"job {job_id}: {outcome.part} is not what was committed (sha256)")
        return data

    def rows(self, job_id: str) -> Iterator[bytes]:
        """The result rows of a classify job's finished shards in manifest order, a line each."""
        for outcome in self.outcomes(job_id):
            if outcome.status == "done":
                yield from self.read_part(job_id, outcome).splitlines(keepends=True)

    def cancel(self, job_id: str) -> None:
        """Marks the job as cancelled; workers stop between batches."""
        self.store.write(_key(job_id, "cancelled.json"), b"{}\n")

    def uncancel(self, job_id: str) -> None:
        self.store.delete(_key(job_id, "cancelled.json"))

    def is_cancelled(self, job_id: str) -> bool:
        return self.store.exists(_key(job_id, "cancelled.json"))

    def write_summary(self, job_id: str, summary: dict[str, Any]) -> None:
        data = json.dumps(summary, indent=1, ensure_ascii=False, default=_plain).encode()
        self.store.write(_key(job_id, "summary.json"), data + b"\n")

    def summary(self, job_id: str) -> dict[str, Any] | None:
        key = _key(job_id, "summary.json")
        try:
            summary = json.loads(self.store.read(key))
        except NotFound:
            return None
        except (ValueError, RecursionError) as error:
            raise LedgerError(f"{key} is not JSON ({error}); delete it and resume the job") from error
        if not isinstance(summary, dict) or not isinstance(summary.get("status"), str):
            raise LedgerError(f"{key} is not a summary; delete it and resume the job")
        return summary


def _key(job_id: str, name: str) -> str:
    return f"jobs/{job_id}/{name}"


def _commit_key(job_id: str, shard: int) -> str:
    return _key(job_id, f"commits/{shard:07d}.json")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
