"""The report of a job that has ended, made by who has reduced it."""

import logging

from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec, Job
from jobs.report.report import make_report
from jobs.settings import read_settings
from jobs.shards.allowed_roots import Roots

log = logging.getLogger("savs.report")


def report_on(ledger: Ledger, job: Job, roots: Roots | None) -> None:
    """Write the report of a job that was reduced, if it wants one. Whatever fails is logged: the job is done
    all the same.

    roots  addresses that may be read; None allows all but the web
    """
    if not job.report or not isinstance(job.spec, ClassifySpec) or ledger.summary(job.job_id) is None:
        return
    try:
        make_report(ledger, job, roots or Roots.everywhere(), price=read_settings().gpu_hour_price)
    except Exception as error:
        log.warning(
            "%s has no report: %s: %s; to try again: savs-submit report %s",
            *(job.job_id, type(error).__name__, error, job.spec.name),
        )
