"""What a worker's parent and its children tell each other: three flags, made before the fork."""

import ctypes
import multiprocessing
import time
from dataclasses import dataclass, field

POLL = 0.1  # seconds between looks at a flag that is waited for


class Flag:
    """A byte that both sides see. It has no lock, as an `Event` has: a child that is killed while it
    holds one would leave everybody else waiting for it."""

    def __init__(self) -> None:
        self.raised = multiprocessing.get_context("fork").RawValue(ctypes.c_bool, False)

    def set(self) -> None:
        self.raised.value = True

    def is_set(self) -> bool:
        return bool(self.raised.value)

    def wait(self, seconds: float) -> bool:
        """Returns when it is set, or after `seconds`: whether it is."""
        end = time.monotonic() + seconds
        while not self.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, POLL))
        return self.is_set()


@dataclass(frozen=True)
class Flags:
    """ready     set once a child has its model
    stopping  set when the worker is told to stop: children leave between batches
    failed    set when a child cannot start: the worker ends
    """

    ready: Flag = field(default_factory=Flag)
    stopping: Flag = field(default_factory=Flag)
    failed: Flag = field(default_factory=Flag)
