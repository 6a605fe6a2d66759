"""Flags shared by a worker's parent and its children, created before the fork."""

import ctypes
import multiprocessing
import time
from dataclasses import dataclass, field

POLL = 0.1  # seconds between two checks of a flag while waiting for it


class Flag:
    """A byte in shared memory. Unlike an `Event` it has no lock: a child that is killed while it holds a lock
    would block the other processes for ever."""

    def __init__(self) -> None:
        self.raised = multiprocessing.get_context("fork").RawValue(ctypes.c_bool, False)

    def set(self) -> None:
        self.raised.value = True

    def clear(self) -> None:
        self.raised.value = False

    def is_set(self) -> bool:
        return bool(self.raised.value)

    def wait(self, seconds: float) -> bool:
        """Waits until it is set, or for `seconds`. Returns whether it is set."""
        end = time.monotonic() + seconds
        while not self.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, POLL))
        return self.is_set()


@dataclass(frozen=True)
class Flags:
    """ready     set once a child has loaded its model
    stopping  set when the worker stops: children return their shard between two batches
    failed    set when a child cannot start: the worker ends
    loading   set while a child starts: if it is killed then, the next one finds it set
    idle      set when the worker has had no work for long: the worker ends
    """

    ready: Flag = field(default_factory=Flag)
    stopping: Flag = field(default_factory=Flag)
    failed: Flag = field(default_factory=Flag)
    loading: Flag = field(default_factory=Flag)
    idle: Flag = field(default_factory=Flag)
