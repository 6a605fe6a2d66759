"""When each worker ran shards of a job."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from jobs.records.outcome import Outcome

PARTS = 500  # into which the time of the job is divided: a shorter pause is not drawn
WORKERS = 100  # that are drawn


@dataclass(frozen=True)
class Busy:
    """A time in which a worker, host:pid, ran shards one after another, and how many."""

    worker: str
    began: datetime
    ended: datetime
    shards: int


def timeline_of(outcomes: Iterable[Outcome]) -> list[Busy]:
    """Return when workers were busy, by worker and time, of the WORKERS workers that began first. Shards of
    an earlier savs, which did not record it, are left out."""
    shards = sorted(
        ((one.ran.worker, one.ran.began, one.ran.ended) for one in outcomes if one.ran is not None),
        key=lambda shard: shard[1],
    )
    if not shards:
        return []
    pause = (max(ended for _, _, ended in shards) - shards[0][1]) / PARTS
    found: dict[str, list[Busy]] = {}
    for worker, began, ended in shards:
        own = found.setdefault(worker, [])
        if own and began - own[-1].ended <= pause:
            last = own.pop()
            own.append(Busy(worker, last.began, max(last.ended, ended), last.shards + 1))
        else:
            own.append(Busy(worker, began, ended, 1))
    return [busy for worker in list(found)[:WORKERS] for busy in found[worker]]
