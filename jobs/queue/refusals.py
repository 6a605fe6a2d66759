"""Jobs that one worker cannot run: other workers get their shards, which are given up only if none can.

A worker that may not read a job's manifest, lacks a file that others have, or has other weights than
the artifact was made with, must not decide for the whole pool. It refuses the job: it returns the shards
to the queue and stores its reason in the Redis hash `savs:refused:<queue>:<job>`. The shards are given up
once all running workers have refused the job for as long as the no-life limit, since another worker may
still be loading its model. If the hash is lost, workers only try again.

A fault of the job itself, such as data that has changed, is not a reason to refuse it.
"""

import logging
import time
from dataclasses import dataclass, field

from jobs.queue.broker import Broker
from savs.errors import ArtifactError, ForbiddenAddress, ModelError, NewerLedger, NotFound

# Caused by the worker's roots, weights, disk or version: another worker may be able to run the job.
OTHERS_MAY = (ForbiddenAddress, ModelError, ArtifactError, NotFound, NewerLedger)

REMEMBERED = 300  # seconds after which a worker tries again, since it may have been fixed in the meantime
FIRST_PAUSE, LAST_PAUSE = 0.25, 5.0  # seconds in which other workers can take the returned shard
SHOWN = 3  # workers whose reasons are quoted
SINCE = "since"  # a field next to the workers' own: when the last running worker refused

# KEYS the job's hash. ARGV worker, reason, seconds until the hash expires, then all running workers.
# Returns for how many seconds all of these have refused the job; -1 if one has not.
REFUSE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
for i = 4, #ARGV do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then
    redis.call('HDEL', KEYS[1], 'since')
    return '-1'
  end
end
local since = tonumber(redis.call('HGET', KEYS[1], 'since') or '')
if not since or not (since > 0 and since <= now) then
  since = now
  redis.call('HSET', KEYS[1], 'since', string.format('%.6f', now))
end
return tostring(now - since)
"""

log = logging.getLogger("savs.refusing")


@dataclass
class Refusals:
    """The jobs of a queue that one worker has refused.

    me     the worker's name, as in `Broker.alive`
    known  per job: the reason, and the time on the monotonic clock after which the worker tries again
    """

    broker: Broker
    queue: str
    me: str
    known: dict[str, tuple[str, float]] = field(default_factory=dict)
    in_a_row: int = 0

    def reason(self, job_id: str) -> str | None:
        """Why the job was refused; None if it was not, or if it is time to try again."""
        reason, until = self.known.get(job_id, (None, 0.0))
        return reason if time.monotonic() < until else None

    def refuse(self, job_id: str, reason: str, patience: float) -> str | None:
        """Refuses the job. Returns None, or the reasons of all running workers once they have all refused
        it for `patience` seconds."""
        if self.reason(job_id) is None:
            if job_id not in self.known:
                log.warning("refused the job, its shards are left to other workers: %s", reason)
            self.known[job_id] = reason, time.monotonic() + REMEMBERED
        alive = self.broker.alive(self.queue) | {self.me}
        key = _key(self.queue, job_id)
        told: list[str | int] = [self.me, reason, REMEMBERED, *sorted(alive)]
        for_seconds = float(self.broker.redis.register_script(REFUSE)(keys=[key], args=told))
        if for_seconds < patience:
            return None
        return all_reasons(_reasons(self.broker, key, alive))

    def take_back(self, job_id: str) -> None:
        """Withdraws the refusal of a job that could be run after all."""
        if self.known.pop(job_id, None) is not None:
            self.broker.redis.hdel(_key(self.queue, job_id), self.me, SINCE)

    def pause(self, job_id: str) -> float:
        """Seconds to wait after a message of this job before taking the next one: longer with each refusal
        in a row, so that other workers get the shards."""
        if self.reason(job_id) is None:
            self.in_a_row = 0
            return 0.0
        self.in_a_row += 1
        return min(FIRST_PAUSE * 2.0 ** min(self.in_a_row - 1, 10), LAST_PAUSE)


def refused(broker: Broker, queue: str, job_id: str) -> dict[str, str]:
    """The running workers that have refused the job, with their reasons."""
    return _reasons(broker, _key(queue, job_id), broker.alive(queue))


def refused_jobs(broker: Broker, queue: str) -> dict[str, dict[str, str]]:
    """Per refused job of the queue: the running workers that refuse it, with their reasons."""
    start = _key(queue, "")
    keys = [_text(key) for key in broker.redis.scan_iter(match=f"{start}*", count=1000)]
    found = {job_id: refused(broker, queue, job_id) for job_id in sorted(k[len(start) :] for k in keys)}
    return {job_id: reasons for job_id, reasons in found.items() if reasons}


def all_reasons(reasons: dict[str, str]) -> str:
    """Why no worker runs a job, in one sentence."""
    quoted = [f"{worker}: {reason}" for worker, reason in list(reasons.items())[:SHOWN]]
    more = len(reasons) - len(quoted)
    return "every worker refuses it: " + "; ".join(quoted + [f"and {more} more"] * (more > 0))


def _reasons(broker: Broker, key: str, alive: set[str]) -> dict[str, str]:
    from redis.exceptions import ResponseError

    try:
        found = broker.redis.hgetall(key)
    except ResponseError:  # not written by savs; the next refusal replaces it
        return {}
    reasons = {_text(worker): _text(reason) for worker, reason in found.items()}
    return {worker: reason for worker, reason in sorted(reasons.items()) if worker in alive}


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _key(queue: str, job_id: str) -> str:
    return f"savs:refused:{queue}:{job_id}"
