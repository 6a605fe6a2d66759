"""The rate at which a pool runs a job, from which its end is estimated. Nothing here reads a clock.

Shards take minutes, so a rate measured between two checks would jump, and be unknown for long. The rate is
therefore a mean over the whole watch, and per worker, because workers start and stop.
"""

from dataclasses import dataclass

OVERDUE = 2.0  # times the expected time of a shard; longer waits without an end lower the rate


@dataclass
class Pace:
    """The rate of one worker, as far as it was watched.

    looked  time of the last check, in seconds
    rows    rows of the shards that ended
    spent   seconds, summed over running workers, until the last of these shards ended
    waited  the same since then
    """

    looked: float
    rows: int = 0
    spent: float = 0.0
    waited: float = 0.0

    def go_on(self, now: float, workers: int | None, rows: int) -> None:
        """Counts the time since the last check, and `rows` of shards that ended in it."""
        self.waited += (now - self.looked) * (1 if workers is None else workers)
        self.looked = now
        if rows:
            self.rows, self.spent, self.waited = self.rows + rows, self.spent + self.waited, 0.0

    def rate(self, expected: float | None, shard: float, workers: int | None) -> float | None:
        """Rows per second of all workers; None if nothing is known yet.

        expected  rows per second of one worker, from commits or earlier jobs. It weighs as much as one
                  shard of each worker, so its influence falls as more shards end
        shard     seconds that a shard takes a worker
        workers   number of running workers; None if unknown, which counts as one
        """
        alive = 1 if workers is None else workers
        weight = 0.0 if expected is None else shard * alive
        overdue = self.waited if self.waited > OVERDUE * shard * alive else 0.0
        spent = self.spent + overdue + weight
        if not alive:
            return 0.0
        return alive * (self.rows + (expected or 0.0) * weight) / spent if spent else None
