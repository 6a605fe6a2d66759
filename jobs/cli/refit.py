"""Command that fits an artifact again: `refit`."""

from typing import TYPE_CHECKING, Any

import click

from jobs.cli.artifacts_show import artifact_argument
from jobs.cli.datasets import bring_all, tell
from jobs.cli.group import ledger_of, main, reports_errors
from jobs.cli.handoff import submit_and_hand
from jobs.cli.option_list import options
from jobs.cli.options import How, fit_options, how_options
from jobs.cli.output.characters import printable

if TYPE_CHECKING:
    from jobs.records.job import Source
    from jobs.refit.refit import NewExamples, Refit


@main.command(short_help="Fit an artifact again, with other labels or another readout.")
@artifact_argument
@click.option(
    "--train",
    metavar="FILE",
    help="Examples to fit in place of the stored ones, for example with corrected labels. Only examples that "
    "are new go through the model.",
)
@click.option(
    "--with",
    "merged",
    multiple=True,
    metavar="ARTIFACT",
    help="Another artifact whose examples are added; repeatable.",
)
@click.option(
    "--drop-class", "dropped", multiple=True, metavar="NAME", help="A class to leave out; repeatable."
)
@options(fit_options(None), how_options)
@reports_errors
def refit(
    artifact: str,
    train: str | None,
    merged: tuple[str, ...],
    dropped: tuple[str, ...],
    heads: int | None,
    readout: Any,
    **rest: Any,
) -> None:
    """Make a new version of an ARTIFACT from the stored vectors of its examples, without a model or a GPU.

    `show` lists the examples that the others contradict; correct those that are wrong, and give them with
    --train. A version that learned from a corpus does so again, as long as its pilot is in the workspace.

    Example: savs-submit refit pets --train corrected.jsonl --workspace results
    """
    from jobs.refit.refit import Changes, NewExamples
    from jobs.refit.refit import refit as fit_again
    from jobs.submit.artifacts import find_artifact
    from jobs.submit.submission import make_source

    how = How.of(rest)
    ledger = ledger_of(how.workspace)
    url = find_artifact(ledger, artifact)
    rows = how.what.rows
    if train is not None:
        [examples] = bring_all(ledger.store, [train], "--train", how.what, tell)
        train, rows = examples.address, examples.rows
    source = None if train is None else make_source(train, "--train", rows)
    given = dict.fromkeys(find_artifact(ledger, one) for one in merged)
    others = tuple(one for one in given if one != url)  # or its examples would count twice
    found = fit_again(ledger, url, Changes(source, others, heads, readout, dropped))
    if isinstance(found, NewExamples):
        _read_new(ledger, url, found, source, others, dropped, how)
    else:
        _print(found, how.as_json)


def _print(found: "Refit", as_json: bool) -> None:
    from jobs.cli.output.artifacts import print_choice
    from jobs.cli.output.characters import json_text
    from jobs.submit.artifacts import read_card

    card = read_card(found.url)
    if as_json:
        fields = {"artifact": found.url, "examples": card.examples, "relabelled": found.relabelled}
        click.echo(json_text(fields | {"choice": card.choice, "suspects": card.suspects}))
        return
    click.echo(printable(f"{found.url}: {card.examples} examples, {found.relabelled} with another label"))
    print_choice(card)


def _read_new(
    ledger: Any,
    url: str,
    found: "NewExamples",
    source: "Source | None",
    others: tuple[str, ...],
    dropped: tuple[str, ...],
    how: How,
) -> None:
    """Submits a job that reads the new examples and fits all."""
    from jobs.submit.artifacts import read_card
    from jobs.submit.submission import extract_job
    from savs.errors import SettingsError

    if dropped:
        raise SettingsError(
            "--drop-class: leave the rows of the class out of --train, which has new examples"
        )
    card = read_card(url)
    click.echo(
        printable(
            f"{found.known} examples are stored; {len(found.samples)} are new and are read by {card.model}"
        ),
        err=True,
    )
    assert source is not None
    asked: dict[str, Any] = {"heads": found.heads, "readout": found.readout, "prompt": found.prompt}
    job = extract_job(
        card.name, card.model, source.url, reuse=(url, *others), **(how.job | asked | {"rows": source})
    )
    submit_and_hand(ledger, [job], how)
