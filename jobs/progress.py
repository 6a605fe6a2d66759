"""Shows people how a run goes on: progress bars on standard error."""

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

from jobs.printing import escape
from jobs.specs import Job


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} items/s" if speed else "")


def _progress(quiet: bool, *more: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        *more,
        console=Console(stderr=True, quiet=quiet, emoji=False),
    )


class Bars:
    """A progress bar per job. Without a terminal only the first and the last state are printed."""

    def __init__(self, quiet: bool = False) -> None:
        self.progress = _progress(quiet)
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def loading(self, model: str) -> None:
        self.progress.console.print(f"loading {escape(model)} …")

    def started(self, job: Job, rows: int, done: int) -> None:
        name = f"{job.spec.kind} {escape(job.spec.name)}"
        self.tasks[job.job_id] = self.progress.add_task(name, total=rows, completed=done)

    def advanced(self, job: Job, rows: int) -> None:
        self.progress.advance(self.tasks[job.job_id], rows)

    def gave_up(self, job: Job, shard: int, reason: str) -> None:
        self.progress.console.print(
            f"[red]gave up shard {shard} of {escape(job.job_id)}[/red]: {escape(reason)}"
        )


class PoolBars:
    """A bar per job of a pool, with failures, accuracy so far, and workers alive."""

    def __init__(self, quiet: bool = False) -> None:
        self.progress = _progress(quiet, TextColumn("{task.fields[note]}"))
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "PoolBars":
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def show(self, states: list[dict[str, Any]]) -> None:
        for state in states:
            job_id = state["job_id"]
            if job_id not in self.tasks:
                self.tasks[job_id] = self.progress.add_task(_named(state), total=None, note="")
            notes = [f"{state['shards_done']}/{state['shards']} shards"]
            if state["failed"]:
                notes.append(f"{state['failed']} failed")
            if state["accuracy"] is not None:
                notes.append(f"accuracy {state['accuracy']:.3f}")
            if not state["planned"]:
                notes.append("being planned")
            if state["workers"] is not None:
                notes.append(f"{state['workers']} workers")
            self.progress.update(
                self.tasks[job_id],
                total=state["rows"] or None,
                completed=state["rows_done"],
                note=", ".join(notes),
            )


def _named(state: dict[str, Any]) -> str:
    return f"{state['kind']} {escape(state['name'])}"
