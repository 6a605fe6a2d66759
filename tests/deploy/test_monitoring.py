"""What deploy/monitoring/ reads is what workers tell."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.known import metrics

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
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


def test_every_alert_has_a_runbook_entry() -> None:
    page = (MONITORING.parents[1] / "docs" / "operations.md").read_text()

    assert set(re.findall(r"^\| (Savs\w+) \|", page, re.M)) == {rule["alert"] for rule in RULES}


def test_every_alert_is_played_by_a_rule_test() -> None:
    played = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]

    cases = [case for one in played for case in one["alert_rule_test"]]
    fired, silent = (
        {case["alertname"] for case in cases if bool(case.get("exp_alerts")) == fires}
        for fires in (True, False)
    )
    assert fired == silent == {rule["alert"] for rule in RULES}
