"""Commands that check before a job is submitted: `plan`, `doctor`."""

import sys
from dataclasses import asdict
from math import isfinite
from tempfile import TemporaryDirectory
from typing import Any, Literal

import click

from jobs.cli.datasets import What, bring_all, dataset_options, tell
from jobs.cli.group import ledger_of, main, reports_errors
from jobs.cli.option_list import options
from jobs.cli.options import broker_option, json_option, shard_option, workspace_option
from jobs.cli.output.characters import json_text


@main.command(short_help="Check datasets; submit nothing.")
@click.option(
    "--train",
    multiple=True,
    metavar="DATASET",
    help="Labelled examples: a dataset as for `run`, or a folder of splits. Repeatable.",
)
@click.option("--data", metavar="DATASET", help="Corpus: a dataset as for `run`, or a folder of splits.")
@click.option("--model", default="demo", show_default=True, help="Model whose measured rate is used.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Items per second of one GPU. Default: the rate measured by earlier jobs.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of GPUs that share the work.",
)
@click.option(
    "--gpu-hour-price", type=click.FloatRange(min=0), help="Price of one GPU for an hour, in any currency."
)
@click.option("--check-media", is_flag=True, help="Check that every image and video exists.")
@click.option(
    "--keep-vectors",
    type=click.Choice(["heads", "all"]),
    help="Say how many bytes the head vectors of --data will take; needs --artifact.",
)
@click.option("--artifact", help="Artifact whose heads are counted: a folder, an s3:// address or a NAME.")
@options(dataset_options, shard_option, workspace_option, json_option)
@reports_errors
def plan(
    train: tuple[str, ...],
    data: str | None,
    model: str,
    rate: float | None,
    workers: int,
    gpu_hour_price: float | None,
    check_media: bool,
    keep_vectors: Literal["heads", "all"] | None,
    artifact: str | None,
    shard_size: int | None,
    workspace: str | None,
    as_json: bool,
    **rest: Any,
) -> None:
    """Check datasets without submitting anything: rows, five of them as the model sees them, shards, classes,
    problems, hours, cost.

    Hours and cost are estimated from --rate, or from the rate that finished jobs of the model have stored
    in the workspace.

    Example: savs-submit plan --data corpus.jsonl --model qwen2.5_vl --rate 20 --gpu-hour-price 2.5
    """
    from jobs.cli.output.estimate import print_estimate
    from jobs.settings import read_settings
    from jobs.submit.artifacts import find_artifact
    from jobs.submit.estimate import estimate, kept_bytes_per_row
    from jobs.submit.splits import manifests_of
    from jobs.submit.submission import resolve_model
    from savs.errors import SettingsError
    from savs.storage import open_store

    if not train and data is None:
        raise SettingsError("give --train, --data, or both")
    if not all(isfinite(number) for number in (rate, gpu_hour_price) if number is not None):
        raise SettingsError("--rate and --gpu-hour-price must be finite numbers")
    if (keep_vectors is None) != (artifact is None):
        raise SettingsError("--keep-vectors and --artifact need each other: an artifact says which heads")
    needs_ledger = artifact is not None or read_settings(workspace=workspace).workspace
    ledger = ledger_of(workspace) if needs_ledger else None
    keeps = None
    if ledger is not None and artifact is not None and keep_vectors is not None:
        keeps = kept_bytes_per_row(find_artifact(ledger, artifact), keep_vectors)
    what = What.take(rest)
    with TemporaryDirectory(prefix="savs-") as place:
        found = [
            estimate(
                ledger,
                each.address,
                option,
                labelled=option == "--train",
                model=resolve_model(model),
                row_options=each.rows,
                check_media=check_media,
                shard_rows=shard_size,
                rate=rate,
                workers=workers,
                gpu_hour_price=gpu_hour_price,
                keeps=keeps if option == "--data" else None,
            )
            for option, addresses in (("--train", train), ("--data", () if data is None else (data,)))
            for one in bring_all(open_store(place), addresses, option, what, tell)
            for each in one.each(manifests_of(one.address, option))
        ]
    if as_json:
        click.echo(json_text([asdict(one) for one in found]))
    else:
        for one in found:
            print_estimate(one)
    sys.exit(2 if any(one.refused for one in found) else 0)


@main.command(short_help="Check workspace, broker and workers.")
@click.option("--model", help="Model whose workers are checked.")
@click.option("--data", "addresses", multiple=True, metavar="FILE", help="Manifest to check; repeatable.")
@options(workspace_option, broker_option, json_option)
@reports_errors
def doctor(
    model: str | None, addresses: tuple[str, ...], workspace: str | None, broker: str | None, as_json: bool
) -> None:
    """Check the workspace, the broker and the workers.

    Prints a line per check: OK, WARN or FAIL. The exit code is 1 if a check fails.

    Example: savs-submit doctor --model qwen2.5_vl --data s3://bucket/corpus.jsonl
    """
    from jobs.cli.doctor_checks import diagnose
    from jobs.cli.output.finding import print_finding
    from jobs.settings import broker_of, workspace_of
    from jobs.submit.submission import resolve_model

    place, url = workspace_of(workspace), broker_of(broker)
    wrong = False
    for finding in diagnose(place, url, model and resolve_model(model), list(addresses)):
        wrong = wrong or finding.state == "wrong"
        if as_json:
            click.echo(json_text(asdict(finding), None))
        else:
            print_finding(finding)
    sys.exit(1 if wrong else 0)
