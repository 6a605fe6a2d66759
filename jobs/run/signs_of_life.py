"""The signs of life of a process that runs jobs without a pool."""

import threading
from types import TracebackType

from jobs.ledger.ledger import Ledger
from jobs.ledger.processes import SIGN_EVERY, forget_process, write_process
from savs.errors import StorageError


class SignsOfLife:
    """Writes signs of life into `jobs` from a thread. If the block is left by an error, its reason stays
    in those that have not ended."""

    def __init__(self, ledger: Ledger, jobs: list[str]) -> None:
        self.ledger, self.jobs = ledger, jobs
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._go_on, name="signs-of-life", daemon=True)

    def __enter__(self) -> None:
        for job_id in self.jobs:
            write_process(self.ledger, job_id)
        self.thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.thread.join()
        for job_id in self.jobs:
            try:
                if error is None or self.ledger.summary(job_id) is not None:
                    forget_process(self.ledger, job_id)
                else:
                    write_process(self.ledger, job_id, _reason(error))
            except (StorageError, OSError):
                continue  # a full disk may be what stopped the run; without a sign of life it counts as dead

    def _go_on(self) -> None:
        while not self.over.wait(SIGN_EVERY):
            for job_id in self.jobs:
                try:
                    write_process(self.ledger, job_id)
                except (StorageError, OSError):
                    continue  # the storage may be back before the silence is too long


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped by Ctrl-C"
    return f"{type(error).__name__}: {error}"
