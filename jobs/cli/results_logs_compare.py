"""Commands that show the results of jobs: `results`, `logs`, `compare`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.group import complete_name, ledger_of, main, name_argument, reports_errors
from jobs.cli.option_list import options
from jobs.cli.options import json_option, workspace_option
from jobs.cli.output.characters import json_text, printable
from jobs.ledger.named import jobs_of, labelled_of, only_labelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobs.ledger.ledger import Ledger
    from jobs.records.job import Job


@main.command(short_help="Print the labels, in manifest order.")
@name_argument
@click.option("--out", help="File or s3:// address to write. Default: standard output.")
@click.option(
    "--to",
    metavar="TARGET",
    help="Write a table or another tool's form instead: a file .parquet, .csv or .jsonl, "
    "parquet:DIR/, label-studio:FILE, coco:FILE, fiftyone:DIR, cleanlab:DIR, or imagefolder:DIR.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="With --to imagefolder: leave out items of less confidence.",
)
@click.option("--partial", is_flag=True, help="Exit with 0 although rows are missing.")
@workspace_option
@reports_errors
def results(
    name: str, out: str | None, to: str | None, min_confidence: float, partial: bool, workspace: str | None
) -> None:
    """Print the newest labels of NAME: a JSON object per row, in manifest order.

    If NAME has splits, the splits follow one another; `task` in a row names the split. If rows are missing,
    because a job has not ended or shards were given up, the exit code is 1.

    Example: savs-submit results pets --workspace results --out labels.jsonl
    """
    from jobs.exports.target import export
    from savs.errors import SettingsError

    ledger = ledger_of(workspace)
    missing: list[str] = []
    jobs = labelled_of(ledger, name)
    rows = _rows(ledger, jobs, missing.append)
    if to is not None and out is not None:
        raise SettingsError("--out writes JSONL, --to another form; give one of them")
    if to is not None:

        def read() -> "Iterator[dict[str, Any]]":
            missing.clear()
            return map(json.loads, _rows(ledger, jobs, missing.append))

        click.echo(printable(export(read, to, min_confidence)))
    elif out is None or out == "-":
        with click.open_file("-", "wb") as stream:
            stream.writelines(rows)  # click ends quietly if it is closed
    else:
        write_rows(rows, out)
    for reason in missing:
        click.echo(printable(f"savs-submit: {reason}"), err=True)
    if missing and not partial:
        sys.exit(1)


def write_rows(rows: "Iterator[bytes]", out: str) -> None:
    """Write `rows` to a file or an object. Raises SettingsError if that fails."""
    from jobs.paths import check_path, resolve_address
    from savs.errors import SettingsError, StorageError
    from savs.storage import open_parent, without_scheme

    place = resolve_address(out)
    if "://" in place and not place.startswith("s3://"):
        raise SettingsError(f"--out: {out} is neither a local path nor s3://bucket/key")
    local = None if "://" in place else Path(without_scheme(out)).expanduser()
    try:
        if local is not None and (check_path(local.is_fifo) or check_path(local.is_char_device)):
            with local.open("wb") as stream:  # a pipe or /dev/null, which is not replaced
                stream.writelines(rows)
        elif local is not None and not check_path(local.parent.is_dir):
            raise SettingsError(f"--out: {place} cannot be written: there is no folder {Path(place).parent}")
        else:
            store, key = open_parent(place)
            store.write_blocks(key, rows)
    except StorageError as error:
        raise SettingsError(f"--out: {error}") from error


def _rows(ledger: "Ledger", jobs: "list[Job]", lacks: "Callable[[str], None]") -> "Iterator[bytes]":
    """Yields the rows of `jobs`, one line each. `lacks` is called with what is missing of a job's rows."""
    from jobs.ledger.results import result_rows
    from jobs.reduce.status import job_state

    for job in jobs:
        state = job_state(ledger, job)["status"]
        if not ledger.is_planned(job.job_id):
            lacks(f"{job.job_id}: no rows; job {state}")
            continue
        rows, planned = 0, ledger.planned(job.job_id).rows
        for row in result_rows(ledger, job.job_id):
            yield row
            rows += 1
        if rows != planned:
            lacks(f"{job.job_id}: {rows:,} of {planned:,} rows; job {state}")


@main.command(short_help="Explain why jobs, shards and rows failed.")
@name_argument
@options(workspace_option, json_option)
@reports_errors
def logs(name: str, workspace: str | None, as_json: bool) -> None:
    """Explain why jobs of NAME failed, shards were given up, and rows failed: each kind of error, with
    examples.

    Example: savs-submit logs pets --workspace results
    """
    from jobs.cli.output.failures import print_failures
    from jobs.reduce.failures import explain_failures

    ledger = ledger_of(workspace)
    found = {job.job_id: explain_failures(ledger, job) for job in jobs_of(ledger, name)}
    if as_json:
        click.echo(json_text(found))
    else:
        print_failures(found)


@main.command(short_help="Compare two jobs on the same rows.")
@click.argument("names", nargs=-1, required=True, metavar="FIRST SECOND …", shell_complete=complete_name)
@options(workspace_option, json_option)
@reports_errors
def compare(names: tuple[str, ...], workspace: str | None, as_json: bool) -> None:
    """Compare the accuracy of two jobs on the same rows, and test whether the difference may be chance.

    A name stands for its newest classify job. Rows without a label are left out; rows that failed or
    abstained count as wrong. Intervals are 95 % intervals, the test is McNemar's. Several pairs make a table.

    Example: savs-submit compare pets-zero-shot pets --workspace results
    """
    from jobs.cli.output.comparison import print_comparison, print_comparisons
    from jobs.reduce.comparison import compare_jobs
    from savs.errors import SettingsError

    if len(names) % 2:
        raise SettingsError(f"{names[-1]} has no job to be compared with: give two jobs, or several pairs")
    ledger = ledger_of(workspace)
    pairs = list(zip(names[::2], names[1::2], strict=True))
    found = [compare_jobs(ledger, *(only_labelled(ledger, name) for name in pair)) for pair in pairs]
    if as_json:
        shown = [asdict(one) for one in found]
        click.echo(json_text(shown if shown[1:] else shown[0]))
    elif found[1:]:
        print_comparisons(pairs, found)
    else:
        print_comparison(found[0])
