"""What is put on a queue: addresses and numbers, never data. JSON under a kilobyte."""

from typing import Annotated, Literal

from pydantic import Field

from jobs.planning import Shard
from jobs.specs import SCHEMA, Strict


class RunShard(Strict):
    """Run one shard. Carries what is in `shards.json`, so that it need not be read."""

    schema_version: Literal[1] = SCHEMA
    task: Literal["extract_savs", "classify_shard"]
    job_id: str
    shard: Shard
    attempt: Annotated[int, Field(ge=1)] = 1


class ReduceJob(Strict):
    """Add up a job whose shards have outcomes, and start what waits for it."""

    schema_version: Literal[1] = SCHEMA
    task: Literal["reduce_job"] = "reduce_job"
    job_id: str


Message = Annotated[RunShard | ReduceJob, Field(discriminator="task")]
