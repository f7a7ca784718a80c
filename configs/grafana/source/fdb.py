"""The FDB and learning: who is known, what is flooded, and what the fast path makes of it."""

from __future__ import annotations

from dashboard import dashboard, variables
from panels import RATE, RED, YELLOW, Json, Panel, Query, stat, steps, timeseries

SWITCH = 'instance=~"$instance", switch=~"$switch"'
PORT = f'{SWITCH}, port=~"$port"'
EACH = "{{switch}}"
UNICAST = f'{SWITCH}, cast="unicast"'


def fdb() -> Json:
    """The page for loops, moves and floods."""
    return dashboard(
        "vswitch-fdb",
        "vswitch: FDB and learning",
        "How full the filtering database is, what becomes of stations, and what has to be flooded.",
        variables(several=True),
        {"Now": _now(), "Stations": _stations(), "Floods": _floods(), "Flow cache": _flows()},
    )


def counter(name: str) -> str:
    """The rate of a counter of a switch."""
    return f"rate(vswitch_{name}_total{{{SWITCH}}}{RATE})"


def _now() -> list[Panel]:
    entries, limit = f"sum(vswitch_fdb_entries{{{SWITCH}}})", f"sum(vswitch_fdb_limit_entries{{{SWITCH}}})"
    return [
        stat("Stations", "Learned and static, in every VLAN.", Query(entries), unit="none", width=6),
        stat(
            "Full", "Stations as a share of the limit; beyond it, the oldest of the port that owns most make room.",
            Query(f"{entries} / {limit}"), unit="percentunit", width=6, marks=steps((0.7, YELLOW), (0.9, RED)),
        ),
        stat(
            "Moves", "Stations that moved to another port, in the time shown.",
            Query(f"sum(increase(vswitch_fdb_moves_total{{{SWITCH}}}[$__range]))"), unit="none", width=6,
        ),
        stat(
            "Flaps", "Episodes in which a station moved to and fro, in the time shown: a loop, or an address twice.",
            Query(f"sum(increase(vswitch_fdb_flaps_total{{{SWITCH}}}[$__range]))"), unit="none", width=6,
            marks=steps((0.5, RED)),
        ),
    ]  # fmt: skip


def _stations() -> list[Panel]:
    return [
        timeseries(
            "Stations by VLAN", "Learned and static entries.",
            Query(f"vswitch_fdb_entries{{{SWITCH}}}", "{{switch}} VLAN {{vlan}}"), unit="none", stacked=True,
        ),
        timeseries(
            "Fullness", "Stations as a share of the limit.",
            Query(
                f"sum without (vlan) (vswitch_fdb_entries{{{SWITCH}}}) / vswitch_fdb_limit_entries{{{SWITCH}}}", EACH
            ),
            unit="percentunit", maximum=1, marks=steps((0.9, RED)),
        ),
        timeseries(
            "Moves and flaps", "Stations that moved to another port, and episodes of to and fro, per second.",
            Query(counter("fdb_moves"), "{{switch}} moves"),
            Query(counter("fdb_flaps"), "{{switch}} flaps"), unit="cps",
        ),
        timeseries(
            "Evictions", "Stations per second that made room for others in a full database.",
            Query(counter("fdb_evictions"), EACH), unit="cps",
        ),
    ]  # fmt: skip


def _floods() -> list[Panel]:
    ways = [
        f"sum by (instance, switch) (rate(vswitch_port_{way}_frames_total{{{UNICAST}}}{RATE}))"
        for way in ("transmit", "receive")
    ]
    return [
        timeseries(
            "Copies of a unicast frame", "By how many ports unicast frames leave: one where destinations are known.",
            Query(" / ".join(ways), EACH), unit="none", marks=steps((1.5, RED)),
        ),
        timeseries(
            "Group frames by port", "Broadcast and multicast frames per second that guests send.",
            Query(
                "sum without (cast) "
                f'(rate(vswitch_port_receive_frames_total{{{PORT}, cast=~"broadcast|multicast"}}{RATE}))',
                "{{switch}} {{port}}",
            ),
            unit="pps", marks=steps((1000, RED)),
        ),
    ]  # fmt: skip


def _flows() -> list[Panel]:
    return [
        timeseries(
            "Flows", "Flows that the fast path knows.",
            Query(f"vswitch_flow_cache_flows{{{SWITCH}}}", EACH), unit="none", width=8,
        ),
        timeseries(
            "Hits and misses", "Frames per second that the fast path knew the flow of, and those decided in Python.",
            Query(counter("flow_cache_hits"), "{{switch}} hits"),
            Query(counter("flow_cache_misses"), "{{switch}} misses"), unit="pps", width=8,
        ),
        timeseries(
            "Invalidations", "Changes of ports, stations and rules per second that made every flow void.",
            Query(counter("flow_cache_invalidations"), EACH), unit="cps", width=8,
        ),
    ]  # fmt: skip
