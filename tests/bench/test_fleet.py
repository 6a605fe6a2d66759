"""The simulation of a pool, on cases that can be computed by hand."""

import json
import math
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.fleet.__main__ import RESULTS
from bench.fleet.account import Account
from bench.fleet.scaling import Scaler
from bench.fleet.settings import Fleet, Loss, Scaling, SimulatedJob, draw_work, read_scaling
from bench.fleet.simulation import Simulation
from bench.fleet.sweep import COOLDOWNS, LARGE, LIVES, REFERENCE, SIZES, SMALL, Load, measure, varied
from bench.fleet.tables import draw, table_of_lives, table_of_sizes, table_of_variations
from jobs.queue.timeouts import Timeouts

READY = 240.0  # seconds until the first workers of CALM have their model
CALM = Fleet(scaling=Scaling(maximum=2, grow_by=2), spot_life=None, unnoticed=0.0, latency=0.0)
AT_ONCE = replace(CALM, node_start=0.0, pod_start=0.0, load=0.0)


def play(
    fleet: Fleet, *work: float, at: float = 0.0, seed: int = 0, losses: tuple[Loss, ...] = ()
) -> Account:
    account = Simulation(fleet, [SimulatedJob(at, work)], seed, losses).run()
    assert account.paid == pytest.approx(account.spent), "every paid second was spent on something"
    return account


@pytest.mark.parametrize(("shards", "workers"), [(64, 64), (65, 64), (100, 7), (3, 8)])
def test_without_losses_a_job_takes_its_rounds_and_the_time_until_the_workers_are_ready(
    shards: int, workers: int
) -> None:
    fleet = replace(CALM, scaling=Scaling(maximum=workers, grow_by=workers))
    account = play(fleet, *[100.0] * shards)
    assert account.finished == [READY + math.ceil(shards / workers) * 100.0]
    assert account.work == shards * 100.0
    assert account.nodes == account.loads == min(shards, workers)
    assert account.starting == READY * account.nodes
    assert (account.repeated, account.storage) == (0.0, 0.0)


def test_each_shard_waits_for_its_requests_to_s3_and_the_reduction_for_its_own() -> None:
    account = play(replace(AT_ONCE, latency=0.05), *[100.0] * 40)  # 11 + 5 requests; 16 commits at once
    assert account.storage == pytest.approx(40 * 0.8)
    assert account.finished == [pytest.approx(20 * 100.8 + 3 * 0.05)]


def test_a_node_lost_without_notice_costs_its_shards_time_and_the_wait_for_the_sweep() -> None:
    # given a node lost 50 s into its second shard, whose last heartbeat was then
    account = play(AT_ONCE, *[100.0] * 4, losses=(Loss(150.0, node=0),))
    # then the sweep that finds it is the first after 150 + 120 s, and the shard begins anew
    assert account.finished == [300.0 + 100.0]
    assert (account.repeated, account.repeats, account.losses) == (50.0, 1, 1)
    assert account.work == 400.0
    assert account.nodes == 3


def test_after_a_notice_a_shard_is_returned_at_the_end_of_its_batch() -> None:
    # given a notice 23 s into the second shard, in batches of 5 s
    account = play(AT_ONCE, *[100.0] * 4, losses=(Loss(153.0, node=0, notice=30.0),))
    # then the worker that replaces it takes the shard at 125 s; the node is paid until it is lost
    assert account.finished == [225.0]
    assert (account.repeated, account.repeats) == (25.0, 1)
    assert account.work == 400.0


def test_a_shard_is_requeued_after_the_grace_time_and_by_a_sweep_if_the_node_was_lost_before() -> None:
    slow = replace(AT_ONCE, batch=100.0)
    loss = (Loss(153.0, node=0, notice=30.0),)
    forced = play(slow, *[1000.0] * 2, losses=loss)  # grace time 25 s: at 148 s
    assert (forced.finished, forced.repeated) == ([148.0 + 1000.0], 148.0)
    too_patient = replace(slow, times=Timeouts(grace=100.0))  # lost at 153 s, last heartbeat at 150 s
    killed = play(too_patient, *[1000.0] * 2, losses=loss)
    assert (killed.finished, killed.repeated) == ([300.0 + 1000.0], 153.0)


