"""Whom to tell of the end of a job: written by who submits it, used by who ends it."""

import uuid

from jobs.ledger.ledger import Ledger
from jobs.records.notification import Notification
from jobs.records.record import parse
from savs.errors import NotFound


def ask_to_notify(ledger: Ledger, job_id: str, url: str) -> None:
    """Have `url` told of the next end of the job, in place of whom was to be told."""
    asked = Notification(id=uuid.uuid4().hex[:16], url=url)
    ledger.store.write(_key(job_id), asked.model_dump_json().encode())


def wanted_notification(ledger: Ledger, job_id: str) -> Notification | None:
    """Return whom to tell; None if nobody. Raises LedgerError, which does not quote the file."""
    try:
        return parse(Notification, ledger.store.read(_key(job_id)), _key(job_id))
    except NotFound:
        return None


def claim_notification(ledger: Ledger, job_id: str, wanted: Notification) -> bool:
    """Return whether the caller is the one who sends it: True once. On a store that ignores conditions, two
    callers at the same moment may both be told so."""
    key = f"jobs/{job_id}/notified/{wanted.id}"
    if not ledger.conditional and ledger.store.exists(key):
        return False
    return ledger.store.create(key, b"")


def forget_notification(ledger: Ledger, job_id: str) -> None:
    """Delete the address, which was told or cannot be."""
    ledger.store.delete(_key(job_id))


def _key(job_id: str) -> str:
    return f"jobs/{job_id}/notify.json"
