"""The shards of the jobs that a worker runs, kept so that a plan is not read again for each shard."""

from collections import OrderedDict

from jobs.ledger.ledger import Ledger
from jobs.records.plan import Shard
from jobs.records.retries import Planned

JOBS_KEPT = 4  # a plan of 10^8 rows takes about 10 MB


class Plans:
    """The plans of the jobs that were asked for last."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.kept: OrderedDict[str, tuple[str | None, Planned]] = OrderedDict()

    def shard(self, job_id: str, number: int) -> Shard | None:
        """Return the job's shard of that number; None if it was not planned. Raises LedgerError if the job
        has no plan, or one that cannot be used."""
        etag = self.ledger.plan_etag(job_id)
        known, planned = self.kept.get(job_id, (None, None))
        if planned is None or known != etag or number >= len(planned):  # deleted, or retried in the meantime
            planned = self.ledger.planned(job_id)
            self.kept[job_id] = etag, planned
        self.kept.move_to_end(job_id)
        while len(self.kept) > JOBS_KEPT:
            self.kept.popitem(last=False)
        return planned.shard(number) if number < len(planned) else None
