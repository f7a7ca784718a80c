"""`impair show` as a table: what is asked for, and what is achieved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from vswitch.stages.impairment.words import duration, percent, rate

if TYPE_CHECKING:
    from collections.abc import Sequence


def impairments(rows: Sequence[dict[str, Any]]) -> Table:
    """A line a direction; each figure as `achieved / asked`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("PORT", "DIRECTION", "DELAY", "P99", "LOSS", "DUPLICATE", "RATE", "FRAMES", "HELD", "FULL"):
        table.add_column(heading, justify="left" if heading in ("PORT", "DIRECTION") else "right", overflow="fold")
    for row in rows:
        for direction, found in row["impair"]["directions"].items():
            table.add_row(row["port"], direction, *_cells(found["asked"], found["achieved"]))
    return table


def _cells(asked: dict[str, Any], achieved: dict[str, Any]) -> list[str]:
    return [
        f"{_time(achieved['delay_mean'])} / {duration(asked['delay'])}",
        _time(achieved["delay_p99"]),
        f"{percent(round(achieved['loss'], 5))} / {percent(asked['loss'])}",
        f"{percent(round(achieved['duplicate'], 5))} / {percent(asked['duplicate'])}",
        f"{rate(round(achieved['rate'], -3))} / {rate(asked['rate']) if asked['rate'] else '-'}",
        f"{achieved['frames']:,}",
        f"{achieved['held']:,}",
        f"{achieved['queue_full']:,}",
    ]


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.2f}ms"
