"""Overview: every switch and port that is chosen, at a glance."""

from __future__ import annotations

from dashboard import dashboard, variables
from panels import GREEN, RATE, RED, STATES, YELLOW, Json, Panel, Query, stat, state_timeline, steps, table, timeseries

SWITCH = 'instance=~"$instance", switch=~"$switch"'
PORT = f'{SWITCH}, port=~"$port"'
PROCESS = 'job="vswitch", instance=~"$instance"'
KEYS = ["instance", "switch", "port"]
BY = "sum by (instance, switch, port)"
TO_PORT: Json = {
    "title": "Show this port",
    "targetBlank": False,
    "url": (
        "/d/vswitch-port?var-datasource=${datasource}&var-instance=${__data.fields.instance}"
        "&var-switch=${__data.fields.switch}&var-port=${__data.fields.port}&${__url_time_range}"
    ),
}


def overview() -> Json:
    """The page to begin with."""
    return dashboard(
        "vswitch-overview",
        "vswitch: overview",
        "Every switch and port at a glance; a click on a port in the table leads to its own page.",
        variables(several=True),
        {"Now": _now(), "Traffic": _traffic(), "Ports": _ports(), "Switches": _switches()},
    )


def _now() -> list[Panel]:
    return [
        stat(
            "Switches that answer", "Exporters that Prometheus could read at its last try.",
            Query('sum(up{job="vswitch", instance=~"$instance"})'), unit="none", marks=steps((1, GREEN), base=RED),
        ),
        stat("Ports up", "Ports that frames may pass.", Query(f"sum(vswitch_port_up{{{PORT}}})"), unit="none"),
        stat(
            "Ports down", "Ports whose link or device is not there.",
            Query(f"count(vswitch_port_up{{{PORT}}}) - sum(vswitch_port_up{{{PORT}}})"), unit="none",
            marks=steps((1, RED)),
        ),
        stat(
            "Received", "What all chosen ports took in, without FCS.",
            Query(f"8 * sum(rate(vswitch_port_receive_bytes_total{{{PORT}}}{RATE}))"), unit="bps",
        ),
        stat(
            "Frames received", "As on the wire: a superframe counts its segments.",
            Query(f"sum(rate(vswitch_port_receive_frames_total{{{PORT}}}{RATE}))"), unit="pps",
        ),
        stat(
            "Dropped", "Frames lost at the chosen ports, for whatever reason.",
            Query(f"sum(rate(vswitch_port_dropped_frames_total{{{PORT}}}{RATE}))"), unit="pps",
            marks=steps((1, YELLOW), (100, RED)),
        ),
        stat(
            "FDB, the fullest", "Stations known, as a share of the limit.",
            Query(f"max(sum without (vlan) (vswitch_fdb_entries{{{SWITCH}}}) / vswitch_fdb_limit_entries{{{SWITCH}}})"),
            unit="percentunit", marks=steps((0.7, YELLOW), (0.9, RED)),
        ),
        stat(
            "Alerts", "Alerts of vswitch that fire.",
            Query('count(ALERTS{alertname=~"Vswitch.*", alertstate="firing"}) or vector(0)'), unit="none",
            marks=steps((1, RED)),
        ),
    ]  # fmt: skip


def _traffic() -> list[Panel]:
    return [
        timeseries(
            "Received by port", "Bits per second that guests sent, without FCS.",
            Query(f"8 * rate(vswitch_port_receive_bytes_total{{{PORT}}}{RATE})", "{{switch}} {{port}}"), unit="bps",
        ),
        timeseries(
            "Sent by port", "Bits per second that guests were sent, without FCS.",
            Query(f"8 * rate(vswitch_port_transmit_bytes_total{{{PORT}}}{RATE})", "{{switch}} {{port}}"), unit="bps",
        ),
        timeseries(
            "Frames received by cast", "Frames per second from guests, as on the wire.",
            Query(f"sum by (cast) (rate(vswitch_port_receive_frames_total{{{PORT}}}{RATE}))", "{{cast}}"),
            unit="pps", stacked=True,
        ),
        timeseries(
            "Drops by reason", "Frames per second lost at the chosen ports; docs/rules.md says what the reasons mean.",
            Query(f"sum by (reason) (rate(vswitch_port_dropped_frames_total{{{PORT}}}{RATE}))", "{{reason}}"),
            unit="pps", stacked=True,
        ),
    ]  # fmt: skip


