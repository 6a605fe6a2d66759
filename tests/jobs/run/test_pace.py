"""Rates and times that are left, as `watch` shows them, on a clock that the test moves."""

from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.records.message import gpu_queue
from jobs.run.pace import Pace
from jobs.run.watch import FollowedJob
from tests.jobs.ledgers import classify_job, plan_of, row, summary_of, write_outcome

ROWS = 240  # of a shard
SHARD = 120.0  # seconds that it takes a worker, who so does 2 rows a second


def watched(pace: Pace, seconds: int, workers: int, ends: dict[int, int], start: int = 0) -> None:
    """A look every second; at the seconds in `ends` so many shards have ended."""
    for second in range(start + 1, start + seconds + 1):
        pace.go_on(float(second), workers, ROWS * ends.get(second, 0))


def test_before_a_shard_has_ended_the_rate_is_what_the_workers_alive_should_do() -> None:
    pace = Pace(0.0)
    watched(pace, 100, 3, {})

    assert pace.rate(2.0, SHARD, 3) == pytest.approx(6.0)
    assert pace.rate(None, SHARD, 3) is None
    assert pace.rate(2.0, SHARD, 0) == 0.0


@pytest.mark.parametrize("first", [10, 60, 120])
def test_shards_of_two_minutes_have_a_rate_that_does_not_jump_between_two_ends(first: int) -> None:
    # given a worker that is seen at some moment of its shard, and at every later end
    pace = Pace(0.0)
    ends = range(first, 3600, 120)
    rates = {}
    for second in range(1, 3600):
        pace.go_on(float(second), 1, ROWS if second in ends else 0)
        rates[second] = pace.rate(2.0, SHARD, 1)

    # then it is about the true one, and the same from end to end
    assert all(1.9 < rate < 4.0 for rate in rates.values() if rate)
    assert rates[3599] == pytest.approx(2.0, rel=0.05)
    assert {second for second in range(2, 3600) if rates[second] != rates[second - 1]} <= set(ends)


def test_a_pool_that_is_slower_than_it_should_be_is_soon_seen_to_be() -> None:
    # given workers that also serve another job, so that this one gets every second shard
    pace = Pace(0.0)
    watched(pace, 1200, 2, dict.fromkeys(range(120, 1201, 120), 1))

    assert pace.rate(2.0, SHARD, 2) == pytest.approx(2.0, rel=0.15)


def test_workers_that_come_and_go_change_the_rate_at_once() -> None:
    pace = Pace(0.0)
    watched(pace, 1200, 1, dict.fromkeys(range(120, 1201, 120), 1))

    assert pace.rate(2.0, SHARD, 1) == pytest.approx(2.0)
    assert pace.rate(2.0, SHARD, 10) == pytest.approx(20.0, rel=0.1)


def test_a_pool_in_which_nothing_ends_any_more_gets_slower_and_slower() -> None:
    pace = Pace(0.0)
    watched(pace, 600, 1, dict.fromkeys(range(120, 601, 120), 1))
    before = pace.rate(2.0, SHARD, 1)
    watched(pace, 3000, 1, {}, start=600)

    assert before == pytest.approx(2.0)
    assert pace.rate(2.0, SHARD, 1) < 0.5


def a_job(tmp_path: Path, shards: int = 10) -> tuple[Ledger, Job]:
    ledger = Ledger(str(tmp_path))
    return ledger, ledger.create_job(classify_job(), plan_of(*([2] * shards)))


def end_shard(ledger: Ledger, job: Job, shard: int) -> None:
    rows = [row(2 * shard, "cat"), row(2 * shard + 1, "dog")]
    write_outcome(ledger, job, shard, rows, timings={"worker": 100.0})


def test_a_job_that_is_watched_from_its_start_says_at_once_when_it_will_end(tmp_path: Path) -> None:
    # given a model whose rate is known from an earlier job
    ledger, job = a_job(tmp_path)
    ledger.write_rates(gpu_queue(job.spec.model), {"image": 0.02})
    one = FollowedJob(job)

    one.look(ledger, 0.0, 2)
    assert one.state(2)["items_per_second"] == pytest.approx(0.04)
    assert one.state(2)["eta_seconds"] == pytest.approx(500)
    one.look(ledger, 60.0, 2)
    assert one.state(2)["eta_seconds"] == pytest.approx(440), "it counts down while no shard ends"
    for shard in (0, 1):
        end_shard(ledger, job, shard)
    one.look(ledger, 100.0, 2)

    assert one.state(2)["items_per_second"] == pytest.approx(0.04)
    assert one.state(2)["eta_seconds"] == pytest.approx(400)


def test_a_watch_that_begins_late_takes_the_rate_from_the_shards_that_have_ended(tmp_path: Path) -> None:
    ledger, job = a_job(tmp_path)
    for shard in range(4):
        end_shard(ledger, job, shard)
    one = FollowedJob(job)

    one.look(ledger, 5000.0, 1)

    assert one.state(1)["items_per_second"] == pytest.approx(0.02)
    assert one.state(1)["eta_seconds"] == pytest.approx(600)
    assert one.state(0)["eta_seconds"] is None, "nobody works"


def test_of_a_model_that_nobody_knows_there_is_no_rate_until_a_shard_has_ended(tmp_path: Path) -> None:
    ledger, job = a_job(tmp_path)
    one = FollowedJob(job)

    one.look(ledger, 0.0, 1)
    assert (one.state(1)["items_per_second"], one.state(1)["eta_seconds"]) == (None, None)
    end_shard(ledger, job, 0)
    one.look(ledger, 100.0, 1)

    assert one.state(1)["items_per_second"] == pytest.approx(0.02)


def test_a_job_that_waits_for_another_is_no_slow_one(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.write_rates(gpu_queue("demo"), {"image": 0.02})
    first = ledger.create_job(classify_job("first"), plan_of(2))
    job = ledger.create_job(classify_job(after=first.job_id), plan_of(2, 2))
    one = FollowedJob(job)

    one.look(ledger, 0.0, 1)
    assert one.state(1)["waiting"] and one.state(1)["eta_seconds"] is None
    ledger.write_summary(first.job_id, summary_of(first))
    one.look(ledger, 9000.0, 1)

    assert not one.state(1)["waiting"]
    assert one.state(1)["eta_seconds"] == pytest.approx(200)
