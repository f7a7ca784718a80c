"""A real Prometheus reads a real switch: whatever dashboards, rules and alerts ask has an answer, and the right one.

Guests have no IPv6, so they are silent but for the frames sent here, and their kernels count what they send and get.
All counters stand at nothing at the first scrape, and all traffic lies between two. A rate over a window that reaches
back beyond the first is then the traffic times a factor, the same for all, and of one counter the traffic is known: so
nothing depends on how long anything took.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.dashboards.expressions import (
    DASHBOARDS,
    Expression,
    alerts,
    annotated,
    chosen,
    panels,
    recorded,
    shown,
    substituted,
    without_threshold,
)
from tests.dashboards.server import Prometheus, Sample
from tests.netns.guest import silence
from tests.netns.test_api import free_port
from tests.running import Running, until
from vswitch.lab.guest import stream
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.conftest import Lab
    from vswitch.lab.guest import Guest

pytestmark = pytest.mark.program("prometheus")

GUESTS = "abcde"
ALL = (*GUESTS, "idle")
MAC = {port: f"02000000000{port}" for port in GUESTS}
UNICAST, BROADCAST, MULTICAST, LLDP, IMPAIRED = 600, 60, 120, 7, 200
SMALL, LARGE = 300, 1400
ROAMER, MOVES = "0200000000ff", 3
WINDOW = "2m"
LABEL = re.compile(r"\{\{(\w+)\}\}")


class Kernel(NamedTuple):
    """What a guest's own kernel counts of its interface: bytes and frames that it sent, and that it got."""

    sent: int
    sent_frames: int
    got: int
    got_frames: int


def kernel(guest: Guest) -> Kernel:
    namespace = netns.find(guest.namespace)
    assert namespace is not None
    with netns.inside(namespace):
        lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    namespace.close()
    (fields,) = [line.split() for line in lines if line.strip().startswith(f"{guest.namespace}:")]
    return Kernel(int(fields[9]), int(fields[10]), int(fields[1]), int(fields[2]))


def frame(destination: str, source: str, octets: int) -> bytes:
    """Of so many octets."""
    return bytes.fromhex(f"{destination} {source} 88b5") + bytes(octets - 14)


