"""Reads many objects ahead of their use: in threads, in order, a bounded number at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

THREADS = 16
AHEAD = 64  # items that the threads may be ahead of the caller

T = TypeVar("T")
U = TypeVar("U")


def prefetch(function: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """Yield `function(item)` of each item, in order; THREADS threads work at most AHEAD items ahead."""
    rest = iter(items)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="read") as threads:
        waiting: deque[Future[U]] = deque(threads.submit(function, item) for item in islice(rest, AHEAD))
        try:
            while waiting:
                answer = waiting.popleft().result()
                waiting.extend(threads.submit(function, item) for item in islice(rest, 1))
                yield answer
        finally:
            for future in waiting:  # the caller stopped iterating
                future.cancel()
