"""A pool that grows from no worker and shrinks back, on a bad day. `make drill` runs this and CI does too.

KEDA and Kubernetes are played with the numbers of `deploy/`; Redis, workers, signals and the ledger are real,
the model only waits. One second of it stands for twenty.
"""

import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable

import pytest

from jobs.ledger.results import result_rows
from jobs.queue.failed_starts import failed_starts
from jobs.records.job import Job
from tests.drill.cluster import Cluster
from tests.drill.numbers import SPEED, Numbers, read_numbers
from tests.pool.servers import Pool

SHARDS = 600
BATCH_ROWS = 4  # as `Pool.submit` has it
REMOVALS = 10  # of random workers, with the grace period
WASTE = 1.15  # worker-seconds over those of the work, at most
PATIENCE = 900.0  # seconds for all of it
STEP = 0.05

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1200)]


class Day:
    """What happens to a cluster while it works, at shares of the shards that are done."""

    def __init__(self, cluster: Cluster, job: Job, rng: random.Random) -> None:
        self.cluster, self.job, self.rng = cluster, job, rng
        self.reasons: set[str] = set()
        removals = [(rng.uniform(0.08, 0.92), self.remove) for _ in range(REMOVALS)]
        events: list[tuple[float, Callable[[], None]]] = [
            (0.03, self.mend),
            (0.35, self.restart_redis),
            (0.65, self.lose_node),
            *removals,
        ]
        self.waiting = sorted(events, key=lambda event: event[0])

    def step(self) -> None:
        self.cluster.step()
        pool = self.cluster.pool
        if self.waiting and len(pool.ledger.committed(self.job.job_id)) >= self.waiting[0][0] * SHARDS:
            self.waiting.pop(0)[1]()
        if self.cluster.broken and pool.redis.answers():
            self.reasons |= {cause.reason for cause in failed_starts(pool.broker, pool.queue)}

    def remove(self) -> None:
        self.cluster.remove(self.rng.choice([pod for pod in self.cluster.pods if pod.end_by is None]))

    def mend(self) -> None:
        """Let the model be loaded everywhere."""
        self.cluster.broken.clear()

    def restart_redis(self) -> None:
        self.cluster.pool.redis.kill()
        self.cluster.next_look = 0.0  # KEDA looks meanwhile
        self.cluster.step()
        time.sleep(1.0)
        self.cluster.pool.redis.start()

    def lose_node(self) -> None:
        self.cluster.lose(self.rng.choice(self.cluster.pods).node)


def environment(numbers: Numbers) -> dict[str, str]:
    times = numbers.times
    return {
        "FAKE_BATCH_SECONDS": str(numbers.batch),
        "FAKE_LOAD_SECONDS": str(numbers.load),
        "SAVS_TOUCH_EVERY": str(times.touch),
        "SAVS_NO_LIFE_LIMIT": str(times.no_life),
        "SAVS_SWEEP_EVERY": str(times.sweep),
        "SAVS_GRACE_TIME": str(times.grace),
    }


def test_a_pool_grows_from_nothing_outlives_a_bad_day_and_shrinks_to_nothing(pool: Pool) -> None:
    numbers, seed = read_numbers(), random.randrange(2**32)
    rng = random.Random(seed)
    cluster = Cluster(pool, numbers, rng, environment(numbers), broken={3})
    pool.start("cpu", **environment(numbers))
    assert cluster.numbers.scaling.maximum == 8
    for _ in range(40):  # nothing to do, nobody there
        cluster.step()
        time.sleep(STEP)
    assert not cluster.pods

    shard_rows = round(numbers.shard / numbers.batch) * BATCH_ROWS
    jobs = pool.submit(SHARDS * shard_rows, shard_rows)
    began, finished, day = time.monotonic(), 0.0, Day(cluster, jobs[1], rng)
    while cluster.pods or cluster.wanted or not finished:
        assert time.monotonic() < began + PATIENCE, f"seed {seed}: {cluster.counted}"
        day.step()
        if not finished and pool.finished(jobs[1]):
            finished = time.monotonic() - began
        time.sleep(STEP)
    ended = time.monotonic() - began

    work = SHARDS * numbers.shard
    logs = "".join(path.read_text(errors="replace") for path in pool.logs.glob("*gpu.log"))
    seen = Counter(re.findall(r"shard ended: ([^,]+),", logs))
    table = {
        "seed": seed,
        "workers": cluster.most,
        "the work": f"{work * SPEED / 3600:.1f} worker hours",
        "finish": round(finished / (work / cluster.numbers.scaling.maximum), 3),
        "worker-seconds": round(cluster.paid / work, 3),
        "until the last worker is gone": f"{(ended - finished) * SPEED:.0f} s",
        "in shards": round(sum(map(float, re.findall(r"shard ended: .* ([0-9.]+) s", logs))) / work, 3),
        **{f"shards {name}": number for name, number in seen.items()},
        **{f"pods {name}": number for name, number in cluster.counted.items()},
    }
    print("\n".join(f"{name}: {value}" for name, value in table.items()))

    indexes = Counter(json.loads(row)["index"] for row in result_rows(pool.ledger, jobs[1].job_id))
    summary = pool.ledger.summary(jobs[1].job_id)
    assert summary is not None and (summary["labelled"], summary["failed"]) == (SHARDS * shard_rows, 0)
    assert set(indexes) == set(range(SHARDS * shard_rows)) and set(indexes.values()) == {1}
    assert cluster.most == cluster.numbers.scaling.maximum
    assert not day.waiting and "RuntimeError: no such weights" in day.reasons
    assert cluster.counted["looks without Redis"] and cluster.counted["lost with their node"]
    assert cluster.counted["killed after the grace period"] == 0
    assert cluster.paid <= WASTE * work, table
