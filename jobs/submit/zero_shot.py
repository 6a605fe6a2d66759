"""Zero-shot jobs: their classes, and the maximum length of an answer."""

from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from jobs.plans.planner import plan_manifest
from jobs.plans.survey import Survey
from jobs.records.job import (
    MAX_CLASSES,
    MAX_FAILURE_RATE,
    ClassifySpec,
    Job,
    PromptOptions,
    RowOptions,
    Source,
    ZeroShot,
    checked_name,
)
from jobs.submit.submission import AS_TRAINED, GENERAL, make_source, new_job, resolve_model
from savs.data.formats import format_of
from savs.errors import SettingsError

Method = Literal["greedy", "constrained"]


def zero_shot_job(
    name: str,
    model: str,
    data: str,
    method: Method,
    *,
    classes: Sequence[str] = (),
    max_new_tokens: int | None = None,
    prompt: PromptOptions = AS_TRAINED,
    question: str | None = None,
    shard_size: int | None,
    batch_tokens: int | None,
    rows: RowOptions = GENERAL,
    max_failure_rate: float = MAX_FAILURE_RATE,
    note: str | None = None,
) -> Job:
    """Return a job that asks `model` about `data`. It is not written yet.

    classes         by default the labels in the manifest, which is scanned for them
    max_new_tokens  of a greedy answer; by default that of the format
    prompt          how items are shown; by default as the checkpoint was published
    question        of rows that have none

    Raises SettingsError if the classes cannot be used, and as `plan_manifest`.
    """
    source = make_source(data, "--data", rows)
    if method == "constrained" and max_new_tokens is not None:
        raise SettingsError("--max-new-tokens applies only to greedy answers: a constrained one is a class")
    if method == "greedy":
        max_new_tokens = max_new_tokens or format_of(rows.format).answer_tokens
    try:
        zero_shot = ZeroShot(
            method=method,
            classes=tuple(classes) or labels_of(source, method),
            max_new_tokens=max_new_tokens,
            prompt=prompt,
            question=question,
        )
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        option = "--question" if "question" in wrong["loc"] else "--class"
        raise SettingsError(f"{option}: {wrong['msg'].removeprefix('Value error, ')}") from error
    spec = ClassifySpec(
        name=checked_name(name),
        model=resolve_model(model),
        data=source,
        zero_shot=zero_shot,
        shard_size=shard_size,
        batch_tokens=batch_tokens,
    )
    return new_job(spec, max_failure_rate, note)


def labels_of(source: Source, method: Method) -> tuple[str, ...]:
    """Return the labels of a manifest, in order of first appearance.

    If there are more than MAX_CLASSES, return the most frequent ones for greedy answers. For constrained
    ones, raises SettingsError unless there are two to MAX_CLASSES.
    """
    survey = Survey()
    plan_manifest(source.url, None, labelled=False, reading=source.reading, survey=survey)
    labels = tuple(survey.labels)
    if method == "greedy":
        return labels if len(labels) <= MAX_CLASSES else _most_frequent(survey)
    if 2 <= len(labels) <= MAX_CLASSES:
        return labels
    number = f"more than {MAX_CLASSES}" if labels[1:] else "only one" if labels else "no"
    raise SettingsError(
        f"--data: {source.url} has {number} label{'s' if len(labels) > 1 else ''} to choose from; "
        "name the classes: --class cat --class dog"
    )


def _most_frequent(survey: Survey) -> tuple[str, ...]:
    return tuple(label for label, _ in survey.labels.most_common(MAX_CLASSES))
