"""Ports whose far end is across a network: ERSPAN as Wireshark reads it, VXLAN with the kernel's own device there.

The network is the switch itself, in another VLAN: `near` is where its sockets are, `far` the other host. As on any
wire, checksums are complete there: a kernel leaves that of a frame in a tunnel to whatever card says that it does them.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import subprocess
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.test_forwarding import BROADCAST, TYPE, mac, transfer
from tests.running import Running, listen, receive, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.conftest import Lab

NEAR, FAR, OTHER = ({4: f"10.99.0.{number}", 6: f"fd99::{number}"} for number in (1, 2, 3))
VNI, UDP_PORT = 42, 4789
FORMS = {2: "erspan.encap", 3: "erspan.bso"}
"""What the same two bits say: where the tag is, and what is wrong with the frame."""


def start(lab: Lab, remote: dict[str, Any], native: str = "auto", **options: Any) -> Running:
    """Guests a and b in VLAN 20; `remote` is a port with a socket in the namespace of near."""
    hosts = {
        name: {"access": 10, "offload": False, "address": [f"{address[4]}/24", f"{address[6]}/64"]}
        for name, address in (("near", NEAR), ("far", FAR), ("other", OTHER))
    }
    guests = {name: {"access": 20, "address": f"10.50.0.{number}/24"} for number, name in enumerate("ab", 10)}
    config = lab.config({**hosts, **guests}, **options)
    config["ports"]["remote"] = {**remote, "netns": lab.name("near"), "access": 20}
    running = Running(lab.folder, config, environment={"VSWITCH_NATIVE": native})
    lab.running.append(running)
    running.start()
    for version in (4, 6):
        until(partial(lab.guest("near").ping, FAR[version]), "the network")
    return running


def write_pcap(path: Path, frames: list[bytes]) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1))
        for frame in frames:
            file.write(struct.pack("=IIII", 0, 0, len(frame), len(frame)) + frame)


def tshark(path: Path, *fields: str) -> list[list[str]]:
    """Those fields of every packet that is ERSPAN."""
    asked = [word for field in fields for word in ("-e", field)]
    command = ["tshark", "-r", str(path), "-Y", "erspan", "-T", "fields", *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def gre(wire: socket.socket, version: int, count: int, source: bytes) -> list[bytes]:
    """So many copies of frames from that source, whole or first fragments, and the GRE that came meanwhile."""
    heard: list[bytes] = []
    at, next_header = (14, 23) if version == 4 else (14, 20)
    found = 0
    while found < count:
        got = receive(wire, 1, ethertype=0x0800 if version == 4 else 0x86DD)
        assert got, f"{found} of {count} came"
        frame = got[0]
        fragments = frame[next_header] == 44
        protocol = frame[at + 40] if fragments else frame[next_header]
        if protocol == 47:
            heard.append(frame)
            later = fragments and struct.unpack_from("!H", frame, at + 42)[0] & 0xFFF8
            later = later or (version == 4 and struct.unpack_from("!H", frame, at + 6)[0] & 0x1FFF)
            found += not later and source in frame  # the guest's own kernel may speak as well
    return heard


@pytest.mark.program("tshark")
@pytest.mark.parametrize("native", ["require", "off"])
@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize("family", [4, 6])
def test_a_collector_reads_what_a_guest_sent(lab: Lab, tmp_path: Path, family: int, kind: int, native: str) -> None:
    mirrors = {"m": {"ports": ["a"], "direction": "in", "to": "remote"}}
    running = start(lab, {"erspan": FAR[family], "session": 700 + kind, "version": kind}, native, mirrors=mirrors)
    tags = b"\x81\x00\xa0\x14"
    with (
        lab.guest("a").wire(lab.name("a")) as a,
        listen(lab.guest("b"), lab.name("b")) as b,
        closing(listen(lab.guest("far"), lab.name("far"))) as far,
    ):
        b.send(BROADCAST + mac(2) + TYPE + bytes(46))
        plain = [mac(2) + mac(1) + TYPE + bytes((number,)) * (46 + 100 * number) for number in range(8)]
        sent = [*plain, plain[1][:12] + tags + plain[1][12:]]
        before = running.ports()["remote"]["transmit"]
        for frame in sent:
            a.send(frame)
        assert receive(b, 9) == [*plain, plain[1]]
        until(lambda: running.ports()["remote"]["transmit"]["unicast"] - before["unicast"] >= 9, "the copies")
        heard = gre(far, family, 9, mac(1))
    write_pcap(tmp_path / "heard.pcap", heard)
    fields = (
        "gre.proto",
        "gre.sequence_number",
        "erspan.version",
        "erspan.spanid",
        "erspan.vlan",
        "erspan.cos",
        FORMS[kind],
    )
    everything = tshark(tmp_path / "heard.pcap", *fields, "eth.src")
    numbers = [int(row[1]) for row in everything]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    rows = [row for row in everything if row[7].endswith("02:00:00:00:00:01")]
    assert len(rows) == 9
    proto, version = {2: ("0x88be", "1"), 3: ("0x22eb", "2")}[kind]
    assert {(row[0], row[2], row[3]) for row in rows} == {(proto, version, str(700 + kind))}
    assert [tuple(row[4:7]) for row in rows] == [("0", "0", "0")] * 8 + [("20", "5", "3" if kind == 2 else "0")]
    behind = 14 + (20 if family == 4 else 40) + 8 + (8 if kind == 2 else 12)
    inner = [frame[behind:] for frame in heard]
    assert [frame for frame in inner if frame[6:12] == mac(1)] == sent
    if kind == 3:
        stamps = [int.from_bytes(frame[behind - 8 : behind - 4]) for frame in heard]
        assert all(0 <= (time.time_ns() // 100_000 - stamp) % (1 << 32) < 600_000 for stamp in stamps)
    assert not running.dropped("remote")


@pytest.mark.program("tshark")
@pytest.mark.parametrize("family", [4, 6])
def test_a_frame_of_full_size_comes_in_fragments(lab: Lab, tmp_path: Path, family: int) -> None:
    mirrors = {"m": {"ports": ["a"], "direction": "in", "to": "remote"}}
    start(lab, {"erspan": FAR[family]}, mirrors=mirrors)
    frame = mac(2) + mac(1) + TYPE + os.urandom(1500)
    with lab.guest("a").wire(lab.name("a")) as a, closing(listen(lab.guest("far"), lab.name("far"))) as far:
        a.send(frame)
        a.send(frame[:60])
        heard = gre(far, family, 2, mac(1))
    write_pcap(tmp_path / "heard.pcap", heard)
    rows = tshark(tmp_path / "heard.pcap", "eth.src", "data.data", "data.len")
    assert any(row[1].replace(":", "") == frame[14:].hex() for row in rows), rows


def vxlan_device(lab: Lab, family: int, mtu: int) -> None:
    """The kernel's end of the tunnel: vx0 of far, at 10.50.0.2."""
    name = lab.name("far")
    for words in (
        f"link add vx0 type vxlan id {VNI} local {FAR[family]} remote {NEAR[family]} dstport {UDP_PORT}",
        f"link set vx0 mtu {mtu} up",
        "addr add 10.50.0.2/24 dev vx0",
    ):
        subprocess.run(["ip", "-n", name, *words.split()], check=True)


