"""What dashboards are made of: queries, and panels of each kind. Fields are those of Grafana 10 and 11."""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
RATE = "[$__rate_interval]"

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


class Query(NamedTuple):
    """An expression, and what its series are called; of a table, its column."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """A panel that has no place yet; width in 24ths, height in rows."""

    body: Json
    width: int
    height: int


def steps(*marks: tuple[float, str], base: str = GREEN) -> Json:
    """Thresholds: `base`, and each colour from its value on."""
    return {
        "mode": "absolute",
        "steps": [{"color": base, "value": None}, *({"color": color, "value": value} for value, color in marks)],
    }


def mapping(**texts: tuple[str, str]) -> list[Json]:
    """Values as words: v0=("down", "red")."""
    options = {
        value.removeprefix("v"): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(texts.items())
    }
    return [{"type": "value", "options": options}]


STATES = mapping(v0=("down", RED), v1=("up", GREEN))


def timeseries(
    title: str, description: str, *queries: Query, unit: str, width: int = 12, stacked: bool = False,
    below: str | None = None, marks: Json | None = None, maximum: float | None = None,
) -> Panel:  # fmt: skip
    """Lines over time; below: a pattern of the names of series that are drawn below the axis."""
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 60 if stacked else 10,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "line" if marks else "off"},
    }
    defaults: Json = {"unit": unit, "custom": custom, "thresholds": marks or steps()}
    if below is None:
        defaults["min"] = 0
    if maximum is not None:
        defaults["max"] = maximum
    negative = {"id": "custom.transform", "value": "negative-Y"}
    overrides = [] if below is None else [_override("byRegexp", f"/{below}/", negative)]
    options: Json = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel(_panel("timeseries", title, description, queries, defaults, overrides, options), width, 8)


def stat(
    title: str, description: str, *queries: Query, unit: str, width: int = 3, marks: Json | None = None,
    words: list[Json] | None = None, line: bool = True,
) -> Panel:  # fmt: skip
    """The last value, large; line: with its past behind it."""
    defaults: Json = {"unit": unit, "thresholds": marks or steps(base=BLUE), "mappings": words or []}
    options: Json = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area" if line else "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    }
    return Panel(_panel("stat", title, description, queries, defaults, [], options), width, 4)


def state_timeline(title: str, description: str, query: Query, width: int = 24) -> Panel:
    """Up and down as bars of colour over time."""
    defaults: Json = {
        "mappings": STATES,
        "custom": {"fillOpacity": 70, "lineWidth": 0},
        "thresholds": steps((1, GREEN), base=RED),
    }
    options: Json = {
        "mergeValues": True,
        "showValue": "auto",
        "rowHeight": 0.9,
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel(_panel("state-timeline", title, description, (query,), defaults, [], options), width, 5)


def heatmap(title: str, description: str, query: Query, unit: str, width: int = 12) -> Panel:
    """A histogram's buckets over time; the expression keeps the label `le`."""
    defaults: Json = {"custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}}}
    options: Json = {
        "calculate": False,
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        "rowsFrame": {"layout": "auto"},
        "color": {
            "mode": "scheme",
            "scheme": "Spectral",
            "fill": "dark-orange",
            "steps": 64,
            "exponent": 0.5,
            "reverse": False,
        },
        "cellGap": 1,
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
    }
    body = _panel("heatmap", title, description, (query,), defaults, [], options)
    body["targets"][0]["format"] = "heatmap"
    return Panel(body, width, 9)


def table(
    title: str, description: str, keys: list[str], columns: dict[str, Query], looks: dict[str, Json],
    links: dict[str, Json] | None = None, height: int = 9,
) -> Panel:  # fmt: skip
    """One row for each value of the labels `keys`; looks: unit, thresholds and so on of a column by its name."""
    queries = [Query(query.expr, name) for name, query in columns.items()]
    names = {f"Value #{_ref(at)}": name for at, name in enumerate(columns)}
    overrides = [
        _override("byName", name, *({"id": key, "value": value} for key, value in look.items()))
        for name, look in looks.items()
    ]
    for name, link in (links or {}).items():
        overrides.append(_override("byName", name, {"id": "links", "value": [link]}))
    options: Json = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"]}}
    defaults: Json = {
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True},
        "thresholds": steps(),
    }
    body = _panel("table", title, description, tuple(queries), defaults, overrides, options)
    for target in body["targets"]:
        target.update(format="table", instant=True, range=False)
    body["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {name: at for at, name in enumerate([*keys, *names])},
                "renameByName": names,
            },
        },
    ]
    return Panel(body, COLUMNS, height)


def _panel(
    kind: str, title: str, description: str, queries: tuple[Query, ...], defaults: Json, overrides: list[Json],
    options: Json,
) -> Json:  # fmt: skip
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "targets": [
            {
                "refId": _ref(at),
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "range": True,
            }
            for at, query in enumerate(queries)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        "options": options,
    }


def _override(by: str, of: str, *properties: Json) -> Json:
    return {"matcher": {"id": by, "options": of}, "properties": list(properties)}


def _ref(at: int) -> str:
    return chr(ord("A") + at)