class Scene:
    """The switch, its guests, the server and all that was sent."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        listen, own = free_port(), free_port()
        self.lab = lab
        self.instance = f"127.0.0.1:{listen}"
        impair = {"seed": 7, "out": {"delay": "20ms", "loss": "50%"}}
        ports: dict[str, dict[str, Any]] = {port: lab.tap(port) for port in GUESTS}
        ports["c"]["address"], ports["d"]["address"] = ["10.88.0.3/24"], ["10.88.0.4/24"]
        ports["e"]["impair"] = impair
        ports["idle"] = {"qemu": str(folder / "idle.sock")}
        static = [{"mac": ":".join(re.findall("..", MAC[port])), "port": port} for port in "be"]
        config = {"name": lab.tag, "ports": ports, "fdb": {"static": static}, "metrics": {"listen": self.instance}}
        for port in GUESTS:
            netns.make(lab.name(port), lambda _: None).close()
            silence(lab.name(port))
        self.switch = Running(folder, config)
        lab.running.append(self.switch)
        self.switch.start()
        self.server = Prometheus(folder, own, [self.instance])

    def scraped(self) -> None:
        """Wait for a scrape that begins a second from now, and for an evaluation after it."""
        due = time.time() + 1
        for metric in ("vswitch_port_up", "switch_port:vswitch_port_receive_frames:rate5m"):
            due = self._after(due, metric)

    def _after(self, due: float, metric: str) -> float:
        """When a sample of a metric was taken, the first after that time."""
        found: list[float] = []

        def taken() -> bool:
            found[:] = [sample.value for sample in self.server.query(f"timestamp({metric})") if sample.value > due]
            return bool(found)

        until(taken, f"Prometheus to have {metric}")
        return found[0]

    def send(self) -> None:
        """All traffic that is counted."""
        guests = {port: self.lab.guest(port).wire(self.lab.name(port)) for port in GUESTS}
        a, b = guests["a"], guests["b"]
        for number in range(UNICAST):
            a.send(frame(MAC["b"], MAC["a"], LARGE if number % 2 else SMALL))
        for _ in range(UNICAST // 2):
            b.send(frame(MAC["a"], MAC["b"], SMALL))
        for _ in range(BROADCAST):
            a.send(frame("ffffffffffff", MAC["a"], SMALL))
        for _ in range(MULTICAST):
            a.send(frame("01005e000001", MAC["a"], SMALL))
        for _ in range(LLDP):
            a.send(frame("0180c200000e", MAC["a"], SMALL))
        for _ in range(IMPAIRED):
            guests["c"].send(frame(MAC["e"], MAC["c"], SMALL))
        for number in range(1 + MOVES):
            port = "cd"[number % 2]
            guests[port].send(frame(MAC["b"], ROAMER, SMALL))
            until(lambda: self.home(ROAMER) == port, "the station to move")  # noqa: B023
        for wire in guests.values():
            wire.close()

    def home(self, mac: str) -> str | None:
        """The port that a station is behind."""
        rows = self.switch.client.call("GET", "fdb")
        return next((row["port"] for row in rows if row["mac"].replace(":", "") == mac), None)


@pytest.fixture
def scene(lab: Lab, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(lab, tmp_path)
    with scene.server:
        yield scene
    scene.switch.__exit__()
    for port in GUESTS:
        netns.remove(lab.name(port))


def choices(scene: Scene, dashboard: str) -> dict[str, str]:
    """Of each variable what Grafana makes of its choice: all, or port a on the page of one port."""
    values = {"__rate_interval": WINDOW, "__range": WINDOW}
    known = {"instance": {scene.instance}, "switch": {scene.lab.tag}, "port": set(ALL)}
    if dashboard == "impairments":
        known["port"] = {"e"}
    for expression in chosen():
        of, _, name = expression.where.partition(": $")
        if of == dashboard:
            samples = scene.server.query(substituted(expression.text, values))
            assert {sample.labels[name] for sample in samples} == known[name], expression.where
            one = "a" if name == "port" else next(iter(known[name]))
            values[name] = one if dashboard == "port" else ".*"
    return values


class Answers:
    """What every expression is at one time, none of them without an answer."""

    def __init__(self, scene: Scene, at: float) -> None:
        self.scene = scene
        self.at = at
        self.samples = {each.where: self._ask(each) for each in (*recorded(), *shown(), *annotated())}
        for each in alerts():
            self.samples[each.where] = self._ask(each._replace(text=without_threshold(each.text)))

    def _ask(self, expression: Expression) -> list[Sample]:
        dashboard = expression.where.partition(":")[0]
        values = {} if dashboard.endswith(".yml") else choices(self.scene, dashboard)
        samples = self.scene.server.query(substituted(expression.text, values), self.at)
        assert samples, f"{expression.where} has no answer: {expression.text}"
        return samples

    def value(self, where: str, **labels: str) -> float:
        """Of the only series with these labels."""
        found = [sample for sample in self.samples[where] if labels.items() <= sample.labels.items()]
        assert len(found) == 1, f"{where} {labels}: {self.samples[where]}"
        return found[0].value

    def count(self, where: str, window: str = WINDOW, **labels: str) -> float:
        """How much a rate over a window stands for, by a counter of which that is known."""
        known = f'rate(vswitch_port_receive_frames_total{{port="a", cast="unicast"}}[{window}])'
        (sample,) = self.scene.server.query(known, self.at)
        return self.value(where, **labels) / sample.value * UNICAST


@pytest.fixture
def played(scene: Scene) -> tuple[Answers, dict[str, Kernel]]:
    """All answers after the traffic, and what the guests' kernels counted of it."""
    scene.scraped()
    before = {port: kernel(scene.lab.guest(port)) for port in GUESTS}
    scene.send()
    scene.scraped()
    after = {port: kernel(scene.lab.guest(port)) for port in GUESTS}
    traffic = {port: Kernel(*(y - x for x, y in zip(before[port], after[port], strict=True))) for port in GUESTS}
    return Answers(scene, time.time()), traffic


def near(count: float) -> object:
    """Within 10 %."""
    return pytest.approx(count, rel=0.1)


