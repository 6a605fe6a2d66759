"""The heartbeat of a unit of work while it runs."""

import threading

from redis.exceptions import RedisError

from jobs.ledger.ledger import Ledger
from jobs.queue.board import Board, BoardEntry
from savs.errors import StorageError


class Heartbeat:
    """Updates the unit's field from a thread, so that a unit does not count as lost during a long batch,
    and checks whether the job was cancelled."""

    def __init__(self, ledger: Ledger, board: Board, unit: BoardEntry, every: float) -> None:
        self.ledger, self.board, self.unit, self.every = ledger, board, unit, every
        self.over, self.cancelled = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._touch, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()

    def _touch(self) -> None:
        while not self.over.wait(self.every):
            try:
                self.board.touch(self.unit.job_id, self.unit.unit, self.unit.epoch)
                if self.ledger.is_cancelled(self.unit.job_id):
                    self.cancelled.set()
            except (RedisError, StorageError):
                continue  # Redis or the storage may be back before the no-life limit
