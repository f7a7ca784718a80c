"""The metrics as they are rendered: of known counters, read back by the parsers that others use."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from vswitch.control import status
from vswitch.control.config import reading as config
from vswitch.control.metrics import exporter, fastpath
from vswitch.control.metrics.exporter import Exporter
from vswitch.control.metrics.groups import GROUPS
from vswitch.control.metrics.loop import WINDOW, LoopLag
from vswitch.control.metrics.negotiation import OPENMETRICS as OPEN
from vswitch.control.metrics.negotiation import TEXT, compressed, wanted
from vswitch.control.metrics.server import Collected
from vswitch.control.service import Service
from vswitch.core.stats import CASTS
from vswitch.core.verdict import Reason
from vswitch.observe.capture import Capture, Wanted
from vswitch.ports.host import Host
from vswitch.stages.impairment.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vswitch.control.metrics.negotiation import Format
    from vswitch.core.stats import PortCounters

DOCUMENT = Path(__file__).parents[2] / "docs/metrics.md"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Samples = dict[tuple[str, ...], float]
"""By name, and the values of the labels in the order of their names, without that of the switch."""


class Lab:
    """A switch whose ports wait for their guests, and what is told of it."""

    def __init__(self, *ports: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        found = config.validate({"name": "lab", "ports": {port: {"fd": port, **options} for port in ports}})
        self.service = self._runner.run(self._start(found))
        self.messages: list[Any] = []

    async def _start(self, found: Any) -> Service:
        service = Service(found, Host())
        await service.start()
        return service

    def counters(self, port: str) -> PortCounters:
        return self.service.switch.ports[port].counters

    def rows(self) -> Mapping[str, list[Any]]:
        """A snapshot, as the process that serves gets it."""
        self.messages = []

        async def take(message: Any) -> None:
            self.messages.append(message)

        self._runner.run(Exporter(self.service, None).copy(take))  # type: ignore[arg-type]
        assert self.messages[-1] is None
        rows: dict[str, list[Any]] = {group.name: [] for group in GROUPS}
        for name, some in self.messages[:-1]:
            rows[name] += some
        return rows

    def render(self, accept: str = "") -> str:
        return wanted(accept).render(Collected("lab", self.rows())).decode()

    def samples(self) -> Samples:
        return samples(parse_text(self.render()))

    def close(self) -> None:
        self._runner.run(self.service.stop())
        self._runner.close()


def samples(families: Any) -> Samples:
    return {
        (sample.name, *(value for key, value in sorted(sample.labels.items()) if key != "switch")): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab("a", "b")
    yield made
    made.close()


def test_counters_are_told_as_they_are(lab: Lab) -> None:
    counters = lab.counters("a")
    for cast, octets in enumerate((60, 65, 1514)):
        counters.receive.count(cast, 1, octets, octets)
    counters.receive.count(0, 3, 2 * 1054 + 100, 1054)
    counters.refuse(13)
    counters.drop(Reason.RUNT)
    counters.drop(Reason.TRUNCATED, 2)
    counters.drop(Reason.QUEUE_FULL, 5)
    counters.drop(Reason.IO_ERROR, 7)
    told = lab.samples()
    prefix = "vswitch_port_receive"
    assert [told[f"{prefix}_frames_total", cast, "a"] for cast in CASTS] == [4, 1, 1]
    assert told[f"{prefix}_bytes_total", "a"] == 60 + 65 + 1514 + 2208 + 13
    assert (told[f"{prefix}_superframes_total", "a"], told[f"{prefix}_superframe_segments_total", "a"]) == (1, 3)
    bounds = ("64.0", "127.0", "255.0", "511.0", "1023.0", "1518.0", "+Inf")
    sizes = [told[f"{prefix}_frame_size_bytes_bucket", bound, "a"] for bound in bounds]
    assert sizes == [1, 3, 3, 3, 3, 6, 6]
    assert told[f"{prefix}_frame_size_bytes_sum", "a"] == 60 + 65 + 1514 + 2208, "what is no frame has no size"
    assert told[f"{prefix}_frame_size_bytes_count", "a"] == 6
    assert (told[f"{prefix}_errors_total", "a"], told["vswitch_port_transmit_errors_total", "a"]) == (3, 7)
    drops = {reason: told["vswitch_port_dropped_frames_total", "a", reason] for reason in Reason}
    assert {reason: count for reason, count in drops.items() if count} == {
        "runt": 1, "truncated": 2, "queue_full": 5, "io_error": 7,
    }  # fmt: skip
    assert told[f"{prefix}_bytes_total", "b"] == 0


def test_the_state_of_a_port_is_told(lab: Lab) -> None:
    told = lab.samples()
    bridge = lab.service.switch.ports["a"]
    assert (told["vswitch_port_up", "a"], told["vswitch_port_mtu_bytes", "a"]) == (0, bridge.mtu)
    assert (told["vswitch_port_queue_length_frames", "a"], told["vswitch_port_queue_limit_frames", "a"]) == (0, 512)
    assert ("vswitch_port_speed_bytes", "a") not in told, "nobody says one"
    assert told["vswitch_port_last_change_timestamp_seconds", "a"] >= lab.service.started
    lab.service.switch.set_port_state(bridge, up=True)
    told = lab.samples()
    assert (told["vswitch_port_up", "a"], told["vswitch_port_state_changes_total", "a"]) == (1, 1)


def test_bursts_and_misses_make_hits(lab: Lab) -> None:
    engine = lab.service.engine
    engine.turns[1], engine.turns[3], engine.turns[256] = 5, 2, 1
    engine.flow_cache.misses = 7
    told = lab.samples()
    assert told["vswitch_flow_cache_hits_total",] == 5 + 6 + 256 - 7
    assert told["vswitch_burst_frames_sum",] == 5 + 6 + 256
    assert [told["vswitch_burst_frames_bucket", bound] for bound in ("1.0", "2.0", "4.0", "128.0", "256.0")] == [
        5, 5, 7, 7, 8,
    ]  # fmt: skip


def test_misses_are_of_the_same_moment_as_frames(lab: Lab) -> None:
    """Frames that come while a copy pauses are no hits that the next scrape takes back."""
    engine, hits = lab.service.engine, []
    for _ in range(2):
        rows = []
        for row in fastpath.copy(lab.service):
            rows.append(row)
            engine.turns[1] += 1
            engine.flow_cache.misses += 1
        told = {family.name: family.samples[0].value for family in fastpath.families("lab", rows)}
        hits.append(told["vswitch_flow_cache_hits"])
    assert hits == [0, 0]


def test_a_scrape_sorts_and_adds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long to find of an impairment is not looked for on the loop."""

    def held_up(_: Figures) -> float:
        raise AssertionError("this would hold the loop up")

    for name in ("p99", "mean"):
        monkeypatch.setattr(Figures, name, property(held_up))
    lab = Lab("a", impair={"in": {"reorder": "2%", "delay": "1ms"}, "out": {"corrupt": "3%"}})
    try:
        told = lab.samples()
    finally:
        lab.close()
    assert told["vswitch_impair_asked_reorder_ratio", "in", "a"] == 0.02
    assert told["vswitch_impair_asked_corrupt_ratio", "out", "a"] == 0.03


