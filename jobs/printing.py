"""Prints for people: finished jobs, lists of jobs, errors, estimates and findings, on standard output."""

import re
from typing import Any

from rich import markup
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from jobs.comparing import Comparison
from jobs.diagnosing import Finding
from jobs.estimating import Estimate
from jobs.splits import Mean, SplitScore, SplitScores

CLASSES_SHOWN = 20  # rows of the tables of classes and of splits
RATES = {"recall": "recall", "precision": "precision", "f1": "F1", "average_precision": "AP"}  # of a class
LEAKS_SHOWN = 3  # rows of the training set that are named
SHARDS_SHOWN = 20  # shards that were given up, of a job
NOTE_WIDTH = 60  # columns, after which a note goes on below; nothing else of a job is wrapped or cut
WIDEST = 10_000  # columns
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # what would break lines or steer a terminal


def escape(text: str) -> str:
    """`text`, a user's, as rich prints it literally; control characters are spelt out."""
    return markup.escape(plain(text))


def plain(text: str) -> str:
    """`text` on one line, with control characters spelt out."""
    return CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


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
        _print_scores(console, summary)
    if summary.get("leaks"):
        _print_leaks(console, summary)
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
    if "advice" in summary:
        console.print(f"  what to do: {escape(summary['advice'])}")
    _print_rates(console, summary["timings"])
    console.print(f"  results: {escape(where)}\n")


def _print_rates(console: Console, timings: dict[str, Any]) -> None:
    if whole := timings.get("items_per_worker_second"):
        more = [f"{whole:g} items/s of a worker"]
        if tokens := timings.get("tokens_per_worker_second"):
            more.append(f"{tokens:,} tokens/s")
        if busy := timings.get("device_busy"):
            more.append(f"device busy {busy:.0%} of the time")
        console.print("  " + ", ".join(more))
    if rates := timings["items_per_second"]:
        console.print("  items/s per stage: " + ", ".join(f"{k} {v:g}" for k, v in rates.items()))


def _print_scores(console: Console, summary: dict[str, Any]) -> None:
    console.print(f"  {_accuracy(summary)}")
    for format, groups in summary.get("groups", {}).items():
        rates = ", ".join(f"{name} {_rate(rate)}" for name, rate in groups["rates"].items())
        left = groups["unscored"]
        lost = f"; {left} not scored: rows of them failed, have no label or are not there" if left else ""
        console.print(f"  {format}: {rates}{', ' if rates else ''}on {groups['scored']} groups{lost}")
    splits = summary.get("splits", {})
    if splits:
        console.print(_splits(splits, summary.get("groups", {})))


def _rate(rate: dict[str, Any]) -> str:
    low, high = rate["interval"]
    return f"{rate['rate']:.3f} ({low:.3f} to {high:.3f})"


def _splits(splits: dict[str, Any], groups: dict[str, Any]) -> Table:
    """Accuracy per split, and the rates of groups that have splits."""
    table = Table("split", "rows", "accuracy", box=None, padding=(0, 2))
    grouped = [one["splits"] for one in groups.values() if one["splits"]]
    names = list(dict.fromkeys(name for one in grouped for rates in one.values() for name in rates))
    for name in names:
        table.add_column(name)
    for split, rate in list(splits.items())[:CLASSES_SHOWN]:
        found = {name: value for one in grouped for name, value in one.get(split, {}).items()}
        cells = (_rate(found[name]) if name in found else "" for name in names)
        table.add_row(escape(split), str(rate["rows"]), _rate(rate), *cells)
    if len(splits) > CLASSES_SHOWN:
        table.add_row(f"… and {len(splits) - CLASSES_SHOWN} more", "")
    return table


def _print_leaks(console: Console, summary: dict[str, Any]) -> None:
    """Rows that are in the training set, where there are any, and the accuracy without them."""
    leaks = summary["leaks"]
    if not leaks["rows"]:
        return
    alike = f", and {leaks['unverified']} by question and file name alone" if leaks["unverified"] else ""
    shown = [f"row {row['index']} is training row {row['training']}" for row in leaks["rows"][:LEAKS_SHOWN]]
    more = ", …" if len(leaks["rows"]) > LEAKS_SHOWN else ""
    console.print(
        f"  [yellow]rows of the training set[/yellow]: {leaks['verified']}{alike} "
        f"({escape(', '.join(shown))}{more})"
    )
    if "without_leaks" in summary:
        console.print(f"  without them: {_accuracy(summary['without_leaks'])}")
    elif "accuracy" in summary:
        console.print("  without them: no row with a label is left")


