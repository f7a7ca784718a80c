"""The rules and alerts for Prometheus, by its own promtool, and that each of them is tested and explained."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.dashboards.expressions import PROMETHEUS, ROOT, rules, without_threshold
from tests.unit.test_documents import anchors
from vswitch.core.verdict import Reason

HERE = Path(__file__).parent
SEVERITIES = {"critical", "warning", "info"}
REASONS = re.compile(r'reason=~"([\w|]+)"')
EXPECTED = re.compile(r"^No alert counts (.*?)[:.]", re.MULTILINE | re.DOTALL)

ALERTS = {rule["alert"]: rule for rule in rules(PROMETHEUS / "alerts.yml")}


def promtool(*arguments: str) -> None:
    result = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.program("promtool")
def test_prometheus_takes_the_configuration() -> None:
    promtool("check", "config", "--lint=all", "--lint-fatal", str(PROMETHEUS / "prometheus.yml"))


@pytest.mark.program("promtool")
def test_prometheus_takes_what_stands_there_in_comments_too(tmp_path: Path) -> None:
    """Every line that is a comment and no sentence."""
    text = (PROMETHEUS / "prometheus.yml").read_text()
    found = re.sub(r"^( *)# (?=alerting:| *- | +\w+:)", r"\1", text, flags=re.MULTILINE)
    assert [job["job_name"] for job in yaml.safe_load(found)["scrape_configs"]] == ["vswitch", "vswitch-remote"]
    assert yaml.safe_load(found)["alerting"]
    for name in ("vswitch-ca.pem", "vswitch-password"):
        (tmp_path / name).touch()
    (tmp_path / "prometheus.yml").write_text(found.replace("[rules.yml, alerts.yml]", "[]"))
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


@pytest.mark.program("promtool")
@pytest.mark.parametrize("file", ["rules.yml", "alerts.yml"])
def test_rules_do_what_they_are_there_for(file: str) -> None:
    promtool("test", "rules", str(HERE / file))


def seconds(text: str) -> int:
    """`2m45s` in seconds."""
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text).groups()  # type: ignore[union-attr]
    return 60 * int(minutes or 0) + int(rest or 0)


def test_every_alert_is_seen_before_it_fires_while_it_does_and_after() -> None:
    tests = yaml.safe_load((HERE / "alerts.yml").read_text())["tests"]
    assert [test["name"] for test in tests] == list(ALERTS)
    for test in tests:
        looks = [look for look in test["alert_rule_test"] if look["alertname"] == test["name"]]
        looks.sort(key=lambda look: seconds(look["eval_time"]))
        assert [bool(look["exp_alerts"]) for look in looks] == [False, True, False], test["name"]


def test_every_recording_rule_is_tested_and_named_by_its_level_metric_and_operations() -> None:
    tests = yaml.safe_load((HERE / "rules.yml").read_text())["tests"]
    tested = {look["expr"] for test in tests for look in test["promql_expr_test"] if look["exp_samples"]}
    recorded = [rule["record"] for rule in rules(PROMETHEUS / "rules.yml")]
    assert tested == set(recorded)
    for name in recorded:
        assert re.fullmatch(r"switch(_port)?:vswitch_\w+:(rate\d+m|sum|(ratio|p99)(_rate\d+m)?)", name), name


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_says_in_a_sentence_what_is_wrong_and_where_to_read_on(alert: dict[str, dict[str, str]]) -> None:
    assert alert["labels"]["severity"] in SEVERITIES
    assert alert["for"]
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    for text in (alert["annotations"]["summary"], alert["annotations"]["description"]):
        assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", text), text
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchor in anchors(ROOT / page)
    assert without_threshold(str(alert["expr"]))


def test_the_documents_have_each_alert_with_its_severity_in_their_order() -> None:
    every = [(name, alert["labels"]["severity"]) for name, alert in ALERTS.items()]
    page, table = (ROOT / "docs/alerts.md").read_text(), (ROOT / "docs/dashboards.md").read_text()
    assert re.findall(r"^## (\w+)\n\n\*(\w+)\*: ", page, re.MULTILINE) == every
    assert re.findall(r"^\| \[(\w+)\]\S+ \| (\w+) \|", table, re.MULTILINE) == every


def test_the_table_of_alerts_says_how_long_each_waits() -> None:
    table = (ROOT / "docs/dashboards.md").read_text()
    for name, alert in ALERTS.items():
        (row,) = [line for line in table.splitlines() if line.startswith(f"| [{name}]")]
        waits = re.search(r"for (\d+) m", row)
        assert (f"{waits[1]}m" if waits else "1m") == alert["for"], row


def test_every_drop_reason_is_a_loss_or_refused_or_expected() -> None:
    lost, refused = (
        REASONS.search(ALERTS[name]["expr"])[1].split("|")  # type: ignore[index]
        for name in ("VswitchFramesLost", "VswitchFramesRefused")
    )
    expected = re.findall(r"`(\w+)`", EXPECTED.search((ROOT / "docs/alerts.md").read_text())[1])  # type: ignore[index]
    assert sorted([*lost, *refused, *expected]) == sorted(reason.value for reason in Reason)
