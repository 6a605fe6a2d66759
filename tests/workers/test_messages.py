"""Messages that a worker cannot use: one warning each, and it goes on."""

import json
from typing import Any

import pytest

from jobs.queue.broker import lanes
from jobs.records.message import ReduceJob, RunShard
from jobs.records.plan import Shard
from tests.pool.servers import Pool, wait_until
from workers.messages import accepted

SHARD = Shard(number=0, offset=0, length=10, first_index=0, rows=1, first_line=1)


def shard_of(job_id: str) -> dict[str, Any]:
    return RunShard(task="classify_shard", job_id=job_id, shard=SHARD).model_dump(mode="json")


USABLE = shard_of("pets-classify-1a2b3c4d")


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ((), "is malformed"),
        (("a string",), "is malformed"),
        (([USABLE],), "is malformed"),
        (({},), "is malformed"),
        ((USABLE | {"epoch": 0},), "is malformed: classify_shard.epoch"),
        ((USABLE | {"more": 1},), "is malformed: classify_shard.more"),
        ((USABLE | {"job_id": ["a"]},), "is malformed: classify_shard.job_id"),
        ((USABLE | {"schema_version": "2"},), "is malformed: classify_shard.schema_version"),
        ((USABLE | {"schema_version": 2, "more": 1},), "was sent by a newer savs; upgrade this worker"),
        (({"task": "later", "schema_version": 2},), "was sent by a newer savs; upgrade this worker"),
        ((ReduceJob(job_id=USABLE["job_id"]).model_dump(),), "is a reduce_job, but this task needs RunShard"),
    ],
)
def test_an_unusable_message_is_refused_with_one_warning(
    sent: tuple[Any, ...], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert accepted(RunShard, sent) is None

    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert f"dropped a message: it {problem}" in record.getMessage()


def test_a_usable_message_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    message = accepted(RunShard, (USABLE,))

    assert message is not None and message.shard == SHARD
    assert not caplog.records


def test_a_worker_outlives_every_message_that_it_cannot_use(pool: Pool) -> None:
    # given a worker, and a job of another model in the same workspace
    pool.start("cpu", SAVS_LOG_FORMAT="json")
    pool.start("gpu", SAVS_LOG_FORMAT="json")
    app, queue = pool.broker.app, lanes(pool.queue)[0]
    [_, classify] = pool.submit(rows=4, shard_size=4)
    spec = classify.spec.model_copy(update={"model": "tests/other"})
    other = classify.model_copy(update={"job_id": "other-classify-1a2b3c4d", "spec": spec})
    pool.ledger.store.write(f"jobs/{other.job_id}/job.json", other.model_dump_json().encode())

    # when its queue holds what it cannot use
    app.send_task("classify_shard", args=[{"no": "message"}], queue=queue)
    app.send_task("classify_shard", args=[], kwargs={"message": USABLE}, queue=queue)
    app.send_task("extract_savs", args=[USABLE | {"schema_version": 2}], queue=queue)
    app.send_task("paint_shard", args=[USABLE], queue=queue)
    app.send_task("classify_shard", args=[shard_of(other.job_id)], queue=queue)
    app.send_task("classify_shard", args=[USABLE], queue=queue)
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish({"no": "task"}, routing_key=queue, exchange="", serializer="json")

    # then it says why, for each, in a line, and labels what it can
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    wait_until(lambda: "is not from savs" in pool.log(1), "the last message was refused")
    lines = [json.loads(line) for line in pool.log(1).splitlines()]
    said = [line["message"] for line in lines if line["logger"] == "savs.worker" and line["level"] != "INFO"]
    assert sorted(said) == sorted(
        [
            "dropped a message: it is malformed: the message: Unable to extract tag using discriminator "
            "'task'",
            "dropped a message: it is malformed: the message: Input should be a valid dictionary or object "
            "to extract fields from",
            "dropped a message: it was sent by a newer savs; upgrade this worker",
            "dropped a message: it asks for the unknown task 'paint_shard'; if a newer savs sent it, "
            "upgrade this worker",
            "dropped a message: it is not from savs",
            "skipped a shard of another model, tests/other",
            f"left to the sweep: no job '{USABLE['job_id']}' in {pool.address}",
        ]
    )
    assert "Traceback" not in pool.log(1)
    [left] = [line for line in lines if line["message"].startswith("skipped a shard")]
    assert (left["job"], left["shard"], left["epoch"]) == (other.job_id, "0", 1)
