"""Jobs that share one pass through the model; each has its own outcomes in the ledger.

A shard of the first job runs in the same pass as its companions' shards of the same number. Once the first
job has ended, its companions run on their own the shards that were left out of a pass, usually none.
"""

import hashlib
import logging
from collections.abc import Sequence

from jobs.ledger.artifacts import located
from jobs.ledger.ledger import Ledger
from jobs.ledger.prefetch import prefetch
from jobs.records.job import HASH_DIGITS, Job, job_id
from jobs.shards.allowed_roots import Roots
from jobs.shards.rows import ShardRows, check_addresses, known_for, read_shard_rows
from savs.errors import SavsError

log = logging.getLogger("savs.together")


def join_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Join `jobs` of one kind and model, not written yet, so that they share a pass through the model.

    Their ids depend on the whole set: the same work submitted alone is another job.
    """
    if len(jobs) < 2:
        return list(jobs)
    mark = hashlib.sha256(" ".join(job.job_id for job in jobs).encode()).hexdigest()[:HASH_DIGITS]
    specs = [job.spec.model_copy(update={"together": mark}) for job in jobs]
    ids = [job_id(spec) for spec in specs]
    marked = [
        job.model_copy(update={"spec": spec, "job_id": own, "beside": ids[0]})
        for job, spec, own in zip(jobs, specs, ids, strict=True)
    ]
    first = marked[0].model_copy(update={"beside": None, "companions": tuple(ids[1:])})
    return [first, *marked[1:]]


def is_carried(ledger: Ledger, job: Job) -> bool:
    """Return whether this job's shards are now run in the same pass as another job's."""
    first = job.beside
    return (
        first is not None
        and ledger.is_there(first)
        and ledger.summary(first) is None
        and not ledger.is_cancelled(first)
    )


def carried_shards(ledger: Ledger, first: ShardRows, roots: Roots | None) -> list[ShardRows]:
    """Return the companions' shards that run in the same pass as the first job's shard: those of the same
    number that have no outcome yet. A companion's errors are logged. A retry runs without companions."""

    def find(companion: str) -> ShardRows | None:
        number = first.shard.number
        try:
            if ledger.is_cancelled(companion) or ledger.summary(companion) is not None:
                return None
            if ledger.outcome(companion, number) is not None or not ledger.is_planned(companion):
                return None
            job = located(ledger, ledger.job(companion))
            plan = ledger.planned(companion).plan
            if number >= len(plan):
                return None
            shard = plan.shard(number)
            if shard != first.shard or job.spec.source != first.job.spec.source:
                return read_shard_rows(ledger, job, shard, roots)
            check_addresses(job, roots)
            return ShardRows(job, shard, first.entries, first.inside, known_for(ledger, job))
        except SavsError as error:
            log.warning("%s is not run in this pass: %s", companion, error)
            return None

    if first.shard.retry is not None:
        return []
    return [unit for unit in prefetch(find, first.job.companions) if unit is not None]
