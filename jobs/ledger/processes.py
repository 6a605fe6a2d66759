"""Which process runs a job without a pool, as it says itself; and whether it still lives."""

import os
import socket
from datetime import UTC, datetime

from jobs.ledger.ledger import Ledger
from jobs.records.process import Process
from jobs.records.record import parse
from savs.errors import LedgerError, NotFound

SIGN_EVERY = 15.0  # seconds between two signs of life
SILENCE = 60.0  # seconds without one after which a process counts as dead


def write_process(ledger: Ledger, job_id: str, ended: str | None = None) -> None:
    """Write that this process runs the job, or that it has `ended` before the job's end."""
    found = Process(host=socket.gethostname(), pid=os.getpid(), seen=datetime.now(UTC), ended=ended)
    ledger.store.write(_key(job_id), found.model_dump_json().encode())


def forget_process(ledger: Ledger, job_id: str) -> None:
    ledger.store.delete(_key(job_id))


def why_interrupted(ledger: Ledger, job_id: str) -> str | None:
    """Return why no process runs the job; None if one does. A process lives if its last sign of life is at
    most SILENCE seconds old; one of this machine must also be found there."""
    try:
        found = parse(Process, ledger.store.read(_key(job_id)), _key(job_id))
    except (NotFound, LedgerError):
        return "no process runs it, and it was not handed to a pool"
    if found.ended is not None:
        return found.ended
    where = f"process {found.pid} on {found.host}"
    if found.host == socket.gethostname() and not _lives(found.pid):
        return f"{where} has died"
    if (datetime.now(UTC) - found.seen).total_seconds() > SILENCE:
        return f"{where} has given no sign of life since {found.seen.isoformat(timespec='seconds')}"
    return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _key(job_id: str) -> str:
    return f"jobs/{job_id}/process.json"
