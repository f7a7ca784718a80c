"""The filtering database: how full it is, and what becomes of stations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from vswitch.control.metrics.group import Group, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.service import Service

_COUNTERS: Final = (
    ("moves", "Stations that moved to another port"),
    ("evictions", "Learned stations that made room for others in a full database"),
    ("flaps", "Episodes in which a station moved to and fro"),
)


def copy(service: Service) -> Iterator[Row]:
    """The limit and the counters; then each VLAN and its stations."""
    fdb = service.switch.fdb
    yield fdb.limit, fdb.moves, fdb.evictions, service.chronicle.history.flaps
    yield from list(fdb.sizes.items())


def families(switch: str, rows: Sequence[Row]) -> Iterator[Metric]:
    """Entries by VLAN, then what is of the whole."""
    (limit, *counts), *sizes = rows
    entries = GaugeMetricFamily("vswitch_fdb_entries", "Stations known, learned and static", labels=("switch", "vlan"))
    for vlan, count in sorted(sizes):
        entries.add_metric([switch, str(vlan)], count)
    yield entries
    most = GaugeMetricFamily("vswitch_fdb_limit_entries", "Stations that may be known", labels=("switch",))
    most.add_metric([switch], limit)
    yield most
    for (name, text), count in zip(_COUNTERS, counts, strict=True):
        counter = CounterMetricFamily(f"vswitch_fdb_{name}", text, labels=("switch",))
        counter.add_metric([switch], count)
        yield counter


GROUP: Final = Group("fdb", copy, families)
