"""Jobs as users name them: by the name they were submitted under, that of a split or task, or an id."""

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.ledger.ledger import Ledger
    from jobs.records.job import Job


def jobs_of(ledger: "Ledger", name: str) -> "list[Job]":
    """All jobs of a name and its splits, or the one with that id. Raises JobNotFound, which lists the
    existing names, and says which of them is near."""
    from savs.errors import JobNotFound

    jobs = ledger.jobs(name)
    if not jobs:
        known = sorted({job_id.rsplit("-", 2)[0] for job_id in ledger.job_ids()})
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise JobNotFound(
            f"no job {name!r} in {ledger.workspace}; {hint}it has {', '.join(known) or 'no jobs'}"
        )
    return jobs


def newest_of(ledger: "Ledger", name: str) -> "list[Job]":
    """The newest job of each kind of a name, if there are any, per split."""
    from jobs.records.job import KINDS

    newest: dict[tuple[str, str], Job] = {
        (job.spec.name, job.spec.kind): job for job in jobs_of(ledger, name)
    }
    names = dict.fromkeys(name for name, _ in newest)
    return [newest[one, kind] for one in names for kind in KINDS if (one, kind) in newest]


def labelled_of(ledger: "Ledger", name: str) -> "list[Job]":
    """The newest classify job of a name, or of each of its splits. Raises JobNotFound if there is none."""
    from savs.errors import JobNotFound

    found = [job for job in newest_of(ledger, name) if job.spec.kind == "classify"]
    if not found:
        kinds = ", ".join(sorted({job.spec.kind for job in jobs_of(ledger, name)}))
        raise JobNotFound(f"{name!r} has no job that labels a corpus in {ledger.workspace}, only: {kinds}")
    return found


def only_labelled(ledger: "Ledger", name: str) -> "Job":
    """The newest classify job of a name. Raises JobNotFound if there is none, and SettingsError, which lists
    them, if its splits have several."""
    from savs.errors import SettingsError

    jobs = labelled_of(ledger, name)
    if len(jobs) > 1:
        raise SettingsError(
            f"{name} has several splits; give one of them: {', '.join(job.spec.name for job in jobs)}"
        )
    return jobs[0]
