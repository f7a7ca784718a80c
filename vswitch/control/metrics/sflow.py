"""What sFlow sends, where it is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily

from vswitch.control.metrics.group import Group, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.service import Service


def copy(service: Service) -> Iterator[Row]:
    """The samples of either kind, then each collector; nothing where it is off."""
    state = service.sflow.state()
    if state.collectors:
        yield state.samples, state.counters
        for row in state.collectors:
            yield row.collector, row.datagrams, row.lost


def families(switch: str, rows: Sequence[Row]) -> Iterator[Metric]:
    """Samples by kind, datagrams by collector."""
    if not rows:
        return
    (flows, counters), *collectors = rows
    samples = CounterMetricFamily("vswitch_sflow_samples", "Samples by kind", labels=("switch", "kind"))
    samples.add_metric([switch, "flow"], flows)
    samples.add_metric([switch, "counters"], counters)
    yield samples
    labels = ("switch", "collector")
    datagrams = CounterMetricFamily("vswitch_sflow_datagrams", "Datagrams made for the collector", labels=labels)
    lost = CounterMetricFamily("vswitch_sflow_lost_datagrams", "Datagrams not sent, or refused", labels=labels)
    for collector, made, unsent in collectors:
        datagrams.add_metric([switch, collector], made)
        lost.add_metric([switch, collector], unsent)
    yield datagrams
    yield lost


GROUP: Final = Group("sflow", copy, families)
