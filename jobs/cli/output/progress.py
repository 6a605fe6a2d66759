"""Shows progress on standard error: bars on a terminal, otherwise lines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from jobs.cli.output.characters import json_text, plain
from jobs.cli.output.text import escape
from jobs.records.job import Job

LINES_EVERY = 30.0  # seconds between two lines if only the counts change


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} items/s" if speed else "")


class _Count(ProgressColumn):
    """Rows done of all rows; the seconds so far of a task without rows."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text(f"{task.elapsed or 0:.0f} s")
        return Text(f"{task.completed:.0f}/{task.total:.0f}")


class _Left(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else super().render(task)


class Bars:
    """A progress bar per job. Without a terminal only the first and the last state are printed."""

    def __init__(self, quiet: bool = False) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            _Count(),
            _Rate(),
            _Left(),
            console=Console(stderr=True, quiet=quiet, emoji=False, highlight=False),
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *error: object) -> None:
        if self.progress.live.is_started:  # else it would print an empty line
            self.progress.stop()

    @contextmanager
    def loading(self, model: str) -> Iterator[None]:
        """Shows for how long the model has been loading; without a terminal, that it is."""
        console = self.progress.console
        if not console.is_terminal:
            console.print(f"loading {escape(model)} …")
            yield
            return
        self.progress.start()
        task = self.progress.add_task(f"loading {escape(model)}", total=None)
        try:
            yield
        finally:
            self.progress.remove_task(task)

    def started(self, job: Job, rows: int, done: int) -> None:
        self.progress.start()
        name = f"{job.spec.kind} {escape(job.spec.name)}"
        self.tasks[job.job_id] = self.progress.add_task(name, total=rows, completed=done)

    def advanced(self, job: Job, rows: int) -> None:
        self.progress.advance(self.tasks[job.job_id], rows)

    def gave_up(self, job: Job, shard: int, reason: str) -> None:
        self.progress.console.print(
            f"[red]gave up shard {shard} of {escape(job.job_id)}[/red]: {escape(reason)}"
        )


class PoolBars:
    """A bar per job of a pool, with its rate, the time left, failures, accuracy so far, and workers."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
            console=Console(stderr=True, emoji=False, highlight=False),
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "PoolBars":
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def tell(self, text: str) -> None:
        self.progress.console.print(escape(text), highlight=False)

    def show(self, states: list[dict[str, Any]]) -> None:
        for state in states:
            job_id = state["job_id"]
            if job_id not in self.tasks:
                self.tasks[job_id] = self.progress.add_task(escape(_named(state)), total=None, rest="")
            self.progress.update(
                self.tasks[job_id],
                total=state["rows"] or None,
                completed=state["rows_done"],
                rest=escape(", ".join(_rest(state))),
            )


class PoolLines:
    """The same as lines: one per job when something changes, else every LINES_EVERY seconds. In JSON, each
    line is an object with all jobs."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
        self.shown: list[tuple[Any, ...]] = []
        self.at = 0.0

    def __enter__(self) -> "PoolLines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def tell(self, text: str) -> None:
        self._print({"told": text} if self.as_json else text)

    def show(self, states: list[dict[str, Any]]) -> None:
        now = time.monotonic()
        changes = [tuple(_changes(state)) for state in states]
        if changes == self.shown and now - self.at < LINES_EVERY:
            return
        self.shown, self.at = changes, now
        if self.as_json:
            self._print({"jobs": states})
            return
        for state in states:
            count = f"{state['rows_done']}/{state['rows']} items"
            self._print(f"{_named(state)}: {', '.join([count, *_rest(state)])}")

    def _print(self, line: str | dict[str, Any]) -> None:
        self.console.print(plain(line) if isinstance(line, str) else json_text(line, None))


def pool_progress(as_json: bool) -> PoolBars | PoolLines:
    """Bars for a terminal, otherwise lines or JSON."""
    if as_json or not Console(stderr=True).is_terminal:
        return PoolLines(as_json)
    return PoolBars()


def _named(state: dict[str, Any]) -> str:
    return f"{state['kind']} {state['name']}"


def _changes(state: dict[str, Any]) -> Iterator[Any]:
    """The values whose change is printed at once. Of finished shards, only the first and the last count."""
    yield from (state["planned"], state["waiting"], state["workers"], state["failed"] > 0)
    yield from (state["shards_done"] > 0, state["shards_done"] == state["shards"])


def _rest(state: dict[str, Any]) -> Iterator[str]:
    if not state["planned"]:
        yield "being planned"
    else:
        yield f"{state['shards_done']}/{state['shards']} shards"
    if state["waiting"]:
        yield "waits for the job before it"
    if state["items_per_second"] is not None:
        yield f"{state['items_per_second']:.{1 if state['items_per_second'] >= 1 else 3}f} items/s"
    if state["eta_seconds"]:
        yield f"{_time(state['eta_seconds'])} left"
    if state.get("abstained"):
        yield f"{state['abstained']} abstained"
    if state["failed"]:
        yield f"{state['failed']} failed"
    if state["accuracy"] is not None:
        yield f"accuracy {state['accuracy']:.3f}"
    if state["workers"] is not None:
        yield f"{state['workers']} worker{'' if state['workers'] == 1 else 's'}"


def _time(seconds: float) -> str:
    """Formats seconds, for example as 2:03:04."""
    return str(timedelta(seconds=round(seconds)))
