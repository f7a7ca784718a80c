"""The flow cache, and how many frames a turn of a port brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from vswitch.control.metrics.group import Group, Row, bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.service import Service

_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_LABELS: Final = ("switch",)


def copy(service: Service) -> Iterator[Row]:
    """Flows, misses, generation, and how many turns there were of each number of frames.

    All of one moment, or misses would be missing from frames, and hits that are no more would go back.
    """
    engine = service.engine
    yield len(engine.flow_cache), engine.flow_cache.misses, service.switch.generation, tuple(engine.turns)


def families(switch: str, rows: Sequence[Row]) -> Iterator[Metric]:
    """A frame that came in was either known to a table or not, so hits need no counter of their own."""
    ((flows, misses, generation, turns),) = rows
    frames = sum(number * count for number, count in enumerate(turns))
    kept = GaugeMetricFamily("vswitch_flow_cache_flows", "Flows that the fast path knows", labels=_LABELS)
    kept.add_metric([switch], flows)
    yield kept
    for name, text, count in (
        ("hits", "Frames that came in and whose flow the fast path knew; a superframe is one", frames - misses),
        ("misses", "Frames that came in and that the switch had to decide of, or refuse; a superframe is one", misses),
        ("invalidations", "Changes of ports and rules that made every flow void", generation),
    ):
        counter = CounterMetricFamily(f"vswitch_flow_cache_{name}", text, labels=_LABELS)
        counter.add_metric([switch], count)
        yield counter
    bursts = HistogramMetricFamily(
        "vswitch_burst_frames", "Frames that a turn of a port brought in, of those that brought any", labels=_LABELS
    )
    counts = [(bound(each), sum(turns[: each + 1])) for each in _BOUNDS]
    bursts.add_metric([switch], [*counts, ("+Inf", sum(turns))], frames)
    yield bursts


GROUP: Final = Group("fastpath", copy, families)
