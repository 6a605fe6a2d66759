"""The shards of the jobs that a worker runs, kept so that a plan is not read again for each shard."""

from collections import OrderedDict

from jobs.ledger.ledger import Ledger
from jobs.records.plan import Plan, Shard

JOBS_KEPT = 4  # a plan of 10^8 rows takes about 10 MB


class Plans:
    """The plans of the jobs that were asked for last."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.kept: OrderedDict[str, tuple[str | None, Plan]] = OrderedDict()

    def shard(self, job_id: str, number: int) -> Shard | None:
        """Return the job's shard of that number; None if it was not planned. Raises LedgerError if the job
        has no plan, or one that cannot be used."""
        etag = self.ledger.plan_etag(job_id)
        known, plan = self.kept.get(job_id, (None, None))
        if plan is None or known != etag:
            plan = self.ledger.planned(job_id).plan
            self.kept[job_id] = etag, plan
        self.kept.move_to_end(job_id)
        while len(self.kept) > JOBS_KEPT:
            self.kept.popitem(last=False)
        if number < len(plan):
            return plan.shard(number)
        # Read each time: a job that was deleted and submitted again has other retries of the same numbers.
        planned = self.ledger.planned(job_id)
        return planned.shard(number) if number < len(planned) else None
