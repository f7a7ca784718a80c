"""Impairments: what was achieved beside what was asked for."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from vswitch.control.api.impairmodels import impairment_of
from vswitch.control.metrics.group import PORT, Group, Row
from vswitch.stages.impairment.figures import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.api.impairmodels import DirectionRow
    from vswitch.control.service import Service

_LABELS: Final = (*PORT, "direction")
_ASKED: Final = (
    ("delay", "vswitch_impair_asked_delay_seconds", "Delay that was asked for"),
    ("jitter", "vswitch_impair_asked_jitter_seconds", "Jitter that was asked for"),
    ("loss", "vswitch_impair_asked_loss_ratio", "Share of frames that is to be lost"),
    ("duplicate", "vswitch_impair_asked_duplicate_ratio", "Share of frames that is to come twice"),
    ("reorder", "vswitch_impair_asked_reorder_ratio", "Share of frames that is to leave ahead"),
    ("corrupt", "vswitch_impair_asked_corrupt_ratio", "Share of frames that is to be corrupted"),
    ("rate", "vswitch_impair_asked_rate_bits_per_second", "Rate that was asked for, 0 for none"),
)
_FATES: Final = (
    ("came", "frames"),
    ("passed", "passed"),
    ("lost", "lost"),
    ("queue_full", "queue_full"),
    ("duplicated", "duplicated"),
    ("reordered", "reordered"),
    ("corrupted", "corrupted"),
)


def copy(service: Service) -> Iterator[Row]:
    """Of every impaired direction."""
    now = service.engine.clock()
    for name, port in list(service.config.ports.items()):
        bridge = service.switch.ports.get(name)
        impairment = impairment_of(service.switch, bridge, port.impair, now) if bridge is not None else None
        for direction, found in impairment.directions.items() if impairment is not None else ():
            yield row(name, direction, found)


def row(port: str, direction: str, found: DirectionRow) -> Row:
    """Figures asked for, frames by fate, bytes, frames held, delay of all together, and frames by delay."""
    achieved = found.achieved
    asked = tuple(getattr(found.asked, key) for key, *_ in _ASKED)
    fates = tuple(getattr(achieved, key) for _, key in _FATES)
    return (
        port,
        direction,
        asked,
        fates,
        achieved.bytes,
        achieved.held,
        achieved.delay_sum,
        tuple(achieved.delay_buckets),
    )


def families(switch: str, rows: Sequence[Row]) -> Iterator[Metric]:
    """A port without impairment has none."""
    frames = CounterMetricFamily(
        "vswitch_impair_frames", "Frames by what the impairment did to them", labels=(*_LABELS, "fate")
    )
    octets = CounterMetricFamily("vswitch_impair_bytes", "Bytes that the impairment let pass", labels=_LABELS)
    held = GaugeMetricFamily("vswitch_impair_held_frames", "Frames that wait or are on their way", labels=_LABELS)
    delays = HistogramMetricFamily("vswitch_impair_delay_seconds", "Delay that frames had", labels=_LABELS)
    gauges = [GaugeMetricFamily(name, text, labels=_LABELS) for _, name, text in _ASKED]
    for port, direction, asked, fates, passed, waiting, total, buckets in rows:
        labels = [switch, port, direction]
        for (fate, _), count in zip(_FATES, fates, strict=True):
            frames.add_metric([*labels, fate], count)
        octets.add_metric(labels, passed)
        held.add_metric(labels, waiting)
        delays.add_metric(labels, list(zip((*map(str, BOUNDS), "+Inf"), accumulate(buckets), strict=True)), total)
        for gauge, figure in zip(gauges, asked, strict=True):
            gauge.add_metric(labels, figure)
    yield from (frames, octets, held, delays, *gauges)


GROUP: Final = Group("impairments", copy, families)
