"""sFlow of real guests' traffic, as real collectors read it: sfcapd, Wireshark, and one that believes nothing."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
from contextlib import ExitStack, closing
from functools import partial
from math import sqrt
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.test_forwarding import BROADCAST, TYPE, mac, transfer
from tests.netns.test_tunnels import write_pcap
from tests.running import Running, listen, until
from tests.sflowreader import Counters, Datagram, Flow, read
from vswitch.core.segment import _sum
from vswitch.lab.guest import Guest
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.netns.conftest import Lab

BOTH_TWINS = pytest.mark.parametrize("native", ["require", "off"])
SIGMAS = 4.5
"""The numbers are drawn anew in every run: three would be crossed by chance now and then."""

SO_RCVBUFFORCE, RATE = 33, 20
VLANS: dict[str, dict[str, Any]] = {"a": {"access": 10}, "b": {"access": 10}, "c": {"trunk": [10, 20]}}


class Ear:
    """A UDP socket that datagrams are sent to."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, sock: socket.socket | None = None) -> None:
        self.sock = sock or socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self.sock.bind((host, port))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]
        self.place = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.raw: list[bytes] = []
        self.datagrams: list[Datagram] = []

    def hear(self) -> list[Datagram]:
        """All that came, ever."""
        try:
            while True:
                self.raw.append(self.sock.recv(1 << 16))
                self.datagrams.append(read(self.raw[-1]))
        except BlockingIOError:
            return self.datagrams

    @property
    def flows(self) -> list[Flow]:
        return [flow for datagram in self.hear() for flow in datagram.flows]

    @property
    def counters(self) -> list[Counters]:
        return [counters for datagram in self.hear() for counters in datagram.counters]


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    with made.sock:
        yield made


def start(lab: Lab, sflow: object, native: str = "auto", ports: Any = None, **more: Any) -> Running:
    config = lab.config(VLANS if ports is None else ports, sflow=sflow)
    running = Running(lab.folder, config, environment={"VSWITCH_NATIVE": native}, **more)
    lab.running.append(running)
    running.start()
    return running


def state(running: Running) -> dict[str, Any]:
    answer: dict[str, Any] = running.client.call("GET", "sflow")
    return answer


def estimate(samples: int, real: int, rate: int = RATE) -> bool:
    """Whether so many samples stand for so many frames."""
    return abs(samples - real / rate) <= SIGMAS * sqrt(real / rate * (1 - 1 / rate))