@pytest.mark.program("ip")
@pytest.mark.parametrize("native", ["require", "off"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("mtu", [1430, 1500])
def test_guests_reach_the_kernel_s_vxlan_device(lab: Lab, family: int, mtu: int, native: str) -> None:
    running = start(lab, {"vxlan": FAR[family], "vni": VNI, "local": NEAR[family]}, native)
    vxlan_device(lab, family, mtu)
    assert lab.guest("a").ping("10.50.0.2") is not None
    assert lab.guest("far").ping("10.50.0.11") is not None
    octets = os.urandom(1 << 20)
    digest = hashlib.sha256(octets).hexdigest()
    assert transfer(lab.guest("a"), lab.guest("far"), "10.50.0.2", octets) == digest
    assert transfer(lab.guest("far"), lab.guest("b"), "10.50.0.11", octets) == digest
    frames = [BROADCAST + mac(1) + TYPE + os.urandom(size) for size in (46, 700, mtu)]
    with lab.guest("a").wire(lab.name("a")) as a, closing(listen(lab.guest("far"), "vx0")) as far:
        for frame in frames:
            a.send(frame)
        assert receive(far, 3) == frames
        back = [frame[:6] + mac(9) + frame[12:] for frame in frames[: 2 if (family, mtu) == (6, 1500) else 3]]
        for frame in back:  # the kernel itself makes no fragments of IPv6 for a tunnel
            far.send(frame)
        assert receive(a, len(back)) == back
    stations = {row["mac"]: row["port"] for row in running.client.call("GET", "fdb")}
    assert stations["02:00:00:00:00:09"] == "remote"
    assert "io_error" not in running.dropped("remote")


@pytest.mark.parametrize("family", [4, 6])
def test_only_the_far_end_and_its_network_come_in(lab: Lab, family: int) -> None:
    running = start(lab, {"vxlan": FAR[family], "vni": VNI})
    inet = socket.AF_INET if family == 4 else socket.AF_INET6
    inner = BROADCAST + mac(9) + TYPE
    good = struct.pack("!II", 0x08000000, VNI << 8)

    def send(host: str, datagram: bytes) -> None:
        with lab.guest(host).open_socket(inet, socket.SOCK_DGRAM) as sock:
            sock.sendto(datagram, (NEAR[family], UDP_PORT))

    with listen(lab.guest("a"), lab.name("a")) as a:
        send("other", good + inner + b"other" + bytes(46))
        send("far", struct.pack("!II", 0x08000000, (VNI + 1) << 8) + inner + b"vni" + bytes(46))
        send("far", struct.pack("!II", 0, VNI << 8) + inner + b"flag" + bytes(46))
        send("far", b"short")
        send("far", b"")
        send("far", good)
        send("far", good + b"runt")
        send("far", good + inner + b"good" + bytes(46))
        assert [frame[14:18] for frame in receive(a, 2)] == [b"good"]
    assert running.dropped("remote")["runt"] == 2


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("kind", ["erspan", "vxlan"])
def test_copies_that_pass_a_watched_port_are_not_copied_again(lab: Lab, kind: str, family: int) -> None:
    """The mirror watches every port, and so those that its copies, and fragments of them, take to the collector."""
    mirrors = {"m": {"ports": ["a", "near", "far"], "to": "remote"}}
    running = start(lab, {kind: FAR[family], **({"vni": VNI} if kind == "vxlan" else {})}, mirrors=mirrors)
    with lab.guest("a").wire(lab.name("a")) as a, closing(listen(lab.guest("far"), lab.name("far"))) as far:
        for size in (46, 1500):
            a.send(BROADCAST + mac(1) + TYPE + bytes(size))
        a.send(BROADCAST + mac(3) + TYPE + bytes(46))
        heard = (receive(far, 1, ethertype=0x0800 if family == 4 else 0x86DD) for _ in range(50))
        assert any(mac(3) in frame for (frame,) in heard), "the last copy"
    quiet = running.ports()["remote"]["transmit"]
    assert running.dropped("remote")["tunnel_loop"] >= 6
    assert running.ports()["remote"]["transmit"]["unicast"] - quiet["unicast"] < 50


def test_a_far_host_that_wants_none_of_it_costs_nothing(lab: Lab) -> None:
    """It says so by ICMP, which a connected socket would fail for."""
    mirrors = {"m": {"ports": ["a"], "direction": "in", "to": "remote"}}
    running = start(lab, {"vxlan": FAR[4], "vni": VNI}, mirrors=mirrors)
    with lab.guest("a").wire(lab.name("a")) as a:
        for _ in range(200):
            a.send(BROADCAST + mac(1) + TYPE + bytes(46))
            time.sleep(0.001)
        until(lambda: running.ports()["remote"]["transmit"]["broadcast"] >= 200, "the copies")
    assert running.ports()["remote"]["state"] == "up"
    assert not set(running.dropped("remote")) - {"mirror_port"}


def test_what_is_wrong_is_said(lab: Lab) -> None:
    running = start(lab, {"vxlan": FAR[4], "vni": VNI})
    near = ("--netns", lab.name("near"))
    taken = running.vswitch("port", "add", "p", "--vxlan", OTHER[4], "--vni", "7", *near)
    assert taken.returncode != 0
    assert "is the device of port remote already" in taken.stderr
    bound = running.vswitch("port", "add", "p", "--vxlan", OTHER[4], "--vni", "7", "--local", NEAR[4], *near)
    assert (bound.returncode, bound.stderr.count("\n")) == (1, 1)
    assert "UDP port 4789 is in use" in bound.stderr
    assert (
        running.vswitch("port", "add", "p", "--vxlan", OTHER[4], "--vni", "7", "--udp-port", "4790", *near).returncode
        == 0
    )
    away = running.vswitch("port", "add", "q", "--erspan", OTHER[4], "--netns", "nowhere-of-ours")
    assert "there is no namespace nowhere-of-ours" in away.stderr
    mixed = running.vswitch("port", "add", "q", "--erspan", OTHER[4], "--local", "::1")
    assert "have to be of one kind" in mixed.stderr
    group = running.vswitch("port", "add", "q", "--erspan", "224.0.0.1")
    assert "is not the IP address of a host" in group.stderr
