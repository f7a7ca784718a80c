"""Interfaces that were there before the switch: of guests behind veth pairs, which a kernel bridge has as well."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.bridged import BridgedHost
from tests.netns.test_forwarding import transfer
from tests.running import SILENCE, Running, listen, receive, unique, until
from vswitch.lab.guest import Guest
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BROADCAST, A, B = (bytes.fromhex(text) for text in ("ffffffffffff", "020000000001", "020000000002"))
OURS = b"\x88\xb5"
BODY = OURS + bytes(range(60))
LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


@pytest.fixture
def host() -> Iterator[BridgedHost]:
    host = BridgedHost()
    yield host
    host.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a switch with ports p1, p2 … on v1, v2 … of a host, or with those given."""
    running: list[Running] = []

    def start_(host: BridgedHost, *numbers: int, environment: dict[str, str] | None = None, **options: Any) -> Running:
        ports = {f"p{n}": {"interface": f"v{n}", "netns": host.name, **options} for n in numbers}
        running.append(Running(tmp_path, {"name": unique("i"), "ports": ports}, environment=environment))
        running[-1].start()
        return running[-1]

    yield start_
    for each in running:
        each.__exit__()


def state(switch: Running, port: str) -> str:
    return str(switch.ports()[port]["state"])


def comes_to(switch: Running, port: str, wanted: str) -> None:
    until(lambda: state(switch, port) == wanted, f"{port} to be {wanted}")


def run(host: BridgedHost, *words: str) -> str:
    """A program of the host's."""
    with netns.inside(host.host):
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@contextmanager
def wire(guest: Guest) -> Iterator[socket.socket]:
    with closing(listen(guest, "eth0")) as sock:
        yield sock


def tables(host: BridgedHost) -> str:
    """What a program that knows nothing of us finds of nf_tables."""
    dump = struct.pack("=IHHII", 20, 10 << 8 | 1, 0x301, 1, 0) + bytes(4)  # NFT_MSG_GETTABLE
    with netns.inside(host.host), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as sock:
        sock.send(dump)
        return sock.recv(1 << 16).decode(errors="replace")


@pytest.mark.parametrize(
    "tags",
    [
        b"",
        bytes.fromhex("8100 000a"),
        bytes.fromhex("88a8 000a"),
        bytes.fromhex("8100 e000"),
        bytes.fromhex("8100 b00a"),
        bytes.fromhex("8100 000a 8100 0014"),
        bytes.fromhex("88a8 0064 8100 a014"),
    ],
    ids=["untagged", "tagged", "service tag", "priority tag", "with priority", "two tags", "service and customer tag"],
)
def test_octets_are_the_same_on_both_sides(host: BridgedHost, start: Callable[..., Running], tags: bytes) -> None:
    """The kernel takes tags off and tells of them beside the frame; they are put back, whichever they are."""
    switch = start(host, 1, 2)
    frames = [BROADCAST + A + tags + OURS + bytes([number]) * (46 + 100 * number) for number in range(10)]
    with wire(host.guest(1)) as one, wire(host.guest(2)) as two:
        for frame in frames:
            one.send(frame)
        assert receive(two, len(frames)) == frames
        answer = A + B + tags + BODY
        two.send(answer)
        assert receive(one, 1) == [answer]
    assert not switch.dropped("p1")


def test_guests_reach_each_other_and_nobody_else_hears(host: BridgedHost, start: Callable[..., Running]) -> None:
    """Neither the host's stack nor the bridge that both interfaces are in."""
    assert host.ping(1, 2)
    assert host.ping(1, 254)
    switch = start(host, 1, 2)
    assert host.ping(1, 2)
    assert host.guest(1).ping("10.87.0.254", timeout=0.5) is None
    assert host.guest(1).ping("10.87.0.3", timeout=0.5) is None
    with wire(host.guest(2)) as two, wire(host.guest(3)) as three, wire(host.guest(1)) as one:
        frame = BROADCAST + A + BODY
        for sender in (one, three):
            sender.send(frame)
        assert receive(two, 2) == [frame], "once, by the switch alone"
        assert receive(three, 1) == []
    switch.stop()
    assert all(host.ping(1, to) for to in (2, 3, 254)), "the bridge has them back"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_host_s_own_stack_is_silent_until_the_switch_ends(
    host: BridgedHost, start: Callable[..., Running], number: int
) -> None:
    host.set("v1", master=0)
    with host.route() as route:
        route.addr("add", index=host.index("v1"), address="10.87.0.253", prefixlen=24)
        route.flush_routes(table=254, oif=host.index("br"))
    assert host.guest(1).ping("10.87.0.253") is not None
    before = tables(host)
    switch = start(host, 1, 2)
    assert "vswitch v1" in tables(host)
    assert host.guest(1).ping("10.87.0.253", timeout=0.5) is None
    assert Guest(host.name).ping("10.87.0.1", timeout=0.5) is None
    assert host.ping(1, 2)
    switch.stop(number)
    assert tables(host) == before
    until(lambda: host.guest(1).ping("10.87.0.253") is not None, "the host to answer again")


