"""How ports are: state, queue, link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from vswitch.control.metrics.group import PORT, Group, Row
from vswitch.outlet import QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.service import Service

_GAUGES: Final = (
    ("up", "Whether frames may pass the port"),
    ("last_change_timestamp_seconds", "When the port came up or went down last, or was made, since the epoch"),
    ("queue_length_frames", "Frames that wait for the port's attachment to take them; a superframe is one"),
    ("queue_limit_frames", "Frames that may wait so; what comes then is dropped as queue_full"),
    ("mtu_bytes", "Bytes of payload that fit a frame of the port"),
)


def copy(service: Service) -> Iterator[Row]:
    """Each port: name, speed, state changes, and the gauges in their order."""
    for name, attached in list(service.engine.attached.items()):
        bridge, speed = attached.bridge, attached.port.capabilities.speed
        gauges = bridge.up, attached.changed, len(attached.queue), QUEUE, bridge.mtu
        yield name, speed, bridge.state_changes, *gauges


def families(switch: str, rows: Sequence[Row]) -> Iterator[Metric]:
    """One gauge after the other; there is no speed where nobody says one."""
    for at, (name, text) in enumerate(_GAUGES, 3):
        gauge = GaugeMetricFamily(f"vswitch_port_{name}", text, labels=PORT)
        for row in rows:
            gauge.add_metric([switch, row[0]], row[at])
        yield gauge
    speeds = GaugeMetricFamily("vswitch_port_speed_bytes", "Bytes per second that the port's link has", labels=PORT)
    changes = CounterMetricFamily("vswitch_port_state_changes", "Times the port came up or went down", labels=PORT)
    for name, speed, changed, *_ in rows:
        if speed is not None:
            speeds.add_metric([switch, name], speed / 8)
        changes.add_metric([switch, name], changed)
    yield speeds
    yield changes


GROUP: Final = Group("ports", copy, families)
