"""The jobs of a run: they read the examples; a pilot reads a sample of the corpus, from which the readout
learns; then the corpus is labelled."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec, Job, PilotSpec, RowOptions
from jobs.shards.companions import join_jobs
from jobs.submit.splits import Split
from jobs.submit.submission import GENERAL, classify_job, extract_job, new_job

LEARNING = ("auto", "corpus")  # those that learn from a corpus


def with_pilot(ledger: Ledger, job: Job) -> list[Job]:
    """Return a pilot for the corpus of a classify job that is not written yet, and the job, which now waits
    for the pilot and labels with the artifact that it makes."""
    spec = job.spec
    assert isinstance(spec, ClassifySpec) and spec.artifact is not None
    same = ("name", "split", "model", "data", "after", "batch_tokens", "decision")
    pilot = new_job(
        PilotSpec(artifact=spec.artifact, **{name: getattr(spec, name) for name in same}),
        job.max_failure_rate,
        job.note,
    )
    artifact = ledger.artifact_url(pilot.spec.name, pilot.job_id)
    later = spec.model_copy(update={"artifact": artifact, "after": pilot.job_id})
    return [pilot, new_job(later, job.max_failure_rate, job.note)]


def jobs_of_run(
    ledger: Ledger,
    name: str,
    model: str,
    parts: Sequence[Split],
    together: bool,
    rows: Mapping[str, RowOptions],
    fit: dict[str, Any],
    label: dict[str, Any],
) -> list[Job]:
    """Return the jobs that fit on the examples of each part and label its corpus. They are not written yet.

    together    whether the parts are tasks of one corpus, which share a pass through the model
    rows        how the rows at an address are read
    fit, label  arguments of `extract_job` and of `classify_job`
    """

    def fitted(part: Split) -> Job:
        return extract_job(
            name, model, part.train, split=part.name, **(fit | {"rows": rows.get(part.train, GENERAL)})
        )

    def labelled(part: Split, job: Job) -> list[Job]:
        artifact = ledger.artifact_url(job.spec.name, job.job_id)
        own = {"after": job.job_id, "split": part.name, "rows": rows.get(part.data, GENERAL)}
        later = classify_job(name, model, part.data, artifact, **(label | own))
        return with_pilot(ledger, later) if fit["readout"] in LEARNING else [later]

    if not together:  # one after the other, also in lists, which are sorted by time
        return [one for part in parts for job in [fitted(part)] for one in (job, *labelled(part, job))]
    first = join_jobs([fitted(part) for part in parts])
    later = [labelled(part, job) for part, job in zip(parts, first, strict=True)]
    pilots = [pilot for *before, _ in later for pilot in before]
    return [*first, *pilots, *join_jobs([labelling for *_, labelling in later])]
