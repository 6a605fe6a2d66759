"""Tells an address that a job has ended (`--notify`): JSON with the headline of its summary, once per end.

Done by the process that ends the job: that reduces it, gives up its planning, or stops it because its first
rows failed. Whatever fails is logged: the job has ended all the same.
"""

import json
import logging
from typing import Any
from urllib.parse import urlsplit

from jobs.ledger.ledger import Ledger
from jobs.ledger.notifications import claim_notification, forget_notification, wanted_notification
from jobs.ledger.reports import report_key
from jobs.records.job import Job
from jobs.reduce.status import job_state
from jobs.settings import read_settings
from savs.data.web import is_public
from savs.data.web_post import post, why_not_postable
from savs.errors import ForbiddenMedia, SettingsError
from savs.storage import join

log = logging.getLogger("savs.notify")


def notify_end(ledger: Ledger, job: Job) -> None:
    """Tells the address of --notify that the job has ended, if it has and there is one. Takes at most 20 s,
    and the time that the system needs to resolve a name."""
    try:
        _notify(ledger, job)
    except ForbiddenMedia:
        log.warning(
            "nobody was told of the end of %s: the address of --notify is not on the public internet; to "
            "allow its host, name it in this process's SAVS_NOTIFY_HOSTS",
            job.job_id,
        )
    except Exception as error:  # nothing about it may cost the job
        log.warning("nobody was told of the end of %s: %s: %s", job.job_id, type(error).__name__, error)


def _notify(ledger: Ledger, job: Job) -> None:
    wanted = wanted_notification(ledger, job.job_id)
    if wanted is None or (headline := headline_of(ledger, job)) is None:
        return
    if not claim_notification(ledger, job.job_id, wanted):
        return
    forget_notification(ledger, job.job_id)
    if (why := why_not_postable(wanted.url)) is not None:  # whoever writes to the workspace wrote it
        raise SettingsError(f"the address of --notify: {why}")
    allowed = (lambda place: True) if is_allowed(wanted.url, read_settings().notify_hosts) else is_public
    post(wanted.url, json.dumps(headline, ensure_ascii=False).encode(), allowed=allowed)


def is_allowed(url: str, hosts: str) -> bool:
    """Whether the host of `url` is one of `hosts`: names or IP addresses, separated by spaces, with a port or
    without."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    bare = f"[{host}]" if ":" in host else host
    return any(one in (host, bare, f"{bare}:{port}") for one in hosts.lower().split())


def headline_of(ledger: Ledger, job: Job) -> dict[str, Any] | None:
    """What is told of a job that has ended; of one that was stopped because its first rows failed, its counts
    until then. None if it has not ended, or was cancelled by a user."""
    summary = ledger.summary(job.job_id)
    brake = ledger.is_judged(job.job_id) and ledger.why_cancelled(job.job_id) is not None
    stopped = summary is None and brake
    if summary is None and not stopped:
        return None
    state = job_state(ledger, job)
    abstained = state.get("abstained", 0)
    headline = {
        "schema_version": 1,
        "job_id": job.job_id,
        "name": job.spec.name,
        "kind": job.spec.kind,
        "status": "stopped" if stopped else state["status"],
        "rows": state["rows_done"],
        "labelled": state["rows_done"] - state["failed"] - abstained,
        "abstained": abstained,
        "failed": state["failed"],
        "workspace": ledger.workspace,
    }
    if summary is not None:
        headline["labelled"] = summary["labelled"]
    if state["accuracy"] is not None:
        headline["accuracy"] = state["accuracy"]
    if ledger.store.exists(key := report_key(job.job_id)):
        headline["report"] = join(ledger.workspace, key)
    return headline
