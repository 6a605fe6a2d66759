"""The messages on a queue: addresses and numbers, never data.

As stored in Redis, with everything that Celery adds, a message is under a kilobyte, however long the
names in it are (`jobs.queue.broker` sends it).
"""

import hashlib
import re
from typing import Annotated, Literal

from pydantic import Field

from jobs.records.job import JobId
from jobs.records.plan import Shard
from jobs.records.record import SCHEMA, Record


class RunShard(Record):
    """Run one shard. Contains the shard's entry in `shards.json`, so that the file need not be read.

    `epoch` and `at` come from the board, if there is one: a message whose epoch is no longer the
    board's is dropped; `at` is the time of publication, on Redis's clock.
    """

    schema_version: Literal[1] = SCHEMA
    task: Literal["extract_savs", "classify_shard"]
    job_id: JobId
    shard: Shard
    attempt: Annotated[int, Field(ge=1)] = 1
    epoch: Annotated[int, Field(ge=1)] = 1
    at: float = 0.0

    @property
    def unit(self) -> str:
        return str(self.shard.number)


class PlanJob(Record):
    """Cut a job's manifest into shards and, if the job waits for no other, enqueue them."""

    schema_version: Literal[1] = SCHEMA
    task: Literal["plan_job"] = "plan_job"
    job_id: JobId
    epoch: Annotated[int, Field(ge=1)] = 1
    at: float = 0.0

    @property
    def unit(self) -> str:
        return "plan"


class ReduceJob(Record):
    """Reduce a job whose shards have outcomes, and start the jobs that wait for it."""

    schema_version: Literal[1] = SCHEMA
    task: Literal["reduce_job"] = "reduce_job"
    job_id: JobId
    epoch: Annotated[int, Field(ge=1)] = 1
    at: float = 0.0

    @property
    def unit(self) -> str:
        return "reduce"


Message = Annotated[RunShard | PlanJob | ReduceJob, Field(discriminator="task")]


CPU_QUEUE = "savs.cpu"


MAX_STEM = 64  # characters of a model's name in that of its queue


def gpu_queue(model: str) -> str:
    """Return a model's queue, for example `savs.gpu.qwen2.5_vl`; for a path or hub id it ends in its hash."""
    if re.fullmatch(rf"[A-Za-z0-9._-]{{1,{MAX_STEM}}}", model):
        return f"savs.gpu.{model}"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", model.rstrip("/").rpartition("/")[2])[:MAX_STEM]
    return f"savs.gpu.{stem}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
