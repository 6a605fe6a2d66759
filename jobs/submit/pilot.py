"""Puts a pilot before a classify job: it reads a sample of the corpus, from which the readout learns."""

from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec, Job, PilotSpec
from jobs.submit.submission import new_job

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
