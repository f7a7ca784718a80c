"""`impair show` as a table: what is asked for, and what is achieved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from vswitch.stages.impairment.words import duration, percent, rate

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARES: Final = ("loss", "duplicate", "reorder", "corrupt")
"""Columns of them; all but the first only where somebody asks for some."""


def impairments(rows: Sequence[dict[str, Any]]) -> Table:
    """A line a direction; each figure as `achieved / asked`, and what else holds."""
    found = [(row["port"], *each) for row in rows for each in row["impair"]["directions"].items()]
    shares = [share for share in _SHARES if share == "loss" or any(each["asked"][share] for _, _, each in found)]
    also = [_also(each["config"]) for _, _, each in found]
    headings = ["DELAY", "P99", *map(str.upper, shares), "RATE", "FRAMES", "HELD", "FULL"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("PORT", "DIRECTION", *headings, *(["ALSO"] if any(also) else [])):
        left = heading in ("PORT", "DIRECTION", "ALSO")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for (port, direction, each), more in zip(found, also, strict=True):
        cells = _cells(each["asked"], each["achieved"], shares)
        table.add_row(port, direction, *cells, *([more] if any(also) else []))
    return table


def _cells(asked: dict[str, Any], achieved: dict[str, Any], shares: Sequence[str]) -> list[str]:
    came = max(1, achieved["frames"])
    shown = {**achieved, "reorder": achieved["reordered"] / came, "corrupt": achieved["corrupted"] / came}
    return [
        f"{_time(achieved['delay_mean'])} / {duration(asked['delay'])}",
        _time(achieved["delay_p99"]),
        *(f"{percent(round(shown[share], 5))} / {percent(asked[share])}" for share in shares),
        f"{rate(round(achieved['rate'], -3))} / {rate(asked['rate']) if asked['rate'] else '-'}",
        f"{achieved['frames']:,}",
        f"{achieved['held']:,}",
        f"{achieved['queue_full']:,}",
    ]


def _also(config: dict[str, Any]) -> str:
    """What a line says and no column shows, in the words of a configuration."""
    words = [f"{key} {config[key]}" for key in ("mtu", "filter", "trace", "replay") if config.get(key)]
    if config.get("vlan"):
        words.append(f"vlan {','.join(map(str, config['vlan']))}")
    return ", ".join([*words, *(key for key in ("codel", "flap", "schedule") if config.get(key))])


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.2f}ms"
