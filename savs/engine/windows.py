"""Reads ahead: fetches and decodes the media of the next requests, each file once per window.

Threads decode while the model runs. Results are collected in order, so the same requests always give the
same windows, batches and values, regardless of thread timing. A file that cannot be opened fails only the
requests that show it. Memory is bounded before anything is decoded (`savs.engine.room`). This module does not
depend on the model.
"""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savs.data.media import Digest
from savs.data.samples import Sample
from savs.data.space import MAX_ITEM_BYTES, Reserve
from savs.data.video.sampling import Video
from savs.engine.room import Item, Reservation, Room
from savs.errors import ItemError, MediaTooLarge, NoQuestion

if TYPE_CHECKING:
    from PIL.Image import Image

WINDOW_REQUESTS = 512  # decoded, sorted and packed together; up to twice as many about one item
FIRST_REQUESTS = 32  # in the first window of a GPU, which waits for it
GROWTH = 2  # of windows until they have their size: the next one is decoded while the model runs
# Of decoded pixels in one window, and in what is decoded for the next one; two windows are in memory. Each
# may exceed it by the media of one item.
WINDOW_BYTES = 2**30
# Threads that fetch and decode: 16 fetch 320 files a second from a bucket, at 50 ms each. More of them only
# wait for each other, and the thread that prepares batches for them.
DECODERS = min(16, 2 * (os.cpu_count() or 1))
AHEAD = 4 * DECODERS  # files that are being decoded or wait for a window

Open = Callable[[str, Reserve], "tuple[Image | Video, Digest]"]


@dataclass(frozen=True)
class Request:
    """A question about a sample's media. `number` is its place among all requests of a run."""

    number: int
    sample: Sample
    question: str | None


@dataclass(frozen=True)
class OpenedRequest:
    """A request with its media open."""

    request: Request
    media: "tuple[Image | Video, ...]"
    question: str


