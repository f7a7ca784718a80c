"""Captures: those that run, and what all of them together could not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from vswitch.control.metrics.group import Group, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.service import Service


def copy(service: Service) -> Iterator[Row]:
    """Both numbers."""
    running = service.captures
    yield len(running), service.captures_lost + sum(capture.lost for capture in running)


def families(switch: str, rows: Sequence[Row]) -> Iterator[Metric]:
    """A gauge and a counter."""
    ((running, lost),) = rows
    captures = GaugeMetricFamily("vswitch_captures", "Captures that run", labels=("switch",))
    captures.add_metric([switch], running)
    yield captures
    losses = CounterMetricFamily(
        "vswitch_capture_lost_frames", "Frames that captures lost, since nobody read them in time", labels=("switch",)
    )
    losses.add_metric([switch], lost)
    yield losses


GROUP: Final = Group("captures", copy, families)