def test_the_host_s_firewall_has_no_say_between_guests(host: BridgedHost, start: Callable[..., Running]) -> None:
    """As it has on a kernel bridge, where br_netfilter shows it every frame."""
    for name in ("arptables", "ip6tables", "iptables"):
        run(host, "sysctl", "-qw", f"net.bridge.bridge-nf-call-{name}=1")
    for program in ("iptables", "ip6tables"):
        for chain in ("INPUT", "FORWARD", "OUTPUT"):
            run(host, program, "-P", chain, "DROP")
    run(host, "ebtables", "-P", "FORWARD", "DROP")
    assert host.guest(1).ping("10.87.0.2", timeout=0.5) is None, "the rules do what they say"
    switch = start(host, 1, 2)
    assert host.ping(1, 2)
    octets = os.urandom(4 << 20)
    assert transfer(host.guest(1), host.guest(2), "10.87.0.2", octets) == hashlib.sha256(octets).hexdigest()
    switch.stop()
    assert host.guest(1).ping("10.87.0.2", timeout=0.5) is None


@LOOPS
def test_a_link_that_goes_down_comes_up_again(host: BridgedHost, start: Callable[..., Running], loop: str) -> None:
    switch = start(host, 1, 2, 3, environment={"VSWITCH_LOOP": loop})
    for _ in range(3):
        host.set("v1", state="down")
        comes_to(switch, "p1", "down")
        assert host.ping(2, 3)
        host.set("v1", state="up")
        comes_to(switch, "p1", "up")
        assert host.ping(1, 2)
    assert not switch.dropped("p2")
    assert "lost" not in switch.log.read_text()


@LOOPS
def test_an_interface_that_is_made_again_is_found(host: BridgedHost, start: Callable[..., Running], loop: str) -> None:
    switch = start(host, 1, 2, 3, environment={"VSWITCH_LOOP": loop})
    for _ in range(2):
        with host.route() as route:
            route.link("del", index=host.index("v1"))
        comes_to(switch, "p1", "not_present")
        assert host.ping(2, 3)
        netns.remove(host.guests[0])
        host.plug(1, host.guests[0])
        comes_to(switch, "p1", "up")
        assert host.ping(1, 2)
    assert not switch.dropped("p2")


def test_a_link_that_goes_up_while_it_is_taken_hold_of_is_up(host: BridgedHost, start: Callable[..., Running]) -> None:
    """Its events come while a thread still opens it: at whichever moment of that."""
    switch = start(host)
    with host.route() as route:
        for number in range(30):
            name = f"w{number}"
            answer = switch.vswitch("port", "add", name, "--interface", name, "--netns", host.name, "--wait")
            assert answer.returncode == 0, answer.stderr
            route.link("add", ifname=name, kind="veth", peer=f"x{number}")
            time.sleep(number * 0.0005)
            route.link("set", index=route.link_lookup(ifname=name)[0], state="up")
    until(lambda: {port["state"] for port in switch.ports().values()} == {"up"}, "all of them to be up")


