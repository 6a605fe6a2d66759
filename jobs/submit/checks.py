"""What is known of a request before a job is written: about its model, its artifact and its questions."""

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.paths import check_path
from jobs.plans.label_checks import quoted
from jobs.plans.survey import Survey
from jobs.records.job import AnySpec, ClassifySpec, ExtractSpec, Job, PilotSpec
from jobs.submit.artifacts import read_card
from savs.errors import ArtifactMismatch, ArtifactNotFound, ModelNotFound, SettingsError
from savs.model.checkpoint import ALIASES, is_hub_id
from savs.model.fingerprint import fingerprint

if TYPE_CHECKING:
    from savs.model.model import Model

LABELS_SHOWN = 5
TEXT_CONFIGS = ("text_config", "llm_config", "language_config")  # in a checkpoint's config.json


def check_model(model: str) -> None:
    """Raises ModelNotFound if `model` cannot be a checkpoint. Loads nothing and uses no network."""
    if model in ALIASES or folder_of(model) is not None or is_hub_id(model):
        return
    raise ModelNotFound(
        f"--model: {model!r} is not a folder with a config.json, a hub id (owner/name), "
        f"or an alias ({', '.join(ALIASES)})"
    )


def folder_of(model: str) -> Path | None:
    """Return the model's folder on this machine; None if it is on the hub."""
    folder = Path(ALIASES.get(model, model))
    return folder if check_path((folder / "config.json").is_file) else None


def check_spec(spec: AnySpec) -> None:
    """Raises as `check_against_model`, as far as files on this machine tell, and ArtifactMismatch if the
    artifact of a pilot cannot be fitted again. Loads no model."""
    if isinstance(spec, PilotSpec) and spec.after is None:
        _check_stored(spec.artifact)
    folder = folder_of(spec.model)
    if folder is None:
        return
    if isinstance(spec, ExtractSpec):
        has = _heads_of(folder)
        if has is not None and spec.heads is not None and spec.heads > has:
            raise _too_many_heads(spec, has)
    elif spec.artifact is not None and spec.after is None:
        card = read_card(spec.artifact)
        # A model of the same name is compared by the worker: hashing a large one may take a minute.
        if card.model != spec.model and card.fingerprint != fingerprint(folder):
            raise ArtifactMismatch(
                f"artifact {card.name!r} was made with {card.model}, and --model is {spec.model}; leave out "
                "--model, or extract again with this one"
            )


def _check_stored(artifact: str) -> None:
    card = read_card(artifact)
    if not card.stored:
        raise ArtifactMismatch(
            f"--adapt: artifact {card.name!r} was made by an earlier savs, which stored no vectors of its "
            "examples; extract it again, or leave out --adapt"
        )


def check_against_model(spec: AnySpec, model: "Model") -> None:
    """Raises SettingsError if the model has fewer heads than a job asks for, and ArtifactMismatch if
    another one made the job's artifact."""
    if isinstance(spec, ExtractSpec):
        has = len(model.layout.heads())
        if spec.heads is not None and spec.heads > has:
            raise _too_many_heads(spec, has)
    elif spec.artifact is not None and spec.after is None:
        from savs.artifact.artifact import load_artifact

        load_artifact(spec.artifact).prepared(model)


def _too_many_heads(spec: ExtractSpec, has: int) -> SettingsError:
    return SettingsError(f"--heads: {spec.heads} were asked for, and {spec.model} has {has}")


