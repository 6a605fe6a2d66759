"""Where the artifact of a job is now: the workspace may have been moved or copied since its submission."""

from jobs.ledger.ledger import Ledger
from jobs.records.job import NAME, VERSION, ClassifySpec, ExtractSpec, Job, PilotSpec


def artifact_of(ledger: Ledger, spec: ClassifySpec | PilotSpec) -> str | None:
    """Return the address of the artifact that a job uses; None for a zero-shot job.

    A spec holds an absolute address, and its hash is the job's id, so it never changes. If the address is
    that of an artifact in a workspace, `…/artifacts/<name>/<version>`, the artifact of this name and version
    in the present workspace is used, if there is one or will be one. A version is the id of the job that
    made it, so this is the same artifact.
    """
    if spec.artifact is None:
        return None
    folder, *called = ["", "", "", *spec.artifact.rstrip("/").split("/")][-3:]
    if folder != "artifacts" or not (NAME.fullmatch(called[0]) and VERSION.fullmatch(called[1])):
        return spec.artifact
    here = ledger.artifact_url(*called)
    if here == spec.artifact or spec.after == called[1]:
        return here
    return here if ledger.store.exists(f"artifacts/{'/'.join(called)}/manifest.json") else spec.artifact


def located(ledger: Ledger, job: Job) -> Job:
    """Return `job` with the present address of its artifact. Its id remains that of the job as submitted."""
    if isinstance(job.spec, ExtractSpec) or job.spec.artifact is None:
        return job
    found = artifact_of(ledger, job.spec)
    if found == job.spec.artifact:
        return job
    return job.model_copy(update={"spec": job.spec.model_copy(update={"artifact": found})})
