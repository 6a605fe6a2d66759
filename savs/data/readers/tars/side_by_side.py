"""Reads several sources at the same time, in threads, and yields what they hold in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")
NAME = "side by side"  # of the threads
BATCH = 256  # values that a thread hands over at once
BATCH_BYTES = 2**20
AHEAD = 2  # batches of each source that wait to be taken
STOP_SECONDS = 0.2  # until a thread that waits notices that nobody takes its batches any more


def side_by_side(
    sources: Iterable[Callable[[], Iterator[T]]], threads: int, size: Callable[[T], int]
) -> Iterator[T]:
    """Yield the values of each source, one source after the other, while the next ones are read by threads.
    Memory does not depend on the number of values. An error of a source is raised where its values end.

    size  returns the bytes of a value, to bound those that wait
    """
    stop = Event()
    left = iter(sources)
    begun: deque[Queue[Any]] = deque()

    def begin() -> None:
        if (source := next(left, None)) is not None:
            begun.append(Queue(AHEAD))
            Thread(target=_fill, args=(source, begun[-1], stop, size), name=NAME, daemon=True).start()

    try:
        for _ in range(threads):
            begin()
        while begun:
            while (batch := begun[0].get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                yield from batch
            begun.popleft()
            begin()
    finally:
        stop.set()


def _fill(
    source: Callable[[], Iterator[T]], queue: "Queue[Any]", stop: Event, size: Callable[[T], int]
) -> None:
    batch: list[T] = []
    waiting = 0
    try:
        for value in source():
            batch.append(value)
            waiting += size(value)
            if len(batch) == BATCH or waiting > BATCH_BYTES:
                if not _put(batch, queue, stop):
                    return
                batch, waiting = [], 0
        end: BaseException | None = None
    except BaseException as error:  # raised again where the values are taken
        end = error
    if _put(batch, queue, stop) and (end is None or _put(end, queue, stop)):
        _put(None, queue, stop)


def _put(batch: Any, queue: "Queue[Any]", stop: Event) -> bool:
    """Return whether somebody still takes batches."""
    while not stop.is_set():
        try:
            queue.put(batch, timeout=STOP_SECONDS)
            return True
        except Full:
            continue
    return False
