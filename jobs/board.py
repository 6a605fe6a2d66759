"""The board: who has which unit of work. The only means of recovery, and what autoscaling watches.

A unit is a shard, or a job's `plan` or `reduce`. For every unit of a queue that has no outcome yet
the Redis hash `savs:outstanding:<queue>` has a field `<job>/<unit>`:

    queued  ──claim──▶ running ──finish──▶ (no field)
       ▲                  │
       └── requeue, epoch + 1: released, or swept because its worker shows no life

Messages only say where to look: a message is worth something as long as its epoch is the field's.
Beside it `savs:left:<queue>` counts a job's fields, so that its last one is noticed at once.
All of it can be rebuilt from the ledger. Every change is one Lua script on Redis's own clock, so no
two processes ever decide differently.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from redis import Redis

SCAN_COUNT = 1000  # fields per HSCAN round trip
ENQUEUE_BATCH = 500  # fields per script call

NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
"""

# In all scripts KEYS are the board and the counts of its fields per job.

# ARGV job, lane, units. Answers the time, then the units that were not there before.
ENQUEUE = (
    NOW
    + """
local answer = {string.format('%.6f', now)}
local entry = cjson.encode({state = 'queued', epoch = 1, attempts = 0, at = now, lane = tonumber(ARGV[2])})
for i = 3, #ARGV do
  if redis.call('HSETNX', KEYS[1], ARGV[1] .. '/' .. ARGV[i], entry) == 1 then
    table.insert(answer, ARGV[i])
  end
end
if #answer > 1 then redis.call('HINCRBY', KEYS[2], ARGV[1], #answer - 1) end
return answer
"""
)

# ARGV job, unit, epoch. Answers the attempt's number, 0 for a stale message, -1 for no field.
CLAIM = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1] .. '/' .. ARGV[2])
if not found then return -1 end
local entry = cjson.decode(found)
if entry.state ~= 'queued' or entry.epoch ~= tonumber(ARGV[3]) then return 0 end
entry.state, entry.attempts, entry.at = 'running', entry.attempts + 1, now
redis.call('HSET', KEYS[1], ARGV[1] .. '/' .. ARGV[2], cjson.encode(entry))
return entry.attempts
"""
)

# ARGV job, unit, epoch. Creates a running field where Redis was emptied; 1 if it did.
ADOPT = (
    NOW
    + """
local entry = {state = 'running', epoch = tonumber(ARGV[3]), attempts = 1, at = now, lane = 0}
local created = redis.call('HSETNX', KEYS[1], ARGV[1] .. '/' .. ARGV[2], cjson.encode(entry))
if created == 1 then redis.call('HINCRBY', KEYS[2], ARGV[1], 1) end
return created
"""
)

# ARGV job, unit, epoch. 1 if the field is still this attempt's; never creates.
TOUCH = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1] .. '/' .. ARGV[2])
if not found then return 0 end
local entry = cjson.decode(found)
if entry.state ~= 'running' or entry.epoch ~= tonumber(ARGV[3]) then return 0 end
entry.at = now
redis.call('HSET', KEYS[1], ARGV[1] .. '/' .. ARGV[2], cjson.encode(entry))
return 1
"""
)

# ARGV job, unit, state, epoch, refund. Puts the field back as queued under the next epoch if it is
# still what the caller saw. Answers the epoch, the time and the lane, or nothing.
REQUEUE = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1] .. '/' .. ARGV[2])
if not found then return {} end
local entry = cjson.decode(found)
if entry.state ~= ARGV[3] or entry.epoch ~= tonumber(ARGV[4]) then return {} end
entry.state, entry.epoch, entry.at = 'queued', entry.epoch + 1, now
entry.attempts = math.max(0, entry.attempts - tonumber(ARGV[5]))
redis.call('HSET', KEYS[1], ARGV[1] .. '/' .. ARGV[2], cjson.encode(entry))
return {tostring(entry.epoch), string.format('%.6f', now), tostring(entry.lane)}
"""
)

# ARGV job, units. Removes them; answers how many of the job are left.
FINISH = """
local removed = 0
for i = 2, #ARGV do removed = removed + redis.call('HDEL', KEYS[1], ARGV[1] .. '/' .. ARGV[i]) end
if removed > 0 then
  local left = redis.call('HINCRBY', KEYS[2], ARGV[1], -removed)
  if left > 0 then return left end
  redis.call('HDEL', KEYS[2], ARGV[1])
end
return tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
"""


@dataclass(frozen=True)
class Entry:
    """A field of the board. `at` is Redis's time of the last change or sign of life, in seconds."""

    job_id: str
    unit: str
    state: Literal["queued", "running"]
    epoch: int
    attempts: int
    at: float
    lane: int = 0


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
        """Adds units that are not there yet. Yields those, with the time that their messages carry."""
        rest = iter(units)
        while batch := list(islice(rest, ENQUEUE_BATCH)):
            at, *created = self._run(ENQUEUE, job_id, lane, *batch)
            for unit in created:
                yield _text(unit), float(at)

    def claim(self, job_id: str, unit: str, epoch: int) -> int | None:
        """Makes the unit this worker's: the number of the attempt, from 1; 0 where the message is
        stale; None where the board does not know the unit, which only the ledger can explain."""
        attempt = int(self._run(CLAIM, job_id, unit, epoch))
        return None if attempt < 0 else attempt

    def adopt(self, job_id: str, unit: str, epoch: int) -> bool:
        """Adds the unit as running, where Redis was emptied and the ledger has no outcome."""
        return bool(self._run(ADOPT, job_id, unit, epoch))

    def touch(self, job_id: str, unit: str, epoch: int) -> bool:
        """A sign of life. False where the unit is no longer this attempt's."""
        return bool(self._run(TOUCH, job_id, unit, epoch))

    def requeue(self, seen: Entry, refund: bool = False) -> tuple[int, float, int] | None:
        """Puts a unit back under a new epoch, if it is still as `seen`: that epoch, the time, and
        the lane that its message belongs into.

        With `refund` the attempt does not count, as when a worker gives a shard back in good order.
        """
        answer = self._run(REQUEUE, seen.job_id, seen.unit, seen.state, seen.epoch, int(refund))
        return (int(answer[0]), float(answer[1]), int(answer[2])) if answer else None

    def finish(self, job_id: str, unit: str) -> int:
        """Removes the unit: it has an outcome. Answers how many of the job's are left."""
        return int(self._run(FINISH, job_id, unit))

    def forget(self, job_id: str) -> None:
        """Removes all units of a job."""
        units = (e.unit for e in self.entries() if e.job_id == job_id)
        while batch := list(islice(units, ENQUEUE_BATCH)):
            self._run(FINISH, job_id, *batch)

    def left(self, job_id: str) -> int:
        """Outstanding units of one job."""
        return int(self.redis.hget(self.counts, job_id) or 0)

    def entry(self, job_id: str, unit: str) -> Entry | None:
        found = self.redis.hget(self.key, f"{job_id}/{unit}")
        return None if found is None else _entry(f"{job_id}/{unit}", found)

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


def _entry(field: str, value: bytes | str) -> Entry:
    job_id, _, unit = field.rpartition("/")
    found = json.loads(value)
    return Entry(
        job_id, unit, found["state"], int(found["epoch"]), int(found["attempts"]), found["at"], found["lane"]
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
