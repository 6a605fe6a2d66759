"""How fast a pool gets on with a job, and so when it will end. Nothing here reads a clock.

Shards take minutes, so a rate that is counted at every look would jump, and say nothing for long. It is
a mean over all that was watched instead, of one worker: workers come and go.
"""

from dataclasses import dataclass

OVERDUE = 2.0  # times a shard's own time without an end, after which waiting counts as slowness


@dataclass
class Pace:
    """What one worker does, as far as it was watched.

    looked  when that was the last time, in seconds
    rows    of shards that ended
    spent   seconds of workers alive, until the last of them ended
    waited  the same since then
    """

    looked: float
    rows: int = 0
    spent: float = 0.0
    waited: float = 0.0

    def go_on(self, now: float, workers: int | None, rows: int) -> None:
        """Counts the time since the last look, and `rows` of shards that ended in it."""
        self.waited += (now - self.looked) * (1 if workers is None else workers)
        self.looked = now
        if rows:
            self.rows, self.spent, self.waited = self.rows + rows, self.spent + self.waited, 0.0

    def rate(self, expected: float | None, shard: float, workers: int | None) -> float | None:
        """Rows a second of all workers; None where nothing is known yet.

        expected  rows a second of one worker, as commits or earlier jobs say. It weighs as much as one
                  shard of each worker, and less and less beside what is seen
        shard     seconds that a shard takes a worker
        workers   how many are alive; None where nobody knows, and they count as one
        """
        alive = 1 if workers is None else workers
        weight = 0.0 if expected is None else shard * alive
        overdue = self.waited if self.waited > OVERDUE * shard * alive else 0.0
        spent = self.spent + overdue + weight
        if not alive:
            return 0.0
        return alive * (self.rows + (expected or 0.0) * weight) / spent if spent else None
