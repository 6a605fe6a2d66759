"""What is put on a queue: addresses and numbers, never data.

As it lies in Redis, with all that Celery needs around it, a message has under a kilobyte however long
the names in it are (`jobs.broker` sends it).
"""

from typing import Annotated, Literal

from pydantic import Field

from jobs.planning import Shard
from jobs.specs import SCHEMA, JobId, Strict


class RunShard(Strict):
    """Run one shard. Carries what is in `shards.json`, so that it need not be read.

    `epoch` and `at` are the board's, where there is one: a message whose epoch is no longer the
    board's is dropped; `at` is when it was published, on Redis's clock.
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


class PlanJob(Strict):
    """Cut a job's manifest into shards and, if it waits for nothing, enqueue them."""

    schema_version: Literal[1] = SCHEMA
    task: Literal["plan_job"] = "plan_job"
    job_id: JobId
    epoch: Annotated[int, Field(ge=1)] = 1
    at: float = 0.0

    @property
    def unit(self) -> str:
        return "plan"


class ReduceJob(Strict):
    """Add up a job whose shards have outcomes, and start what waits for it."""

    schema_version: Literal[1] = SCHEMA
    task: Literal["reduce_job"] = "reduce_job"
    job_id: JobId
    epoch: Annotated[int, Field(ge=1)] = 1
    at: float = 0.0

    @property
    def unit(self) -> str:
        return "reduce"


Message = Annotated[RunShard | PlanJob | ReduceJob, Field(discriminator="task")]
