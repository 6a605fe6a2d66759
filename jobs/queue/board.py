"""The board: the state of every outstanding unit of work. Recovery and autoscaling use only the board.

A unit is a shard, or a job's `plan` or `reduce`. For every unit of a queue that has no outcome yet,
the Redis hash `savs:outstanding:<queue>` has a field `<job>/<unit>`:

    queued  ──claim──▶ running ──finish──▶ (no field)
       ▲                  │
       └── requeue, epoch + 1: returned by its worker, or swept because the heartbeat is missing

A message only refers to a field, and is valid as long as its epoch is the field's. In addition,
`savs:left:<queue>` counts the fields of each job, so that the removal of the last one is noticed at once.
Everything can be rebuilt from the ledger. Every change is one Lua script on Redis's own clock, so no
two processes ever decide differently.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from jobs.queue.lua_scripts import ADOPT, CLAIM, ENQUEUE, FINISH, LOSE, RECOUNT, REMOVE, REQUEUE, TOUCH
from jobs.records.message import CPU_QUEUE

if TYPE_CHECKING:
    from redis import Redis

LANES = 8  # lists per queue; a worker takes from them in turn, so that several jobs are served at once
SCAN_COUNT = 1000  # fields per HSCAN round trip
ENQUEUE_BATCH = 500  # fields per script call
FIELDS = {"state", "epoch", "attempts", "at", "lane", "why"}
MAX_DIGITS = 12  # of any number on the board

WARNED: set[str] = set()  # boards for which this process has warned about unusable fields

log = logging.getLogger("savs.board")


@dataclass(frozen=True)
class BoardEntry:
    """A field of the board. `at` is Redis's time of the last change or heartbeat, in seconds; `why` is
    the reason why the last attempt ended, if no other attempt follows."""

    job_id: str
    unit: str
    state: Literal["queued", "running"]
    epoch: int
    attempts: int
    at: float
    lane: int = 0
    why: str | None = None


class Board:
    """The outstanding units of one queue."""

    def __init__(self, redis: "Redis", queue: str) -> None:
        self.redis = redis
        self.queue = queue
        self.key = f"savs:outstanding:{queue}"
        self.counts = f"savs:left:{queue}"

    def _run(self, script: str, *arguments: Any) -> Any:
        return self.redis.register_script(script)(keys=[self.key, self.counts], args=list(arguments))

    def enqueue(self, job_id: str, units: Iterable[str], lane: int = 0) -> Iterator[tuple[str, float]]:
        """Adds the units that have no field yet. Yields these, with the time for their messages."""
        rest = iter(units)
        while batch := list(islice(rest, ENQUEUE_BATCH)):
            at, *created = self._run(ENQUEUE, job_id, lane, *batch)
            for unit in created:
                yield _text(unit), float(at)

    def claim(self, job_id: str, unit: str, epoch: int) -> int | None:
        """Claims the unit for this worker. Returns the number of the attempt, from 1; 0 if the message is
        stale; None if the unit has no field (only the ledger can tell why)."""
        attempt = int(self._run(CLAIM, job_id, unit, epoch))
        return None if attempt < 0 else attempt

    def adopt(self, job_id: str, unit: str, epoch: int) -> bool:
        """Adds the unit as running, if it has no field: Redis was emptied, and the ledger has no outcome.
        Returns whether it was added."""
        return bool(self._run(ADOPT, job_id, unit, epoch))

    def touch(self, job_id: str, unit: str, epoch: int) -> bool:
        """Records a heartbeat. Returns False if the unit no longer belongs to this attempt."""
        return bool(self._run(TOUCH, job_id, unit, epoch))

    def requeue(self, seen: BoardEntry, refund: bool = False) -> tuple[int, float, int] | None:
        """Requeues a unit under a new epoch, if it is still as `seen`. Returns the epoch, the time and the
        lane for its message, else None.

        With `refund` the attempt does not count, for example if a stopping worker returns a shard.
        """
        answer = self._run(REQUEUE, seen.job_id, seen.unit, seen.state, seen.epoch, int(refund))
        return (int(answer[0]), float(answer[1]), int(answer[2])) if answer else None

    def lose(
        self, job_id: str, unit: str, epoch: int, attempts: int, why: str, refund: bool = False
    ) -> tuple[int, float, int | None] | None:
        """Requeues a unit whose process was lost, whether it was running or not yet claimed, if its epoch
        is still `epoch`. Returns the epoch, the time and the lane for its message, else None.

        The lane is None after `attempts` attempts: the next sweep gives the unit up, with the reason
        `why`. With `refund` the attempt does not count.
        """
        answer = self._run(LOSE, job_id, unit, epoch, attempts, why, int(refund))
        if not answer:
            return None
        lane = int(answer[2])
        return int(answer[0]), float(answer[1]), None if lane < 0 else lane

    def finish(self, job_id: str, unit: str) -> int:
        """Removes the unit, which has an outcome. Returns how many units of the job are left."""
        return int(self._run(FINISH, job_id, unit))

    def forget(self, job_id: str) -> None:
        """Removes all units of a job."""
        units = (e.unit for e in self.entries() if e.job_id == job_id)
        while batch := list(islice(units, ENQUEUE_BATCH)):
            self._run(FINISH, job_id, *batch)

    def left(self, job_id: str) -> int:
        """Returns the number of outstanding units of one job."""
        found = self.redis.hget(self.counts, job_id) or b"0"
        return int(found) if found.isdigit() and len(found) < MAX_DIGITS else 0  # a sweep counts again

    def entry(self, job_id: str, unit: str) -> BoardEntry | None:
        """The unit's field, or None if it is missing or unreadable."""
        found = self.redis.hget(self.key, f"{job_id}/{unit}")
        return None if found is None else self.read(f"{job_id}/{unit}", found)

    def entries(self) -> Iterator[BoardEntry]:
        """Every readable field, in no particular order. The result is not a consistent snapshot."""
        for field, value in self.fields():
            if (entry := self.read(field, value)) is not None:
                yield entry

    def fields(self) -> "Iterator[tuple[bytes, bytes]]":
        """Every field with its value, as they are."""
        yield from self.redis.hscan_iter(self.key, count=SCAN_COUNT)

    def remove(self, field: bytes, value: bytes) -> None:
        """Removes a field that still has this value."""
        self._run(REMOVE, field, value)

    def stored_counts(self) -> dict[str, str]:
        """The number of fields of each job, as stored."""
        return {_text(job_id): _text(count) for job_id, count in self.redis.hgetall(self.counts).items()}

    def recount(self, job_id: str) -> None:
        """Sets the count of the job's fields."""
        self._run(RECOUNT, job_id)

    def read(self, field: bytes | str, value: bytes | str) -> BoardEntry | None:
        """The entry of a field; None, with one warning per process, if it is not from savs."""
        try:
            return _entry(self.queue, _text(field), _strict(value))
        except Exception as error:  # an untrusted client may have written anything
            if self.key not in WARNED:
                WARNED.add(self.key)
                log.warning(
                    "%s: has a field that is not from savs, %.100r (%s); a sweep removes it",
                    self.key,
                    _text(field),
                    error,
                )
            return None

    def __len__(self) -> int:
        return int(self.redis.hlen(self.key))

    def time(self) -> float:
        """Redis's clock, in seconds."""
        seconds, micros = self.redis.time()
        return int(seconds) + int(micros) / 1e6


