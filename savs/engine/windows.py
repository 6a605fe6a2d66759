"""Reads ahead: fetches and decodes the media of the next requests, each file once per window.

Threads decode while the model runs. Results are collected in order, so the same requests always give the
same windows, batches and values, regardless of thread timing. A file that cannot be opened fails only the
requests that show it. This module does not depend on the model.
"""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savs.data.media import Digest
from savs.data.samples import Sample
from savs.data.video.sampling import Video
from savs.errors import ItemError, NoQuestion

if TYPE_CHECKING:
    from PIL.Image import Image

WINDOW_REQUESTS = 512  # decoded, sorted and packed together; up to twice as many about one item
WINDOW_BYTES = 2**30  # of decoded pixels in one window; two windows are in memory
DECODERS = min(8, 2 * (os.cpu_count() or 1))  # threads that fetch and decode
AHEAD = 4 * DECODERS  # files that are being decoded or wait for a window

Open = Callable[[str], "tuple[Image | Video, Digest]"]


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
    abandon: Callable[[], None] = lambda: None,
) -> Iterator[Window]:
    """Yield windows of about `limit` requests and `space` bytes of pixels. The next window is filled while
    the caller processes the current one. Consecutive requests with the same media stay in one window, up to
    twice `limit`, because media in two windows go through the model twice.

    open_one  opens the file at an address; raises ItemError; called from several threads
    abandon   makes the calls of `open_one` that are running fail soon; called if the caller stops iterating
    """
    decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
    filler = ThreadPoolExecutor(1, thread_name_prefix="window")
    filling = _Filling(iter(requests), open_one, decoders, limit, space)
    try:
        following = filler.submit(filling.window)
        while len(window := following.result()):
            following = filler.submit(filling.window)
            yield window
    finally:  # also if the caller stops iterating
        filling.stopped = True
        decoders.shutdown(wait=False, cancel_futures=True)
        abandon()
        filler.shutdown(wait=True, cancel_futures=True)
        decoders.shutdown(wait=True)


class _Filling:
    """Files that are being decoded, wait for a window, or are shared in it."""

    def __init__(
        self,
        requests: Iterator[Request],
        open_one: Open,
        decoders: ThreadPoolExecutor,
        limit: int,
        space: int,
    ) -> None:
        self.requests, self.open_one, self.decoders = requests, open_one, decoders
        self.limit, self.space = limit, space
        self.waiting: deque[tuple[Request, list[Future[tuple[Image | Video, Digest]]]]] = deque()
        self.files: Counter[str] = Counter()  # files of the waiting requests
        self.opened: dict[str, Future[tuple[Image | Video, Digest]]] = {}
        self.stopped = False

    def window(self) -> Window:
        window, seen, size = Window(), set[int](), 0
        self.opened = {
            address: future
            for request, futures in self.waiting
            for address, future in zip(request.sample.media, futures, strict=True)
        }
        shown: tuple[str, ...] = ()
        while not self.stopped:
            full = len(window) >= self.limit or size >= self.space
            self._start(1 if full else self.limit - len(window))
            if not self.waiting or (full and not self._goes_on(shown, len(window))):
                break
            request, futures = self.waiting.popleft()
            shown = request.sample.media
            self.files -= Counter(shown)
            media, digests = [], []
            try:
                if request.question is None:
                    raise NoQuestion("neither the row nor an artifact has a question")
                for future in futures:
                    medium, digest = future.result()
                    media.append(medium)
                    digests.append(digest)
                window.shown.append(OpenedRequest(request, tuple(media), request.question))
            except ItemError as error:
                window.errors[request.number] = error
            window.digests[request.number] = tuple(digests)
            size += sum(_bytes(one) for one in media if id(one) not in seen)
            seen.update(map(id, media))
        return window

    def _goes_on(self, shown: tuple[str, ...], taken: int) -> bool:
        """Return whether the next waiting request shows the same media as the last one of a full window of
        `taken` requests."""
        return bool(shown) and self.waiting[0][0].sample.media == shown and taken < 2 * self.limit

    def _start(self, room: int) -> None:
        """Start to decode the files that the window needs next."""
        while len(self.waiting) < room and len(self.files) < AHEAD:
            if (request := next(self.requests, None)) is None:
                break
            media = request.sample.media if request.question is not None else ()
            for address in media:
                if address not in self.opened:
                    self.opened[address] = self.decoders.submit(self.open_one, address)
            self.files.update(request.sample.media)
            self.waiting.append((request, [self.opened[address] for address in media]))


def _bytes(medium: "Image | Video") -> int:
    return medium.frames.nbytes if isinstance(medium, Video) else 3 * medium.width * medium.height
