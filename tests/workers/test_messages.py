"""Messages that a worker cannot use: one warning each, and it goes on."""

import json
from base64 import b64encode
from typing import Any

import pytest

from jobs.queue.broker import celery_body, celery_headers, lanes
from jobs.records.message import CPU_QUEUE, PlanJob, ReduceJob, RunShard
from tests.pool.servers import Pool, wait_until
from workers.messages.envelope import MAX_BODY, Unusable, message_in, message_of
from workers.messages.transport import _envelope

JOB = "pets-classify-1a2b3c4d"
SENT = RunShard(task="classify_shard", job_id=JOB, shard=3)
USABLE = SENT.model_dump(mode="json")
QUEUE = "savs.gpu.demo:0"
DEEP = json.loads("[" * 900 + "]" * 900)


def enveloped(body: Any, task: str = "classify_shard", **more: Any) -> dict[str, Any]:
    encoded = b64encode(json.dumps(body).encode()).decode()
    return _envelope(SENT, QUEUE) | {"body": encoded, "headers": {"task": task, "id": "1"}} | more


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ("a string", "is malformed: the message: Input should be a valid dictionary"),
        ([USABLE], "is malformed: the message: Input should be a valid dictionary"),
        ({}, "is malformed: the message: Unable to extract tag"),
        (USABLE | {"epoch": 0}, "is malformed: classify_shard.epoch"),
        (USABLE | {"epoch": 10**30}, "is malformed: classify_shard.epoch"),
        (USABLE | {"at": float("inf")}, "is malformed: classify_shard.at"),
        (USABLE | {"at": float("nan")}, "is malformed: classify_shard.at"),
        (USABLE | {"at": 10**400}, "is malformed: classify_shard.at"),
        (USABLE | {"shard": -1}, "is malformed: classify_shard.shard"),
        (USABLE | {"shard": 10**30}, "is malformed: classify_shard.shard"),
        (USABLE | {"shard": DEEP}, "is malformed: classify_shard.shard"),
        (USABLE | {"more": 1}, "is malformed: classify_shard.more"),
        (USABLE | {"job_id": ["a"]}, "is malformed: classify_shard.job_id"),
        (USABLE | {"job_id": "../../etc-classify-1a2b3c4d"}, "is malformed: classify_shard.job_id"),
        (USABLE | {"schema_version": "2"}, "is malformed: classify_shard.schema_version"),
        (USABLE | {"schema_version": 3, "more": 1}, "was sent by a newer savs; upgrade this worker"),
        ({"task": "later", "schema_version": 3}, "was sent by a newer savs; upgrade this worker"),
        (json.loads(ReduceJob(job_id=JOB).model_dump_json()), "is a reduce_job and says that it is a"),
    ],
)
def test_an_unusable_message_is_refused_with_its_reason(sent: Any, problem: str) -> None:
    with pytest.raises(Unusable) as refused:
        message_in(enveloped([[sent], {}, {}]), QUEUE)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    "envelope",
    [
        *(None, 1, "x", [1], {}, {"body": "x"}, {"body": None, "headers": {}, "properties": {}}),
        enveloped([[USABLE], {}, {}], headers={"task": "classify_shard", "compression": "gzip"}),
        enveloped([[USABLE], {}, {}], headers=[["task", "classify_shard"]]),
        enveloped([[USABLE], {}, {}], properties={"body_encoding": "rot13"}),
        enveloped([[USABLE], {}, {}], properties=None),
        enveloped([[USABLE], {}, {}], task="celery.chord_unlock"),
        enveloped([[USABLE | {"more": "x" * MAX_BODY}], {}, {}]),
        *(enveloped(body) for body in (None, 1, [], {}, [[]], [{}], "x", {"0": [USABLE]})),
        *(enveloped([]) | {"body": body} for body in ("", "x", "é" * 9, "====", "W10", 5, ["W10="])),
        enveloped([]) | {"body": b64encode(b"[" * 10_000).decode()},
    ],
)
def test_an_envelope_that_savs_does_not_send_is_refused(envelope: Any) -> None:
    with pytest.raises(Unusable):
        message_in(envelope, QUEUE)