def _accuracy(scores: dict[str, Any]) -> str:
    low, high = scores["accuracy_interval"]
    precision = scores.get("mean_average_precision")
    return (
        f"accuracy {scores['accuracy']:.3f} ({low:.3f} to {high:.3f}), balanced "
        f"{scores['balanced_accuracy']:.3f}, macro F1 {scores['macro_f1']:.3f}, "
        + ("" if precision is None else f"average precision {precision:.3f}, ")
        + f"on {scores['scored']} rows with a label"
    )


def _classes(summary: dict[str, Any]) -> Table:
    table = Table("class", "labelled", box=None, padding=(0, 2))
    scored = summary.get("per_class", {})
    for column in RATES.values() if scored else ():
        table.add_column(column)
    counts = sorted(summary["classes"].items(), key=lambda item: (-item[1], item[0]))
    for name, count in counts[:CLASSES_SHOWN]:
        one = scored.get(name, {})
        rates = [one.get(rate) for rate in RATES] if scored else []
        table.add_row(escape(name), str(count), *("" if rate is None else f"{rate:.3f}" for rate in rates))
    if len(counts) > CLASSES_SHOWN:
        table.add_row(f"… and {len(counts) - CLASSES_SHOWN} more", "")
    return table


def print_splits(found: SplitScores) -> None:
    """The splits of a name side by side, and their means."""
    console = Console(soft_wrap=True, emoji=False)
    leaks = any(one.without_leaks is not None for one in found.splits)
    table = Table(found.kind.removesuffix("s"), box=None, padding=(0, 2))
    for column in ("rows", "accuracy", "95 % interval", *(["without leaks"] if leaks else [])):
        table.add_column(column, justify="right", no_wrap=True)

    def add(name: str, rows: int, scores: SplitScore | Mean | None, without: float | None = None) -> None:
        accuracy, interval = (scores.accuracy, scores.accuracy_interval) if scores else (None, None)
        rates = ["" if rate is None else f"{rate:.3f}" for rate in (accuracy, without)]
        between = "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        table.add_row(name, str(rows), rates[0], between, *([rates[1]] if leaks else []))

    for one in found.splits:
        add(escape(one.split), one.rows, one, one.without_leaks)
    rows, scored = sum(one.rows for one in found.splits), [s for s in found.splits if s.accuracy is not None]
    add(f"mean over {len(scored)} {found.kind}", rows, found.macro)
    add("mean over all rows", rows, found.micro)
    console.print(f"[bold]{escape(found.name)}[/bold]: {len(found.splits)} {found.kind}")
    console.print(table)
    if len(scored) < len(found.splits):
        console.print(
            f"  {found.kind} without an accuracy, which have no label or have not ended, are left out"
        )


def print_jobs(states: list[dict[str, Any]]) -> None:
    """Jobs as a table."""
    table = Table(box=None)
    for column in ("job", "state", "shards", "rows", "failed", "accuracy", "submitted"):
        table.add_column(column, no_wrap=True)
    table.add_column("note", overflow="fold", max_width=NOTE_WIDTH)
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
            escape(state["note"] or ""),
        )
    console = Console(soft_wrap=True, emoji=False)
    if states:
        _print_uncut(table)
    else:
        console.print("no jobs")
    for state in states:
        if state["reason"]:
            console.print(f"{escape(state['job_id'])}: {escape(state['reason'])}")


def _print_uncut(table: Table) -> None:
    """As wide as the table is, however narrow the terminal, or whatever else it goes to."""
    console = Console(emoji=False)
    width = Measurement.get(console, console.options.update(width=WIDEST), table).maximum
    Console(width=width, emoji=False).print(table)


