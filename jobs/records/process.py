"""The process that runs a job without a pool."""

from pydantic import AwareDatetime

from jobs.records.record import Record


class Process(Record):
    """`process.json`: which process runs a job, and when it last said so. It is deleted when the job ends.

    ended  why the process stopped before the end of the job; None while it runs
    """

    host: str
    pid: int
    seen: AwareDatetime
    ended: str | None = None
