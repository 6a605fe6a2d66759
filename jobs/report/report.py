"""Makes the report of a job from its commits, parts and artifact, in a few passes over its rows.

Memory does not grow with the number of rows: a report holds counts and a sample, and says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.ledger.artifacts import artifact_of
from jobs.ledger.checked_rows import Row, checked_rows
from jobs.ledger.ledger import Ledger
from jobs.ledger.reports import report_key
from jobs.records.job import ClassifySpec, Job
from jobs.reduce.comparison import compare_jobs
from jobs.report.facts import spent_on
from jobs.report.gallery import Chosen, Gallery
from jobs.report.items import examples_of, items_of, with_likelier
from jobs.report.survey import Survey
from jobs.report.thumbnails import draw_pictures
from jobs.report.timeline import timeline_of
from jobs.report.wrong_labels import Thresholds, WrongLabels, find_wrong_labels
from jobs.shards.allowed_roots import Roots
from savs.artifact.artifact import Artifact, load_artifact, load_examples
from savs.errors import ArtifactError, JobError, SavsError
from savs.storage import join

PICTURE_CHARACTERS = 7_500_000  # of all pictures; the page has at most 10 MB
WRONG_LABELS = 100  # that are shown


@dataclass(frozen=True)
class Passes:
    """What passes over the rows have found."""

    survey: Survey
    chosen: list[Chosen]
    wrong: WrongLabels


def make_report(
    ledger: Ledger, job: Job, roots: Roots, others: Sequence[Job] = (), price: float | None = None
) -> str:
    """Write the report of a classify job into its folder, and return its address.

    roots   addresses that may be read, of media and the artifact
    others  jobs on the same rows, with which this one is compared
    price   of an hour of a worker

    Raises JobError if the job is of another kind or has not ended, if its rows are not those of `others`, or
    if a library is missing.
    """
    summary = ledger.summary(job.job_id)
    if not isinstance(job.spec, ClassifySpec):
        raise JobError(f"{job.job_id} is not a classify job; only these have a report")
    if summary is None:
        raise JobError(
            f"{job.job_id} has not ended, and its report needs all rows; see: savs-submit status "
            f"{job.spec.name}"
        )
    try:
        page = _page(ledger, job, summary, roots, others, price)
    except ModuleNotFoundError as error:
        raise JobError(f"a report needs {error.name}; install it: pip install 'savs[report]'") from error
    ledger.store.write(report_key(job.job_id), page)
    return join(ledger.workspace, report_key(job.job_id))


def _page(
    ledger: Ledger, job: Job, summary: Row, roots: Roots, others: Sequence[Job], price: float | None
) -> bytes:
    from jobs.report.page import Findings, make_page

    compared = [compare_jobs(ledger, other, job) for other in others]
    artifact, found = _artifact(ledger, job, roots), _pass_over(ledger, job, summary)
    items, doubted = _items(ledger, job, roots, others, artifact, found)
    return make_page(
        Findings(
            job=job,
            summary=summary,
            artifact=artifact,
            survey=found.survey,
            items=items,
            doubted=doubted,
            wrong=found.wrong.count,
            others=[other.spec.name for other in others],
            compared=compared,
            busy=timeline_of(ledger.outcomes(job.job_id)),
            spent=spent_on(ledger, job, summary),
            price=price,
        )
    )


def _pass_over(ledger: Ledger, job: Job, summary: Row) -> Passes:
    survey, gallery, thresholds = Survey(), Gallery(summary["classes"]), Thresholds()
    for row in checked_rows(ledger, job):
        survey.add(row)
        gallery.add(row)
        thresholds.add(row)
    limits = thresholds.of_classes()
    wrong = find_wrong_labels(checked_rows(ledger, job) if limits else (), limits, WRONG_LABELS)
    return Passes(survey, gallery.rows(), wrong)


def _artifact(ledger: Ledger, job: Job, roots: Roots) -> Artifact | None:
    """Return the job's artifact, with its examples if it has them; None if there is none to read."""
    assert isinstance(job.spec, ClassifySpec)
    url = artifact_of(ledger, job.spec)
    if url is None:
        return None
    try:
        roots.check_address(url)
        try:
            return load_examples(url, roots.folders)
        except ArtifactError:
            return load_artifact(url, roots.folders)
    except SavsError:
        return None


def _items(
    ledger: Ledger, job: Job, roots: Roots, others: Sequence[Job], artifact: Artifact | None, found: Passes
) -> tuple[list[Row], list[Row]]:
    """Return the items of the gallery, and those whose label is likely wrong, as the page has them."""
    wrong = [Chosen(row, "label") for row in found.wrong.first]
    both = items_of(ledger, job, [*found.chosen, *wrong], roots, others, artifact)
    items, labels = both[: len(found.chosen)], both[len(found.chosen) :]
    examples = [] if artifact is None else examples_of(artifact, roots)
    doubted = [*examples, *with_likelier(labels, found.wrong.likely)]
    every = [*doubted, *items]
    drawn = draw_pictures([one.media for one in every], PICTURE_CHARACTERS)
    shown = [one.shown(pictures) for one, pictures in zip(every, drawn, strict=True)]
    return shown[len(doubted) :], shown[: len(doubted)]
