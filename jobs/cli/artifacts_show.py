"""Commands that show artifacts: `artifacts`, `show`."""

import sys
from dataclasses import asdict
from typing import Any

import click

from jobs.cli.group import ledger_of, main, reports_errors
from jobs.cli.option_list import options
from jobs.cli.options import json_option, workspace_option
from jobs.cli.output.characters import json_text, printable


def complete_artifact(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names of artifacts for shell completion; none if the workspace cannot be read."""
    from jobs.settings import set_up_environment
    from savs.errors import SavsError

    try:
        set_up_environment()
        names = list(ledger_of(context.params.get("workspace")).store.folders("artifacts"))
    except SavsError:
        return []
    return [name for name in names if name.startswith(begun)]


@main.command()
@options(workspace_option, json_option)
@reports_errors
def artifacts(workspace: str | None, as_json: bool) -> None:
    """List the artifacts of the workspace: their model, their date, how good they are, and their use.

    Those that cannot be read are named on standard error, and the exit code is then 1.

    Example: savs-submit artifacts --workspace results
    """
    from jobs.cli.output.artifacts import print_artifacts
    from jobs.reduce.uses import place, uses_of_artifacts
    from jobs.submit.artifacts import artifact_cards
    from savs.errors import SavsError

    ledger = ledger_of(workspace)
    found = list(artifact_cards(ledger))
    cards = [card for card in found if not isinstance(card, SavsError)]
    uses = uses_of_artifacts(ledger) if cards else {}
    if as_json:
        shown = [_described(card) | {"uses": _plain(uses.get(place(card.url), []))} for card in cards]
        click.echo(json_text(shown))
    elif found:
        print_artifacts(cards, uses)
    else:
        click.echo("no artifacts")
    unreadable = [error for error in found if isinstance(error, SavsError)]
    for error in unreadable:
        click.echo(printable(f"savs-submit: {error}"), err=True)
    if unreadable:
        sys.exit(1)


artifact_argument = click.argument("artifact", shell_complete=complete_artifact)


@main.command(short_help="Show an artifact: its readout, doubtful examples, and use.")
@artifact_argument
@options(workspace_option, json_option)
@reports_errors
def show(artifact: str, workspace: str | None, as_json: bool) -> None:
    """Show an ARTIFACT: its model, classes and question, its readout and why it was chosen, examples that the
    others contradict, its heads, and the jobs that use it.

    ARTIFACT is NAME (its newest version), NAME/VERSION, a folder, or an s3:// address.

    Example: savs-submit show pets --workspace results
    """
    from jobs.cli.output.artifacts import print_artifact
    from jobs.reduce.uses import place, uses_of_artifacts
    from jobs.submit.artifacts import find_artifact, read_card, read_digest, read_heads

    ledger = ledger_of(workspace)
    card = read_card(find_artifact(ledger, artifact))
    digest = read_digest(card)
    heads, uses = read_heads(card), uses_of_artifacts(ledger).get(place(card.url), [])
    if as_json:
        shown = _described(card) | {
            "digest": digest,
            "heads": [asdict(head) for head in heads],
            "uses": _plain(uses),
        }
        click.echo(json_text(shown))
    else:
        print_artifact(card, digest, heads, uses)


def _described(card: Any) -> dict[str, Any]:
    described = asdict(card) | {"created": card.created.isoformat()}
    described.pop("scores")
    return described


def _plain(uses: Any) -> list[dict[str, Any]]:
    return [asdict(use) | {"submitted": use.submitted.isoformat()} for use in uses]
