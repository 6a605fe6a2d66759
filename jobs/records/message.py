"""The messages on a queue: ids and numbers, never data.

A message only names a unit of work. What the unit is, and whether it is to be done, is read from the ledger:
whoever can write to Redis can send any message. As stored in Redis, with everything that Celery adds, a
message is under a kilobyte, however long the names in it are (`jobs.queue.broker` sends it).
"""

import hashlib
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from jobs.records.job import JobId
from jobs.records.record import SCHEMA, Record

MAX_NUMBER = 2**53  # what a double holds exactly, as in Redis's Lua
Epoch = Annotated[int, Field(ge=1, lt=MAX_NUMBER)]
Time = Annotated[float, Field(ge=0, lt=MAX_NUMBER)]  # seconds; neither infinity nor NaN
MESSAGE_SCHEMA: Literal[2] = 2  # 1 had the whole shard in a RunShard


def _number(shard: Any) -> Any:
    return shard.get("number") if isinstance(shard, dict) else shard


class RunShard(Record):
    """Run the shard of this number. `task` tells only people whether it is of examples.

    `epoch` and `at` come from the board, if there is one: a message whose epoch is no longer the
    board's is dropped; `at` is the time of publication, on Redis's clock.
    """

    schema_version: Literal[1, 2] = MESSAGE_SCHEMA
    task: Literal["extract_savs", "classify_shard"]
    job_id: JobId
    shard: Annotated[int, Field(ge=0, lt=MAX_NUMBER), BeforeValidator(_number)]
    attempt: Epoch = 1
    epoch: Epoch = 1
    at: Time = 0.0

    @property
    def unit(self) -> str:
        return str(self.shard)


class PlanJob(Record):
    """Cut a job's manifest into shards and, if the job waits for no other, enqueue them."""

    schema_version: Literal[1] = SCHEMA
    task: Literal["plan_job"] = "plan_job"
    job_id: JobId
    epoch: Epoch = 1
    at: Time = 0.0

    @property
    def unit(self) -> str:
        return "plan"


class ReduceJob(Record):
    """Reduce a job whose shards have outcomes, and start the jobs that wait for it."""

    schema_version: Literal[1] = SCHEMA
    task: Literal["reduce_job"] = "reduce_job"
    job_id: JobId
    epoch: Epoch = 1
    at: Time = 0.0

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
