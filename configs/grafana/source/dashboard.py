"""A whole dashboard: variables, links, and panels from left to right, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panels import COLUMNS, SOURCE, Json, Panel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TAG = "vswitch"
PORT = "vswitch-port"
UIDS = {
    "vswitch-overview": "Overview",
    PORT: "Port",
    "vswitch-fdb": "FDB and learning",
    "vswitch-impairments": "Impairments",
}
SCHEMA = 39  # of Grafana 11.0; those of 10 read it, later ones migrate it


def dashboard(uid: str, title: str, description: str, variables: list[Json], rows: dict[str, list[Panel]]) -> Json:
    """rows: panels by the title of their row."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": [TAG],
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": SCHEMA,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), *variables]},
        "annotations": {"list": [_alerts()]},
        "links": _siblings(uid),
        "panels": [{"id": number, **panel} for number, panel in enumerate(_placed(rows), 1)],
    }


def variable(name: str, query: str, *, several: bool, description: str) -> Json:
    """What `label_values` gives, refreshed whenever the time range changes; several: also all of them at once."""
    found: Json = {
        "type": "query",
        "name": name,
        "label": name.capitalize(),
        "description": description,
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "hide": 0,
    }
    if several:
        found |= {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return found


def variables(*, port: str = "vswitch_port_up", several: bool) -> list[Json]:
    """Instance, switch and port, each of what was chosen before; port: a metric that only the ports to show have."""
    equals = "=~" if several else "="
    instance, switch = f'instance{equals}"$instance"', f'switch{equals}"$switch"'
    return [
        variable("instance", f"label_values({port}, instance)", several=several, description="Where metrics are read"),
        variable("switch", f"label_values({port}{{{instance}}}, switch)", several=several, description="By its name"),
        variable(
            "port", f"label_values({port}{{{instance}, {switch}}}, port)", several=several, description="By its name"
        ),
    ]


def _placed(rows: dict[str, list[Panel]]) -> Iterator[Json]:
    top = 0
    for title, panels in rows.items():
        yield {
            "type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        }  # fmt: skip
        top += 1
        for line in _lines(panels):
            left = 0
            for panel in line:
                yield {**panel.body, "gridPos": {"x": left, "y": top, "w": panel.width, "h": panel.height}}
                left += panel.width
            top += max(panel.height for panel in line)


def _lines(panels: Iterable[Panel]) -> list[list[Panel]]:
    lines: list[list[Panel]] = [[]]
    for panel in panels:
        if sum(each.width for each in lines[-1]) + panel.width > COLUMNS:
            lines.append([])
        lines[-1].append(panel)
    return lines


def _datasource() -> Json:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "description": "Which Prometheus",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "hide": 0,
    }


def _alerts() -> Json:
    return {
        "name": "Alerts",
        "datasource": SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"Vswitch.*", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{switch}} {{port}}",
    }


def _siblings(uid: str) -> list[Json]:
    """Links to the other dashboards. That of one port is not given a choice of several, which it cannot show."""
    return [
        {
            "type": "link",
            "title": name,
            "url": f"/d/{other}",
            "includeVars": other != PORT,
            "keepTime": True,
            "targetBlank": False,
            "asDropdown": False,
            "icon": "dashboard",
            "tooltip": "",
            "tags": [],
        }
        for other, name in UIDS.items()
        if other != uid
    ]