def print_failures(found: dict[str, dict[str, Any]]) -> None:
    """Per job: why it ended, which shards were given up, and per kind of error how many rows, and the
    first few."""
    console = Console(soft_wrap=True, emoji=False)
    for job_id, why in found.items():
        console.print(f"[bold]{escape(job_id)}[/bold]: {'' if any(why.values()) else 'no errors'}")
        if why["reason"]:
            console.print(f"  {escape(why['reason'])}")
        for shard in why["given_up"][:SHARDS_SHOWN]:
            first, last = shard["first_index"], shard["first_index"] + shard["rows"] - 1
            rows = f"{shard['rows']} rows again" if shard["retry"] else f"rows {first} to {last}"
            said = f"shard {shard['shard']}, {rows}: {shard['reason']}"
            console.print(f"  [red]given up[/red]: {escape(said)}")
        if (more := len(why["given_up"]) - SHARDS_SHOWN) > 0:
            console.print(f"  … and {more} more shards that were given up (all of them with --json)")
        for kind, errors in why["errors"].items():
            console.print(f"  [red]{escape(kind)}[/red]: {errors['rows']} rows")
            for example in errors["examples"]:
                console.print(
                    f"    row {example['index']} ({escape(example['id'])}): {escape(example['message'])}"
                )


def print_estimate(found: Estimate) -> None:
    """What `savs-submit plan` found in one manifest."""
    console = Console(soft_wrap=True, emoji=False)
    console.print(f"[bold]{escape(found.url)}[/bold]")
    console.print(f"  {found.rows} rows ({found.kind}), {found.bytes} bytes")
    if found.shards:
        console.print(f"  shards: {found.shards}, of up to {found.shard_rows} rows")
    for name, count in list(found.classes.items())[:CLASSES_SHOWN]:
        console.print(f"    {escape(name)}: {count}")
    if len(found.classes) > CLASSES_SHOWN:
        console.print(f"    … and {len(found.classes) - CLASSES_SHOWN} more classes")
    for bad in found.bad:
        console.print(f"  [yellow]line {bad.line}[/yellow]: {escape(bad.reason)}")
    if found.problems > len(found.bad):
        console.print(f"  … and {found.problems - len(found.bad)} more unusable rows")
    for name, line in found.unknown.items():
        console.print(
            f"  [yellow]line {line}[/yellow]: the format knows no {escape(name)!r}, which is not used"
        )
    for bad in found.absent:
        console.print(f"  [yellow]line {bad.line}[/yellow]: {escape(bad.reason)}")
    if found.missing is not None:
        console.print(f"  media that are not there: {found.missing}")
    if found.refused:
        console.print(f"  [red]cannot be submitted[/red]: {escape(found.refused)}")
    elif found.hours is None:
        console.print("  hours: no rate of this model is known; give --rate, or run a small job first")
    else:
        cost = "" if found.cost is None else f", cost {found.cost:,.2f}"
        time = f"{found.hours:.1f} hours" if found.hours >= 1 else f"{60 * found.hours:.1f} minutes"
        console.print(f"  {time} at {found.rate:g} items/s and GPU{cost}")
    console.print()


def print_finding(finding: Finding) -> None:
    """A line of `savs-submit doctor`."""
    colour = {"good": "green", "doubtful": "yellow"}.get(finding.state, "red")
    Console(soft_wrap=True, emoji=False).print(
        f"[{colour}]{finding.state:8}[/{colour}] {escape(finding.what)}: {escape(finding.text)}"
    )


def print_comparison(found: Comparison) -> None:
    """What `savs-submit compare` found."""
    console = Console(soft_wrap=True, emoji=False)
    for job_id, rate, (low, high) in zip(found.jobs, found.accuracies, found.intervals, strict=True):
        console.print(f"[bold]{escape(job_id)}[/bold]: accuracy {rate:.3f} ({low:.3f} to {high:.3f})")
    console.print(
        f"  {found.rows} rows: {found.both_right} both right, {found.only_first} only the first, "
        f"{found.only_second} only the second, {found.neither} neither"
    )
    console.print(f"  difference {_difference(found)}, p = {found.p:.3g} (McNemar, exact)")


def print_comparisons(pairs: list[tuple[str, str]], found: list[Comparison]) -> None:
    """Several of them as a table of two lines each. `pairs` are the names that they were asked under."""
    table = Table(box=None)
    for column in ("job", "accuracy (95 %)", "difference (95 %)", "p"):
        table.add_column(column, no_wrap=True)
    for names, one in zip(pairs, found, strict=True):
        more = [("", ""), (_difference(one), f"{one.p:.3g}")]
        for name, rate, (low, high), cells in zip(names, one.accuracies, one.intervals, more, strict=True):
            table.add_row(escape(name), f"{rate:.3f} ({low:.3f} to {high:.3f})", *cells)
    Console(width=WIDEST).print(table)


def _difference(found: Comparison) -> str:
    low, high = found.difference_interval
    return f"{found.difference:+.3f} ({low:+.3f} to {high:+.3f})"
