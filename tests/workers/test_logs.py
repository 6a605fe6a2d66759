"""What a worker says of itself: lines for people, JSON for machines, and no secret in either."""

import json
import logging
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from jobs.records.message import ReduceJob
from tests.pool.servers import Pool, RedisServer, children, wait_until
from tests.workers.looking import waits
from workers.monitoring.logs import JsonLines, TextLines, add_unit, all_about

HOSTILE = "cat\n2026-01-01 INFO all is well\r\x1b[2J\x9b31m\u202e\ud800"
BREAKING = f"-broken{HOSTILE[:-1]}"  # no manifest holds a lone surrogate
PASSWORD = "hush-9f2"
RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR|CRITICAL) \S+ ")
FORMATS = {"text": TextLines, "json": JsonLines}


def record(message: str, error: Exception | None = None, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("savs.worker", logging.INFO, __file__, 1, message, (), None)
    if error is not None:
        try:
            raise error
        except Exception as raised:
            made.exc_info = (type(raised), raised, raised.__traceback__)
    made.__dict__.update(fields)
    return made


@pytest.mark.parametrize("log_format", FORMATS)
def test_hostile_words_stay_on_one_line_and_steer_no_terminal(log_format: str) -> None:
    line = FORMATS[log_format]().format(record(f"refused {HOSTILE}", job=HOSTILE))

    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e\ud800]", line)
    assert "all is well" in line


def test_a_hostile_job_cannot_pass_for_another_field() -> None:
    line = TextLines().format(record("shard ended", job="pets shard=7 attempt=9"))

    assert line.endswith('shard ended job="pets shard=7 attempt=9"')


def test_a_text_line_ends_with_the_units_fields_and_the_gpu() -> None:
    made, later = record("ended", attempt=3), record("idle")

    with all_about(ReduceJob(job_id="pets-extract-1a2b3c4d", epoch=2)):
        add_unit(made)
    add_unit(later)
    line = TextLines(gpu="1").format(made)

    assert RECORD.match(line)
    assert line.endswith("ended job=pets-extract-1a2b3c4d shard=reduce attempt=3 epoch=2 gpu=1")
    assert TextLines().format(later).endswith("idle")


def test_no_line_of_a_traceback_passes_for_a_record() -> None:
    first, *rest = TextLines().format(record("failed", RuntimeError(HOSTILE))).splitlines()

    assert RECORD.match(first)
    assert rest and all(line.startswith("    ") for line in rest)


def test_an_exception_in_json_is_one_line() -> None:
    line = JsonLines().format(record("failed", RuntimeError(HOSTILE)))

    assert len(line.splitlines()) == 1
    assert json.loads(line)["exception"].startswith("Traceback")


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("login", [f":{PASSWORD}", f"worker:{PASSWORD}", f"worker:a@{PASSWORD}"])
def test_a_login_in_an_address_is_not_shown(log_format: str, login: str) -> None:
    address = f"redis://{login}@host:6379/0"

    line = FORMATS[log_format]().format(record(f"{address} does not answer", ValueError(address)))

    assert PASSWORD not in line
    assert "@host:6379/0 does not answer" in line


