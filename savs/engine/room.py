"""Memory for media that are decoded ahead: granted before decoding, in the order of the requests.

Threads that decode media of later requests wait until there is room. Those of the request that a window
waits for never do, so that it always goes on: at most the media of one item are in memory beyond the limit.
What one item may take is limited as well.
"""

import threading
from dataclasses import dataclass, field

from savs.data.space import SETTING
from savs.errors import MediaTooLarge


class Room:
    """`limit` bytes for media that no window holds yet. `turn` counts requests; that of the one that is
    waited for is `first`."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.first, self.closed = limit, 0, 0, False
        self.changed = threading.Condition()

    def take(self, size: int, turn: int, wait: bool) -> bool:
        """Return whether there is room for `size` more bytes; wait for it if that is wanted."""
        with self.changed:
            while turn > self.first and self.used + size > self.limit:
                if self.closed:
                    raise RuntimeError("nobody reads these media any more")
                if not wait:
                    return False
                self.changed.wait()
            self.used += size
            return True

    def give_back(self, size: int) -> None:
        with self.changed:
            self.used -= size
            self.changed.notify_all()

    def wait_for(self, turn: int) -> None:
        """Let the media of that request be decoded without waiting."""
        with self.changed:
            self.first = turn
            self.changed.notify_all()

    def close(self) -> None:
        """Let the threads that wait fail."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


@dataclass
class Item:
    """The bytes of all media that an item shows, those that it shows twice included."""

    limit: int
    size: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, size: int) -> None:
        """Raises MediaTooLarge if the item exceeds its limit."""
        with self.lock:
            self.size += size
            if self.size > self.limit:
                raise self.error()

    def error(self) -> MediaTooLarge:
        return MediaTooLarge(
            f"its media need more than {self.limit:,} bytes of memory when decoded; show fewer, smaller or "
            f"shorter ones, or raise {SETTING}"
        )


@dataclass
class Reservation:
    """The memory of one file, a `savs.data.space.Reserve`.

    item   that the file is opened for
    times  that the item shows it
    """

    room: Room
    item: Item
    times: int
    turn: int
    counted: int = 0  # bytes that are in the item's size, once for each time
    held: int = 0  # bytes of the room

    def __call__(self, size: int, wait: bool) -> bool:
        if size > self.counted:
            more, self.counted = size - self.counted, size
            self.item.add(more * self.times)
        if size > self.held:
            if not self.room.take(size - self.held, self.turn, wait):
                return False
            self.held = size
        return True

    def end(self) -> None:
        """Leave the memory to others: the file is in a window, or could not be opened."""
        self.room.give_back(self.held)
        self.held = 0
