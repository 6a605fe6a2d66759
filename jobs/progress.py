"""Shows people how a run goes on: progress bars on standard error, tables on standard output."""

import re
from typing import Any

from rich import markup
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
from rich.table import Table
from rich.text import Text

from jobs.specs import Job

CLASSES_SHOWN = 20  # rows of the table of classes
TABLE_WIDTH = 140  # columns; names of jobs are never cut short
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # what would break lines or steer a terminal


def escape(text: str) -> str:
    """`text`, a user's, as rich prints it literally; control characters are spelt out."""
    return markup.escape(CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text))


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
                self.tasks[job_id] = self.progress.add_task(escape(job_id), total=state["rows"], note="")
            notes = [f"{state['failed']} failed"] if state["failed"] else []
            if state["accuracy"] is not None:
                notes.append(f"accuracy {state['accuracy']:.3f}")
            if state["workers"] is not None:
                notes.append(f"{state['workers']} workers")
            self.progress.update(self.tasks[job_id], completed=state["rows_done"], note=", ".join(notes))


def print_summary(summary: dict[str, Any], where: str) -> None:
    """A finished job for people: counts, accuracy, classes, errors, and where the results lie."""
    console = Console(soft_wrap=True, emoji=False)
    state = {"done": "green", "incomplete": "yellow"}.get(summary["status"], "red")
    console.print(f"[bold]{escape(summary['job_id'])}[/bold]: [{state}]{summary['status']}[/{state}]")
    if "reason" in summary:
        console.print(f"  {escape(summary['reason'])}")
    console.print(
        f"  {summary['rows']} rows: {summary['labelled']} labelled, "
        f"{summary['abstained']} abstained, {summary['failed']} failed"
    )
    for warning in summary.get("warnings", []):
        console.print(f"  [yellow]{escape(warning)}[/yellow]")
    if "accuracy" in summary:
        console.print(f"  accuracy {summary['accuracy']:.3f} on {summary['scored']} rows with a label")
    if summary["kind"] == "classify":
        console.print(_classes(summary))
    for kind, errors in summary["errors"].items():
        example = errors["examples"][0] if errors["examples"] else None
        quoted = f", for example row {example['index']}: {example['message']}" if example else ""
        console.print(f"  [red]{escape(kind)}[/red]: {errors['rows']} rows{escape(quoted)}")
    for lost in summary.get("missing", []):
        last = lost["first_index"] + lost["rows"] - 1
        console.print(
            f"  [red]missing[/red]: rows {lost['first_index']} to {last} ({escape(str(lost['reason']))})"
        )
    rates = summary["timings"]["items_per_second"]
    console.print("  items/s per stage: " + ", ".join(f"{k} {v:g}" for k, v in rates.items()))
    console.print(f"  results: {escape(where)}\n")


def _classes(summary: dict[str, Any]) -> Table:
    table = Table("class", "labelled", box=None, padding=(0, 2))
    recall = summary.get("per_class_accuracy", {})
    if recall:
        table.add_column("accuracy")
    counts = sorted(summary["classes"].items(), key=lambda item: (-item[1], item[0]))
    for name, count in counts[:CLASSES_SHOWN]:
        cells = [escape(name), str(count)]
        if recall:
            cells.append(f"{recall[name]:.3f}" if name in recall else "")
        table.add_row(*cells)
    if len(counts) > CLASSES_SHOWN:
        table.add_row(f"… and {len(counts) - CLASSES_SHOWN} more", "")
    return table


def print_jobs(states: list[dict[str, Any]]) -> None:
    """Jobs as a table."""
    table = Table(box=None)
    for column in ("job", "state", "shards", "rows", "failed", "accuracy", "submitted"):
        table.add_column(column, no_wrap=True)
    for state in states:
        accuracy = state["accuracy"]
        table.add_row(
            escape(state["job_id"]),
            state["status"],
            f"{state['shards_done']}/{state['shards']}",
            str(state["rows"]),
            str(state["failed"]),
            "" if accuracy is None else f"{accuracy:.3f}",
            state["submitted"],
        )
    Console(width=max(Console().width, TABLE_WIDTH)).print(table if states else "no jobs")


def print_errors(found: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Per job and kind of error: how many rows, and the first few."""
    console = Console(soft_wrap=True, emoji=False)
    for job_id, kinds in found.items():
        console.print(f"[bold]{escape(job_id)}[/bold]: {'' if kinds else 'no errors'}")
        for kind, errors in kinds.items():
            console.print(f"  [red]{escape(kind)}[/red]: {errors['rows']} rows")
            for example in errors["examples"]:
                console.print(
                    f"    row {example['index']} ({escape(example['id'])}): {escape(example['message'])}"
                )
