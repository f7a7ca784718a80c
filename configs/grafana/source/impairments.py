"""Impairments: what was asked for, and what was achieved, side by side."""

from __future__ import annotations

from dashboard import dashboard, variables
from panels import RATE, Json, Panel, Query, heatmap, table, timeseries

WIRE = 'instance=~"$instance", switch=~"$switch", port=~"$port"'
KEYS = ["instance", "switch", "port", "direction"]
NAME = "{{switch}} {{port}} {{direction}}"


def impairments() -> Json:
    """The page for those who emulate a network. Directions are the switch's: out is what goes to the guest."""
    return dashboard(
        "vswitch-impairments",
        "vswitch: impairments",
        "Delay, loss and rate of impaired ports: asked for, and achieved. `in` is what comes from the guest.",
        variables(port="vswitch_impair_asked_delay_seconds", several=True),
        {"Now": _now(), "Asked and achieved": _figures(), "Frames": _frames()},
    )


def asked(name: str) -> str:
    """A figure that was asked for."""
    return f"vswitch_impair_asked_{name}{{{WIRE}}}"


def rate(name: str, more: str = "") -> str:
    """Of a counter of an impairment."""
    return f"rate(vswitch_impair_{name}{{{WIRE}{more}}}{RATE})"


def fate(word: str) -> str:
    """Frames per second of a fate, of which there are as many series as there are impairments."""
    return "sum without (fate) (" + rate("frames_total", f', fate="{word}"') + ")"


DELAY = f"{rate('delay_seconds_sum')} / {rate('delay_seconds_count')}"
LOSS = f"{fate('lost')} / {fate('came')}"
PASSED = f"8 * {rate('bytes_total')}"


def _now() -> list[Panel]:
    columns = {
        "delay asked": asked("delay_seconds"),
        "delay": DELAY,
        "jitter asked": asked("jitter_seconds"),
        "loss asked": asked("loss_ratio"),
        "loss": LOSS,
        "rate asked": f"8 * {asked('rate_bytes_per_second')}",
        "rate": PASSED,
        "held": f"vswitch_impair_held_frames{{{WIRE}}}",
    }
    units = {"delay": "s", "jitter": "s", "loss": "percentunit", "rate": "bps"}
    looks: dict[str, Json] = {name: {"unit": units[name.split()[0]]} for name in columns if name.split()[0] in units}
    queries = {name: Query(f"sum by ({', '.join(KEYS)}) ({expr})") for name, expr in columns.items()}
    return [table("Impairments", "One row for each impaired direction of a port.", KEYS, queries, looks, height=7)]


def _figures() -> list[Panel]:
    return [
        timeseries(
            "Delay", "Seconds for which frames were held, beside what was asked for, without the time a rate takes.",
            Query(DELAY, f"{NAME} mean"),
            Query(f"histogram_quantile(0.99, {rate('delay_seconds_bucket')})", f"{NAME} p99"),
            Query(asked("delay_seconds"), f"{NAME} asked"), unit="s",
        ),
        timeseries(
            "Loss", "Share of frames lost by chance, a flap or a schedule, beside what was asked for.",
            Query(LOSS, NAME), Query(asked("loss_ratio"), f"{NAME} asked"), unit="percentunit",
        ),
        timeseries(
            "Rate", "Bits per second that passed, beside the limit; 0 is none.",
            Query(PASSED, NAME), Query(f"8 * {asked('rate_bytes_per_second')}", f"{NAME} asked"), unit="bps",
        ),
        heatmap(
            "Delays", "Frames by the delay they had, of all chosen ports.",
            Query(f"sum by (le) (increase(vswitch_impair_delay_seconds_bucket{{{WIRE}}}{RATE}))", "{{le}}"), unit="s",
        ),
    ]  # fmt: skip


def _frames() -> list[Panel]:
    return [
        timeseries(
            "Frames by fate", "Frames per second that came, and what became of them.",
            Query(f"sum by (fate) ({rate('frames_total')})", "{{fate}}"), unit="pps",
        ),
        timeseries(
            "Held", "Frames that wait for the rate, or are on their way.",
            Query(f"vswitch_impair_held_frames{{{WIRE}}}", NAME), unit="none",
        ),
    ]  # fmt: skip