def test_a_json_log_names_job_shard_and_attempt_and_how_it_ended(pool: Pool) -> None:
    # given a job with an item that breaks the model, and whose name would forge a record
    pool.start("cpu", SAVS_LOG_FORMAT="json")
    pool.start("gpu", SAVS_LOG_FORMAT="json", SAVS_ATTEMPTS="2")

    [extract, classify] = pool.submit(9, 3, ids=lambda i: f"cat-{i}" + BREAKING * (i == 4))

    # when it has ended, then every line is an object, with these fields where it is about a shard
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    [cpu, gpu] = [[json.loads(line) for line in pool.log(number).splitlines()] for number in (0, 1)]
    assert all({"time", "level", "logger", "message", "pid"} <= set(line) for line in cpu + gpu)
    messages = [line["message"] for line in gpu]
    assert any(message.startswith("model loaded in ") for message in messages)
    assert f"ready, queue {pool.queue}" in messages
    ended = {(line["job"], line["shard"]): line for line in gpu if "outcome" in line}
    assert set(ended) == {(extract.job_id, str(n)) for n in (0, 1)} | {
        (classify.job_id, str(n)) for n in (0, 1, 2)
    }
    done, broken = ended[classify.job_id, "0"], ended.pop((classify.job_id, "1"))
    assert all((line["attempt"], line["epoch"]) == (1, 1) for line in ended.values())
    assert (broken["attempt"], broken["epoch"]) == (2, 2)
    assert (done["outcome"], done["rows"], done["failed"]) == ("done", 3, 0)
    assert done["seconds"] >= 0
    assert (broken["outcome"], broken["rows"], broken["failed"]) == ("given up", 3, 3)
    assert "breaks the model" in broken["message"]
    taken = [line for line in gpu if line["message"] == "shard claimed"]
    units = {(*unit, 1) for unit in ended} | {(classify.job_id, "1", 1), (classify.job_id, "1", 2)}
    assert {(line["job"], line["shard"], line["attempt"]) for line in taken} == units
    [again] = [line for line in gpu if "shard failed, will be retried" in line["message"]]
    assert (again["job"], again["shard"], again["attempt"]) == (classify.job_id, "1", 1)


def test_a_text_log_keeps_a_record_on_its_line(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu", SAVS_ATTEMPTS="1")

    [_, classify] = pool.submit(3, 3, ids=lambda i: f"cat-{i}" + BREAKING)

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    lines = pool.log(1).split("\n")[:-1]
    assert all(RECORD.match(line) for line in lines)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", pool.log(1))
    [ended] = [line for line in lines if "shard ended: given up" in line]
    assert ended.endswith(f"job={classify.job_id} shard=0 attempt=1 epoch=1")


def test_a_killed_child_is_a_record_too(pool: Pool) -> None:
    worker = pool.start("gpu", SAVS_LOG_FORMAT="json")
    wait_until(lambda: waits(pool), "it waits for a message")
    [child] = children(worker)

    os.kill(child, signal.SIGKILL)

    wait_until(lambda: f"pid:{child} exited with" in pool.log(0), "it is noticed")
    assert all(json.loads(line)["pid"] for line in pool.log(0).splitlines())


@dataclass
class LockedRedis(RedisServer):
    """Asks for a password, once it has been started and `lock`ed."""

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @staticmethod
    def lock(server: RedisServer) -> "LockedRedis":
        Redis.from_url(server.url).config_set("requirepass", PASSWORD)
        return LockedRedis(server.folder, server.port, server.process)


@pytest.fixture
def locked_pool(redis_server: RedisServer, tmp_path: Path) -> Iterator[Pool]:
    (tmp_path / "logs").mkdir()
    pool = Pool(LockedRedis.lock(redis_server), tmp_path / "workspace", tmp_path / "logs")
    yield pool
    pool.stop()


def test_a_lost_redis_is_logged_by_every_process_and_without_its_password(locked_pool: Pool) -> None:
    pool = locked_pool
    worker = pool.start("cpu", SAVS_LOG_FORMAT="json")
    wait_until(lambda: waits(pool), "it waits for a message")

    pool.redis.kill()

    wait_until(lambda: "Connection to broker lost" in pool.log(0), "the consumer says so")
    wait_until(lambda: "Cannot connect to" in pool.log(0), "it tries again")
    wait_until(lambda: "sweep failed" in pool.log(0), "the sweeper says so")
    lines = [json.loads(line) for line in pool.log(0).splitlines()]
    assert PASSWORD not in pool.log(0)
    assert worker.pid in {line["pid"] for line in lines}
    assert worker.pid not in {line["pid"] for line in lines if line["logger"] == "savs.sweeper"}
