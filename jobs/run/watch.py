"""Follows a pool's jobs by reading the ledger, and sweeps, plans and reduces them meanwhile."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from jobs.ledger.ledger import Ledger
from jobs.plans.planner import SHARD_SECONDS
from jobs.queue.broker import Broker
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job, is_zero_shot
from jobs.records.message import CPU_QUEUE, gpu_queue
from jobs.records.retries import Planned
from jobs.reduce.status import abstained_of, interruption, is_due, waits_in_vain
from jobs.reduce.sums import Sums, add_up
from jobs.run.advance import act_as_cpu_worker
from jobs.run.hindrances import hindrances
from jobs.run.pace import Pace
from jobs.run.sweep import sweep
from jobs.shards.companions import is_carried
from savs.errors import BrokerError, StorageError

LOOK_EVERY = 1.0  # seconds
HINDRANCES_EVERY = 3.0  # seconds between two looks at why workers do not run a job
BLIND_LOOKS = 60  # checks in a row that may fail because of storage or Redis before the error is raised


@dataclass
class FollowedJob:
    """The progress of a job. Every commit is read once.

    rows, ended  rows of all shards, and of those that have ended; retried rows count again
    pace         set once the job does not wait for another one
    measured     items per second of one worker in earlier jobs
    """

    job: Job
    planned: Planned | None = None
    seen: set[int] = field(default_factory=set)
    sums: Sums = field(default_factory=Sums)
    rows: int = 0
    ended: int = 0
    pace: Pace | None = None
    measured: float | None = None

    def look(self, ledger: Ledger, now: float, workers: int | None) -> None:
        """Reads new commits at `now`, in seconds on a monotonic clock."""
        new = ledger.committed(self.job.job_id) - self.seen
        if self.planned is None and not ledger.is_planned(self.job.job_id):
            return
        if self.planned is None or max(new, default=0) >= len(self.planned):  # a retry was planned
            self.planned = planned = ledger.planned(self.job.job_id)
            self.rows = planned.rows + sum(shard.rows for retry in planned.retries for shard in retry.shards)
            if not is_zero_shot(self.job.spec):  # the rate of zero-shot jobs differs and is not stored
                self.measured = ledger.rates(gpu_queue(self.job.spec.model)).get(planned.plan.kind)
        add_up(ledger, self.job, self.planned, new, self.sums)
        self.seen |= new
        rows = sum(self.planned.shard(number).rows for number in new)
        self.ended += rows
        if self.pace is not None:
            self.pace.go_on(now, workers, rows)
        elif is_due(ledger, self.job) or is_carried(ledger, self.job):
            self.pace = Pace(now)

    def rest(self, workers: int | None) -> tuple[float | None, float | None]:
        """Rows per second of all workers, and the seconds that the remaining rows will take; None if
        unknown, or if the job waits for another."""
        if self.pace is None:
            return None, None
        seconds = self.sums.timings["worker"]
        expected = self.ended / seconds if seconds > 0 else self.measured
        shard = seconds / len(self.seen) if seconds > 0 else SHARD_SECONDS
        rate = self.pace.rate(expected, shard, workers)
        if not rate:
            return rate, None
        return rate, max(0.0, (self.rows - self.ended) / rate - self.pace.waited / (workers or 1))

    def state(self, workers: int | None) -> dict[str, Any]:
        """Counts so far, the accuracy on rows with a label, and the time left.

        `items_per_second` and `eta_seconds` are None if unknown.
        """
        rate, eta = self.rest(workers)
        return {
            "job_id": self.job.job_id,
            "name": self.job.spec.name,
            "kind": self.job.spec.kind,
            "planned": self.planned is not None,
            "waiting": self.planned is not None and self.pace is None,
            "shards": len(self.planned) if self.planned else 0,
            "shards_done": len(self.seen),
            "rows": self.planned.rows if self.planned else 0,
            "rows_done": self.sums.counts["rows"],
            "failed": self.sums.counts["failed"],
            **abstained_of(self.sums.counts),
            "accuracy": self.sums.tally.accuracy if self.job.spec.kind == "classify" else None,
            "items_per_second": None if rate is None else round(rate, 3),
            "eta_seconds": None if eta is None else round(eta, 1),
            "workers": workers,
        }


def follow(
    ledger: Ledger,
    broker: Broker | None,
    jobs: list[Job],
    show: Callable[[list[dict[str, Any]]], None],
    times: Timeouts,
    tell: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Checks every second, passes the states to `show`, and returns the summaries once all jobs have ended
    or cannot continue.

    With a broker it also sweeps, and plans and reduces as long as no cpu worker is running, so that a job
    still ends. `tell` is called with messages for the user, once for each.

    Raises StorageError, BrokerError or redis-py's RedisError if BLIND_LOOKS checks in a row fail with it.
    """
    followed = [FollowedJob(job) for job in jobs]
    told: dict[str, int] = {}
    swept, asked, blind = 0.0, 0.0, 0

    def once(text: str) -> None:
        if text not in told:
            told[text] = 1
            tell(text)

    def tell_hindrances(broker: Broker) -> None:
        """Tells each once, and again when it is that of twice as many workers."""
        for job in [job for job in jobs if ledger.summary(job.job_id) is None]:
            for one in hindrances(ledger, broker, job):
                if one.workers >= max(1, 2 * told.get(one.what, 0)):
                    told[one.what] = one.workers
                    tell(one.text)

    while True:
        try:
            show([_look(one, ledger, broker) for one in followed])
            summaries = [s for job in jobs if (s := ledger.summary(job.job_id)) is not None]
            if len(summaries) == len(jobs) or _is_stuck(ledger, jobs):
                return summaries
            if broker is not None and time.monotonic() - asked > HINDRANCES_EVERY:
                tell_hindrances(broker)
                asked = time.monotonic()
            if broker is not None and time.monotonic() - swept > times.sweep:
                sweep(ledger, broker, times)
                swept = time.monotonic()
            if broker is not None and not broker.workers(CPU_QUEUE):
                once("no cpu worker is running; until one starts, this command plans and reduces")
                act_as_cpu_worker(ledger, broker, jobs, times, once)
            blind = 0
        except (StorageError, BrokerError, RedisError) as error:
            blind += 1  # the pool keeps running, so keep watching
            if blind == BLIND_LOOKS:
                raise
            if blind == 1:
                tell(f"cannot read the jobs' state now, will try again: {error}")
        time.sleep(LOOK_EVERY)


def _look(one: FollowedJob, ledger: Ledger, broker: Broker | None) -> dict[str, Any]:
    workers = broker.workers(gpu_queue(one.job.spec.model)) if broker else None
    one.look(ledger, time.monotonic(), workers)
    return one.state(workers)


def _is_stuck(ledger: Ledger, jobs: list[Job]) -> bool:
    """True if every job that has not ended was cancelled, is interrupted, or waits for a job that was
    cancelled, is interrupted or did not end as done."""
    return all(
        ledger.is_cancelled(job.job_id) or waits_in_vain(ledger, job) or interruption(ledger, job) is not None
        for job in jobs
        if ledger.summary(job.job_id) is None
    )
