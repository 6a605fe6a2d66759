"""Commands that submit jobs: `run`, `extract`, `classify`."""

from typing import Any, Literal

import click

from jobs.cli.datasets import bring_all, tell
from jobs.cli.group import ledger_of, main, reports_errors
from jobs.cli.handoff import submit_and_hand
from jobs.cli.option_list import options
from jobs.cli.options import (
    How,
    data_option,
    decision_of,
    decision_options,
    fit_options,
    how_options,
    keep_option,
    model_option,
    name_option,
    notify_option,
    prompt_of,
    prompt_options,
    report_option,
    train_option,
)
from jobs.cli.output.characters import printable


@main.command()
@click.option(
    "--train",
    multiple=True,
    metavar="DATASET",
    help="Labelled examples: a file, a folder with one folder per class, or a folder of splits. Repeatable: "
    "each is a task of its own on the same corpus.",
)
@click.option("--data", metavar="DATASET", help="Corpus to label: a file, a folder, or a folder of splits.")
@click.option(
    "--split",
    "splits",
    nargs=3,
    multiple=True,
    metavar="NAME TRAIN DATA",
    help="A split, with an artifact of its own, instead of --train and --data; repeatable.",
)
@options(
    *(name_option, model_option, fit_options(), decision_options, keep_option, prompt_options),
    report_option,
    how_options,
    notify_option,
)
@reports_errors
def run(
    train: tuple[str, ...],
    data: str | None,
    splits: tuple[tuple[str, str, str], ...],
    name: str,
    model: str,
    heads: int | None,
    readout: str,
    keep_vectors: Literal["heads", "all"] | None,
    **rest: Any,
) -> None:
    """Fit on --train, then label --data.

    Before the corpus is labelled, a pilot reads up to 800 of its rows, and the readout learns from them.
    These rows are not read again.

    --train and --data are JSONL, CSV, Parquet, tars, or folders of images and videos. Several --train files
    share one pass through the corpus, after a pilot each; NAME.<file> is fitted and labelled for each.

    If both are folders of JSONL or JSON files, each pair of files with the same name is a split: NAME.<split>
    is fitted and labelled for each, and a table of all splits is printed at the end.

    Example: savs-submit run --train train.jsonl --data corpus.jsonl --model demo
    --workspace results --name pets
    """
    from jobs.records.job import RowOptions
    from jobs.submit.checks import check_model
    from jobs.submit.splits import Split, splits_of, stems_of, tasks_of
    from jobs.submit.steps import LEARNING, jobs_of_run
    from savs.errors import SettingsError

    prompt, decision = prompt_of(rest), decision_of(rest)
    how = How.of(rest)
    ledger = ledger_of(how.workspace)
    check_model(model)
    if decision.needs_corpus and readout not in LEARNING:
        raise SettingsError(f"--target-precision and --prior estimated need --readout auto, not {readout}")
    rows: dict[str, RowOptions] = {}

    def bring(address: str, option: str) -> str:
        [found] = bring_all(ledger.store, [address], option, how.what, tell)
        rows[found.address] = found.rows
        return found.address

    stems = stems_of(train, "--train") if len(train) > 1 and not splits else []
    if not splits:  # each of these may become a file; splits are checked first
        train, data = tuple(bring(one, "--train") for one in train), data and bring(data, "--data")
    parts = tasks_of(stems, train, data) if stems else splits_of(next(iter(train), None), data, splits)
    if splits:
        parts = [Split(p.name, bring(p.train, "--train"), bring(p.data, "--data")) for p in parts]
    rows |= {url: how.what.rows for part in parts for url in (part.train, part.data) if url not in rows}
    fit = how.job | {"heads": heads, "readout": readout, "prompt": prompt}
    label = how.job | {"decision": decision, "keep_vectors": keep_vectors}
    jobs = jobs_of_run(ledger, name, model, parts, bool(stems), rows, fit, label)
    submit_and_hand(ledger, jobs, how)


@main.command()
@options(train_option, name_option, model_option, fit_options(), prompt_options, how_options, notify_option)
@reports_errors
def extract(
    train: tuple[str, ...], name: str, model: str, heads: int | None, readout: str, **rest: Any
) -> None:
    """Fit an artifact on labelled examples.

    Several --train files on the same media share one pass through the model; NAME.<file> is fitted on each.

    Example: savs-submit extract --train train.jsonl --model demo --workspace results --name pets
    """
    from jobs.shards.companions import join_jobs
    from jobs.submit.checks import check_model
    from jobs.submit.splits import stems_of
    from jobs.submit.submission import extract_job

    prompt, how = prompt_of(rest), How.of(rest)
    ledger = ledger_of(how.workspace)
    check_model(model)
    common = {**how.job, "heads": heads, "readout": readout, "prompt": prompt}
    stems = stems_of(train, "--train") if len(train) > 1 else [None]
    brought = bring_all(ledger.store, train, "--train", how.what, tell)
    jobs = [
        extract_job(name, model, one.address, split=stem, **(common | {"rows": one.rows}))
        for one, stem in zip(brought, stems, strict=True)
    ]
    submit_and_hand(ledger, join_jobs(jobs), how)


