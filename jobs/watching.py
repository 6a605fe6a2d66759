"""Follows jobs that a pool works on, by what the ledger says, and sweeps while it looks."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from jobs.attempts import Times
from jobs.broker import Broker, gpu_queue
from jobs.ledger import Ledger
from jobs.outcomes import Sums
from jobs.reducing import add_up
from jobs.retries import Planned
from jobs.specs import Job
from jobs.sweeping import sweep
from savs.errors import StorageError

LOOK_EVERY = 1.0  # seconds
BLIND_LOOKS = 60  # looks in a row at which storage or Redis may fail before the error is raised


@dataclass
class Followed:
    """What is known of a job: every commit is read once."""

    job: Job
    planned: Planned | None = None
    seen: set[int] = field(default_factory=set)
    sums: Sums = field(default_factory=Sums)

    def look(self, ledger: Ledger) -> None:
        new = ledger.committed(self.job.job_id) - self.seen
        if self.planned is None and not ledger.is_planned(self.job.job_id):
            return
        if self.planned is None or max(new, default=0) >= len(self.planned):  # a retry was planned
            self.planned = ledger.planned(self.job.job_id)
        add_up(ledger, self.job, self.planned, new, self.sums)
        self.seen |= new

    def state(self) -> dict[str, Any]:
        """Counts so far, and the accuracy of the rows that have a label."""
        return {
            "job_id": self.job.job_id,
            "name": self.job.spec.name,
            "kind": self.job.spec.kind,
            "planned": self.planned is not None,
            "shards": len(self.planned) if self.planned else 0,
            "shards_done": len(self.seen),
            "rows": self.planned.rows if self.planned else 0,
            "rows_done": self.sums.counts["rows"],
            "failed": self.sums.counts["failed"],
            "accuracy": self.sums.tally.accuracy if self.job.spec.kind == "classify" else None,
        }


def follow(
    ledger: Ledger,
    broker: Broker | None,
    jobs: list[Job],
    show: Callable[[list[dict[str, Any]]], None],
    times: Times,
) -> list[dict[str, Any]]:
    """Looks every second, tells `show`, and answers the summaries once no job will get any further.

    With a broker it sweeps too, so that a job ends even where no cpu worker lives to see to it.
    """
    followed = [Followed(job) for job in jobs]
    swept, blind = 0.0, 0
    while True:
        try:
            show([_look(one, ledger, broker) for one in followed])
            summaries = [s for job in jobs if (s := ledger.summary(job.job_id)) is not None]
            if len(summaries) == len(jobs) or _is_stuck(ledger, jobs, summaries):
                return summaries
            if broker is not None and time.monotonic() - swept > times.sweep:
                sweep(ledger, broker, times)
                swept = time.monotonic()
            blind = 0
        except (StorageError, RedisError):
            blind += 1  # the pool goes on, and so does who looks at it
            if blind == BLIND_LOOKS:
                raise
        time.sleep(LOOK_EVERY)


def _look(one: Followed, ledger: Ledger, broker: Broker | None) -> dict[str, Any]:
    one.look(ledger)
    alive = broker.workers(gpu_queue(one.job.spec.model)) if broker else None
    return one.state() | {"workers": alive}


def _is_stuck(ledger: Ledger, jobs: list[Job], summaries: list[dict[str, Any]]) -> bool:
    """Whether a job has ended otherwise than well, or was cancelled, so that others wait in vain."""
    ended_badly = any(summary["status"] != "done" for summary in summaries)
    return ended_badly or any(ledger.is_cancelled(job.job_id) for job in jobs)
