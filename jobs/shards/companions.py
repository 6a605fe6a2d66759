"""Jobs that share one pass through the model; each keeps its own ledger.

The first job's shards carry those of its companions with the same number. Whatever keeps a companion
from being carried, it runs by itself once the first job has ended; and most often finds nothing to do.
"""

import hashlib
import logging
from collections.abc import Sequence

from jobs.ledger.ledger import Ledger
from jobs.ledger.prefetch import prefetch
from jobs.records.job import HASH_DIGITS, Job, job_id
from jobs.shards.roots import Roots
from jobs.shards.rows import ShardRows, check_addresses, read_shard_rows
from savs.errors import SavsError

log = logging.getLogger("savs.together")


def join_jobs(jobs: Sequence[Job]) -> list[Job]:
    """`jobs` of one kind and model, not written yet, joined so that they share a pass through the model.

    Their ids are those of the whole set: one of them that was submitted alone is another job.
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
    """Whether another job's shards carry this one's now."""
    first = job.beside
    return (
        first is not None
        and ledger.is_there(first)
        and ledger.summary(first) is None
        and not ledger.is_cancelled(first)
    )


def carried_shards(ledger: Ledger, first: ShardRows, roots: Roots | None) -> list[ShardRows]:
    """The shards that the first job's shard carries: its companions' of the same number, as far as they
    have no outcome yet. What is wrong with a companion is logged. Rows that are redone carry none."""

    def find(companion: str) -> ShardRows | None:
        number = first.shard.number
        try:
            if ledger.is_cancelled(companion) or ledger.summary(companion) is not None:
                return None
            if ledger.outcome(companion, number) is not None or not ledger.is_planned(companion):
                return None
            job = ledger.job(companion)
            plan = ledger.planned(companion).plan
            if number >= len(plan):
                return None
            shard = plan.shard(number)
            if shard != first.shard or job.spec.source != first.job.spec.source:
                return read_shard_rows(ledger, job, shard, roots)
            check_addresses(job, roots)
            return ShardRows(job, shard, first.entries)
        except SavsError as error:
            log.warning("%s is left to itself: %s", companion, error)
            return None

    if first.shard.retry is not None:
        return []
    return [unit for unit in prefetch(find, first.job.companions) if unit is not None]