def _ports() -> list[Panel]:
    columns = {
        "state": Query(f"{BY} (vswitch_port_up{{{PORT}}})"),
        "received": Query(f"8 * {BY} (rate(vswitch_port_receive_bytes_total{{{PORT}}}{RATE}))"),
        "sent": Query(f"8 * {BY} (rate(vswitch_port_transmit_bytes_total{{{PORT}}}{RATE}))"),
        "dropped": Query(f"{BY} (rate(vswitch_port_dropped_frames_total{{{PORT}}}{RATE}))"),
        "queue": Query(
            f"{BY} (vswitch_port_queue_length_frames{{{PORT}}} / vswitch_port_queue_limit_frames{{{PORT}}})"
        ),
        "MTU": Query(f"{BY} (vswitch_port_mtu_bytes{{{PORT}}})"),
        "since": Query(f"1000 * {BY} (vswitch_port_last_change_timestamp_seconds{{{PORT}}})"),
        "changes": Query(f"{BY} (vswitch_port_state_changes_total{{{PORT}}})"),
    }
    looks: dict[str, Json] = {
        "state": {
            "mappings": STATES, "custom.cellOptions": {"type": "color-background"},
            "thresholds": steps((1, GREEN), base=RED),
        },
        "received": {"unit": "bps"},
        "sent": {"unit": "bps"},
        "dropped": {
            "unit": "pps", "custom.cellOptions": {"type": "color-text"}, "thresholds": steps((1, YELLOW), (100, RED)),
        },
        "queue": {
            "unit": "percentunit", "custom.cellOptions": {"type": "color-text"},
            "thresholds": steps((0.5, YELLOW), (0.9, RED)),
        },
        "MTU": {"unit": "bytes"},
        "since": {"unit": "dateTimeFromNow"},
    }  # fmt: skip
    return [
        table(
            "Ports", "One row for each port; click its name to see it alone.", KEYS, columns, looks, {"port": TO_PORT}
        ),
        state_timeline(
            "Port states", "When ports were up and down.", Query(f"vswitch_port_up{{{PORT}}}", "{{switch}} {{port}}")
        ),
    ]


def _switches() -> list[Panel]:
    lag = f"rate(vswitch_loop_lag_seconds_bucket{{{SWITCH}}}{RATE})"
    hits, misses = (f"rate(vswitch_flow_cache_{name}_total{{{SWITCH}}}{RATE})" for name in ("hits", "misses"))
    burst = f"vswitch_burst_frames_sum{{{SWITCH}}}{RATE}", f"vswitch_burst_frames_count{{{SWITCH}}}{RATE}"
    return [
        timeseries(
            "Loop lag", "How late the event loop does what it has to do at a time.",
            Query(f"histogram_quantile(0.5, {lag})", "{{switch}} p50"),
            Query(f"histogram_quantile(0.99, {lag})", "{{switch}} p99"),
            Query(f"vswitch_loop_lag_max_seconds{{{SWITCH}}}", "{{switch}} greatest"),
            unit="s", width=8, marks=steps((0.05, RED)),
        ),
        timeseries(
            "CPU", "Seconds of CPU per second; one switch is one process on one core.",
            Query(f"rate(process_cpu_seconds_total{{{PROCESS}}}{RATE})", "{{instance}}"),
            unit="percentunit", width=8, marks=steps((0.9, RED)),
        ),
        timeseries(
            "Memory", "Resident memory of the switch.",
            Query(f"process_resident_memory_bytes{{{PROCESS}}}", "{{instance}}"), unit="bytes", width=8,
        ),
        timeseries(
            "Flow cache hits", "Share of frames whose flow the fast path knew; the others are decided in Python.",
            Query(f"{hits} / ({hits} + {misses})", "{{switch}}"), unit="percentunit", width=8, maximum=1,
        ),
        timeseries(
            "Burst", "Frames that a turn of a port brings, on average: many mean load.",
            Query(f"rate({burst[0]}) / rate({burst[1]})", "{{switch}}"), unit="none", width=8,
        ),
        timeseries(
            "Captures", "Captures that run, and what they lose because nobody reads them in time.",
            Query(f"vswitch_captures{{{SWITCH}}}", "{{switch}} run"),
            Query(f"rate(vswitch_capture_lost_frames_total{{{SWITCH}}}{RATE})", "{{switch}} frames lost per second"),
            unit="none", width=8,
        ),
        table(
            "Switches", "Version, fast path and start of each.", ["instance", "switch", "version", "fastpath"],
            {"since": Query(
                "max by (instance, switch, version, fastpath) ("
                f"1000 * vswitch_start_time_seconds{{{SWITCH}}}"
                ' * on (instance) group_left (version, fastpath) vswitch_build_info{instance=~"$instance"})'
            )},
            {"since": {"unit": "dateTimeFromNow"}}, height=5,
        ),
    ]  # fmt: skip