@pytest.mark.parametrize(("message", "queue"), [(SENT, f"{CPU_QUEUE}:0"), (PlanJob(job_id=JOB), QUEUE)])
def test_a_message_on_the_wrong_queue_is_refused(message: RunShard | PlanJob, queue: str) -> None:
    with pytest.raises(Unusable, match="does not belong on this queue"):
        message_in(_envelope(message, queue), queue)


def test_what_is_sent_is_what_arrives_whatever_else_was_in_its_envelope() -> None:
    # given a message with everything that Celery would obey
    sent = _envelope(SENT, QUEUE)
    sent["headers"] |= {"eta": "2999-01-01T00:00:00", "retries": 99, "timelimit": [0.001, 0.001]}
    sent["properties"] |= {"reply_to": "savs.cpu:0", "delivery_tag": "x" * 1000}
    more = {"callbacks": [{"task": "celery.backend_cleanup"}], "chain": [1], "chord": {"a": 1}}
    sent["body"] = b64encode(json.dumps([[USABLE, 1, 2], {"k": 1}, more]).encode()).decode()

    message = message_in(sent, QUEUE)

    assert message == SENT
    fresh = _envelope(message, QUEUE)
    assert set(fresh["headers"]) == set(celery_headers(SENT)) and set(fresh["properties"]) == {
        *("delivery_mode", "delivery_info", "priority", "body_encoding", "delivery_tag")
    }
    assert message_of(json.loads(celery_body(message))[0]) == SENT


def test_a_message_of_an_earlier_savs_names_its_shard() -> None:
    whole = {"number": 3, "offset": 5, "length": 10, "first_index": 7, "rows": 1, "first_line": 1}
    earlier = USABLE | {"schema_version": 1, "shard": whole}
    assert message_in(enveloped([[earlier], {}, {}]), QUEUE).unit == "3"


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
    app.send_task("extract_savs", args=[USABLE | {"schema_version": 3}], queue=queue)
    app.send_task("paint_shard", args=[USABLE], queue=queue)
    app.send_task("celery.chord_unlock", args=["a", {}], queue=queue)
    app.send_task("classify_shard", args=[USABLE], queue=queue, compression="gzip")
    app.send_task("classify_shard", args=[USABLE | {"job_id": other.job_id}], queue=queue)
    app.send_task("classify_shard", args=[USABLE], queue=queue)
    for junk in (b"x", b"[1]", b"\xff\xfe", b'{"__type__": "datetime", "__value__": 5}', b"[" * 100_000):
        pool.broker.redis.lpush(queue, junk)
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish({"no": "task"}, routing_key=queue, exchange="", serializer="json")

    # then it says why, for each, in a line, and labels what it can
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    wait_until(lambda: pool.broker.redis.llen(queue) == 0, "all were taken")
    wait_until(lambda: pool.log(1).count("not from savs") == 3, "the last messages were refused")
    lines = [json.loads(line) for line in pool.log(1).splitlines()]
    said = [line["message"] for line in lines if line["logger"] == "savs.worker" and line["level"] != "INFO"]
    assert sorted(said) == sorted(
        [
            "dropped a message: it is malformed: the message: Unable to extract tag using discriminator "
            "'task'",
            "dropped a message: it is malformed: it has no message",
            "dropped a message: it was sent by a newer savs; upgrade this worker",
            "dropped a message: it is a classify_shard and says that it is a paint_shard",
            "dropped a message: it is malformed: the message: Input should be a valid dictionary or object "
            "to extract fields from",
            *["dropped a message: it is not from savs"] * 3,
            "dropped a message: it cannot be decoded: JSONDecodeError",
            "dropped a message: it cannot be decoded: JSONDecodeError",
            "dropped a message: it cannot be decoded: TypeError",
            "dropped a message: it cannot be decoded: RecursionError",
            "skipped a shard of another model, tests/other",
            f"left to the sweep: no job '{JOB}' in {pool.address}",
        ]
    )
    assert "Traceback" not in pool.log(1)
