"""What ports carried and lost: the counters of `core.stats`."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from vswitch.control.metrics.group import PORT, Group, Row, bound
from vswitch.core.stats import (
    CASTS,
    DROPPED,
    FRAMES,
    RECEIVE,
    REFUSED,
    SEGMENTS,
    SIZE_BOUNDS,
    SIZES,
    SUPERFRAMES,
    TRANSMIT,
)
from vswitch.core.verdict import RECEIVE_ERRORS, TRANSMIT_ERRORS, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.service import Service

_DIRECTIONS: Final = (("receive", RECEIVE, RECEIVE_ERRORS), ("transmit", TRANSMIT, TRANSMIT_ERRORS))
_BOUNDS: Final = (*map(bound, SIZE_BOUNDS), "+Inf")

Ports = list[tuple[list[str], "array[int]"]]
"""The labels of each port, and its counters."""


def copy(service: Service) -> Iterator[Row]:
    """Each port's counters as they are."""
    for name, bridge in list(service.switch.ports.items()):
        yield name, bridge.counters.values.tobytes()


def families(switch: str, rows: Sequence[Row]) -> Iterator[Metric]:
    """Both directions, then drops."""
    ports: Ports = [([switch, name], array("Q", values)) for name, values in rows]
    for direction, at, errors in _DIRECTIONS:
        yield from _frames(ports, direction, at)
        yield from _superframes(ports, direction, at)
        yield _sizes(ports, direction, at)
        yield _errors(ports, direction, errors)
    dropped = CounterMetricFamily(
        "vswitch_port_dropped_frames", "Frames lost at the port, by reason", labels=(*PORT, "reason")
    )
    for labels, values in ports:
        for reason in Reason:
            dropped.add_metric([*labels, reason.value], values[DROPPED + reason.number])
    yield dropped


def _frames(ports: Ports, direction: str, at: int) -> Iterator[Metric]:
    octets = CounterMetricFamily(
        f"vswitch_port_{direction}_bytes", f"Bytes the port did {direction}, without FCS", labels=PORT
    )
    frames = CounterMetricFamily(
        f"vswitch_port_{direction}_frames", f"Frames the port did {direction}", labels=(*PORT, "cast")
    )
    for labels, values in ports:
        octets.add_metric(labels, values[at])
        for number, cast in enumerate(CASTS):
            begin = at + FRAMES + number * SIZES
            frames.add_metric([*labels, cast], sum(values[begin : begin + SIZES]))
    yield octets
    yield frames


def _superframes(ports: Ports, direction: str, at: int) -> Iterator[Metric]:
    whole = CounterMetricFamily(
        f"vswitch_port_{direction}_superframes", f"Superframes the port did {direction} whole", labels=PORT
    )
    segments = CounterMetricFamily(
        f"vswitch_port_{direction}_superframe_segments",
        f"Frames that those superframes stood for, which the port's {direction} frames include",
        labels=PORT,
    )
    for labels, values in ports:
        whole.add_metric(labels, values[at + SUPERFRAMES])
        segments.add_metric(labels, values[at + SEGMENTS])
    yield whole
    yield segments


def _sizes(ports: Ports, direction: str, at: int) -> Metric:
    """The groups of RFC 2819. The sum is the frames' alone, without octets that were none."""
    sizes = HistogramMetricFamily(
        f"vswitch_port_{direction}_frame_size_bytes", f"Sizes of frames the port did {direction}, without FCS",
        labels=PORT,
    )  # fmt: skip
    for labels, values in ports:
        begin, end = at + FRAMES, at + TRANSMIT
        counts = [sum(values[place:end:SIZES]) for place in range(begin, begin + SIZES)]
        octets = values[at] - (values[REFUSED] if at == RECEIVE else 0)
        sizes.add_metric(labels, list(zip(_BOUNDS, accumulate(counts), strict=True)), octets)
    return sizes


def _errors(ports: Ports, direction: str, reasons: tuple[Reason, ...]) -> Metric:
    words = ", ".join(reasons)
    errors = CounterMetricFamily(
        f"vswitch_port_{direction}_errors", f"Frames lost to errors: the drops of reason {words}", labels=PORT
    )
    for labels, values in ports:
        errors.add_metric(labels, sum(values[DROPPED + reason.number] for reason in reasons))
    return errors


GROUP: Final = Group("traffic", copy, families)
