"""Every expression that the rules, the alerts and the dashboards of configs/ ask Prometheus."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "configs/prometheus"
DASHBOARDS = sorted((ROOT / "configs/grafana/dashboards").glob("*.json"))

THRESHOLD = re.compile(r"\s*(==|!=|>=|<=|>|<)\s*[0-9.]+(?=$|\s|\))")
ABSENT = re.compile(r"^absent\((.*)\)$", re.DOTALL)
LABEL_VALUES = re.compile(r"^label_values\((.*), (\w+)\)$", re.DOTALL)
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


class Expression(NamedTuple):
    """where: for people, and unique.  text: in PromQL, variables of dashboards still in it."""

    where: str
    text: str


def rules(file: Path) -> list[dict[str, Any]]:
    """The rules of a file, of whatever group."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def recorded() -> Iterator[Expression]:
    """What each recording rule computes."""
    for rule in rules(PROMETHEUS / "rules.yml"):
        yield Expression(f"rules.yml: {rule['record']}", rule["expr"])


def alerts() -> Iterator[Expression]:
    """The conditions of the alerts."""
    for rule in rules(PROMETHEUS / "alerts.yml"):
        yield Expression(f"alerts.yml: {rule['alert']}", rule["expr"])


def without_threshold(condition: str) -> str:
    """What an alert's condition compares with a number, which is there whether or not it fires."""
    operand = ABSENT.sub(r"\1", condition)
    if operand == condition:
        operand = THRESHOLD.sub("", condition)
        assert operand != condition, f"nothing is compared in {condition}"
    return operand


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each panel that is no row, also of rows that are closed."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", ())


def shown() -> Iterator[Expression]:
    """What panels ask."""
    for file in DASHBOARDS:
        for panel in panels(json.loads(file.read_text())):
            for target in panel.get("targets", ()):
                yield Expression(f"{file.stem}: {panel['title']}: {target['refId']}", target["expr"])


def chosen() -> Iterator[Expression]:
    """What the variables of dashboards ask, as the expression that has the values as the values of one label."""
    for file in DASHBOARDS:
        for variable in json.loads(file.read_text())["templating"]["list"]:
            if variable["type"] == "query":
                found = LABEL_VALUES.match(variable["query"]["query"])
                assert found, variable["query"]
                yield Expression(f"{file.stem}: ${variable['name']}", f"group by ({found[2]}) ({found[1]})")


def annotated() -> Iterator[Expression]:
    """What the marks on the time axis ask."""
    for file in DASHBOARDS:
        for annotation in json.loads(file.read_text())["annotations"]["list"]:
            if "expr" in annotation:
                yield Expression(f"{file.stem}: {annotation['name']}", annotation["expr"])


def substituted(text: str, values: dict[str, str]) -> str:
    """The expression as Grafana sends it. Raises KeyError for a variable that there is not."""
    return VARIABLE.sub(lambda found: values[found[1] or found[2]], text)