def check_traffic(answers: Answers, traffic: dict[str, Kernel]) -> None:
    """Bytes and frames, by the guests' own kernels."""
    sent, frames = (sum(getattr(each, key) for each in traffic.values()) for key in ("sent", "sent_frames"))
    assert traffic["a"].sent_frames == UNICAST + BROADCAST + MULTICAST + LLDP, "nobody else sends"
    assert answers.count("overview: Received: A") == near(8 * sent)
    assert answers.count("overview: Frames received: A") == near(frames)
    assert answers.count("rules.yml: switch:vswitch_port_receive_bytes:rate5m", "5m") == near(sent)
    assert answers.count("rules.yml: switch:vswitch_port_receive_frames:rate5m", "5m") == near(frames)
    for port, each in traffic.items():
        for where, octets in (("Received by port: A", each.sent), ("Sent by port: A", each.got)):
            assert answers.count(f"overview: {where}", port=port) == near(8 * octets)
        for column, octets in (("B", each.sent), ("C", each.got)):
            assert answers.count(f"overview: Ports: {column}", port=port) == near(8 * octets)
        for way, octets, count in (("receive", each.sent, each.sent_frames), ("transmit", each.got, each.got_frames)):
            name = f"rules.yml: switch_port:vswitch_port_{way}"
            assert answers.count(f"{name}_bytes:rate5m", "5m", port=port) == near(octets)
            assert answers.count(f"{name}_frames:rate5m", "5m", port=port) == near(count)
    a = traffic["a"]
    for where, octets in (("Received", a.sent), ("Throughput", a.sent), ("Sent", a.got)):
        assert answers.count(f"port: {where}: A") == near(8 * octets)
    assert answers.count("port: Throughput: B") == near(8 * a.got)
    known = answers.count("fdb: Hits and misses: A") + answers.count("fdb: Hits and misses: B")
    assert known == near(frames)
    assert answers.value("overview: Flow cache hits: A") == near(answers.count("fdb: Hits and misses: A") / known)


