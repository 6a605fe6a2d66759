"""The ledger: a job's state, as objects in its workspace. Nothing else is authoritative.

    <workspace>/artifacts/<name>/<version>/        made by savs.artifact.artifact
    <workspace>/rates/<queue>.json                 items per second of one worker, as last measured
    <workspace>/active/<job_id>                    present while a pool is responsible for the job
    <workspace>/jobs/<job_id>/
        job.json                        the job, as submitted
        shards.json                     positions of its shards in the manifest
        retries/0000.json               additional shards, which retry rows
        parts/0000042-<attempt>.jsonl   an attempt's rows (classify) or vectors (.safetensors, extract, pilot)
        parts/0000042-<attempt>.vectors.safetensors   head vectors of a classify job's rows, if it keeps them
        commits/0000042.json            the shard's one outcome
        sample.jsonl, answers.safetensors   of a pilot: its rows (`jobs.ledger.pilots`)
        brake.json                      the check of the first rows
        cancelled.json                  present while the job is cancelled
        notify.json, notified/          whom to tell of the job's next end, and which were told
        summary.json                    a pure function of all of the above

A part, or the vectors beside it, counts only if a commit names it. A commit is created conditionally
and never replaced, so a shard has one outcome however often it ran. On a store that ignores
conditions the last outcome counts, and a part has a fixed name. See `docs/ledger.md`.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import cached_property
from typing import Any

from jobs.ledger.prefetch import prefetch
from jobs.records.job import KINDS, Job
from jobs.records.outcome import KeptVectors, Outcome
from jobs.records.plan import Plan
from jobs.records.record import parse
from jobs.records.retries import Planned, Retry
from jobs.records.summary import Summary
from savs.errors import JobNotFound, LedgerError, NotFound, SavsError, StorageError, why_invalid
from savs.storage import Store, join, open_store

VECTORS = ".vectors.safetensors"  # after the number of a shard and its attempt
SAMPLE = "sample.jsonl"  # a pilot's rows, among its objects


class Ledger:
    """The jobs of one workspace."""

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self.store: Store = open_store(workspace)

    @cached_property
    def conditional(self) -> bool:
        """True if the workspace's store supports conditional writes; tested on first use."""
        return self.store.honours_conditions()

    def artifact_url(self, name: str, version: str) -> str:
        return join(self.workspace, "artifacts", name, version)

    def job_url(self, job_id: str) -> str:
        return join(self.workspace, "jobs", job_id)

    def _create(self, key: str, data: bytes) -> bool:
        """Like the store's `create`. On a store that ignores conditions it checks first, so that two
        writers can both succeed only at the same moment."""
        if not self.conditional and self.store.exists(key):
            return False
        return self.store.create(key, data)

    # Jobs and their plans

    def create_job(self, job: Job, plan: Plan | None = None, sample: bytes | None = None) -> Job:
        """Write the plan, if there is one yet, then the job. Return the job, or the existing one if
        there is one. What an earlier job of this id left behind is removed.

        sample  as in `create_plan`
        """
        self._clear(job.job_id)
        if plan is not None:
            self.create_plan(job.job_id, plan, sample)
        unused = None if job.report else {"report"}  # an earlier savs does not know the field
        data = job.model_dump_json(indent=1, exclude=unused).encode()
        self._create(_key(job.job_id, "job.json"), data)
        return self.job(job.job_id)

    def _clear(self, job_id: str) -> None:
        """Remove what is in the folder of a job that does not exist, except for a plan, which another process
        may be submitting: workers may have written the rest after the job was deleted."""
        if self.is_there(job_id):
            return
        plan = {_key(job_id, "shards.json"), _key(job_id, SAMPLE)}
        for key in [key for key in self.store.list(f"jobs/{job_id}") if key not in plan]:
            if self.is_there(job_id):  # another process has just submitted it
                return
            self.store.delete(key)

    def create_plan(self, job_id: str, plan: Plan, sample: bytes | None = None) -> None:
        """Write the plan, unless there is one. The plan of a pilot is of the rows in `sample`, which is
        written first."""
        if sample is not None:
            self._create(_key(job_id, SAMPLE), sample)
        self._create(_key(job_id, "shards.json"), plan.to_json())

    def create_retry(self, job_id: str, retry: Retry) -> None:
        """Write the retry. Raises LedgerError if another retry was planned meanwhile."""
        if not self._create(
            _key(job_id, f"retries/{retry.number:04d}.json"), retry.model_dump_json().encode()
        ):
            raise LedgerError(f"job {job_id} is being retried by another process; see its status")

    def job(self, job_id: str) -> Job:
        key = _key(job_id, "job.json")
        try:
            job = parse(Job, self.store.read(key), key)
        except NotFound as error:
            raise JobNotFound(f"no job {job_id!r} in {self.workspace}") from error
        if job.job_id != job_id:
            raise LedgerError(f"{key} belongs to another job: {job.job_id}")
        return job

    def is_there(self, job_id: str) -> bool:
        return self.store.exists(_key(job_id, "job.json"))

    def job_ids(self, name: str | None = None) -> list[str]:
        """Return the ids of all jobs, or of those of one name and its possible splits. Reads no jobs."""
        ids = list(self.store.folders("jobs"))
        if name is None:
            return ids
        return [i for i in ids if i == name or f"{i.rsplit('-', 2)[0]}.".startswith(f"{name}.")]

    def jobs(
        self, name: str | None = None, unreadable: Callable[[SavsError], None] | None = None
    ) -> list[Job]:
        """Return all jobs, or those of one name (with its splits) or id, in order of submission.

        A folder without a job.json is not a job. If a job.json cannot be used, `unreadable` is called with
        the error; without `unreadable`, the error is raised.
        """
        found = []
        for answer in prefetch(self._job_or_error, self.job_ids(name)):
            if isinstance(answer, Job):
                if name is None or name in (answer.job_id, answer.spec.name, answer.spec.family):
                    found.append(answer)
            elif isinstance(answer, JobNotFound):
                continue
            elif unreadable is None:
                raise answer
            else:
                unreadable(answer)
        return sorted(found, key=lambda job: (job.submitted, KINDS.index(job.spec.kind), job.job_id))

    def _job_or_error(self, job_id: str) -> Job | SavsError:
        try:
            return self.job(job_id)
        except (LedgerError, JobNotFound, StorageError) as error:
            return error

    def is_planned(self, job_id: str) -> bool:
        return self.store.exists(_key(job_id, "shards.json"))

    def plan_etag(self, job_id: str) -> str | None:
        """Return the ETag of the job's plan; None if it is not planned."""
        try:
            return self.store.etag(_key(job_id, "shards.json"))
        except NotFound:
            return None

    def planned(self, job_id: str) -> Planned:
        """Return all shards of the job. Raises LedgerError if it is not planned."""
        key = _key(job_id, "shards.json")
        try:
            plan = Plan.from_json(self.store.read(key), key)
        except NotFound as error:
            raise LedgerError(f"job {job_id} has no {key}: it is not planned") from error
        planned = Planned(plan, ())
        for number in self._retry_numbers(job_id):
            retry = self.retry(job_id, number)
            if (retry.number, retry.first) != (number, len(planned)):
                raise LedgerError(f"job {job_id}: retry {number} does not start where the previous one ended")
            planned = Planned(plan, (*planned.retries, retry))
        return planned

    def _retry_numbers(self, job_id: str) -> range:
        return range(sum(1 for _ in self.store.list(_key(job_id, "retries"))))

    def retry(self, job_id: str, number: int) -> Retry:
        key = _key(job_id, f"retries/{number:04d}.json")
        try:
            return parse(Retry, self.store.read(key), key)
        except NotFound as error:
            raise LedgerError(f"job {job_id} has no {key}") from error

    # Parts and commits

    def write_part(self, job_id: str, shard: int, suffix: str, data: bytes) -> tuple[str, str, str | None]:
        """Store an attempt's part. Return (attempt, name, sha256). If the store supports conditional
        writes, no other attempt uses the name; if not, the sha256 is None."""
        attempt = uuid.uuid4().hex[:16]
        return attempt, *self._write_object(job_id, shard, attempt, suffix, data)

    def write_vectors(
        self, job_id: str, shard: int, attempt: str, data: bytes, rows: int, pilot: tuple[int, ...]
    ) -> KeptVectors:
        """Store the head vectors of an attempt's rows beside its part, under a name like the part's. Return
        what its commit says of them; `rows` and `pilot` are as there."""
        name, digest = self._write_object(job_id, shard, attempt, VECTORS, data)
        return KeptVectors(name=name, sha256=digest, bytes=len(data), rows=rows, pilot=pilot)

    def _write_object(
        self, job_id: str, shard: int, attempt: str, suffix: str, data: bytes
    ) -> tuple[str, str | None]:
        name = f"{shard:07d}-{attempt}{suffix}" if self.conditional else f"{shard:07d}{suffix}"
        self.store.write(_key(job_id, f"parts/{name}"), data)
        return name, hashlib.sha256(data).hexdigest() if self.conditional else None

    def commit(self, job_id: str, outcome: Outcome) -> Outcome:
        """Make `outcome` the shard's outcome, unless it has one. Return the one that counts.

        On a store that ignores conditions that is the last one, but giving up never replaces an
        outcome that was found. Raises JobNotFound, and leaves nothing, if the job was deleted meanwhile.
        """
        self._check_there(job_id, outcome)
        counting = self._commit(job_id, outcome)
        self._check_there(job_id, outcome)
        return counting

    def _check_there(self, job_id: str, outcome: Outcome) -> None:
        if self.is_there(job_id):
            return
        self.store.delete(_commit_key(job_id, outcome.shard))
        for name in outcome.objects:
            self.store.delete(_key(job_id, f"parts/{name}"))
        self.store.prune(f"jobs/{job_id}")
        raise JobNotFound(f"job {job_id} was deleted while its shard {outcome.shard} was running")

    def _commit(self, job_id: str, outcome: Outcome) -> Outcome:
        key = _commit_key(job_id, outcome.shard)
        if outcome.status == "failed" and not self.conditional:
            found = self.outcome(job_id, outcome.shard)
            if found is not None:
                return found
        unused = {
            name for name in ("kept", "ran") if getattr(outcome, name) is None
        }  # an earlier savs has neither
        if self.store.create(key, outcome.model_dump_json(indent=1, exclude=unused).encode()):
            return outcome
        # Either another attempt was first, or this one's own write was repeated after a lost response.
        return parse(Outcome, self.store.read(key), key)

    def outcome(self, job_id: str, shard: int) -> Outcome | None:
        key = _commit_key(job_id, shard)
        try:
            outcome = parse(Outcome, self.store.read(key), key)
        except NotFound:
            return None
        if outcome.shard != shard:
            raise LedgerError(f"{key} belongs to another shard: {outcome.shard}")
        return outcome

    def committed(self, job_id: str) -> set[int]:
        """Numbers of the shards that have an outcome."""
        numbers = set()
        for key in self.store.list(_key(job_id, "commits")):
            number = key.rsplit("/", 1)[1].removesuffix(".json")
            if not (number.isascii() and number.isdigit()):
                raise LedgerError(f"{key} is not the outcome of a shard")
            numbers.add(int(number))
        return numbers

    def outcomes(self, job_id: str, shards: Iterable[int] | None = None) -> Iterator[Outcome]:
        """Yield every outcome, or those of `shards`, by shard number; few are in memory at a time."""
        numbers = self.committed(job_id) if shards is None else shards
        for outcome in prefetch(lambda shard: self.outcome(job_id, shard), sorted(numbers)):
            if outcome is not None:
                yield outcome

    def read_part(self, job_id: str, outcome: Outcome) -> bytes:
        """Return the part that `outcome` names. Raises LedgerError if it is missing or does not match."""
        if outcome.part is None:
            raise LedgerError(f"job {job_id}: shard {outcome.shard} has no part")
        return self._read_object(job_id, outcome.part, outcome.sha256)

    def read_vectors(self, job_id: str, kept: KeptVectors) -> bytes:
        """Return the head vectors that an outcome names. Raises LedgerError as `read_part`."""
        return self._read_object(job_id, kept.name, kept.sha256)

    def _read_object(self, job_id: str, name: str, sha256: str | None) -> bytes:
        try:
            data = self.store.read(_key(job_id, f"parts/{name}"))
        except NotFound as error:
            raise LedgerError(f"job {job_id}: {name} was committed but is missing") from error
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise LedgerError(f"job {job_id}: {name} does not match its commit (sha256)")
        return data

    def parts(self, job_id: str, outcomes: Iterable[Outcome]) -> Iterator[tuple[Outcome, bytes]]:
        """Yield the outcomes that have a part, in order, each with its part; few are in memory at a time."""
        done = (outcome for outcome in outcomes if outcome.status == "done")
        return prefetch(lambda outcome: (outcome, self.read_part(job_id, outcome)), done)

    def orphans(self, job_id: str) -> Iterator[str]:
        """Yield the keys of parts, and of vectors beside them, that no commit names, of shards that have an
        outcome."""
        if not self.conditional:
            return
        named = {outcome.shard: outcome.objects for outcome in self.outcomes(job_id)}
        for key in self.store.list(_key(job_id, "parts")):
            name = key.rsplit("/", 1)[1]
            number = name.partition("-")[0]
            if number.isdigit() and int(number) in named and name not in named[int(number)]:
                yield key

    # Marks

    def activate(self, job_id: str) -> None:
        """Mark the job as one that a pool is responsible for."""
        self.store.write(f"active/{job_id}", b"")

    def deactivate(self, job_id: str) -> None:
        self.store.delete(f"active/{job_id}")

    def end(self, job_id: str) -> None:
        """Mark the job as ended: no pool is responsible for it, unless it was retried at this moment."""
        self.deactivate(job_id)
        if self.is_there(job_id) and not self.is_cancelled(job_id) and self.summary(job_id) is None:
            self.activate(job_id)

    def is_active(self, job_id: str) -> bool:
        return self.store.exists(f"active/{job_id}")

    def active(self) -> list[str]:
        """Return the ids of the jobs that a pool is responsible for."""
        return [key.rpartition("/")[2] for key in self.store.list("active")]

    def cancel(self, job_id: str, reason: str | None = None) -> None:
        """Mark the job as cancelled; workers stop between batches."""
        data = json.dumps({"reason": reason} if reason else {}).encode()
        self.store.write(_key(job_id, "cancelled.json"), data + b"\n")

    def uncancel(self, job_id: str) -> None:
        self.store.delete(_key(job_id, "cancelled.json"))

    def is_cancelled(self, job_id: str) -> bool:
        return self.store.exists(_key(job_id, "cancelled.json"))

    def why_cancelled(self, job_id: str) -> str | None:
        """Return the reason; None if a user cancelled the job."""
        try:
            found = json.loads(self.store.read(_key(job_id, "cancelled.json")))
            return str(found["reason"])
        except (NotFound, ValueError, KeyError, TypeError, RecursionError):
            return None

    def judge(self, job_id: str, verdict: dict[str, Any]) -> bool:
        """Store the brake's verdict, once. Return False if one was stored before."""
        return self._create(_key(job_id, "brake.json"), json.dumps(verdict).encode() + b"\n")

    def is_judged(self, job_id: str) -> bool:
        return self.store.exists(_key(job_id, "brake.json"))

    # Summaries and rates

    def write_summary(self, job_id: str, summary: dict[str, Any]) -> None:
        self.store.write(_key(job_id, "summary.json"), _summary_bytes(summary))

    def write_failure(self, job_id: str, summary: dict[str, Any]) -> dict[str, Any]:
        """Write the summary of a job that has failed, unless there is one that says done. Return the summary
        that counts."""
        if self._create(_key(job_id, "summary.json"), _summary_bytes(summary)):
            return summary
        try:
            found = self.summary(job_id)
        except LedgerError:  # it is damaged
            found = None
        if found is not None and found["status"] == "done":
            return found
        self.write_summary(job_id, summary)
        return summary

    def forget_summary(self, job_id: str) -> None:
        self.store.delete(_key(job_id, "summary.json"))

    def summary(self, job_id: str) -> dict[str, Any] | None:
        key = _key(job_id, "summary.json")
        try:
            data = self.store.read(key)
        except NotFound:
            return None
        try:
            if Summary.model_validate_json(data).job_id != job_id:
                raise LedgerError(f"{key} belongs to another job; delete it and resume the job")
            summary: dict[str, Any] = json.loads(data)
        except (ValueError, RecursionError) as error:
            why = why_invalid(error, Summary.model_fields)
            raise LedgerError(f"{key} is not a summary ({why}); delete it and resume the job") from error
        return summary

    def write_rates(self, queue: str, rates: dict[str, float]) -> None:
        self.store.write(f"rates/{queue}.json", json.dumps(rates).encode() + b"\n")

    def rates(self, queue: str) -> dict[str, float]:
        """Return the items per second of one worker of `queue`, per kind of row; empty if not measured."""
        try:
            found = json.loads(self.store.read(f"rates/{queue}.json"))
            return {str(kind): float(rate) for kind, rate in found.items() if 0 < float(rate) < 1e9}
        except (StorageError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return {}

    def delete(self, job_id: str) -> None:
        """Remove the job with all its rows. Its artifact is not removed.

        If this is interrupted, the job is cancelled and can be deleted again: its summary is deleted
        first, cancelled.json and job.json last.
        """
        self.cancel(job_id, "it is being deleted")
        self.deactivate(job_id)
        self.forget_summary(job_id)
        last = [_key(job_id, "cancelled.json"), _key(job_id, "job.json")]
        rest = (key for key in self.store.list(f"jobs/{job_id}") if key not in last)
        for _ in prefetch(self.store.delete, rest):
            pass
        for key in last:
            self.store.delete(key)
        self.store.prune(f"jobs/{job_id}")


def _key(job_id: str, name: str) -> str:
    return f"jobs/{job_id}/{name}"


def _commit_key(job_id: str, shard: int) -> str:
    return _key(job_id, f"commits/{shard:07d}.json")


def _summary_bytes(summary: dict[str, Any]) -> bytes:
    return json.dumps(summary, indent=1, ensure_ascii=False, default=_plain).encode() + b"\n"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