def test_a_shard_that_would_end_within_the_grace_time_is_committed() -> None:
    account = play(AT_ONCE, *[100.0] * 2, losses=(Loss(128.0, node=0, notice=30.0),))  # notice at 98 s
    assert (account.finished, account.repeats, account.nodes) == ([100.0], 0, 3)
    # and so is one whose part is being written
    writing = play(replace(AT_ONCE, latency=0.05), *[100.0] * 2, losses=(Loss(128.0, node=0, notice=30.0),))
    assert writing.repeats == 0
    # but not one whose last batch would outlast it
    late = (Loss(170.0, node=0, notice=120.0),)  # notice at 50 s, end by force at 75 s
    assert play(replace(AT_ONCE, batch=100.0), *[100.0] * 2, losses=late).repeated == 75.0


def test_a_shard_that_is_lost_three_times_is_given_up_but_returned_it_may_be_as_often_as_it_likes() -> None:
    alone = replace(AT_ONCE, scaling=Scaling(maximum=1))
    lost = tuple(Loss(at, node) for node, at in enumerate((50.0, 250.0, 450.0)))
    account = play(alone, 1000.0, losses=lost)
    assert (account.given_up, account.repeats, account.work) == (1, 3, 0.0)
    assert account.finished == [600.0]  # 450 s + 120 s, and the next sweep
    told = tuple(replace(loss, notice=30.0) for loss in lost)
    assert play(alone, 1000.0, losses=told).given_up == 0
    last = (*told[:2], lost[2])  # its first attempt that counts
    assert play(alone, 1000.0, losses=last).given_up == 0


def test_a_node_lost_without_notice_is_replaced_once_that_is_noticed() -> None:
    alone = replace(AT_ONCE, scaling=Scaling(maximum=1), unnoticed=300.0)
    account = play(alone, 100.0, losses=(Loss(50.0, node=0),))
    assert account.finished == [50.0 + 300.0 + 100.0]


def test_of_the_workers_those_that_are_starting_are_removed_first() -> None:
    # given a worker that is busy for long, one that is idle from 28 s on, and one ready at 35 s
    scaling = Scaling(maximum=3, grow_by=1, stabilisation=0.0, shrink_to=0.7)
    account = play(replace(AT_ONCE, scaling=scaling, load=20.0), 1000.0, 4.0, 4.0)
    # then the look at 30 s, which wants one less, takes the last
    assert (account.nodes, account.loads) == (3, 2)
    assert account.starting == 20.0 + 20.0 + 15.0


def test_the_last_worker_goes_after_the_cooldown_and_its_node_a_little_later() -> None:
    # given a commit at 100 s: the look at 90 s was the last that saw a shard
    account = play(replace(AT_ONCE, scaling=Scaling(maximum=1, cooldown=300.0)), 100.0)
    assert account.paid == 390.0 + 60.0
    assert account.idle == 350.0


def test_a_pod_that_starts_soon_after_another_ended_takes_its_node() -> None:
    one = replace(CALM, scaling=Scaling(maximum=1, cooldown=0.0))
    jobs = [SimulatedJob(0.0, (100.0,)), SimulatedJob(350.0, (100.0,))]  # the pod ends at 345 s
    account = Simulation(one, jobs).run()
    assert (account.nodes, account.loads) == (1, 2)
    assert account.finished == [READY + 100.0, 360.0 + 30.0 + 90.0 + 100.0]  # seen at 360 s


def test_removing_idle_workers_costs_nothing_and_removing_any_may_cost_a_shard() -> None:
    # given seven workers that are idle soon, and one that is busy for an hour and a half
    work = (5000.0, *[10.0] * 7)
    any_of_them = replace(AT_ONCE, scaling=Scaling(maximum=8))
    idle_ones = replace(AT_ONCE, scaling=Scaling(maximum=8, spares_busy=True))
    runs = [play(any_of_them, *work, seed=seed) for seed in range(10)]
    assert any(run.stopped and run.repeated > 300 and run.finished[0] > 5300 for run in runs)
    for seed in range(10):
        account = play(idle_ones, *work, seed=seed)
        assert (account.stopped, account.repeats, account.finished) == (0, 0, [5000.0])
        assert account.paid < 5000 + 300 + 60 + 7 * 900


@pytest.mark.parametrize("notice", [0.0, 30.0, 120.0])
@pytest.mark.parametrize("seed", range(5))
def test_paid_is_work_repeated_work_starting_waiting_and_idleness(notice: float, seed: int) -> None:
    for _, fleet in varied(Fleet(notice=notice, scaling=Scaling(maximum=16))):
        work = draw_work(200, 200.0, seed)
        account = play(fleet, *work, at=7.0, seed=seed)  # compares the sums
        if not account.given_up:
            assert account.work == pytest.approx(200 * 200.0)
            assert account.storage == pytest.approx(200 * 0.8)


