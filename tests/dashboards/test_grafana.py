"""The dashboards for Grafana: that they are what their source makes, and as Grafana's own schema has them."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.dashboards.expressions import DASHBOARDS, ROOT, VARIABLE, panels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
BUILT_IN = {"__rate_interval", "__range"}
BEYOND_THE_SCHEMA = {"titleFormat", "textFormat"}
"""Of an annotation by Prometheus, which the schema leaves to the data source."""

LOADED: dict[str, dict[str, Any]] = {file.stem: json.loads(file.read_text()) for file in DASHBOARDS}

each_dashboard = pytest.mark.parametrize("dashboard", LOADED.values(), ids=LOADED)


def lost(ours: object, theirs: object, at: str = "") -> Iterator[str]:
    """Where something of ours is not, or is different."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from lost(value, theirs[key], f"{at}.{key}")
            elif key not in BEYOND_THE_SCHEMA:
                yield f"{at}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(*pair, f"{at}[{number}]")
    elif ours != theirs:
        yield at


def test_the_dashboards_are_what_their_source_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "configs/grafana/source", tmp_path], cwd=ROOT, check=True, timeout=60)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_text() for file in DASHBOARDS}, "run python configs/grafana/source"
    assert set(LOADED) == {"overview", "port", "fdb", "impairments"}


@each_dashboard
def test_grafana_s_own_types_have_every_field(dashboard: dict[str, Any]) -> None:
    """What the types do not know is lost on the way through them."""
    register_default_plugins()
    through = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    assert list(lost(dashboard, through)) == []


def test_a_field_that_grafana_does_not_know_would_be_seen() -> None:
    register_default_plugins()
    for place in ("options", "targets", "gridPos"):
        dashboard = json.loads(json.dumps(LOADED["overview"]))
        panel = dashboard["panels"][1]
        (panel[place][0] if place == "targets" else panel[place])["mispelt"] = True
        through = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
        assert [at.rpartition(".")[2] for at in lost(dashboard, through)] == ["mispelt"], place


def test_no_two_dashboards_have_one_name() -> None:
    for key in ("uid", "title"):
        assert len({dashboard[key] for dashboard in LOADED.values()}) == len(LOADED)


@each_dashboard
def test_no_two_panels_have_one_number_or_title_or_overlap(dashboard: dict[str, Any]) -> None:
    every = dashboard["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    titles = [panel["title"] for panel in panels(dashboard)]
    assert len(set(titles)) == len(titles)
    taken: dict[tuple[int, int], str] = {}
    for panel in every:
        x, y, w, h = (panel["gridPos"][key] for key in "xywh")
        assert 0 <= x < x + w <= 24, panel["title"]
        for cell in itertools.product(range(x, x + w), range(y, y + h)):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


@each_dashboard
def test_every_panel_is_explained_has_units_and_asks_the_chosen_source(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        assert panel["datasource"] == SOURCE
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"] == SOURCE
        assert "thresholds" in panel["fieldConfig"]["defaults"] or panel["type"] == "heatmap", panel["title"]
        places = (panel["fieldConfig"]["defaults"], panel["options"].get("yAxis", {}))
        assert any("unit" in place for place in places) or panel["type"] in {"table", "state-timeline"}, panel["title"]
    for asking in (*dashboard["annotations"]["list"], *dashboard["templating"]["list"][1:]):
        assert asking["datasource"] == SOURCE


@each_dashboard
def test_the_variables_are_the_same_everywhere_and_all_are_there(dashboard: dict[str, Any]) -> None:
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert names == ["datasource", "instance", "switch", "port"]
    used = {found[1] or found[2] for found in VARIABLE.finditer(json.dumps(dashboard["panels"])) if found[0] != "$"}
    assert {name for name in used if not name.startswith("__")} <= set(names)
    asked = VARIABLE.findall(" ".join(t["expr"] for panel in panels(dashboard) for t in panel["targets"]))
    assert {first or second for first, second in asked} <= {*names, *BUILT_IN}


@each_dashboard
def test_a_link_leads_to_a_dashboard_that_has_its_variables(dashboard: dict[str, Any]) -> None:
    uids = {each["uid"]: each for each in LOADED.values()}
    others = {link["url"].removeprefix("/d/"): link["includeVars"] for link in dashboard["links"]}
    assert others.keys() == uids.keys() - {dashboard["uid"]}
    assert not others.get("vswitch-port"), "it would be told to show all ports"
    links = re.findall(r'"url": "(/d/[^"]+)"', json.dumps(dashboard["panels"]))
    for link in links:
        parts = urlsplit(link)
        target = uids[parts.path.removeprefix("/d/")]
        known = {f"var-{variable['name']}" for variable in target["templating"]["list"]}
        assert set(parse_qs(parts.query)) == known
    assert bool(links) == (dashboard["uid"] == "vswitch-overview")
