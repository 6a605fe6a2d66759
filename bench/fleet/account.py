"""What the paid time of nodes was spent on."""

from dataclasses import dataclass, field


@dataclass
class Account:
    """Seconds of nodes, added up by what they did, and counts.

    paid      from each node's request to its end; equal to the sum of the next five
    work      in attempts that ended with a commit: the batches
    storage   in the same attempts: waiting for S3
    repeated  in attempts that did not
    starting  nodes, pods and models
    idle      waiting for shards, and nodes without a pod
    finished  of each job: the time at which its reduction ended
    nodes     that were started
    loads     models loaded
    repeats   attempts without a commit
    losses    of nodes
    stopped   busy workers that were removed because fewer were wanted
    given_up  shards without a result, after the last attempt
    """

    paid: float = 0.0
    work: float = 0.0
    storage: float = 0.0
    repeated: float = 0.0
    starting: float = 0.0
    idle: float = 0.0
    finished: list[float] = field(default_factory=list)
    nodes: int = 0
    loads: int = 0
    repeats: int = 0
    losses: int = 0
    stopped: int = 0
    given_up: int = 0

    @property
    def spent(self) -> float:
        """Return the sum of all uses, which is `paid`, counted in another way."""
        return self.work + self.storage + self.repeated + self.starting + self.idle
