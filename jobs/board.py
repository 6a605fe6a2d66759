"""The board: who has which unit of work. The only means of recovery, and what autoscaling watches.

A unit is a shard, or a job's `plan` or `reduce`. For every unit of a queue that has no outcome yet
the Redis hash `savs:outstanding:<queue>` has a field `<job>/<unit>`:

    queued  ──claim──▶ running ──finish──▶ (no field)
       ▲                  │
       └── requeue, epoch + 1: released, or swept because its worker shows no life

Messages only say where to look: a message is worth something as long as its epoch is the field's.
All of it can be rebuilt from the ledger. Every change is one Lua script on Redis's own clock, so no
two processes ever decide differently.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from redis import Redis

SCAN_COUNT = 1000  # fields per HSCAN round trip
ENQUEUE_BATCH = 500  # fields per script call

NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
"""

# KEYS board; ARGV fields. Answers the time, then the fields that were not there before.
ENQUEUE = (
    NOW
    + """
local answer = {string.format('%.6f', now)}
for _, field in ipairs(ARGV) do
  local entry = cjson.encode({state = 'queued', epoch = 1, attempts = 0, at = now})
  if redis.call('HSETNX', KEYS[1], field, entry) == 1 then table.insert(answer, field) end
end
return answer
"""
)

# KEYS board; ARGV field, epoch. Answers the attempt's number, 0 for a stale message, -1 for no field.
CLAIM = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then return -1 end
local entry = cjson.decode(found)
if entry.state ~= 'queued' or entry.epoch ~= tonumber(ARGV[2]) then return 0 end
entry.state, entry.attempts, entry.at = 'running', entry.attempts + 1, now
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
return entry.attempts
"""
)

# KEYS board; ARGV field, epoch. Creates a running field where Redis was emptied; 1 if it did.
ADOPT = (
    NOW
    + """
local entry = {state = 'running', epoch = tonumber(ARGV[2]), attempts = 1, at = now}
return redis.call('HSETNX', KEYS[1], ARGV[1], cjson.encode(entry))
"""
)

# KEYS board; ARGV field, epoch. 1 if the field is still this attempt's; never creates.
TOUCH = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then return 0 end
local entry = cjson.decode(found)
if entry.state ~= 'running' or entry.epoch ~= tonumber(ARGV[2]) then return 0 end
entry.at = now
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
return 1
"""
)

# KEYS board; ARGV field, state, epoch, refund. Puts the field back as queued under the next epoch
# if it is still what the caller saw. Answers the epoch and the time, or nothing.
REQUEUE = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then return {} end
local entry = cjson.decode(found)
if entry.state ~= ARGV[2] or entry.epoch ~= tonumber(ARGV[3]) then return {} end
entry.state, entry.epoch, entry.at = 'queued', entry.epoch + 1, now
entry.attempts = math.max(0, entry.attempts - tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
return {tostring(entry.epoch), string.format('%.6f', now)}
"""
)


@dataclass(frozen=True)
class Entry:
    """A field of the board. `at` is Redis's time of the last change or sign of life, in seconds."""

    job_id: str
    unit: str
    state: Literal["queued", "running"]
    epoch: int
    attempts: int
    at: float


class Board:
    """The outstanding units of one queue."""

    def __init__(self, redis: "Redis", queue: str) -> None:
        self.redis = redis
        self.queue = queue
        self.key = f"savs:outstanding:{queue}"

    def _run(self, script: str, *arguments: Any) -> Any:
        return self.redis.register_script(script)(keys=[self.key], args=list(arguments))

    def enqueue(self, job_id: str, units: Iterable[str]) -> Iterator[tuple[str, float]]:
        """Adds units that are not there yet. Yields those, with the time that their messages carry."""
        batch: list[str] = []
        for unit in units:
            batch.append(_field(job_id, unit))
            if len(batch) == ENQUEUE_BATCH:
                yield from self._enqueue(batch)
                batch = []
        if batch:
            yield from self._enqueue(batch)

    def _enqueue(self, fields: list[str]) -> Iterator[tuple[str, float]]:
        at, *created = (_text(word) for word in self._run(ENQUEUE, *fields))
        for field in created:
            yield _split(field)[1], float(at)

    def claim(self, job_id: str, unit: str, epoch: int) -> int | None:
        """Makes the unit this worker's: the number of the attempt, from 1; 0 where the message is
        stale; None where the board does not know the unit, which only the ledger can explain."""
        attempt = int(self._run(CLAIM, _field(job_id, unit), epoch))
        return None if attempt < 0 else attempt

    def adopt(self, job_id: str, unit: str, epoch: int) -> bool:
        """Adds the unit as running, where Redis was emptied and the ledger has no outcome."""
        return bool(self._run(ADOPT, _field(job_id, unit), epoch))

    def touch(self, job_id: str, unit: str, epoch: int) -> bool:
        """A sign of life. False where the unit is no longer this attempt's."""
        return bool(self._run(TOUCH, _field(job_id, unit), epoch))

    def requeue(self, seen: Entry, refund: bool = False) -> tuple[int, float] | None:
        """Puts a unit back under a new epoch, if it is still as `seen`: that epoch and the time.

        With `refund` the attempt does not count, as when a worker gives a shard back in good order.
        """
        answer = self._run(REQUEUE, _field(seen.job_id, seen.unit), seen.state, seen.epoch, int(refund))
        return (int(answer[0]), float(answer[1])) if answer else None

    def finish(self, job_id: str, unit: str) -> None:
        """Removes the unit: it has an outcome."""
        self.redis.hdel(self.key, _field(job_id, unit))

    def forget(self, job_id: str) -> int:
        """Removes all units of a job; how many there were."""
        fields = [_field(e.job_id, e.unit) for e in self.entries() if e.job_id == job_id]
        return int(self.redis.hdel(self.key, *fields)) if fields else 0

    def entry(self, job_id: str, unit: str) -> Entry | None:
        found = self.redis.hget(self.key, _field(job_id, unit))
        return None if found is None else _entry(_field(job_id, unit), found)

    def entries(self) -> Iterator[Entry]:
        """Every field, in no order; a snapshot is not promised."""
        for field, value in self.redis.hscan_iter(self.key, count=SCAN_COUNT):
            yield _entry(_text(field), value)

    def __len__(self) -> int:
        return int(self.redis.hlen(self.key))

    def time(self) -> float:
        """Redis's clock, in seconds."""
        seconds, micros = self.redis.time()
        return int(seconds) + int(micros) / 1e6


def _field(job_id: str, unit: str) -> str:
    return f"{job_id}/{unit}"


def _split(field: str) -> tuple[str, str]:
    job_id, _, unit = field.rpartition("/")
    return job_id, unit


def _entry(field: str, value: bytes | str) -> Entry:
    job_id, unit = _split(field)
    found = json.loads(value)
    return Entry(job_id, unit, found["state"], int(found["epoch"]), int(found["attempts"]), found["at"])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