def udp(number: int, payload: int) -> bytes:
    """A packet from a to b."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + payload, number & 0xFFFF, 0, 64, 17, 0,
                       socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2"))  # fmt: skip
    return b"\x08\0" + head + struct.pack(">4H", 1111, 2222, 8 + payload, 0) + number.to_bytes(4) + bytes(payload - 4)


def pour(lab: Lab, running: Running, count: int) -> None:
    """From a: to b, of ever other sizes; to everybody; and what no VLAN takes in. No more at once than a TAP holds."""

    def received(least: int = 0) -> int:
        """How many the switch has; 0 where they are fewer."""
        row = running.ports()["a"]["receive"]
        count = int(row["unicast"] + row["broadcast"])
        return count if count >= least else 0

    with ExitStack() as stack:
        a, b = (stack.enter_context(listen(lab.guest(name), lab.name(name))) for name in "ab")
        b.send(BROADCAST + mac(2) + TYPE + bytes(46))
        until(lambda: len(running.client.call("GET", "fdb")) >= 1, "learning")
        sent = received()
        for number in range(count):
            kinds = (
                mac(2) + mac(1) + udp(number, 46 + number % 1000),
                BROADCAST + mac(1) + TYPE + number.to_bytes(4) + bytes(46),
                BROADCAST + mac(1) + b"\x81\0\xe0\x14" + TYPE + number.to_bytes(4) + bytes(46),
            )
            for frame in kinds if number % 4 == 0 else kinds[:1]:
                a.send(frame)
                sent += 1
            if number % 250 == 0:
                until(partial(received, sent), "the switch to keep up")
        until(partial(received, sent), "the switch to be done")


def row_of(running: Running, ear: Ear, port: str = "a") -> dict[str, Any]:
    """The counters of a port, once the collector has all samples of what was counted."""
    until(lambda: len(ear.flows) == state(running)["samples"], "the last datagram")
    return running.ports()[port]


@BOTH_TWINS
def test_samples_stand_for_what_is_counted(lab: Lab, ear: Ear, native: str) -> None:
    """Flows that the fast path knows, floods, and drops, each by itself; and every sample is what was sent."""
    running = start(lab, {"collector": ear.place, "sampling": RATE, "polling": 0, "header": 1024}, native)
    pour(lab, running, 16_000)
    row = row_of(running, ear)
    flows = [flow for flow in ear.flows if flow.source == 1 and flow.header[6:12] == mac(1)]
    to_b = [flow for flow in flows if flow.output == 2]
    flooded = [flow for flow in flows if flow.output == 0x8000_0002]
    dropped = [flow for flow in flows if flow.output == 0x4000_0000 | 258]
    assert len(to_b) + len(flooded) + len(dropped) == len(flows) > 600
    filtered = row["dropped"]["vlan_filtered"]
    assert estimate(len(dropped), filtered)
    assert estimate(len(flooded), row["receive"]["broadcast"] - filtered)
    assert estimate(len(to_b), row["receive"]["unicast"])
    assert {flow.vlans for flow in to_b + flooded} == {(10, 0, 10, 0)}
    assert {flow.vlans for flow in dropped} == {(20, 7, 0xFFFFFFFF, 0xFFFFFFFF)}
    for flow in to_b:
        number = int.from_bytes(flow.header[42:46])
        sent = mac(2) + mac(1) + udp(number, 46 + number % 1000)
        assert (flow.header, flow.length) == (sent[:1024], len(sent) + 4)
    octets = [flow.length for flow in flows]
    real = row["receive"]["bytes"] + 4 * (row["receive"]["unicast"] + row["receive"]["broadcast"])
    spread = sqrt(RATE * (RATE - 1) * sum(length**2 for length in octets))
    assert abs(sum(octets) * RATE - real) <= SIGMAS * spread + 20_000, (
        "what the guest's own kernel said is not in there"
    )
    assert [flow.sequence for flow in ear.flows if flow.source == 1] == list(
        range(1, 1 + sum(flow.source == 1 for flow in ear.flows))
    )
    pools = [flow.pool for flow in ear.flows if flow.source == 1]
    assert pools == sorted(pools)
    assert pools[-1] <= sum(row["receive"][cast] for cast in ("unicast", "multicast", "broadcast"))
    assert [datagram.sequence for datagram in ear.datagrams] == list(range(1, 1 + len(ear.datagrams)))
    assert {each["lost"] for each in state(running)["collectors"]} == {0}


@BOTH_TWINS
def test_superframes_are_sampled_as_the_frames_that_they_stand_for(lab: Lab, ear: Ear, native: str) -> None:
    ports = {name: {"address": f"10.88.0.{number}/24"} for number, name in enumerate("ab", 1)}
    running = start(lab, {"collector": ear.place, "sampling": RATE, "polling": 0}, native, ports)
    until(partial(lab.guest("a").ping, "10.88.0.2"), "the network")
    transfer(lab.guest("a"), lab.guest("b"), "10.88.0.2", bytes(20_000_000))
    until(lambda: state(running)["samples"] > 500, "samples")
    row = row_of(running, ear)
    total = sum(row["receive"][cast] for cast in ("unicast", "multicast", "broadcast"))
    flows = [flow for flow in ear.flows if flow.source == 1]
    assert total > 13_000
    assert estimate(len(flows), total)
    real = row["receive"]["bytes"] + 4 * total
    spread = sqrt(RATE * (RATE - 1) * sum(flow.length**2 for flow in flows))
    assert abs(sum(flow.length for flow in flows) * RATE - real) <= SIGMAS * spread
    segments = [flow for flow in flows if flow.header[12:14] == b"\x08\0" and flow.header[23] == 6]
    assert sum(flow.length == 1518 for flow in segments) > 200
    for flow in segments:
        assert flow.length <= 1518
        assert int.from_bytes(flow.header[16:18]) == flow.length - 18, "the IP length is that of the segment"
        assert _sum(flow.header[14:34]) == 0, "and so is the checksum"
    assert len({flow.header[38:42] for flow in segments}) > len(segments) // 2, "each has its own sequence number"


@pytest.mark.program("sfcapd", "nfdump")
def test_sfcapd_adds_it_up(lab: Lab, tmp_path: Path, ear: Ear) -> None:
    port = free_port()
    stored = tmp_path / "flows"
    stored.mkdir()
    call = ["sfcapd", "-b", "127.0.0.1", "-p", str(port), "-w", str(stored), "-t", "3600"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sfcapd:
        try:
            until(partial(is_bound, port), "sfcapd")
            sflow = {"collector": [f"127.0.0.1:{port}", ear.place], "sampling": RATE, "polling": "1s"}
            running = start(lab, sflow)
            pour(lab, running, 10_000)
            row = row_of(running, ear)
            until(lambda: len(ear.counters) > 5, "counters")
            assert running.stop() == 0
        finally:
            sfcapd.terminate()
            said = sfcapd.communicate()[0]
    assert "Sequence Errors: 0, Bad Packets: 0" in said
    call = ["nfdump", "-R", str(stored), "-o", "json", "proto udp and src ip 10.0.0.1"]
    found = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    flows = json.loads(found)
    assert {flow["in_packets"] for flow in flows} == {RATE}
    assert {(flow["input_snmp"], flow["output_snmp"], flow["src_vlan"], flow["dst_vlan"]) for flow in flows} == {
        (1, 2, 10, 10)
    }
    assert {(flow["in_src_mac"], flow["out_dst_mac"]) for flow in flows} == {("02:00:00:00:00:01", "02:00:00:00:00:02")}
    assert estimate(len(flows), row["receive"]["unicast"])
    heard = [flow for flow in ear.flows if flow.output == 2]
    assert sum(flow["in_bytes"] for flow in flows) == RATE * sum(flow.length for flow in heard)


@pytest.mark.program("tshark")
def test_wireshark_finds_nothing_wrong(lab: Lab, tmp_path: Path, ear: Ear) -> None:
    running = start(lab, {"collector": ear.place, "sampling": 5, "polling": "1s", "agent": "2001:db8::7"})
    pour(lab, running, 500)
    row_of(running, ear)
    until(lambda: {each.name for each in ear.counters} == {"a", "b", "c"}, "counters")
    path = tmp_path / "sflow.pcap"
    raw = list(ear.raw)
    heard = [read(octets) for octets in raw]
    write_pcap(path, [wrapped(octets) for octets in raw])
    call = ["tshark", "-r", str(path), "-d", "udp.port==6343,sflow", "-T", "pdml", "-n"]
    dissected = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    _, *packets = dissected.split('<proto name="sflow"')
    assert len(packets) == len(raw)
    assert "_ws.expert" not in dissected
    assert "_ws.malformed" not in dissected
    assert {datagram.agent for datagram in heard} == {"2001:db8::7"}
    assert dissected.count('name="sflow_245.agent.v6"') == len(packets)
    assert dissected.count('name="sflow_245.ifindex"') == sum(len(datagram.counters) for datagram in heard)
    flows = sum(len(datagram.flows) for datagram in heard)
    assert dissected.count('name="sflow_245.header_protocol"') == flows
    assert dissected.count('name="sflow_245.vlan.out"') == flows


def test_counters_are_those_of_the_ports(lab: Lab, ear: Ear) -> None:
    running = start(lab, {"collector": ear.place, "sampling": 0, "polling": "1s"})
    pour(lab, running, 500)
    row = running.ports()["a"]
    until(lambda: any(each.name == "a" and each.generic["in_unicast"] == row["receive"]["unicast"]
                      for each in ear.counters), "counters")  # fmt: skip
    assert ear.flows == []
    last = {each.name: each for each in ear.counters}
    assert {name: each.source for name, each in last.items()} == state(running)["ifindex"] == {"a": 1, "b": 2, "c": 3}
    assert last["a"].generic["speed"] == 10**10
    for name in "abc":
        own = [each.sequence for each in ear.counters if each.name == name]
        assert own == list(range(1, len(own) + 1))


def test_a_running_switch_begins_changes_and_ends_it(lab: Lab, ear: Ear) -> None:
    running = start(lab, None)
    config = lab.config(VLANS)
    assert state(running)["collectors"] == []
    running.write({**config, "sflow": {"collector": ear.place, "sampling": 1, "polling": 0}})
    assert "sflow.collector" in running.vswitch("apply", str(running.file), "--dry-run").stdout
    assert running.process is not None
    running.process.send_signal(signal.SIGHUP)
    until(lambda: state(running)["sampling"] == 1, "the change")
    pour(lab, running, 20)
    row_of(running, ear)
    assert {flow.rate for flow in ear.flows} == {1}
    running.write({**config, "sflow": {"collector": ear.place, "sampling": 2, "polling": "1s", "header": 64}})
    assert running.vswitch("apply", str(running.file)).returncode == 0
    before = len(ear.flows)
    pour(lab, running, 200)
    row_of(running, ear)
    changed = ear.flows[before:]
    assert {flow.rate for flow in changed} == {2}
    assert max(len(flow.header) for flow in changed) == 64
    assert next(flow.sequence for flow in changed if flow.source == 1) == 1, "as the pool does"
    assert [each.sequence for each in ear.datagrams] == list(range(1, len(ear.datagrams) + 1))
    running.client.call("DELETE", "ports/a")
    running.client.call("POST", "ports", {"name": "a", **lab.tap("a"), "access": 10})
    assert state(running)["ifindex"]["a"] == 1, "a port that comes back has its old index"
    until(lambda: [each.sequence for each in ear.counters if each.name == "a"].count(1) == 2, "and counts anew")
    running.write({**config})
    assert running.vswitch("apply", str(running.file)).returncode == 0
    assert state(running)["collectors"] == []
    assert running.stop() == 0


# Collectors that fail


def test_a_collector_that_refuses_is_counted_and_costs_the_others_nothing(lab: Lab, ear: Ear) -> None:
    refused = f"127.0.0.1:{free_port()}"
    running = start(lab, {"collector": [refused, ear.place], "sampling": 1, "polling": "1s"})
    pour(lab, running, 200)
    row_of(running, ear)
    bad, good = state(running)["collectors"]
    assert (good["lost"], good["trouble"]) == (0, None)
    assert good["datagrams"] == len(ear.hear())
    assert bad["datagrams"] == good["datagrams"]
    assert bad["lost"] >= bad["datagrams"] - 1, "but for the last one, of which nothing was heard"
    assert bad["trouble"] == "Connection refused"
    assert running.log.read_text().count("Connection refused") == 1
    assert running.stop() == 0


def test_an_ipv6_collector(lab: Lab) -> None:
    ear = Ear("::1")
    with ear.sock:
        running = start(lab, {"collector": ear.place, "sampling": 1, "polling": 0})
        pour(lab, running, 20)
        row_of(running, ear)
        assert {datagram.agent for datagram in ear.datagrams} == {"::1"}
        assert running.stop() == 0


def test_a_collector_by_name(lab: Lab) -> None:
    ears = [Ear(), Ear("::1")]
    with ears[0].sock, ears[1].sock:
        places = [f"localhost:{ear.port}" for ear in ears]
        running = start(lab, {"collector": [*places, "no-such-host.invalid"], "sampling": 0, "polling": "1s"})
        until(lambda: any(ear.hear() for ear in ears), "a datagram by either family")
        last = state(running)["collectors"][2]
        assert last["collector"] == "no-such-host.invalid:6343"
        until(lambda: state(running)["collectors"][2]["lost"], "losses")
        assert "cannot be found" in running.log.read_text() or "not known yet" in last["trouble"]
        assert running.stop() == 0


@pytest.mark.program("unshare", "mount")
def test_a_name_server_that_never_answers_holds_up_nothing(lab: Lab, tmp_path: Path) -> None:
    """Neither the guests, nor a change, nor the end."""
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.77\noptions timeout:30 attempts:5\n")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as silent:
        silent.bind(("127.0.0.77", 53))
        script = f'mount --bind {resolver} /etc/resolv.conf && exec "$@"'
        wrapper = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
        config = lab.config({}, sflow={"collector": "collector.example", "sampling": 1, "polling": "1s"})
        running = Running(lab.folder, config, wrapper=wrapper)
        lab.running.append(running)
        running.start()
        silent.settimeout(20)
        assert b"collector" in silent.recv(2000), "it asks"
        (row,) = state(running)["collectors"]
        assert row["trouble"] == "the address of collector.example is not known yet"
        running.write({**config, "sflow": {"collector": "another.example"}})
        assert running.vswitch("apply", str(running.file)).returncode == 0
        assert running.process is not None
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0


@pytest.mark.program("ip", "nsenter")
def test_a_way_that_vanishes_and_comes_back(lab: Lab, fresh: Callable[[], str]) -> None:
    """The switch is in a namespace of its own, the collector in another one, which goes."""
    near, far = fresh(), fresh()
    netns.make(near, lambda _: None).close()
    ip(near, "link set lo up")

    def build(own: str) -> Ear:
        netns.make(far, lambda _: None).close()
        ip(near, f"link add {near} type veth peer name {far} netns {far}")
        ip(near, f"addr add {own}/24 dev {near}", f"link set {near} up")
        ip(far, f"addr add 10.77.0.2/24 dev {far}", f"link set {far} up")
        return Ear("10.77.0.2", 6343, Guest(far).open_socket(socket.AF_INET, socket.SOCK_DGRAM))

    wrapper = ("nsenter", f"--net=/run/netns/{near}")
    running = start(lab, {"collector": "10.77.0.2", "polling": "1s"}, ports={"a": {}}, wrapper=wrapper)
    until(lambda: state(running)["collectors"][0]["lost"], "losses, since there is no way yet")
    assert state(running)["collectors"][0]["trouble"] == "Network is unreachable"
    assert state(running)["agent"] is None
    for own in ("10.77.0.1", "10.77.0.3"):
        ear = build(own)
        with ear.sock:
            until(ear.hear, "a datagram")
            assert {each.agent for each in ear.datagrams} == {"10.77.0.1"}, "it goes by one address"
        netns.remove(far)
        lost = state(running)["collectors"][0]["lost"]
        until(lambda before=lost: state(running)["collectors"][0]["lost"] > before, "losses")  # type: ignore[misc]
    assert running.stop() == 0


def ip(namespace: str, *commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", "-netns", namespace, *command.split()], check=True, capture_output=True, text=True)


def wrapped(octets: bytes) -> bytes:
    """A datagram as a frame to port 6343."""
    packet = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(octets), 0, 0, 64, 17, 0, bytes(4), bytes(4))
    return bytes(12) + b"\x08\0" + packet + struct.pack(">4H", 1024, 6343, 8 + len(octets), 0) + octets


def free_port() -> int:
    """A UDP port that nobody has now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def is_bound(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
