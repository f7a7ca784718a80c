"""The metrics of impairments: what was achieved beside what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from vswitch.stages.impairment.figures import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from vswitch.control.impairmodels import DirectionRow
    from vswitch.control.models import Snapshot

_LABELS: Final = ["switch", "port", "direction"]
_FATES: Final = {
    "came": "frames", "passed": "passed", "lost": "lost", "queue_full": "queue_full", "duplicated": "duplicated",
    "reordered": "reordered", "corrupted": "corrupted",
}  # fmt: skip
_ASKED: Final = {
    "delay": ("vswitch_impair_asked_delay_seconds", "Delay that was asked for"),
    "jitter": ("vswitch_impair_asked_jitter_seconds", "Jitter that was asked for"),
    "loss": ("vswitch_impair_asked_loss_ratio", "Share of frames that is to be lost"),
    "duplicate": ("vswitch_impair_asked_duplicate_ratio", "Share of frames that is to come twice"),
    "rate": ("vswitch_impair_asked_rate_bits_per_second", "Rate that was asked for, 0 for none"),
}


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """Of every impaired direction; a port without impairment has none."""
    rows = [
        ([snapshot.switch, row.port, direction], found)
        for row in snapshot.ports
        if row.impair is not None
        for direction, found in row.impair.directions.items()
    ]
    yield from _counters(rows)
    yield _delays(rows)
    for key, (name, words) in _ASKED.items():
        gauge = GaugeMetricFamily(name, words, labels=_LABELS)
        for labels, row in rows:
            gauge.add_metric(labels, getattr(row.asked, key))
        yield gauge


def _counters(rows: list[tuple[list[str], DirectionRow]]) -> Iterator[Metric]:
    frames = CounterMetricFamily(
        "vswitch_impair_frames", "Frames by what the impairment did to them", labels=[*_LABELS, "fate"]
    )
    octets = CounterMetricFamily("vswitch_impair_bytes", "Bytes that the impairment let pass", labels=_LABELS)
    held = GaugeMetricFamily("vswitch_impair_held_frames", "Frames that wait or are on their way", labels=_LABELS)
    for labels, row in rows:
        for fate, key in _FATES.items():
            frames.add_metric([*labels, fate], getattr(row.achieved, key))
        octets.add_metric(labels, row.achieved.bytes)
        held.add_metric(labels, row.achieved.held)
    yield from (frames, octets, held)


def _delays(rows: list[tuple[list[str], DirectionRow]]) -> Metric:
    delays = HistogramMetricFamily("vswitch_impair_delay_seconds", "Delay that frames had", labels=_LABELS)
    for labels, row in rows:
        total, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), row.achieved.delay_buckets, strict=True):
            total += count
            buckets.append((bound, total))
        delays.add_metric(labels, buckets, row.achieved.delay_sum)
    return delays
