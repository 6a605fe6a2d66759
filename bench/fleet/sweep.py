"""Medians over several seeds, for one setting and one load."""

import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.fleet.account import Account
from bench.fleet.settings import Fleet, Scaling, SimulatedJob, draw_work
from bench.fleet.simulation import Simulation
from jobs.queue.timeouts import Timeouts

REFERENCE = 120.0  # seconds; a load is described in shards of this size, and has the same work at any size
SIZES = (30.0, 60.0, 120.0, 240.0, 600.0)  # seconds of work in a shard
COOLDOWNS = (60.0, 300.0, 900.0)
LIVES = (1800.0, 7200.0, 86_400.0, None)  # mean lives of a node, in seconds; None: it is never lost


@dataclass(frozen=True)
class Load:
    """Jobs of equal work.

    jobs    their number
    shards  of each, if they take REFERENCE
    gap     mean seconds between two jobs, which come at random times
    seeds   runs of which the median is taken
    """

    name: str
    jobs: int
    shards: int
    gap: float
    seeds: int

    @property
    def work(self) -> float:
        """Return the seconds of work of one job."""
        return self.shards * REFERENCE

    def drawn(self, size: float, seed: int) -> list[SimulatedJob]:
        rng = random.Random(seed)
        times = [0.0]
        while len(times) < self.jobs:
            times.append(times[-1] + rng.expovariate(1 / self.gap))
        shards = round(self.work / size)
        return [SimulatedJob(at, draw_work(shards, size, 1000 * seed + n)) for n, at in enumerate(times)]


LARGE = Load("large", 1, 100_000, 0.0, 3)
SMALL = Load("small", 1, 100, 0.0, 21)
EVENING = Load("evening", 20, 100, 600.0, 41)
LOADS = (LARGE, SMALL, EVENING)


@dataclass(frozen=True)
class Result:
    """Medians of one setting.

    finish    time until a job's result (mean of its load's jobs), over work / maximum of workers
    cost      paid seconds over work; the next four are parts of it, in the same unit
    repeats   attempts without a commit; also `stopped` and `given_up` are numbers of them
    """

    load: str
    size: float
    finish: float
    cost: float
    repeated: float
    starting: float
    storage: float
    idle: float
    repeats: float
    stopped: float
    given_up: float


def measure(fleet: Fleet, load: Load, size: float) -> Result:
    """Return the medians of a setting."""
    runs = []
    for seed in range(load.seeds):
        jobs = load.drawn(size, seed)
        runs.append(_figures(Simulation(fleet, jobs, seed).run(), fleet, load, jobs))
    return Result(load.name, size, *map(statistics.median, zip(*runs, strict=True)))


def _figures(account: Account, fleet: Fleet, load: Load, jobs: list[SimulatedJob]) -> tuple[float, ...]:
    took = statistics.mean(end - job.at for end, job in zip(account.finished, jobs, strict=True))
    work = load.work * load.jobs
    parts = (account.paid, account.repeated, account.starting, account.storage, account.idle)
    numbers = (account.repeats, account.stopped, account.given_up)
    return (took / (load.work / fleet.scaling.maximum), *(part / work for part in parts), *numbers)


def varied(fleet: Fleet) -> Iterator[tuple[str, Fleet]]:
    """Yield the pool, and pools that differ from it in one respect, each with its name."""

    def scaled(**numbers: object) -> Fleet:
        return replace(fleet, scaling=replace(fleet.scaling, **numbers))  # type: ignore[arg-type]

    yield "defaults", fleet
    yield "maxReplicaCount 8 (ideal: of 8)", scaled(maximum=8)
    yield "only idle workers are removed", scaled(spares_busy=True)
    yield "stabilisation 0 s", scaled(stabilisation=0.0)
    yield "stabilisation 60 s", scaled(stabilisation=60.0)
    yield "stabilisation 600 s", scaled(stabilisation=600.0)
    yield "all workers at once (scaleUp)", scaled(grow_by=fleet.scaling.maximum)
    yield "listLength 2", scaled(list_length=2)
    yield "listLength 4", scaled(list_length=4)
    yield "nodes stay for 600 s", replace(fleet, node_stays=600.0)
    yield "no spot losses", replace(fleet, spot_life=None)
    yield "notice of 120 s, grace time 100 s", replace(fleet, notice=120.0, times=Timeouts(grace=100.0))
    yield "no notice", replace(fleet, notice=0.0)
    yield "no notice, 5 attempts", replace(fleet, notice=0.0, times=replace(fleet.times, attempts=5))
    yield "batches of 40 s", replace(fleet, batch=40.0)
    yield "model loaded in 30 s", replace(fleet, load=30.0)


def with_cooldown(fleet: Fleet, seconds: float) -> Fleet:
    """Return the pool with another cooldown."""
    scaling: Scaling = replace(fleet.scaling, cooldown=seconds)
    return replace(fleet, scaling=scaling)
