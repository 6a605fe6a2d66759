"""Command that labels a corpus again after corrections: `relabel`."""

from dataclasses import asdict
from typing import Any

import click

from jobs.cli.group import ledger_of, main, name_argument, reports_errors
from jobs.cli.option_list import options
from jobs.cli.options import json_option, workspace_option
from jobs.cli.output.characters import json_text, printable
from jobs.ledger.named import jobs_of, newest_of

FLIPS_SHOWN = 10


@main.command(short_help="Label a corpus again, after corrections; no model is needed.")
@name_argument
@click.argument("corrections")
@click.option(
    "--out", metavar="FILE", help="File or s3:// address for the new rows, as `results` prints them."
)
@options(workspace_option, json_option)
@reports_errors
def relabel(name: str, corrections: str, out: str | None, workspace: str | None, as_json: bool) -> None:
    """Fit the artifact of NAME's newest labels again, with corrected rows of the corpus as further examples,
    and label the corpus again from its kept vectors. Say what has changed.

    NAME must have been labelled with --keep-vectors all. CORRECTIONS is JSONL or CSV with `index` or `id`,
    and `label`; or a JSON export of Label Studio.

    Example: savs-submit relabel pets corrections.jsonl --workspace results --out labels.jsonl
    """
    from jobs.cli.results_logs_compare import write_rows
    from jobs.refit.corrections import read_corrections
    from jobs.refit.relabel import fit_corrected, relabelled_rows
    from savs.errors import SettingsError

    ledger = ledger_of(workspace)
    jobs_of(ledger, name)
    jobs = [job for job in newest_of(ledger, name) if job.spec.kind == "classify"]
    if len(jobs) != 1:
        raise SettingsError(f"{name} has {len(jobs)} sets of labels; give the id of one of its classify jobs")
    given = read_corrections(corrections)
    artifact, found = fit_corrected(ledger, jobs[0], given)
    rows = relabelled_rows(ledger, jobs[0], artifact, given, found)
    if out is None:
        for _ in rows:
            pass
    else:
        write_rows((_line(row) for row in rows), out)
    if as_json:
        flips = [[*pair, count] for pair, count in found.flips.most_common()]
        click.echo(json_text(asdict(found) | {"flips": flips}))
    else:
        _print(found, out)


def _line(row: dict[str, Any]) -> bytes:
    import json

    kept = {name: value for name, value in row.items() if value is not None or name == "prediction"}
    return json.dumps(kept).encode() + b"\n"


def _print(found: Any, out: str | None) -> None:
    changed = sum(found.flips.values())
    click.echo(printable(f"{found.url}: {found.added} corrected rows are examples now"))
    click.echo(f"{changed:,} of {found.rows:,} rows have another label")
    for (old, new), count in found.flips.most_common(FLIPS_SHOWN):
        click.echo(printable(f"  {old} → {new}: {count:,}"))
    if len(found.flips) > FLIPS_SHOWN:
        click.echo(f"  … and {len(found.flips) - FLIPS_SHOWN} more kinds of changes (with --json)")
    if found.known:
        before, after = (count / found.known for count in found.right)
        click.echo(
            f"accuracy {before:.3f} → {after:.3f} on {found.known:,} labelled rows that were not corrected"
        )
    if found.without:
        click.echo(f"{found.without:,} rows have no kept vectors and stay as they are")
    if out is not None:
        click.echo(printable(f"new labels: {out}"))
