"""What Prometheus is told, scraped from real workers."""

import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from urllib.error import URLError

import pytest
from prometheus_client.parser import text_string_to_metric_families

from savs.errors import SettingsError
from tests.pool.servers import Pool, children, wait_until
from tests.workers.looking import waits

Samples = dict[tuple[str, ...], float]


def scrape(port: int) -> Samples:
    """Each sample by its name and its labels' values, in the order of the labels' names; none while
    nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except (URLError, ConnectionError):
        return {}
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def port() -> Iterator[int]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    yield number


def test_a_cpu_worker_tells_of_queues_that_no_worker_serves(pool: Pool, port: int) -> None:
    pool.start("cpu", SAVS_METRICS_PORT=str(port))
    pool.submit(20, 10, ids=lambda i: f"cat-{i}")

    wait_until(
        lambda: scrape(port).get(("savs_pool_outstanding_shards", pool.queue), 0) > 0, "the demand is told"
    )

    found = scrape(port)
    assert found["savs_pool_workers", pool.queue] == 0
    assert found["savs_pool_workers", "savs.cpu"] == 1
    assert found["savs_redis_memory_bytes", "used"] > 0 and ("savs_redis_memory_bytes", "max") in found


def test_the_metrics_are_those_of_the_outcomes_and_outlive_a_killed_child(pool: Pool, port: int) -> None:
    # given a job with two rows that cannot be read
    pool.start("cpu")
    worker = pool.start("gpu", SAVS_METRICS_PORT=str(port), FAKE_BATCH_SECONDS="0.01")
    [extract, classify] = pool.submit(20, 10, ids=lambda i: f"cat-{i}{'-rotten' * (i in (3, 17))}")
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")

    # then the counts are the ledger's
    wait_until(lambda: scrape(port).get(("savs_shards_total", "done")) == 4, "all four shards are counted")
    found = scrape(port)
    assert found["savs_items_total", "labelled", "extract_savs"] == 12
    assert found["savs_items_total", "labelled", "classify_shard"] == 18
    assert found["savs_items_total", "failed", "classify_shard"] == 2
    assert found["savs_item_errors_total", "unreadable_media"] == 2
    assert found["savs_outstanding_shards", pool.queue] == 0
    assert found["savs_model_load_seconds", "tests/fake"] >= 0
    spent: dict[str, float] = {}
    for outcome in [o for job in (extract, classify) for o in pool.ledger.outcomes(job.job_id)]:
        for stage, seconds in outcome.timings.items():
            spent[stage] = spent.get(stage, 0) + seconds
    assert {"read", "write"} <= set(spent)
    assert {key[1]: seconds for key, seconds in found.items() if key[0] == "savs_stage_seconds_total"} == (
        pytest.approx(spent)
    )

    # and when the child is killed, its successor serves at the same port, and counts from 0
    [child] = children(worker)
    os.kill(child, signal.SIGKILL)
    wait_until(
        lambda: (now := scrape(port)) and ("savs_shards_total", "done") not in now, "the successor answers"
    )


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_scrape_without_redis_leaves_out_only_the_board(pool: Pool, port: int, fault: int) -> None:
    pool.start("cpu", SAVS_METRICS_PORT=str(port))
    wait_until(lambda: ("savs_outstanding_shards", "savs.cpu") in scrape(port), "it is scraped")

    assert pool.redis.process is not None
    pool.redis.process.send_signal(fault)
    began = time.monotonic()
    found = scrape(port)

    assert time.monotonic() - began < 5
    assert found["process_start_time_seconds",] > 0
    assert not any(name == "savs_outstanding_shards" for name, *_ in found)


def test_a_port_in_use_ends_a_worker_that_starts(pool: Pool, port: int) -> None:
    with closing(socket.socket()) as other:
        other.bind(("0.0.0.0", port))
        other.listen()

        worker = pool.start("gpu", SAVS_METRICS_PORT=str(port), FAKE_LOAD_SECONDS="60")

        assert worker.wait(timeout=20) == 1
        assert f"cannot start: --metrics-port: {port}: Address already in use" in pool.log(0)
        assert "Traceback" not in pool.log(0)


def test_a_port_that_is_lost_later_costs_the_metrics_and_no_work(pool: Pool, port: int) -> None:
    # given a worker whose child is killed while it sleeps, and its port taken by another
    worker = pool.start("gpu", SAVS_METRICS_PORT=str(port))
    wait_until(lambda: waits(pool), "the worker waits for a message")
    pool.start("cpu")
    [child] = children(worker)
    os.kill(worker.pid, signal.SIGSTOP)
    os.kill(child, signal.SIGKILL)
    with closing(socket.socket()) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_until(lambda: bound(other, port), "the port is free")
        other.listen()

        os.kill(worker.pid, signal.SIGCONT)
        [extract, _] = pool.submit(rows=4, shard_size=4)

        wait_until(lambda: len(pool.ledger.committed(extract.job_id)) == 2, "the shards are done")
        assert "continues without metrics" in pool.log(0)


def bound(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("0.0.0.0", port))
    except OSError:
        return False
    return True


def test_metrics_are_for_this_machine_unless_told_otherwise(port: int) -> None:
    from workers.monitoring.metrics import Metrics

    Metrics("redis://127.0.0.1:1", "any").serve("127.0.0.1", port)
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.2", port), timeout=5):
        pass
    with pytest.raises(SettingsError, match=r"--metrics-host: 203\.0\.113\.9: "):
        Metrics("redis://127.0.0.1:1", "any").serve("203.0.113.9", port)


def test_idle_connections_keep_no_one_from_the_metrics(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.monitoring import metrics_server
    from workers.monitoring.metrics import Metrics

    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.5)
    Metrics("redis://127.0.0.1:1", "any").serve("127.0.0.1", port)
    threads = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    wait_until(lambda: scrape(port), "one answers")
    assert threading.active_count() <= threads + metrics_server.CONNECTIONS + 1
    for one in idle:
        one.close()