def test_an_interface_that_is_missing_is_said_or_waited_for(host: BridgedHost, start: Callable[..., Running]) -> None:
    switch = start(host, 2)
    result = switch.vswitch("port", "add", "p9", "--interface", "v9", "--netns", host.name)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert f"there is no interface v9 in {host.name}; make it first" in result.stderr
    result = switch.vswitch("port", "add", "p9", "--interface", "v9", "--netns", host.name, "--wait")
    assert result.returncode == 0, result.stderr
    assert state(switch, "p9") == "not_present"
    guest = unique("h")
    host.plug(9, guest)
    host.guests.append(guest)
    comes_to(switch, "p9", "up")
    assert any(Guest(guest).ping("10.87.0.2") is not None for _ in range(5))


def test_an_interface_keeps_its_port_under_another_name(host: BridgedHost, start: Callable[..., Running]) -> None:
    switch = start(host, 1, 2)
    host.set("v1", state="down")
    host.set("v1", ifname="renamed")
    host.set("renamed", state="up", mtu=1400)
    until(lambda: switch.ports()["p1"]["device"] == "renamed", "the name to be known")
    comes_to(switch, "p1", "up")
    row = switch.ports()["p1"]
    assert (row["mtu"], row["speed"]) == (1400, 10_000_000_000), "a veth says that it has 10 Gbit/s"
    assert host.ping(1, 2)


def test_the_namespace_of_a_process(host: BridgedHost, start: Callable[..., Running]) -> None:
    """As of a container: the switch takes hold of the interface inside."""
    with netns.inside(host.host):
        container = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        switch = start(host, 2)
        place = f"pid:{container.pid}"
        result = switch.vswitch("port", "add", "p1", "--interface", "v1", "--netns", place)
        assert result.returncode == 0, result.stderr
        assert host.ping(1, 2)
        gone = switch.vswitch("port", "add", "p3", "--interface", "v3", "--netns", "pid:4194305")
        assert (gone.returncode, len(gone.stderr.splitlines())) == (1, 1)
    finally:
        container.kill()
        container.communicate()
    assert host.ping(1, 2), "the interface, and with it the namespace, is still there"


def test_a_macvlan(host: BridgedHost, start: Callable[..., Running]) -> None:
    """All that comes in by the interface under it, where it passes all of that on."""
    host.set("v1", master=0)
    with host.route() as route:
        route.link("add", ifname="mv", kind="macvlan", link=host.index("v1"), macvlan_mode="passthru")
    host.set("mv", state="up")
    switch = start(host, 2)
    assert switch.vswitch("port", "add", "p1", "--interface", "mv", "--netns", host.name).returncode == 0
    assert host.ping(1, 2)
    assert host.ping(2, 1)


@pytest.mark.parametrize("offload", [(True, True), (True, False), (False, True), (False, False)])
def test_tcp_arrives_whole_whatever_is_left_to_the_other_side(
    host: BridgedHost, start: Callable[..., Running], offload: tuple[bool, bool]
) -> None:
    switch = start(host)
    for number, on in enumerate(offload, 1):
        words = ["--interface", f"v{number}", "--netns", host.name, *([] if on else ["--offload", "off"])]
        result = switch.vswitch("port", "add", f"p{number}", *words)
        assert result.returncode == 0, result.stderr
    octets = os.urandom(8 << 20)
    digest = hashlib.sha256(octets).hexdigest()
    assert transfer(host.guest(1), host.guest(2), "10.87.0.2", octets) == digest
    assert transfer(host.guest(2), host.guest(1), "fd87::1", octets) == digest
    assert set(switch.dropped("p1")) <= {"no_egress"}, "what came while it was alone"
    assert not switch.dropped("p2")


def test_a_known_station_s_frames_go_nowhere_else(host: BridgedHost, start: Callable[..., Running]) -> None:
    start(host, 1, 2, 3)
    with wire(host.guest(1)) as one, wire(host.guest(2)) as two, wire(host.guest(3)) as three:
        two.send(BROADCAST + B + BODY)
        assert receive(one, 1)
        assert receive(three, 1)
        for _ in range(20):
            one.send(B + A + BODY)
        assert len(receive(two, 20)) == 20
        assert not select.select([three], [], [], SILENCE)[0] or receive(three, 1) == []


def test_two_ports_cannot_have_one_interface(host: BridgedHost, start: Callable[..., Running]) -> None:
    switch = start(host, 1)
    result = switch.vswitch("port", "add", "again", "--interface", "v1", "--netns", host.name)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "p1" in result.stderr