def test_the_stored_results_are_those_of_todays_numbers() -> None:
    # of the code and of the manifests: otherwise run `python -m bench.fleet`, and correct the docs
    stored = json.loads(RESULTS.read_text())["variations"]["defaults"]
    now = asdict(measure(Fleet(scaling=read_scaling()), SMALL, REFERENCE))
    assert next(row for row in stored if row["load"] == SMALL.name) == pytest.approx(now, abs=1e-4)


def test_a_seed_gives_one_result() -> None:
    work = draw_work(300, 120.0, 1)
    assert play(Fleet(), *work, seed=1) == play(Fleet(), *work, seed=1)
    assert play(Fleet(), *work, seed=1) != play(Fleet(), *work, seed=2)
    assert sum(work) == pytest.approx(300 * 120.0)
    assert max(work) > 2 * 120.0, "some are heavy"


def test_a_hundred_thousand_shards_on_64_workers_take_seconds() -> None:
    began = time.monotonic()
    account = play(Fleet(), *draw_work(LARGE.shards, 120.0, 0))
    assert time.monotonic() - began < 20
    assert account.losses > 1000


def test_the_scaler_grows_in_steps_waits_before_it_shrinks_and_then_halves() -> None:
    scaler = Scaler(Scaling(maximum=32, grow_by=8, polling=15.0))
    wanted = [scaler.look(15.0 * n, 100) for n in range(6)]
    assert wanted == [9, 17, 25, 32, 32, 32]  # the first by KEDA, 8 more in 15 s by its HPA
    often = Scaler(Scaling(maximum=32, grow_by=8))
    assert [often.look(5.0 * n, 100) for n in range(5)] == [9, 9, 9, 17, 17]  # 8 more in any 15 s
    later = [scaler.look(75.0 + 15.0 * n, 1) for n in range(1, 50)]
    assert later[:20] == [32] * 20  # 300 s after the last look that needed them
    assert later[20:24] == [16] * 4
    assert later[24:28] == [8] * 4
    assert later[-1] == 1
    idle = [scaler.look(810.0 + 15.0 * n, 0) for n in range(1, 21)]
    assert idle == [1] * 19 + [0]
    assert scaler.look(2000.0, 5) == 5


def test_the_scaler_leaves_a_number_of_workers_that_is_nearly_right() -> None:
    scaler = Scaler(Scaling(stabilisation=0.0, grow_by=64))
    assert [scaler.look(15.0 * n, left) for n, left in enumerate((60, 55, 53))] == [60, 60, 53]


def test_the_numbers_are_those_of_a_scaled_object(tmp_path: Path) -> None:
    assert read_scaling(tmp_path / "missing.yaml") == Scaling()
    path = tmp_path / "scaled-object.yaml"
    path.write_text(
        "spec:\n  pollingInterval: 10\n  cooldownPeriod: 60\n  maxReplicaCount: 8\n"
        "  advanced:\n    horizontalPodAutoscalerConfig:\n      behavior:\n"
        "        scaleUp: {policies: [{type: Pods, value: 4, periodSeconds: 20}]}\n"
        "        scaleDown:\n          stabilizationWindowSeconds: 30\n"
        "          policies: [{type: Percent, value: 25, periodSeconds: 90}]\n"
        "  triggers: [{metadata: {listLength: '2'}}]\n"
    )
    assert read_scaling(path) == Scaling(
        list_length=2,
        polling=10,
        cooldown=60,
        stabilisation=30,
        shrink_to=0.75,
        shrink_period=90,
        grow_by=4,
        grow_period=20,
    )


def test_the_tables_and_the_picture_show_every_size_and_cooldown(tmp_path: Path) -> None:
    load = Load("small", 2, 8, 600.0, 2)
    result = measure(Fleet(), load, 120.0)
    parts = result.repeated + result.starting + result.storage + result.idle
    assert result.cost == pytest.approx(1 + parts, rel=0.05)
    names = ("large", "small", "evening")
    sweep = {(name, size, cooldown): result for name in names for size in SIZES for cooldown in COOLDOWNS}
    rows = table_of_sizes(sweep, "small").splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["30 s", "1 min", "2 min", "4 min", "10 min"]
    assert len({row.count("|") for row in rows}) == 1
    rows = table_of_lives({(life, size): result for life in LIVES for size in SIZES}).splitlines()
    assert len(rows) == 2 + len(SIZES) and len({row.count("|") for row in rows}) == 1
    rows = table_of_variations({"defaults": [result] * 3}).splitlines()
    assert len({row.count("|") for row in rows}) == 1
    draw(sweep, tmp_path / "fleet.svg")
    drawn = (tmp_path / "fleet.svg").read_text()
    assert "10 min" in drawn and len(drawn) < 100_000
