"""What becomes of a job that one worker cannot run: others get it, and only if none can is it given up.

A worker that may not read a job's manifest, lacks a file that others have, or holds other weights than
the artifact was made with, must not decide for the whole pool. It refuses the job: gives its shards back
and says why in the Redis hash `savs:refused:<queue>:<job>`, beside the signs of life. The shards are
given up once all workers that live have refused it, for as long as the pool waits for a sign of life:
another may be loading its model. Losing that hash only makes a worker try again.

What is wrong with the job itself, as data that has changed, is no reason to refuse it.
"""

import logging
import time
from dataclasses import dataclass, field

from jobs.queue.broker import Broker
from savs.errors import ArtifactError, ForbiddenAddress, ModelError, NotFound

# A worker's roots, its weights, what lies on its disk: another may have what this one lacks.
OTHERS_MAY = (ForbiddenAddress, ModelError, ArtifactError, NotFound)

REMEMBERED = 300  # seconds after which a worker tries again, since it may have been mended meanwhile
FIRST_PAUSE, LAST_PAUSE = 0.25, 5.0  # seconds that others have to take what was given back
SHOWN = 3  # workers whose reasons are quoted
SINCE = "since"  # the field beside the workers' own: when the last worker that lives had refused

# KEYS the job's hash. ARGV worker, reason, seconds to live, then all workers that live. Answers for how
# many seconds all of these have refused the job; -1 where one has not.
REFUSE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
for i = 4, #ARGV do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then
    redis.call('HDEL', KEYS[1], 'since')
    return '-1'
  end
end
redis.call('HSETNX', KEYS[1], 'since', string.format('%.6f', now))
return tostring(now - tonumber(redis.call('HGET', KEYS[1], 'since')))
"""

log = logging.getLogger("savs.refusing")


@dataclass
class Refusals:
    """The jobs of a queue that one worker has refused.

    me     its name among those that show life
    known  per job: why, and until when that need not be tried again, on the monotonic clock
    """

    broker: Broker
    queue: str
    me: str
    known: dict[str, tuple[str, float]] = field(default_factory=dict)
    in_a_row: int = 0

    def reason(self, job_id: str) -> str | None:
        """Why the job was refused, as long as that need not be tried again."""
        reason, until = self.known.get(job_id, (None, 0.0))
        return reason if time.monotonic() < until else None

    def refuse(self, job_id: str, reason: str, patience: float) -> str | None:
        """Refuses the job; says why nobody takes it once all workers that live have refused it for
        `patience` seconds."""
        if self.reason(job_id) is None:
            if job_id not in self.known:
                log.warning("refuses the job, whose shards are left to other workers: %s", reason)
            self.known[job_id] = reason, time.monotonic() + REMEMBERED
        alive = self.broker.alive(self.queue) | {self.me}
        key = _key(self.queue, job_id)
        told: list[str | int] = [self.me, reason, REMEMBERED, *sorted(alive)]
        for_seconds = float(self.broker.redis.register_script(REFUSE)(keys=[key], args=told))
        if for_seconds < patience:
            return None
        return all_reasons(_reasons(self.broker, key, alive))

    def take_back(self, job_id: str) -> None:
        """Forgets that the job was refused: it could be run after all."""
        if self.known.pop(job_id, None) is not None:
            self.broker.redis.hdel(_key(self.queue, job_id), self.me, SINCE)

    def pause(self, job_id: str) -> float:
        """Seconds to wait before the next message is taken, after one of this job: longer with every
        refused one in a row, so that others get them."""
        if self.reason(job_id) is None:
            self.in_a_row = 0
            return 0.0
        self.in_a_row += 1
        return min(FIRST_PAUSE * 2.0 ** min(self.in_a_row - 1, 10), LAST_PAUSE)


def refused(broker: Broker, queue: str, job_id: str) -> dict[str, str]:
    """The workers that live and have refused the job, with their reasons."""
    return _reasons(broker, _key(queue, job_id), broker.alive(queue))


def refused_jobs(broker: Broker, queue: str) -> dict[str, dict[str, str]]:
    """Per job that workers of the queue refuse: those workers, with their reasons."""
    start = _key(queue, "")
    keys = [_text(key) for key in broker.redis.scan_iter(match=f"{start}*", count=1000)]
    found = {job_id: refused(broker, queue, job_id) for job_id in sorted(k[len(start) :] for k in keys)}
    return {job_id: reasons for job_id, reasons in found.items() if reasons}


def all_reasons(reasons: dict[str, str]) -> str:
    """Why nobody takes a job, in one sentence."""
    quoted = [f"{worker}: {reason}" for worker, reason in list(reasons.items())[:SHOWN]]
    more = len(reasons) - len(quoted)
    return "every worker refuses it: " + "; ".join(quoted + [f"and {more} more"] * (more > 0))


def _reasons(broker: Broker, key: str, alive: set[str]) -> dict[str, str]:
    found = broker.redis.hgetall(key)
    reasons = {_text(worker): _text(reason) for worker, reason in found.items()}
    return {worker: reason for worker, reason in sorted(reasons.items()) if worker in alive}


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _key(queue: str, job_id: str) -> str:
    return f"savs:refused:{queue}:{job_id}"
