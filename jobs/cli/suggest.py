"""Command that picks the items to label by hand: `suggest`."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.group import ledger_of, main, name_argument, reports_errors
from jobs.cli.option_list import options
from jobs.cli.options import json_option, workspace_option
from jobs.cli.output.characters import json_text, printable
from jobs.ledger.named import only_labelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.ledger.ledger import Ledger
    from jobs.records.job import Job

Row = dict[str, Any]
MOST = 1000  # items at once


@main.command(short_help="Pick the items that are most worth labelling by hand.")
@name_argument
@click.option(
    "-n", "--number", type=click.IntRange(1, MOST), default=50, show_default=True, help="Number of items."
)
@click.option(
    "--after",
    metavar="CORRECTIONS",
    help="Corrections so far, as for `relabel`: their items are left out, and the doubt is what "
    "is left after them.",
)
@click.option(
    "--out", metavar="FILE", help="File or s3:// address for the items as JSONL, without a label yet."
)
@click.option(
    "--to", metavar="TARGET", help="Another form, as for `results`, for example label-studio:tasks.json."
)
@options(workspace_option, json_option)
@reports_errors
def suggest(
    name: str,
    number: int,
    after: str | None,
    out: str | None,
    to: str | None,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Pick items of NAME's newest labels that are doubtful and unlike one another. Items that failed or have
    a known label are left out.

    Whether items are alike is told from vectors that --keep-vectors stored. Label the items: fill in `label`
    in the file of --out, or import what --to writes into Label Studio; then `relabel`.

    Example: savs-submit suggest pets -n 50 --workspace results --out todo.jsonl
    """
    from jobs.cli.output.suggestions import print_suggestions
    from jobs.cli.results_logs_compare import write_rows
    from jobs.exports.target import export
    from jobs.refit import suggest as picking
    from savs.errors import SettingsError

    if to is not None and out is not None:
        raise SettingsError("--out writes JSONL, --to another form; give one of them")
    ledger = ledger_of(workspace)
    job = only_labelled(ledger, name)
    found = picking.suggest(ledger, job, number, _reader(ledger, job, after))
    blank = [_blank(row, picking.runner_up(row), picking.doubt_of(row)) for row in found.rows]
    if out is not None:
        write_rows((json.dumps(one).encode() + b"\n" for one in blank), out)
    written = f"{out}: fill in `label`, then: savs-submit relabel {name} {out}" if out is not None else None
    if to is not None:
        written = export(lambda: iter(found.rows), to, 0.0)
    if as_json:
        click.echo(json_text({"varied": found.varied, "free": found.free, "items": blank}))
        return
    print_suggestions(blank, found.free)
    if not found.varied:
        click.echo(
            "savs-submit: without kept vectors, items may be alike; label the corpus with --keep-vectors "
            "heads to have varied ones",
            err=True,
        )
    if written is not None:
        click.echo(printable(written))


def _reader(ledger: "Ledger", job: "Job", after: str | None) -> "Callable[[], Iterator[Row]]":
    """Return what reads the rows of a job: after corrections, if there are any, with new labels where vectors
    of all heads were kept, and without the corrected rows."""
    from jobs.ledger.results import result_rows
    from jobs.records.job import ClassifySpec
    from jobs.refit.correction_files import read_corrections
    from jobs.refit.corrections import corrections_of
    from jobs.refit.labels_again import relabelled_rows
    from jobs.refit.relabel import fit_corrected, tasks_of

    def stored() -> Iterator[Row]:
        return map(json.loads, result_rows(ledger, job.job_id))

    if after is None:
        return stored
    given = read_corrections(after)
    assert isinstance(job.spec, ClassifySpec)
    again = fit_corrected(ledger, job, given) if job.spec.keep_vectors == "all" else None
    names = {row["task"] for row in islice(stored(), 1)} | tasks_of(job)
    corrections = again.corrections if again is not None else corrections_of(given, names)

    def left() -> Iterator[Row]:
        rows = stored() if again is None or again.vectors is None else relabelled_rows(ledger, job, again)
        return (row for row in rows if corrections.of_row(row["index"], row["id"]) is None)

    return left


def _blank(row: Row, second: str | None, doubt: float | None) -> Row:
    said = row["predictions"] if "predictions" in row else row.get("prediction")
    begin = {name: row.get(name) for name in ("index", "id", "task", "media")}
    shown = {"prediction": said, "confidence": row.get("confidence"), "runner_up": second}
    return begin | shown | {"doubt": None if doubt is None else round(doubt, 6), "label": None}
