"""One port: everything that is known of it."""

from __future__ import annotations

from dashboard import dashboard, variables
from panels import (
    GREEN,
    RATE,
    RED,
    STATES,
    YELLOW,
    Json,
    Panel,
    Query,
    heatmap,
    stat,
    state_timeline,
    steps,
    timeseries,
)

PORT = 'instance="$instance", switch="$switch", port="$port"'
WAYS = {"receive": "received", "transmit": "sent"}
BELOW = "^sent"


def port() -> Json:
    """The page that the overview's table leads to."""
    return dashboard(
        "vswitch-port",
        "vswitch: port",
        "One port of one switch. Received is what its guest sent; sent, below the axis, is what the guest was sent.",
        variables(several=False),
        {"Now": _now(), "Traffic": _traffic(), "Sizes": _sizes(), "State": _state()},
    )


def rate(metric: str) -> str:
    """Of a counter of the port."""
    return f"rate(vswitch_port_{metric}{{{PORT}}}{RATE})"


def _now() -> list[Panel]:
    return [
        stat(
            "State", "Whether frames may pass.", Query(f"vswitch_port_up{{{PORT}}}"), unit="none", words=STATES,
            marks=steps((1, GREEN), base=RED), line=False,
        ),
        stat(
            "Since", "When it came up or went down last, or was made.",
            Query(f"1000 * vswitch_port_last_change_timestamp_seconds{{{PORT}}}"), unit="dateTimeFromNow", line=False,
        ),
        stat("MTU", "Payload that fits a frame.", Query(f"vswitch_port_mtu_bytes{{{PORT}}}"), unit="bytes", line=False),
        stat(
            "Speed", "What the link says of itself; a socket says nothing.",
            Query(f"8 * vswitch_port_speed_bytes{{{PORT}}}"), unit="bps", line=False,
        ),
        stat("Received", "What the guest sent.", Query(f"8 * {rate('receive_bytes_total')}"), unit="bps"),
        stat("Sent", "What the guest was sent.", Query(f"8 * {rate('transmit_bytes_total')}"), unit="bps"),
        stat(
            "Dropped", "Frames lost at this port.", Query(f"sum({rate('dropped_frames_total')})"), unit="pps",
            marks=steps((1, YELLOW), (100, RED)),
        ),
        stat(
            "Queue", "Frames that wait, as a share of those that may.",
            Query(f"vswitch_port_queue_length_frames{{{PORT}}} / vswitch_port_queue_limit_frames{{{PORT}}}"),
            unit="percentunit", marks=steps((0.5, YELLOW), (0.9, RED)),
        ),
    ]  # fmt: skip


def _traffic() -> list[Panel]:
    octets = [Query(f"8 * {rate(f'{way}_bytes_total')}", name) for way, name in WAYS.items()]
    frames = [Query(rate(f"{way}_frames_total"), f"{name} {{{{cast}}}}") for way, name in WAYS.items()]
    errors = [Query(rate(f"{way}_errors_total"), name) for way, name in WAYS.items()]
    return [
        timeseries("Throughput", "Bits per second without FCS.", *octets, unit="bps", below=BELOW),
        timeseries("Frames by cast", "Frames per second, as on the wire.", *frames, unit="pps", below=BELOW),
        timeseries(
            "Drops by reason", "Frames per second lost at this port; docs/rules.md says what the reasons mean.",
            Query(rate("dropped_frames_total"), "{{reason}}"), unit="pps", stacked=True,
        ),
        timeseries(
            "Errors", "Frames per second that were no frames, or that the system refused; part of the drops.",
            *errors, unit="pps", below=BELOW,
        ),
        timeseries(
            "Group frames", "Share of broadcast and multicast in what the guest sends: much of it is a storm.",
            Query(
                f'sum(rate(vswitch_port_receive_frames_total{{{PORT}, cast=~"broadcast|multicast"}}{RATE}))'
                f" / sum({rate('receive_frames_total')})",
                "share",
            ),
            unit="percentunit", maximum=1, marks=steps((0.5, RED)),
        ),
        timeseries(
            "Queue length", "Frames that wait for the guest to take them, and how many may.",
            Query(f"vswitch_port_queue_length_frames{{{PORT}}}", "waiting"),
            Query(f"vswitch_port_queue_limit_frames{{{PORT}}}", "limit"), unit="none",
        ),
    ]  # fmt: skip


def _sizes() -> list[Panel]:
    sizes = [
        heatmap(
            f"Sizes {name}", "Frames by size without FCS, in the groups of RFC 2819; a superframe counts its segments.",
            Query(
                f"sum by (le) (increase(vswitch_port_{way}_frame_size_bytes_bucket{{{PORT}}}{RATE}))", "{{le}}"
            ),
            unit="bytes",
        )
        for way, name in WAYS.items()
    ]  # fmt: skip
    means = [
        Query(f"{rate(f'{way}_frame_size_bytes_sum')} / {rate(f'{way}_frame_size_bytes_count')}", name)
        for way, name in WAYS.items()
    ]
    whole = [
        Query(
            f"{rate(f'{way}_superframe_segments_total')} / sum without (cast) ({rate(f'{way}_frames_total')})",
            name,
        )
        for way, name in WAYS.items()
    ]
    return [
        *sizes,
        timeseries("Mean size", "Bytes of a frame without FCS, on average.", *means, unit="bytes"),
        timeseries(
            "Frames in superframes", "Share of frames that passed as part of a superframe (TSO, USO).", *whole,
            unit="percentunit", maximum=1,
        ),
    ]  # fmt: skip


def _state() -> list[Panel]:
    return [state_timeline("State over time", "When the port was up.", Query(f"vswitch_port_up{{{PORT}}}", "{{port}}"))]