def test_rows_of_ports_are_made_in_slices(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames have their turn between two, and do not count yet; a port may be gone by then."""
    monkeypatch.setattr(status, "SLICE", -1.0)

    async def ask(gone: str) -> list[tuple[str, int]]:
        asked = asyncio.ensure_future(lab.service.ports_in_slices())
        await asyncio.sleep(0)
        assert not asked.done()
        for port in "ab":
            lab.counters(port).drop(Reason.RUNT)
        if gone:
            await lab.service.delete_port(gone)
        return [(row.port, row.dropped["runt"]) for row in await asked]

    assert lab._runner.run(ask("")) == [("a", 0), ("b", 0)]
    assert lab._runner.run(ask("b")) == [("a", 1)]


def test_what_captures_lost_stays_counted_when_they_end(lab: Lab) -> None:
    capture = Capture(Wanted())
    capture.lost = 3
    lab.service.captures.add(capture)
    told = lab.samples()
    assert (told["vswitch_captures",], told["vswitch_capture_lost_frames_total",]) == (1, 3)
    lab.service.captures.discard(capture)
    lab.service.captures_lost += capture.lost
    told = lab.samples()
    assert (told["vswitch_captures",], told["vswitch_capture_lost_frames_total",]) == (0, 3)


def test_both_formats_say_the_same(lab: Lab) -> None:
    lab.counters("b").transmit.count(2, 1, 1000, 1000)
    text, open_text = lab.render(), lab.render(OPENMETRICS)
    assert open_text.endswith("# EOF\n")
    assert "_created" not in text + open_text
    ours, theirs = samples(parse_text(text)), samples(parse_openmetrics(open_text))  # type: ignore[no-untyped-call]
    moving = ("process_", "vswitch_loop")
    assert {key: value for key, value in ours.items() if not key[0].startswith(moving)} == {
        key: value for key, value in theirs.items() if not key[0].startswith(moving)
    }
    assert set(ours) == set(theirs)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("application/json", TEXT),
        ("application/openmetrics-text", OPEN),
        ("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", OPEN),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4", OPEN),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.9", TEXT),
        ("text/plain;q=0.5,application/openmetrics-text;version=1.0.0;q=0.6", OPEN),
        ("application/openmetrics-text;version=1.0.0;q=0", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.7", TEXT),
        ("application/openmetrics-text;version=0.0.1,text/plain;q=0.5", TEXT),
        ("application/openmetrics-text;version=abc", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=nan", TEXT),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;q=0.3,*/*;q=0.1", OPEN),
        (";;=,,q=;", TEXT),
    ],
)
def test_the_format_is_the_one_that_weighs_most(accept: str, form: Format) -> None:
    assert wanted(accept) is form


@pytest.mark.parametrize(
    ("encodings", "expected"),
    [("", False), ("identity", False), ("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("*", False)],
)
def test_compression_is_for_who_asks_for_it(encodings: str, *, expected: bool) -> None:
    assert compressed(encodings) is expected


@pytest.mark.program("promtool")
@pytest.mark.parametrize("ports", [(), ("a", "b")], ids=["no ports", "two ports"])
def test_promtool_has_nothing_to_say(ports: tuple[str, ...]) -> None:
    lab = Lab(*ports, impair={"in": {"rate": "8mbit"}, "out": {"delay": "1ms"}})
    try:
        found = subprocess.run(["promtool", "check", "metrics"], input=lab.render(), capture_output=True, text=True)
    finally:
        lab.close()
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


Step = tuple[str, str, int, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(("receive", "transmit", "drop", "refuse", "state", "turn")),
        st.integers(0, 2), st.integers(1, 40), st.integers(14, 9000),
    ),
    max_size=20,
)  # fmt: skip


@given(st.lists(steps, min_size=1, max_size=4))
@settings(deadline=None, max_examples=25)
def test_what_counts_never_goes_back(rounds: list[list[Step]]) -> None:
    lab = Lab("a", "b")
    try:
        before: Samples = {}
        for each in rounds:
            for step in each:
                take(lab, *step)
            now = lab.samples()
            for key, value in before.items():
                assert not grows(key[0]) or now[key] >= value, key
            assert set(before) <= set(now)
            before = now
        for direction in ("receive", "transmit"):
            for port in "ab":
                count = before[f"vswitch_port_{direction}_frame_size_bytes_count", port]
                assert count == sum(before[f"vswitch_port_{direction}_frames_total", cast, port] for cast in CASTS)
    finally:
        lab.close()


def grows(name: str) -> bool:
    return name.endswith(("_total", "_bucket", "_count", "_sum"))


def take(lab: Lab, port: str, what: str, cast: int, segments: int, octets: int) -> None:
    """Something happens at a port."""
    counters, bridge = lab.counters(port), lab.service.switch.ports[port]
    happen: dict[str, Callable[[], object]] = {
        "receive": lambda: counters.receive.count(cast, segments, segments * octets, octets),
        "transmit": lambda: counters.transmit.count(cast, segments, segments * octets, octets),
        "drop": lambda: counters.drop(list(Reason)[octets % len(Reason)], segments),
        "refuse": lambda: counters.refuse(segments % 14),
        "state": lambda: lab.service.switch.set_port_state(bridge, up=not bridge.up),
        "turn": lambda: take_turn(lab, segments),
    }
    happen[what]()


def take_turn(lab: Lab, frames: int) -> None:
    lab.service.engine.turns[frames] += 1
    lab.service.engine.flow_cache.misses += frames % 2


def test_a_copy_goes_on_in_slices(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames have their turn between any two rows, where the time of a slice is over; ports may go meanwhile."""
    whole = lab.rows()
    assert len(lab.messages) <= 2 * len(GROUPS)
    monkeypatch.setattr(exporter, "SLICE", -1.0)
    assert {name: len(rows) for name, rows in lab.rows().items()} == {name: len(rows) for name, rows in whole.items()}
    assert len(lab.messages) > 10


def test_the_document_has_every_metric_and_no_other() -> None:
    lab = Lab("a", "b", impair={"out": {"delay": "1ms"}})
    lab.service.switch.fdb.learn(1, b"\2\0\0\0\0\1", lab.service.switch.ports["a"], 0.0)
    told = {}
    for family in parse_text(lab.render()):
        labels = {label for sample in family.samples for label in sample.labels} - {"switch"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        told[name] = (family.type, labels)
    lab.close()
    told["vswitch_port_speed_bytes"] = ("gauge", {"port"})  # nobody says one here
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) ?\| .+ \|$", DOCUMENT.read_text(), re.MULTILINE)
    written = {name: (kind, set(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    assert written == told


def test_the_greatest_lag_is_remembered_for_a_minute_or_two() -> None:
    lag = LoopLag()
    lag.note(0.5, 1000.0)
    for second in range(1, int(WINDOW)):
        lag.note(0.001, 1000.0 + second)
        assert lag.most == 0.5
    lag.note(0.003, 1000.0 + WINDOW)
    assert lag.most == 0.5
    lag.note(0.002, 1000.0 + 2 * WINDOW)
    assert lag.most == 0.003
    lag.note(0.001, 1000.0 + 10 * WINDOW)
    assert lag.most == 0.001
    assert sum(lag.counts) == int(WINDOW) + 3


def test_nobody_looks_at_the_loop_unless_somebody_asks(lab: Lab) -> None:
    async def looked(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return sum(lab.service.lag.counts)

    async def ask() -> None:
        lag = lab.service.lag
        lag.start()
        lag.start()
        while not sum(lag.counts):
            await asyncio.sleep(0.01)
        lag.stop()
        assert lag._timer is not None
        lag.stop()
        assert lag._timer is None

    assert lab._runner.run(looked(0.3)) == 0
    lab._runner.run(ask())
