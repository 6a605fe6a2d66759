"""Plans retries of the rows that failed in an ended job (see `jobs.records.retries`)."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import row_errors
from jobs.records.job import Job
from jobs.records.outcome import Outcome
from jobs.records.retries import Pick, Planned, Retry, RetryShard
from savs.errors import IN_MANIFEST, Changed, JobError, NotFound
from savs.storage import open_parent


def retry_job(ledger: Ledger, job: Job, *, dead_only: bool) -> int:
    """Plan a retry of an ended job's failed rows, or only of those of shards that were given up. Rows that
    are wrong in the manifest itself (`IN_MANIFEST`) are not retried: they would fail again.

    The job is then unfinished and has to be run. Return the number of rows to retry; if it is 0,
    nothing changes. Raises as `check_retriable`.
    """
    check_retriable(ledger, job)
    if _has_artifact(ledger, job):
        return 0
    planned = ledger.planned(job.job_id)
    if len(ledger.committed(job.job_id)) < len(planned):
        raise _not_ended(job)  # another retry has begun since the summary was read
    shards = tuple(_grouped(_picks(ledger, job, planned, dead_only), planned.plan.shard_rows))
    if shards:
        # The summary is deleted first: without it the job is unfinished, whenever this is interrupted.
        ledger.forget_summary(job.job_id)
        ledger.create_retry(job.job_id, Retry(number=len(planned.retries), first=len(planned), shards=shards))
    return sum(shard.rows for shard in shards)


def check_retriable(ledger: Ledger, job: Job) -> None:
    """Raises JobError if the job has not ended, or ended before it was planned; Changed or NotFound if its
    manifest is not the one that was planned."""
    summary = ledger.summary(job.job_id)
    if summary is None:
        raise _not_ended(job)
    if not ledger.is_planned(job.job_id):
        raise JobError(
            f"{job.job_id} failed before it had rows: {summary.get('reason')}; "
            f"fix it, then: savs-submit resume {job.spec.name}"
        )
    if _has_artifact(ledger, job):
        return
    store, key = open_parent(job.spec.source.url)
    try:
        etag = store.etag(key)
    except NotFound as error:
        raise NotFound(f"{job.spec.source.gone}. Nothing was changed") from error
    if etag != job.spec.source.etag:
        raise Changed(
            f"{job.spec.source.url} has changed since {job.job_id} was submitted, so its rows cannot be "
            "retried; nothing was changed. Submit the changed file again: that is another job"
        )


def _has_artifact(ledger: Ledger, job: Job) -> bool:
    """Return whether the job has made its artifact, which is never fitted again. The rows of a pilot that
    failed are read again with its corpus."""
    summary = ledger.summary(job.job_id)
    return job.spec.kind != "classify" and summary is not None and summary["status"] == "done"


def _not_ended(job: Job) -> JobError:
    return JobError(
        f"{job.job_id} has not ended; wait for it, or resume it: savs-submit resume {job.spec.name}"
    )


def _picks(
    ledger: Ledger, job: Job, planned: Planned, dead_only: bool
) -> Iterator[tuple[Pick, dict[str, int]]]:
    """Yield the rows that failed, shard by shard, and the counts of their kinds of error."""
    size = len(planned.plan)
    later: dict[int, str | None] = {}  # retried rows: their kind of error, or None
    revived: set[int] = set()  # shards that were given up and then retried as a whole
    outcomes = ledger.outcomes(job.job_id)
    base: list[Outcome] = []
    for outcome in outcomes:
        if outcome.shard < size:
            if outcome.status == "failed" or outcome.counts.failed:
                base.append(outcome)
        elif outcome.status == "done":
            _, redone = planned.redone(outcome.shard)
            revived |= {p.shard.number for p in redone.picks if p.indices is None}
            later |= dict(row_errors(ledger, job, outcome))
    for outcome in base:
        shard = planned.plan.shard(outcome.shard)
        if outcome.status == "failed" and shard.number not in revived:
            yield Pick(shard=shard), {}
        elif not dead_only:
            if outcome.status == "done":
                found = {i: later.get(i, kind) for i, kind in row_errors(ledger, job, outcome)}
            else:
                span = range(shard.first_index, shard.first_index + shard.rows)
                found = {i: later[i] for i in span}
            kinds = {i: kind for i, kind in found.items() if kind is not None and kind not in IN_MANIFEST}
            if kinds:
                yield Pick(shard=shard, indices=tuple(sorted(kinds))), Counter(kinds.values())


def _grouped(picks: Iterable[tuple[Pick, dict[str, int]]], rows: int) -> Iterator[RetryShard]:
    """Yield retry shards of about `rows` rows."""
    group: list[Pick] = []
    errors: Counter[str] = Counter()
    for pick, kinds in chain(picks, [(None, {})]):
        count = sum(map(len, group))
        if group and (pick is None or count + len(pick) > rows):
            yield RetryShard(picks=tuple(group), rows=count, errors=dict(sorted(errors.items())))
            group, errors = [], Counter()
        if pick is not None:
            group.append(pick)
            errors.update(kinds)
