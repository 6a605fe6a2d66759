"""Commands that put work on its way: `run`, `extract`, `classify`."""

from typing import Any

import click

from jobs.cli.group import (
    How,
    data_option,
    fit_options,
    how_options,
    ledger_of,
    main,
    model_option,
    name_option,
    options,
    prompt_of,
    prompt_options,
    reports_errors,
    train_option,
)
from jobs.cli.handing import submit_and_hand


@main.command()
@options(train_option, data_option, name_option, model_option, fit_options, prompt_options, how_options)
@reports_errors
def run(train: str, data: str, name: str, model: str, heads: int, readout: str, **rest: Any) -> None:
    """Fit on --train, then label --data.

    Example: savs-submit run --train train.jsonl --data corpus.jsonl --model demo
    --workspace results --name pets
    """
    from jobs.submitting import check_model, classify_job, extract_job

    prompt, how = prompt_of(rest), How(**rest)
    ledger = ledger_of(how.workspace)
    check_model(model)
    first = extract_job(name, model, train, heads=heads, readout=readout, prompt=prompt, **how.job)
    artifact = ledger.artifact_url(name, first.job_id)
    second = classify_job(name, model, data, artifact, after=first.job_id, **how.job)
    submit_and_hand(ledger, [first, second], how)


@main.command()
@options(train_option, name_option, model_option, fit_options, prompt_options, how_options)
@reports_errors
def extract(train: str, name: str, model: str, heads: int, readout: str, **rest: Any) -> None:
    """Fit an artifact on labelled examples.

    Example: savs-submit extract --train train.jsonl --model demo --workspace results --name pets
    """
    from jobs.submitting import check_model, extract_job

    prompt, how = prompt_of(rest), How(**rest)
    ledger = ledger_of(how.workspace)
    check_model(model)
    job = extract_job(name, model, train, heads=heads, readout=readout, prompt=prompt, **how.job)
    submit_and_hand(ledger, [job], how)


@main.command()
@options(data_option, name_option)
@click.option("--artifact", required=True, help="A folder, s3:// address, NAME or NAME/VERSION.")
@click.option("--model", help="By default the model that made the artifact.")
@options(how_options)
@reports_errors
def classify(data: str, name: str, artifact: str, model: str | None, **rest: Any) -> None:
    """Label a corpus with an artifact.

    Example: savs-submit classify --data corpus.jsonl --artifact pets --workspace results
    --name pets-monday
    """
    from jobs.submitting import artifact_model, check_model, classify_job, find_artifact

    how = How(**rest)
    ledger = ledger_of(how.workspace)
    found = find_artifact(ledger, artifact)
    model = model or artifact_model(found)
    check_model(model)
    submit_and_hand(ledger, [classify_job(name, model, data, found, **how.job)], how)
