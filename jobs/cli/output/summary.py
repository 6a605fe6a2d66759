"""Prints the summary of a finished job on standard output."""

from shlex import quote
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.cli.output.advice import complete
from jobs.cli.output.text import console, escape, print_uncut, rows_of

CLASS_WIDTH = 60  # columns of a class name, after which it is cut
CLASSES_SHOWN = 20  # rows of the tables of classes and of splits
RATES = {"recall": "recall", "precision": "precision", "f1": "F1", "average_precision": "AP"}  # per class
LEAKS_SHOWN = 3  # leaks that are listed


def print_summary(summary: dict[str, Any], where: str, verbose: bool = False, report: bool = False) -> None:
    """Prints counts, accuracy, classes, errors, and `where` the results are stored; with `verbose` also the
    rate of each stage."""
    out = console()
    state = {"done": "green", "incomplete": "yellow"}.get(summary["status"], "red")
    out.print(f"[bold]{escape(summary['job_id'])}[/bold]: [{state}]{summary['status']}[/{state}]")
    if "reason" in summary:
        out.print(f"  {escape(complete(summary['reason']))}")
    out.print(f"  {_counts(summary)}")
    for warning in summary.get("warnings", []):
        out.print(f"  [yellow]{escape(warning)}[/yellow]")
    if "readout" in summary:
        _print_readout(out, summary)
    if "accuracy" in summary:
        _print_scores(out, summary)
    if "multi" in summary:
        out.print(f"  {_several(summary['multi'])}")
    if "ece" in summary:
        rows = sum(one["rows"] for one in summary["reliability"])
        out.print(f"  calibration error of the confidence (ECE) {summary['ece']:.3f}, on {rows_of(rows)}")
    if summary.get("leaks"):
        _print_leaks(out, summary)
    if summary["kind"] == "classify" and (summary["labelled"] or summary["abstained"]):
        print_uncut(_classes(summary))
    if kept := summary.get("kept_vectors"):
        more = f", and the pilot's of {rows_of(kept['pilot'])}" if kept["pilot"] else ""
        out.print(f"  kept head vectors: {rows_of(kept['rows'])}, {kept['bytes']:,} bytes{more}")
    for kind, errors in summary["errors"].items():
        example = errors["examples"][0] if errors["examples"] else None
        quoted = f", for example row {example['index']}: {example['message']}" if example else ""
        out.print(f"  [red]{escape(kind)}[/red]: {rows_of(errors['rows'])}{escape(quoted)}")
    for lost in summary.get("missing", []):
        last = lost["first_index"] + lost["rows"] - 1
        out.print(
            f"  [red]missing[/red]: rows {lost['first_index']} to {last} ({escape(str(lost['reason']))})"
        )
    if "advice" in summary:
        out.print(f"  what to do: {escape(complete(summary['advice']))}")
    _print_rates(out, summary["timings"], verbose)
    out.print(f"  results: {escape(where)}")
    if summary["kind"] == "classify" and summary["rows"]:
        workspace = where.removesuffix(f"/jobs/{summary['job_id']}")
        out.print(
            f"  labels: savs-submit results {escape(summary['name'])} --workspace {escape(quote(workspace))}"
        )
    if report:
        out.print(f"  report: {escape(complete('savs-submit open ' + summary['name']))}")
    out.print()


def _print_readout(out: Console, summary: dict[str, Any]) -> None:
    readout, doubtful = summary["readout"], summary.get("suspects", 0)
    out.print(f"  readout: {escape(readout['chosen'])} ({escape(readout['why'])})")
    if doubtful and summary.get("artifact"):
        examples = "1 example" if doubtful == 1 else f"{doubtful} examples"
        show = f"savs-submit show {quote(summary['artifact'])}"
        out.print(f"  {examples} may have a wrong label, as the others say: {escape(show)}")


def _counts(summary: dict[str, Any]) -> str:
    """For example "300 rows: 299 labelled, 1 failed"; examples are read, not labelled."""
    rows, done = summary["rows"], "labelled" if summary["kind"] == "classify" else "read"
    counts = [f"{summary['labelled']} {done}"]
    counts += [f"{summary['abstained']} abstained"] if summary["abstained"] else []
    return f"{rows_of(rows)}: {', '.join(counts)}, {summary['failed']} failed"


def _print_rates(out: Console, timings: dict[str, Any], verbose: bool) -> None:
    if whole := timings.get("items_per_worker_second"):
        more = [f"{whole:g} items/s per worker"]
        if tokens := timings.get("tokens_per_worker_second"):
            more.append(f"{tokens:,} tokens/s")
        if busy := timings.get("device_busy"):
            more.append(f"device busy {busy:.0%} of the time")
        out.print("  " + ", ".join(more))
    if verbose and (rates := timings["items_per_second"]):
        out.print("  items/s per stage: " + ", ".join(f"{escape(k)} {v:g}" for k, v in rates.items()))