def _heads_of(folder: Path) -> int | None:
    """Return layers × heads of a checkpoint's config; None if it does not say."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        text = next((config[name] for name in TEXT_CONFIGS if name in config), config)
        return int(text["num_hidden_layers"]) * int(text["num_attention_heads"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def before(spec: ClassifySpec, jobs: Sequence[Job]) -> tuple[str | None, str | None]:
    """Return the job that reads the examples of a classify job, if it is among `jobs`, and the artifact that
    they come from: a pilot between them has neither examples nor classes of its own."""
    for job in jobs:
        if job.job_id == spec.after and isinstance(job.spec, PilotSpec):
            return job.spec.after, job.spec.artifact
    return spec.after, spec.artifact


def check_questions(jobs: Sequence[Job], surveys: Mapping[str, Survey], tell: Callable[[str], None]) -> None:
    """Raises SettingsError if no row of a corpus has a question and its artifact, or the job that makes
    it, has none to give. If only some rows lack one, `tell` is called.

    surveys  by job id, of the jobs whose manifests were read
    """
    for spec, survey in corpora(jobs, surveys):
        if not survey.unasked:
            continue
        several = _why_no_question(spec, jobs, surveys)
        if several is None:
            continue
        where = spec.data.url
        if survey.unasked == survey.good_rows:
            raise SettingsError(
                f"{where}: no row has a question, and {several}; add a 'question' to each row"
            )
        tell(f"{where}: {survey.unasked} of {survey.rows} rows have no question and will fail; {several}")


def check_labels(jobs: Sequence[Job], surveys: Mapping[str, Survey], tell: Callable[[str], None]) -> None:
    """Calls `tell` for each warning about labels of examples (`jobs.plans.label_checks`), and if labels of a
    corpus are not classes that its job can predict: their rows will count as wrong. The arguments are those
    of `check_questions`."""
    found = [
        warning
        for job in jobs
        if job.job_id in surveys
        for warning in surveys[job.job_id].label_warnings(job.spec.source.url)
    ]
    for warning in dict.fromkeys(found):  # jobs may share a manifest
        tell(warning)
    for spec, survey in corpora(jobs, surveys):
        classes = _classes(spec, jobs, surveys)
        if classes is None:
            continue
        other = [label for label in survey.labels if label not in classes]
        if other:
            rows = sum(survey.labels[label] for label in other)
            shown = ", ".join(map(quoted, other[:LABELS_SHOWN])) + (", …" if other[LABELS_SHOWN:] else "")
            if survey.kinds.list:
                tell(
                    f"{spec.data.url}: {len(other)} of its {len(survey.labels)} labels are none that the "
                    f"examples have, so they will count as missed: {shown}"
                )
                continue
            tell(
                f"{spec.data.url}: the labels of {rows} of {survey.rows} rows are not classes, so the rows "
                f"will count as wrong: {shown}"
            )


def check_decisions(jobs: Sequence[Job], surveys: Mapping[str, Survey]) -> None:
    """Raises SettingsError if a decision of a classify job does not fit the classes or the readout of its
    artifact, as far as they are known. The arguments are those of `check_questions`."""
    from savs.readout.decision import Decision, check_decision

    for job in jobs:
        spec = job.spec
        if not isinstance(spec, ClassifySpec) or spec.zero_shot is not None or spec.decision == Decision():
            continue
        after, artifact = before(spec, jobs)
        if after is not None:
            known = surveys.get(after)
            if known is not None and len(known.labels) < Survey.MAX_LABELS:
                [asked] = [
                    one.spec.readout
                    for one in jobs
                    if isinstance(one.spec, ExtractSpec) and one.job_id == after
                ]
                check_decision(spec.decision, known.labels, _votes(asked, known.labels))
            continue
        assert artifact is not None
        try:
            card = read_card(artifact)
        except ArtifactNotFound:
            continue  # the job itself says so
        chosen = "reference" if card.choice is None else card.choice["chosen"]
        check_decision(spec.decision, card.classes, _votes("auto" if spec.after else chosen, card.classes))


def _votes(asked: str, examples: Mapping[str, int]) -> bool:
    """Return whether a readout that is asked for is a vote on these numbers of examples per class."""
    from savs.readout.choice import LEAST_EXAMPLES

    few = sum(examples.values()) < LEAST_EXAMPLES * len(examples)
    return asked == "reference" or (asked == "auto" and few)


def corpora(jobs: Sequence[Job], surveys: Mapping[str, Survey]) -> Iterator[tuple[ClassifySpec, Survey]]:
    """Yield the classify jobs among `jobs` whose corpus was read, with what was found in it."""
    for job in jobs:
        if isinstance(job.spec, ClassifySpec) and job.job_id in surveys:
            yield job.spec, surveys[job.job_id]


def _classes(spec: ClassifySpec, jobs: Sequence[Job], surveys: Mapping[str, Survey]) -> Container[str] | None:
    """Return the classes that a job can predict; None if they are not known yet."""
    if spec.zero_shot is not None:
        return spec.zero_shot.classes
    after, artifact = before(spec, jobs)
    if after is not None:
        training = surveys.get(after)
        return training.labels if training is not None else None
    assert artifact is not None
    try:
        return read_card(artifact).classes
    except ArtifactNotFound:
        return None  # the job itself says so


def _why_no_question(spec: ClassifySpec, jobs: Sequence[Job], surveys: Mapping[str, Survey]) -> str | None:
    """Return why rows without a question cannot be asked; None if they can, or if it is not known yet."""
    if spec.zero_shot is not None:
        return None if spec.zero_shot.question else "--zero-shot without --question needs one in each row"
    after, artifact = before(spec, jobs)
    if after is not None:
        training = surveys.get(after)
        if training is None or len(training.questions) < 2:
            return None
        return f"its training rows have several: {', '.join(map(repr, training.questions))}, …"
    assert artifact is not None
    try:
        card = read_card(artifact)
    except ArtifactNotFound:
        return None  # the job itself says so
    return None if card.question else f"artifact {card.name!r} was fitted on several"
