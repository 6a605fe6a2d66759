"""A progress bar for callers of the library, in a notebook or on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting(total: int | None, progress: bool | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many further items are done; they are shown as a bar.

    total     number of items, if it is known
    progress  whether there is a bar, on standard error; None for only in a notebook or on a terminal
    """
    if progress is False:
        yield lambda items: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    if progress is None and not (console.is_terminal or console.is_jupyter):
        yield lambda items: None
        return
    columns = (TextColumn("extract"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("extract", total=total)
        yield lambda items: bar.advance(task, items)
