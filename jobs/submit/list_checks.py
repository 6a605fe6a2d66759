"""Checks of jobs whose examples or corpora have lists of labels, before a model is loaded."""

from collections.abc import Mapping, Sequence

from jobs.plans.survey import Survey
from jobs.records.job import ClassifySpec, ExtractSpec, Job
from jobs.submit.artifacts import read_card
from jobs.submit.checks import before, corpora
from savs.errors import ArtifactNotFound, SettingsError


def check_lists(jobs: Sequence[Job], surveys: Mapping[str, Survey]) -> None:
    """Raises SettingsError if lists of labels meet a readout, an option or an artifact of one label per item,
    as far as they are known.

    surveys  by job id, of the jobs whose manifests were read
    """
    from savs.readout.decision import check_decision_of_lists

    for job in jobs:
        if isinstance(job.spec, ExtractSpec) and job.job_id in surveys:
            _check_readout(job.spec, surveys[job.job_id])
        if isinstance(job.spec, ClassifySpec) and _several(job.spec, jobs, surveys):
            check_decision_of_lists(job.spec.decision)
    for spec, survey in corpora(jobs, surveys):
        if survey.kinds.list and _several(spec, jobs, surveys) is False:
            raise SettingsError(
                f"{spec.data.url}:{survey.kinds.list}: the label is a list, and {_single(spec)} gives each "
                "item one label; write one text per row, or fit on examples with lists of labels"
            )


def _check_readout(spec: ExtractSpec, survey: Survey) -> None:
    if survey.kinds.list and spec.readout not in ("auto", "ridge"):
        raise SettingsError(
            f"--readout {spec.readout}: it gives each item one label, and the label in "
            f"{spec.train.url}:{survey.kinds.list} is a list; use --readout auto, or write one text "
            "per example"
        )


def _several(spec: ClassifySpec, jobs: Sequence[Job], surveys: Mapping[str, Survey]) -> bool | None:
    """Return whether a job gives an item several labels or none; None if it is not known yet."""
    if spec.zero_shot is not None:
        return False
    after, artifact = before(spec, jobs)
    if after is not None:
        training = surveys.get(after)
        return None if training is None else training.kinds.list > 0
    assert artifact is not None
    try:
        return read_card(artifact).multi
    except ArtifactNotFound:
        return None  # the job itself says so


def _single(spec: ClassifySpec) -> str:
    return "--zero-shot" if spec.zero_shot is not None else "the readout"
