"""Prometheus reads deploy/monitoring/, plays its alerts, and scrapes a real worker."""

import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import DEPLOY
from tests.deploy.tools import program
from tests.pool.servers import Pool, free_port, wait_until

pytestmark = pytest.mark.deploy
MONITORING = DEPLOY / "monitoring"


def promtool(*words: str) -> None:
    command = [program("promtool", "prometheus"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=MONITORING)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_the_alerts_are_usable() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")


def test_each_alert_fires_and_does_not() -> None:
    promtool("test", "rules", "alerts_test.yml")


def test_prometheus_scrapes_a_worker_and_evaluates_the_alerts(pool: Pool, tmp_path: Path) -> None:
    # given the configuration, with one worker in place of those that DNS names
    worker, own = free_port(), free_port()
    pool.start("cpu", SAVS_METRICS_PORT=str(worker))
    pool.submit(20, 10, ids=lambda i: f"cat-{i}")
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms"}
    config["rule_files"] = [str(MONITORING / "alerts.yml")]
    [scrape] = config["scrape_configs"] = config["scrape_configs"][:1]
    del scrape["dns_sd_configs"], scrape["file_sd_configs"]
    scrape["static_configs"] = [{"targets": [f"127.0.0.1:{worker}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))

    server = subprocess.Popen(
        [
            program("prometheus", "prometheus"),
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{own}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        # then it knows the shards that no worker has taken, and the alert waits for its time
        demand = f'savs_pool_outstanding_shards{{queue="{pool.queue}"}}'
        wait_until(lambda: asked(own, demand) > 0, "the demand is scraped")
        assert asked(own, 'up{job="savs"}') == 1
        pending = f'ALERTS{{alertname="SavsQueueWithoutWorker", alertstate="pending", queue="{pool.queue}"}}'
        wait_until(lambda: asked(own, pending) == 1, "the alert is pending")
    finally:
        server.terminate()
        server.wait()


def asked(port: int, query: str) -> float:
    """The value of a query; -1 if there is none yet."""
    address = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return -1
    return float(found[0]["value"][1]) if found else -1