def _strict(value: bytes | str) -> str:
    """The text of a value. Raises UnicodeDecodeError; json.loads itself would take other encodings."""
    return value.decode() if isinstance(value, bytes) else value


def _entry(queue: str, field: str, value: bytes | str) -> BoardEntry:
    """The entry of a field. Raises any kind of error if the field is not from savs."""
    job_id, _, unit = field.rpartition("/")
    found = json.loads(value)
    number = unit.isascii() and unit.isdecimal() and len(unit) < MAX_DIGITS and str(int(unit)) == unit
    if not job_id or not (unit in ("plan", "reduce") if queue == CPU_QUEUE else number):
        raise ValueError("invalid unit")
    state, at, why = found["state"], found["at"], found.get("why")
    if not found.keys() <= FIELDS:  # Redis's Lua may be unable to write what it holds
        raise ValueError("unknown values")
    if state not in ("queued", "running") or not (why is None or _is_text(why)):
        raise ValueError("invalid state or reason")
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < 10**MAX_DIGITS:
        raise ValueError("invalid time")
    return BoardEntry(
        job_id,
        unit,
        state,
        _whole(found["epoch"], 10**MAX_DIGITS),
        _whole(found["attempts"], 10**MAX_DIGITS),
        float(at),
        _whole(found["lane"], LANES),
        why,
    )


def _is_text(value: Any) -> bool:
    """Whether Redis's Lua can read and write the value: half of a character it cannot."""
    return isinstance(value, str) and value == value.encode(errors="replace").decode()


def _whole(value: Any, end: int) -> int:
    """The value, if it is a whole number from 0 to `end`; Lua writes some as floats. Else ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < end or value % 1:
        raise ValueError("invalid number")
    return int(value)


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