def check_kinds(answers: Answers, traffic: dict[str, Kernel]) -> None:
    """Casts, sizes, and shares of them."""
    a, group = traffic["a"], BROADCAST + MULTICAST + LLDP
    unicast = UNICAST + UNICAST // 2 + IMPAIRED + 1 + MOVES
    assert answers.count("overview: Frames received by cast: A", cast="unicast") == near(unicast)
    for where in ("overview: Frames received by cast: A", "port: Frames by cast: A"):
        assert answers.count(where, cast="broadcast") == near(BROADCAST)
        assert answers.count(where, cast="multicast") == near(MULTICAST + LLDP)
    assert answers.count("port: Frames by cast: B", cast="unicast") == near(UNICAST // 2)
    share = near(group / a.sent_frames)
    assert answers.value("port: Group frames: A") == share
    assert answers.value("rules.yml: switch_port:vswitch_port_receive_group_frames:ratio_rate1m", port="a") == share
    storm = "rules.yml: switch_port:vswitch_port_receive_group_frames:rate1m"
    assert answers.count(storm, "1m", port="a") == near(group)
    assert answers.count("fdb: Group frames by port: A", port="a") == near(group)
    sizes = {sample.labels["le"]: sample.value for sample in answers.samples["port: Sizes received: A"]}
    assert sizes["511.0"] - sizes["255.0"] == near((UNICAST // 2 + group) / a.sent_frames * sizes["+Inf"])
    assert sizes["1518.0"] - sizes["1023.0"] == near(UNICAST // 2 / a.sent_frames * sizes["+Inf"])
    assert answers.value("port: Mean size: A") == near(a.sent / a.sent_frames)
    assert answers.value("port: Mean size: B") == near(SMALL)
    flood = sum(each.got_frames for each in traffic.values()) - (len(GUESTS) - 1) * (BROADCAST + MULTICAST)
    doubt = (BROADCAST + MULTICAST) / unicast  # the impairment lost some of these, too
    assert answers.value("fdb: Copies of a unicast frame: A") == pytest.approx(flood / unicast, abs=doubt)


def check_drops(answers: Answers, traffic: dict[str, Kernel]) -> None:
    """By reason; and what an impairment lost is what did not get to its guest."""
    came = IMPAIRED + BROADCAST + MULTICAST
    lost = came - traffic["e"].got_frames
    assert 0.3 < lost / came < 0.7
    assert answers.count("overview: Dropped: A") == near(LLDP + lost)
    for where in ("overview: Drops by reason: A", "port: Drops by reason: A"):
        assert answers.count(where, reason="reserved_address") == near(LLDP)
        assert answers.count(where, reason="runt") == 0
    assert answers.count("overview: Drops by reason: A", reason="impaired") == near(lost)
    assert answers.count("port: Dropped: A") == near(LLDP)
    assert answers.count("overview: Ports: D", port="e") == near(lost)
    assert answers.count("rules.yml: switch_port:vswitch_port_dropped_frames:rate5m", "5m", port="e") == near(lost)
    assert answers.count("rules.yml: switch:vswitch_port_dropped_frames:rate5m", "5m") == near(LLDP + lost)
    for where in ("Loss: A", "Impairments: E"):
        assert answers.value(f"impairments: {where}") == near(lost / came)
    for where in ("Loss: B", "Impairments: D"):
        assert answers.value(f"impairments: {where}") == 0.5
    for where in ("Delay: C", "Impairments: A"):
        assert answers.value(f"impairments: {where}") == 0.02
    for where in ("Delay: A", "Delay: B", "Impairments: B"):
        assert 0.02 <= answers.value(f"impairments: {where}") < 1
    for where in ("Rate: A", "Impairments: G"):
        assert answers.count(f"impairments: {where}") == near(8 * traffic["e"].got)
    for fate, count in (("came", came), ("passed", came - lost), ("lost", lost), ("corrupted", 0)):
        assert answers.count("impairments: Frames by fate: A", fate=fate) == near(count)


def check_states(answers: Answers) -> None:
    """What is no rate."""
    assert answers.value("overview: Switches that answer: A") == 1
    assert answers.value("overview: Ports up: A") == len(GUESTS)
    assert answers.value("overview: Ports down: A") == 1
    for where in ("overview: Ports: A", "overview: Port states: A", "alerts.yml: VswitchPortDown"):
        assert {port: answers.value(where, port=port) for port in ALL} == {**dict.fromkeys(GUESTS, 1), "idle": 0}
    switch = answers.scene.switch
    row, info = switch.ports()["a"], switch.client.call("GET", "switch")
    assert answers.value("port: State: A") == 1
    assert answers.value("port: MTU: A") == answers.value("overview: Ports: F", port="a") == row["mtu"] == 1500
    assert answers.value("port: Queue length: B") == row["queue"]["limit"]
    for where in ("fdb: Stations: A", "fdb: Stations by VLAN: A", "rules.yml: switch:vswitch_fdb_entries:sum"):
        assert answers.value(where) == info["fdb_entries"]
    full = info["fdb_entries"] / info["fdb_limit"]
    for where in (
        "overview: FDB, the fullest: A",
        "fdb: Fullness: A",
        "alerts.yml: VswitchFdbNearlyFull",
    ):
        assert answers.value(where) == pytest.approx(full)
    assert answers.count("fdb: Moves and flaps: A") == near(MOVES)
    words = {"switch": info["name"], "version": info["version"], "fastpath": info["fastpath"]}
    since = time.time() - answers.value("overview: Switches: A", **words) / 1000
    assert since == pytest.approx(info["uptime"], abs=60)
    assert 0 <= time.time() - answers.value("port: Since: A") / 1000 <= since


def check_names(answers: Answers) -> None:
    """Series are called by labels that they have, and tables have the columns that tell their rows apart."""
    for file in DASHBOARDS:
        for panel in panels(json.loads(file.read_text())):
            named = [(target["refId"], LABEL.findall(target["legendFormat"])) for target in panel["targets"]]
            if panel["type"] == "table":
                (organize,) = [each for each in panel["transformations"] if each["id"] == "organize"]
                keys = [name for name in organize["options"]["indexByName"] if not name.startswith("Value #")]
                named = [(ref, keys) for ref, _ in named]
            for ref, labels in named:
                for sample in answers.samples[f"{file.stem}: {panel['title']}: {ref}"]:
                    assert set(labels) <= set(sample.labels), f"{panel['title']}: {labels}"


def test_every_expression_has_an_answer_and_it_is_right(played: tuple[Answers, dict[str, Kernel]]) -> None:
    answers, traffic = played
    check_traffic(answers, traffic)
    check_kinds(answers, traffic)
    check_drops(answers, traffic)
    check_states(answers)
    check_names(answers)
    scene = answers.scene
    assert firing(scene.server) == {("VswitchPortDown", "idle")}
    assert answers.value("overview: Alerts: A") == 1
    check_superframes(scene)
    scene.switch.stop()
    until(lambda: ("VswitchExporterGone", "") in firing(scene.server), "the alert")


def firing(server: Prometheus) -> set[tuple[str, str]]:
    """Alerts that fire, and their ports; but for the lag of the loop, which is the machine's."""
    found = {(each["labels"]["alertname"], each["labels"].get("port", "")) for each in server.call("alerts")["alerts"]}
    return found - {("VswitchLoopLags", "")}


def check_superframes(scene: Scene) -> None:
    """One TCP stream, most of which its guest sends as superframes."""
    stream(scene.lab.guest("c"), scene.lab.guest("d"), "10.88.0.4", 0.5)
    scene.scraped()
    values = {**choices(scene, "port"), "port": "c"}
    (asked,) = [each for each in shown() if each.where == "port: Frames in superframes: A"]
    (sample,) = scene.server.query(substituted(asked.text, values))
    assert 0.5 < sample.value <= 1