@dataclass
class Window:
    """Requests that are ready for the model, in order.

    errors   request number → error of a request that is not ready
    digests  request number → digests of its media, in order; fewer if one could not be opened
    """

    shown: list[OpenedRequest] = field(default_factory=list)
    errors: dict[int, ItemError] = field(default_factory=dict)
    digests: dict[int, tuple[Digest, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.shown) + len(self.errors)


def read_ahead(
    requests: Iterable[Request],
    open_one: Open,
    limit: int = WINDOW_REQUESTS,
    space: int = WINDOW_BYTES,
    item_bytes: int = MAX_ITEM_BYTES,
    abandon: Callable[[Callable[[Reserve], bool]], None] = lambda whose: None,
    first: int = WINDOW_REQUESTS,
) -> Iterator[Window]:
    """Yield windows of about `limit` requests and `space` bytes of pixels. The next window is filled while
    the caller processes the current one. Consecutive requests with the same media stay in one window, up to
    twice `limit`, because media in two windows go through the model twice.

    open_one    opens the file at an address, and asks for memory before it decodes; raises ItemError; called
                from several threads
    item_bytes  of decoded pixels that one item may show; more is MediaTooLarge
    abandon     makes the running calls of `open_one` fail soon, of which it is told how to know them by their
                `Reserve`; called at the end, also if the caller stops iterating
    first       requests of the first window; each of the next holds twice as many, up to `limit`
    """
    decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
    filler = ThreadPoolExecutor(1, thread_name_prefix="window")
    filling = _Filling(iter(requests), open_one, decoders, limit, space, item_bytes, first)
    try:
        following = filler.submit(filling.window)
        while len(window := following.result()):
            following = filler.submit(filling.window)
            yield window
    finally:  # also if the caller stops iterating
        filling.stopped = True
        filling.room.close()
        decoders.shutdown(wait=False, cancel_futures=True)
        abandon(filling.asked)
        filler.shutdown(wait=True, cancel_futures=True)
        decoders.shutdown(wait=True)


@dataclass(frozen=True)
class _File:
    """A file that is being opened, or is open."""

    opening: "Future[tuple[Image | Video, Digest]]"
    memory: Reservation

    def spoilt_for(self, item: Item) -> bool:
        """Return whether the file was refused because of other media, of another item than `item`."""
        other = self.memory.item
        return (
            other is not item
            and other.size > other.limit
            and isinstance(self.opening.exception(), MediaTooLarge)
        )


@dataclass(frozen=True)
class _Waiting:
    """A request whose files are being opened. `turn` counts those."""

    request: Request
    item: Item
    files: list[_File]
    turn: int


class _Filling:
    """Files that are being decoded, wait for a window, or are shared in it."""

    def __init__(
        self,
        requests: Iterator[Request],
        open_one: Open,
        decoders: ThreadPoolExecutor,
        limit: int,
        space: int,
        item_bytes: int,
        first: int,
    ) -> None:
        self.requests, self.open_one, self.decoders = requests, open_one, decoders
        self.limit, self.space, self.item_bytes = limit, space, item_bytes
        self.next_limit = first
        self.waiting: deque[_Waiting] = deque()
        self.files: Counter[str] = Counter()  # files of the waiting requests
        self.opened: dict[str, _File] = {}
        self.items: dict[tuple[str, ...], Item] = {}  # by their media
        self.room, self.turns = Room(space), 0
        self.stopped = False

    def asked(self, reserve: Reserve) -> bool:
        """Return whether `reserve` was given to a file of these requests."""
        return isinstance(reserve, Reservation) and reserve.room is self.room

    def window(self) -> Window:
        window, seen, size = Window(), set[int](), 0
        self.opened = {
            address: file
            for one in self.waiting
            for address, file in zip(one.request.sample.media, one.files, strict=False)
        }
        self.items = {one.request.sample.media: one.item for one in self.waiting}
        shown: tuple[str, ...] = ()
        limit = min(self.limit, self.next_limit)
        self.next_limit *= GROWTH
        while not self.stopped:
            full = len(window) >= limit or size >= self.space
            self._start(1 if full else limit - len(window))
            if not self.waiting or (full and not self._goes_on(shown, len(window), limit)):
                break
            waiting = self.waiting.popleft()
            request = waiting.request
            shown = request.sample.media
            self.files -= Counter(shown)
            media: list[Image | Video] = []
            digests: list[Digest] = []
            try:
                if request.question is None:
                    raise NoQuestion("neither the row nor an artifact has a question")
                self._collect(waiting, media, digests)
                window.shown.append(OpenedRequest(request, tuple(media), request.question))
            except ItemError as error:
                window.errors[request.number] = error
            window.digests[request.number] = tuple(digests)
            size += sum(_bytes(one) for one in media if id(one) not in seen)
            seen.update(map(id, media))
        return window

    def _collect(self, waiting: _Waiting, media: "list[Image | Video]", digests: list[Digest]) -> None:
        """Add the media of a request up to the first that cannot be opened, whose error is raised. If all
        together are too large, there are none, whichever thread was the first to find out."""
        self.room.wait_for(waiting.turn)
        found: list[tuple[Image | Video, Digest] | ItemError] = []
        for address, file in zip(waiting.request.sample.media, waiting.files, strict=True):
            found.append(self._result(address, file, waiting))
        size = sum(_bytes(one[0]) for one in found if not isinstance(one, ItemError))
        if max(size, waiting.item.size) > self.item_bytes:
            raise waiting.item.error()
        for one in found:
            if isinstance(one, ItemError):
                raise one
            media.append(one[0])
            digests.append(one[1])

    def _result(
        self, address: str, file: _File, waiting: _Waiting
    ) -> "tuple[Image | Video, Digest] | ItemError":
        try:
            if not file.spoilt_for(waiting.item):
                return file.opening.result()
            # In this thread: those that decode may all wait for this request.
            memory = Reservation(self.room, waiting.item, 1, waiting.turn)
            try:
                return self.open_one(address, memory)
            finally:
                memory.end()
        except ItemError as error:
            return error
        finally:
            file.memory.end()

    def _goes_on(self, shown: tuple[str, ...], taken: int, limit: int) -> bool:
        """Return whether the next waiting request shows the same media as the last one of a full window of
        `taken` requests."""
        return bool(shown) and self.waiting[0].request.sample.media == shown and taken < 2 * limit

    def _start(self, room: int) -> None:
        """Start to decode the files that the window needs next."""
        while len(self.waiting) < room and len(self.files) < AHEAD:
            if (request := next(self.requests, None)) is None:
                break
            self.turns += 1
            shown = request.sample.media
            media = shown if request.question is not None else ()
            item = self.items.setdefault(shown, Item(self.item_bytes))
            for address in media:
                if address not in self.opened:
                    memory = Reservation(self.room, item, shown.count(address), self.turns)
                    opening = self.decoders.submit(self.open_one, address, memory)
                    self.opened[address] = _File(opening, memory)
            self.files.update(shown)
            self.waiting.append(_Waiting(request, item, [self.opened[one] for one in media], self.turns))


def _bytes(medium: "Image | Video") -> int:
    return medium.frames.nbytes if isinstance(medium, Video) else 3 * medium.width * medium.height
