"""Which switch this is, since when it runs, and what its process uses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from prometheus_client import ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from vswitch import __version__
from vswitch.control.metrics.group import Group, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.service import Service


def copy(service: Service) -> Iterator[Row]:
    """Fast path, when it started, and the process."""
    yield service.engine.fast_path.name, service.started, os.getpid()


def families(switch: str, rows: Sequence[Row]) -> Iterator[Metric]:
    """The process's have the names that every exporter has, and are of the switch, not of who renders them."""
    ((fast_path, started, pid),) = rows
    words = {"version": __version__, "fastpath": fast_path}
    yield InfoMetricFamily("vswitch_build", "Version and fast path of the switch", words)
    start = GaugeMetricFamily(
        "vswitch_start_time_seconds", "When the switch started, since the epoch", labels=("switch",)
    )
    start.add_metric([switch], started)
    yield start
    yield from ProcessCollector(pid=lambda: pid, registry=None).collect()


GROUP: Final = Group("about", copy, families)
