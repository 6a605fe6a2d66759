"""Command that labels a corpus again after corrections: `relabel`."""

import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.group import ledger_of, main, name_argument, reports_errors
from jobs.cli.option_list import options
from jobs.cli.options import json_option, workspace_option
from jobs.cli.output.characters import json_text, printable
from jobs.ledger.named import only_labelled

if TYPE_CHECKING:
    from jobs.ledger.ledger import Ledger
    from jobs.records.job import Job
    from jobs.refit.relabel import Relabelled

FLIPS_SHOWN = 10
LABEL_SHOWN = 60  # characters


@main.command(short_help="Label a corpus again, after corrections; no model is needed.")
@name_argument
@click.argument("corrections")
@click.option(
    "--out", metavar="FILE", help="File or s3:// address for the new rows, as `results` prints them."
)
@options(workspace_option, json_option)
@reports_errors
def relabel(name: str, corrections: str, out: str | None, workspace: str | None, as_json: bool) -> None:
    """Fit the artifact of NAME's newest labels again, with corrected rows of the corpus as further examples
    and with corrected examples, and label the corpus again from its kept vectors. Say what has changed.

    NAME must have been labelled with --keep-vectors all, unless only examples are corrected. CORRECTIONS is
    JSONL or CSV with `label`, or `unusable`, and `index` or `id` of a row, or `training`, the number of an
    example; or a JSON export of Label Studio.

    Example: savs-submit relabel pets corrections.jsonl --workspace results --out labels.jsonl
    """
    from jobs.cli.results_logs_compare import write_rows
    from jobs.refit.correction_files import read_corrections
    from jobs.refit.labels_again import relabelled_rows
    from jobs.refit.relabel import fit_corrected

    ledger = ledger_of(workspace)
    job = only_labelled(ledger, name)
    _tell_of_newer(ledger, job)
    again = fit_corrected(ledger, job, read_corrections(corrections))
    if again.vectors is not None:
        rows = relabelled_rows(ledger, job, again)
        if out is None:
            for _ in rows:
                pass
        else:
            write_rows((_line(row) for row in rows), out)
    elif out is not None:
        click.echo(printable(f"savs-submit: {out} was not written"), err=True)
    if as_json:
        flips = [[*pair, count] for pair, count in again.found.flips.most_common()]
        click.echo(json_text(asdict(again.found) | {"flips": flips}))
    else:
        _print(again.found, out, job)
    if again.vectors is None and out is not None:
        sys.exit(1)


def _tell_of_newer(ledger: "Ledger", job: "Job") -> None:
    """Says so if the job's artifact has a newer version, with corrections that are not in the job's own."""
    from jobs.ledger.artifacts import artifact_of
    from jobs.records.job import ClassifySpec
    from jobs.submit.artifacts import find_artifact, read_card

    assert isinstance(job.spec, ClassifySpec)
    used = artifact_of(ledger, job.spec)
    if used is None or not used.startswith(ledger.artifact_url("", "").rstrip("/")):
        return
    name = read_card(used).name
    if (newest := find_artifact(ledger, name)) != used:
        click.echo(
            printable(
                f"savs-submit: {newest} is newer than the artifact that labelled {job.spec.name}, from which "
                "relabel starts: give its corrections again, or label with it first: "
                f"{_classify(job, newest)}"
            ),
            err=True,
        )


def _line(row: dict[str, Any]) -> bytes:
    import json

    kept = {name: value for name, value in row.items() if value is not None or name == "prediction"}
    return json.dumps(kept).encode() + b"\n"


def _print(found: "Relabelled", out: str | None, job: "Job") -> None:
    for line in (*_fitted(found), *(_labels(found, out) if found.again else _next_step(found, job))):
        click.echo(printable(line))


def _fitted(found: "Relabelled") -> list[str]:
    said = [f"{found.url}: {found.added} corrected rows are examples now"]
    if found.corrected or found.dropped:
        said.append(f"{found.corrected} examples have another label, {found.dropped} are left out")
    if found.elsewhere:
        said.append(f"{found.elsewhere} corrections are of other tasks and were left alone")
    return said


def _labels(found: "Relabelled", out: str | None) -> list[str]:
    said = [f"{sum(found.flips.values()):,} of {found.rows:,} rows have another label"]
    for (old, new), count in found.flips.most_common(FLIPS_SHOWN):
        said.append(f"  {old:.{LABEL_SHOWN}} → {new:.{LABEL_SHOWN}}: {count:,}")
    if len(found.flips) > FLIPS_SHOWN:
        said.append(f"  … and {len(found.flips) - FLIPS_SHOWN} more kinds of changes (with --json)")
    if found.known:
        before, after = (count / found.known for count in found.right)
        said.append(
            f"accuracy {before:.3f} → {after:.3f} on {found.known:,} labelled rows that were not corrected"
        )
    if found.unusable:
        said.append(f"{found.unusable:,} unusable rows stay as they are and count for nothing")
    if found.without:
        said.append(f"{found.without:,} rows have no kept vectors and stay as they are")
    return [*said, *([] if out is None else [f"new labels: {out}"])]


def _next_step(found: "Relabelled", job: "Job") -> list[str]:
    return [
        "the corpus was not labelled again: the vectors of all heads of its rows were not kept. Label it "
        f"with the model, and keep them for the next time: {_classify(job, found.url)}"
    ]


def _classify(job: "Job", artifact: str) -> str:
    """The command that labels the job's corpus with another artifact."""
    source = job.spec.source
    again = ["savs-submit", "classify", "--data", source.url, "--artifact", artifact]
    again += ["--name", job.spec.name, "--keep-vectors", "all"]
    again += [] if source.format == "general" else ["--format", source.format]
    for option, value in (
        ("--media-root", source.media_root),
        ("--strip-prefix", source.strip_prefix),
        ("--question", source.question),
    ):
        again += [option, value] if value else []
    return shlex.join(again)