zero_shot_options = options(
    click.option(
        "--zero-shot",
        type=click.Choice(["greedy", "constrained"]),
        is_flag=False,
        flag_value="greedy",
        metavar="[greedy|constrained]",
        help="Label without an artifact: by the text that the model generates (greedy, the default), or by "
        "the most likely class (constrained).",
    ),
    click.option(
        "--class",
        "classes",
        multiple=True,
        metavar="NAME",
        help="With --zero-shot: a class; repeatable. Default: the labels in --data.",
    ),
    click.option(
        "--max-new-tokens",
        type=click.IntRange(min=1),
        help="With --zero-shot greedy: maximum tokens of an answer. Default: 32, or 1 to 16 if the format "
        "has short answers.",
    ),
)


@main.command(short_help="Label a corpus with an artifact, or without one.")
@options(data_option, name_option)
@click.option(
    "--artifact",
    "artifacts",
    multiple=True,
    help="Artifact: a folder, an s3:// address, NAME or NAME/VERSION; repeatable.",
)
@click.option(
    "--model",
    help="Model: a folder, an alias (demo, llava_ov, …) or a hub id. Default: the artifact's model.",
)
@click.option(
    "--adapt",
    is_flag=True,
    help="First read up to 800 rows of the corpus, and fit the artifact's examples again with them.",
)
@options(
    zero_shot_options,
    decision_options,
    keep_option,
    prompt_options,
    report_option,
    how_options,
    notify_option,
)
@reports_errors
def classify(
    data: str,
    name: str,
    artifacts: tuple[str, ...],
    model: str | None,
    adapt: bool,
    zero_shot: Literal["greedy", "constrained"] | None,
    classes: tuple[str, ...],
    max_new_tokens: int | None,
    keep_vectors: Literal["heads", "all"] | None,
    **rest: Any,
) -> None:
    """Label a corpus with an artifact, or with --zero-shot by asking the model directly.

    Several artifacts share one pass through the model: each has a job NAME.<artifact>, and `results NAME`
    has a row per item and artifact.

    Example: savs-submit classify --data corpus.jsonl --artifact pets --workspace results
    --name pets-monday
    """
    from jobs.submit.artifacts import find_artifact
    from jobs.submit.checks import check_model
    from jobs.submit.steps import with_pilot
    from jobs.submit.submission import AS_FITTED, AS_TRAINED, classify_jobs
    from jobs.submit.zero_shot import zero_shot_job
    from savs.errors import SettingsError

    prompt, decision = prompt_of(rest), decision_of(rest)
    how = How.of(rest)
    ledger = ledger_of(how.workspace)
    if decision != AS_FITTED and zero_shot is not None:
        raise SettingsError("--abstain-below, --target-precision and --prior are not for --zero-shot")
    if keep_vectors is not None and zero_shot is not None:
        raise SettingsError(
            "--keep-vectors is not for --zero-shot, which reads no head vectors to keep; label with "
            "--artifact to keep them"
        )
    if decision.needs_corpus and not adapt:
        raise SettingsError("--target-precision and --prior estimated need rows of the corpus: add --adapt")
    if adapt and len(artifacts) != 1:
        raise SettingsError("--adapt needs exactly one --artifact, whose examples are fitted again")
    if zero_shot is not None:
        if artifacts:
            raise SettingsError("--artifact and --zero-shot cannot be combined; give one of them")
        if model is None:
            raise SettingsError(
                "--zero-shot needs --model: a folder, an alias (demo, llava_ov, …) or a hub id"
            )
        check_model(model)
        [corpus] = bring_all(ledger.store, [data], "--data", how.what, tell)
        rows = corpus.rows.model_copy(update={"question": None})  # which is in the spec
        asked: dict[str, Any] = {"classes": classes, "max_new_tokens": max_new_tokens, "prompt": prompt}
        asked |= {"rows": rows, "question": how.what.question}
        jobs = [zero_shot_job(name, model, corpus.address, zero_shot, **(how.job | asked))]
    elif not artifacts:
        raise SettingsError("give --artifact NAME, or --zero-shot to ask the model directly")
    elif classes or max_new_tokens:
        option = "--class" if classes else "--max-new-tokens"
        raise SettingsError(f"{option} is only for --zero-shot")
    elif prompt != AS_TRAINED:
        raise SettingsError(
            "--frames, --fps, --min-pixels and --max-pixels are only for --zero-shot: an artifact stores "
            "how items are shown"
        )
    else:
        found = [find_artifact(ledger, artifact) for artifact in artifacts]
        for given, url in zip(artifacts, found, strict=True):
            if given != url:
                click.echo(printable(f"artifact {given}: {url}"), err=True)
        [corpus] = bring_all(ledger.store, [data], "--data", how.what, tell)
        label = {"decision": decision, "keep_vectors": keep_vectors, "rows": corpus.rows}
        jobs = classify_jobs(name, model, corpus.address, found, **(how.job | label))
        check_model(jobs[0].spec.model)
        if adapt:
            jobs = with_pilot(ledger, jobs[0])
    submit_and_hand(ledger, jobs, how)
