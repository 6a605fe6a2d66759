"""Commands that make and show reports: `report`, `open`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.group import complete_name, ledger_of, main, name_argument, reports_errors
from jobs.cli.option_list import options
from jobs.cli.options import http_option, workspace_option
from jobs.cli.output.advice import complete
from jobs.cli.output.characters import printable
from jobs.ledger.named import labelled_of

if TYPE_CHECKING:
    from jobs.ledger.ledger import Ledger
    from jobs.records.job import Job


@main.command(short_help="Make the report of a job: one HTML page.")
@click.argument("names", nargs=-1, required=True, metavar="NAME [OTHER …]", shell_complete=complete_name)
@click.option(
    "--gpu-hour-price",
    type=click.FloatRange(min=0),
    help="Price of one worker for an hour, in any currency; the report then has the cost.",
)
@options(http_option, workspace_option)
@reports_errors
def report(
    names: tuple[str, ...], gpu_hour_price: float | None, allow_http: bool, workspace: str | None
) -> None:
    """Make the report of NAME's newest labels: one HTML page that needs no server and no network. It is
    compared with each OTHER, which has labelled the same rows.

    A run makes its report itself, unless --no-report is given; this makes it again.

    Example: savs-submit report pets pets-zero-shot --workspace results
    """
    from jobs.report.report import make_report
    from jobs.settings import read_settings
    from jobs.shards.allowed_roots import Roots
    from savs.errors import SettingsError

    ledger = ledger_of(workspace)
    name, *rest = names
    jobs = labelled_of(ledger, name)
    others = [job for other in rest for job in labelled_of(ledger, other)]
    if others and len(jobs) > 1:
        raise SettingsError(
            f"{name} has several jobs; to compare one, give it: {', '.join(job.spec.name for job in jobs)}"
        )
    price = read_settings(gpu_hour_price=gpu_hour_price).gpu_hour_price
    for job in jobs:
        place = make_report(ledger, job, Roots.everywhere(allow_http), others, price)
        click.echo(printable(complete(f"{place}; to see it: savs-submit open {job.spec.name}")))


@main.command("open", short_help="Open the report of a job in a browser.")
@options(name_argument, workspace_option)
@reports_errors
def open_report(name: str, workspace: str | None) -> None:
    """Open the reports of NAME's newest labels in a browser, and print where they are. A report in a bucket
    is copied into a temporary folder first.

    Example: savs-submit open pets --workspace results
    """
    import webbrowser

    ledger = ledger_of(workspace)
    for job in labelled_of(ledger, name):
        page = _local_page(ledger, job)
        shown = webbrowser.open(page.as_uri())
        click.echo(printable(f"{page}" if shown else f"{page} (no browser was found here; open it in one)"))


def _local_page(ledger: "Ledger", job: "Job") -> Path:
    """Return the page of a job's report, copied if the workspace is a bucket. Raises JobError if there is
    none."""
    import tempfile

    from jobs.ledger.reports import report_key
    from savs.errors import JobError, NotFound

    key = report_key(job.job_id)
    try:
        if "://" not in ledger.workspace and ledger.store.exists(key):
            return (Path(ledger.workspace) / key).resolve()
        data = ledger.store.read(key)
    except NotFound as error:
        raise JobError(
            f"{job.job_id} has no report yet; make it: savs-submit report {job.spec.name}"
        ) from error
    page = Path(tempfile.mkdtemp(prefix="savs-report-")) / f"{job.job_id}.html"
    page.write_bytes(data)
    return page
