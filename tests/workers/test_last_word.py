"""A worker that ends is not counted as running afterwards."""

import threading
from collections.abc import Callable

import pytest

from jobs.queue.broker import Broker, ServingWorker
from jobs.records.message import CPU_QUEUE
from tests.pool.servers import Pool
from workers.child import Child
from workers.flags import Flags
from workers.model import load
from workers.monitoring.signs import WorkerSigns
from workers.settings import WorkerSettings

ShowLife = Callable[[Broker, str, ServingWorker], None]


def test_a_report_that_takes_long_does_not_outlive_the_last_word(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = WorkerSettings(pool.redis.url, pool.address, CPU_QUEUE)
    child = Child(settings, Flags(), load, WorkerSigns(pool.workspace / "run", CPU_QUEUE))
    assert child.me.name in pool.broker.alive(CPU_QUEUE)

    # when the worker ends while a report is on its way to Redis
    under_way, arrive = threading.Event(), threading.Event()
    monkeypatch.setattr(Broker, "show_life", late(Broker.show_life, under_way, arrive))
    report = threading.Thread(target=child._say_alive)
    report.start()
    assert under_way.wait(10)
    end = threading.Thread(target=child.end)
    end.start()
    end.join(0.3)  # with the fault it ends here
    arrive.set()
    report.join()
    end.join()

    assert pool.broker.alive(CPU_QUEUE) == set()


def late(show_life: ShowLife, under_way: threading.Event, arrive: threading.Event) -> ShowLife:
    def shown(broker: Broker, queue: str, worker: ServingWorker) -> None:
        under_way.set()
        arrive.wait(10)
        show_life(broker, queue, worker)

    return shown