def _print_scores(out: Console, summary: dict[str, Any]) -> None:
    out.print(f"  {_accuracy(summary)}")
    for format, groups in summary.get("groups", {}).items():
        rates = ", ".join(f"{escape(name)} {_rate(rate)}" for name, rate in groups["rates"].items())
        left = groups["unscored"]
        why = "because their rows failed, abstained, have no label or are missing"
        lost = f"; {left} not scored, {why}" if left else ""
        out.print(f"  {escape(format)}: {rates}{', ' if rates else ''}on {groups['scored']} groups{lost}")
    splits = summary.get("splits", {})
    if splits:
        out.print(_splits(splits, summary.get("groups", {})))


def _rate(rate: dict[str, Any]) -> str:
    low, high = rate["interval"]
    return f"{rate['rate']:.3f} ({low:.3f} to {high:.3f})"


def _splits(splits: dict[str, Any], groups: dict[str, Any]) -> Table:
    """Accuracy per split, and the rates of groups per split."""
    table = Table("split", "rows", "accuracy", box=None, padding=(0, 2))
    grouped = [one["splits"] for one in groups.values() if one["splits"]]
    names = list(dict.fromkeys(name for one in grouped for rates in one.values() for name in rates))
    for name in names:
        table.add_column(escape(name))
    for split, rate in list(splits.items())[:CLASSES_SHOWN]:
        found = {name: value for one in grouped for name, value in one.get(split, {}).items()}
        cells = (_rate(found[name]) if name in found else "" for name in names)
        table.add_row(escape(split), str(rate["rows"]), _rate(rate), *cells)
    if len(splits) > CLASSES_SHOWN:
        table.add_row(f"… and {len(splits) - CLASSES_SHOWN} more", "")
    return table


def _print_leaks(out: Console, summary: dict[str, Any]) -> None:
    """Prints the leaks, if there are any, and the accuracy without them."""
    leaks = summary["leaks"]
    if not leaks["rows"]:
        return
    alike = f", and {leaks['unverified']} by question and file name alone" if leaks["unverified"] else ""
    shown = [f"row {row['index']} is training row {row['training']}" for row in leaks["rows"][:LEAKS_SHOWN]]
    more = ", …" if len(leaks["rows"]) > LEAKS_SHOWN else ""
    out.print(
        f"  [yellow]rows of the training set[/yellow]: {leaks['verified']}{alike} "
        f"({escape(', '.join(shown))}{more})"
    )
    if "without_leaks" in summary:
        without = summary["without_leaks"]
        said = _several(without["multi"]) if "multi" in without else _accuracy(without)
        out.print(f"  without them: {said}")
    elif "accuracy" in summary or "multi" in summary:
        out.print("  without them: no row with a label is left")


def _accuracy(scores: dict[str, Any]) -> str:
    low, high = scores["accuracy_interval"]
    precision = scores.get("mean_average_precision")
    return (
        f"accuracy {scores['accuracy']:.3f} ({low:.3f} to {high:.3f}), balanced "
        f"{scores['balanced_accuracy']:.3f}, macro F1 {scores['macro_f1']:.3f}, "
        + ("" if precision is None else f"average precision {precision:.3f}, ")
        + f"on {scores['scored']} rows with a label"
    )


def _several(scores: dict[str, Any]) -> str:
    """The scores of rows with several labels."""
    low, high = scores["exact_match_interval"]
    named = {
        "average precision": "mean_average_precision",
        "macro F1": "macro_f1",
        "micro F1": "micro_f1",
    }
    known = [f"{name} {scores[field]:.3f}" for name, field in named.items() if field in scores]
    exact = f"all labels right {scores['exact_match']:.3f} ({low:.3f} to {high:.3f})"
    return f"{', '.join([*known, exact])}, on {scores['scored']} rows with known labels"


def _classes(summary: dict[str, Any]) -> Table:
    """Every class that is a label or a prediction, or has a share of the corpus; of many, those with the
    lowest recall first."""
    predicted, multi = summary["classes"], summary.get("multi")
    scored = summary.get("per_class", {}) if multi is None else multi["labels"]
    count = "rows" if multi is None else "support"
    shares = summary.get("class_shares", {})
    table = Table(box=None, padding=(0, 2))
    table.add_column("class" if multi is None else "label", no_wrap=True, max_width=CLASS_WIDTH)
    estimated = ["share (95 %)"] if shares else []
    rated = RATES if scored else {}
    for column in (*(["labels"] if scored else []), "predicted", *estimated, *rated.values()):
        table.add_column(column, no_wrap=True)
    names = sorted({*predicted, *scored, *shares}, key=lambda name: (-predicted.get(name, 0), name))
    if scored and len(names) > CLASSES_SHOWN:
        names.sort(key=lambda name: _or(scored.get(name, {}).get("recall"), 1.0))
    for name in names[:CLASSES_SHOWN]:
        one = scored.get(name, {})
        labels = [str(one.get(count, 0))] if scored else []
        share = [_rate(shares[name]) if name in shares else ""] if shares else []
        rates = ["" if one.get(rate) is None else f"{one[rate]:.3f}" for rate in rated]
        table.add_row(escape(name), *labels, str(predicted.get(name, 0)), *share, *rates)
    if len(names) > CLASSES_SHOWN:
        table.add_row(f"… and {len(names) - CLASSES_SHOWN} more", *[""] * (len(table.columns) - 1))
    return table


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
