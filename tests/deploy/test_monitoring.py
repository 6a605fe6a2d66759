"""What deploy/monitoring/ reads is what workers tell."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.known import metrics

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]


@pytest.fixture(scope="module")
def told() -> set[str]:
    return metrics()


def _named(text: str) -> set[str]:
    return set(re.findall(r"\bsavs_\w+", text))


def test_every_metric_of_the_alerts_exists(told: set[str]) -> None:

    for rule in RULES:
        assert _named(rule["expr"]) <= told, rule["alert"]


def test_every_metric_of_the_dashboard_exists_and_every_metric_is_shown(told: set[str]) -> None:
    board = json.loads((MONITORING / "grafana" / "dashboards" / "savs.json").read_text())
    shown = {name for panel in board["panels"] for one in panel["targets"] for name in _named(one["expr"])}

    assert shown <= told
    # those of one queue are there in another form
    assert told - shown - {"savs_outstanding_shards"} == {n for n in told if n.startswith("process_")}


def test_every_alert_has_a_runbook_entry_that_was_tried() -> None:
    """Commands, each followed by its output; tests/docs runs them."""
    entries = re.split(r"^## (Savs\w+)$", RUNBOOK.read_text(), flags=re.M)
    texts = dict(zip(entries[1::2], entries[2::2], strict=True))

    assert list(texts) == [rule["alert"] for rule in RULES]
    for alert, text in texts.items():
        assert re.search(r"^```sh\n.*?^```\n+```text\n", text, re.M | re.S), alert


def test_whoever_scrapes_gives_workers_the_job_that_the_alert_asks_for() -> None:
    [down] = [rule["expr"] for rule in RULES if rule["alert"] == "SavsWorkerDown"]
    monitor = yaml.safe_load((MONITORING / "podmonitor.yaml").read_text())
    label = monitor["spec"]["jobLabel"]  # else the operator calls it NAMESPACE/NAME
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())

    assert down == 'up{job="savs"} == 0'
    assert monitor["spec"]["selector"]["matchLabels"][label] == "savs"
    assert config["scrape_configs"][0]["job_name"] == "savs"


def test_every_alert_links_to_its_runbook_entry() -> None:

    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_every_alert_is_played_by_a_rule_test() -> None:
    played = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]

    cases = [case for one in played for case in one["alert_rule_test"]]
    fired, silent = (
        {case["alertname"] for case in cases if bool(case.get("exp_alerts")) == fires}
        for fires in (True, False)
    )
    assert fired == silent == {rule["alert"] for rule in RULES}
