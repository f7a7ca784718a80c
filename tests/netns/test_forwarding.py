"""Frames between real guests, through a real switch."""

from __future__ import annotations

import hashlib
import itertools
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.running import Running, listen, receive, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.netns.conftest import Lab
    from vswitch.lab.guest import Guest

Three = "Callable[..., Running]"

TYPE = b"\x88\xb5"
BROADCAST = b"\xff" * 6


def mac(number: int) -> bytes:
    return b"\x02\x00\x00\x00\x00" + bytes((number,))


def test_every_guest_reaches_every_other_by_ipv4_and_ipv6(lab: Lab, three: Callable[..., Running]) -> None:
    three()
    for one, (number, other) in itertools.product("abc", enumerate("abc", 1)):
        if one != other:
            assert lab.guest(one).ping(f"10.88.0.{number}") is not None
            assert lab.guest(one).ping(f"fd88::{number}") is not None


def test_a_known_station_s_frames_are_seen_by_nobody_else(lab: Lab, three: Callable[..., Running]) -> None:
    running = three()
    with (
        lab.guest("a").wire(lab.name("a")) as a,
        listen(lab.guest("b"), lab.name("b")) as b,
        listen(lab.guest("c"), lab.name("c")) as c,
    ):
        b.send(BROADCAST + mac(2) + TYPE + b"here I am")
        until(lambda: any(row["mac"] == "02:00:00:00:00:02" for row in running.client.call("GET", "fdb")), "learning")
        for number in range(100):
            a.send(mac(2) + mac(1) + TYPE + b"secret" + bytes((number,)))
        a.send(BROADCAST + mac(1) + TYPE + b"over")
        heard_by_c = receive(c, 3)
        assert [frame[14:18] for frame in heard_by_c] == [b"here", b"over"]
        heard_by_b = receive(b, 101)
        assert [frame[20] for frame in heard_by_b[:100]] == list(range(100))


def test_order_is_kept_at_full_speed(lab: Lab, three: Callable[..., Running]) -> None:
    """More than any queue on the way holds: frames may be lost at the sender, and never be out of order or doubled."""
    three()
    count = 30_000
    with lab.guest("a").wire(lab.name("a")) as a, listen(lab.guest("b"), lab.name("b")) as b:

        def send() -> None:
            for number in range(count):
                try:
                    a.send(BROADCAST + mac(1) + TYPE + number.to_bytes(4) + bytes(46))
                except OSError:
                    continue  # ENOBUFS: the TAP's own queue is full

        sender = threading.Thread(target=send)
        sender.start()
        numbers = [int.from_bytes(frame[14:18]) for frame in receive(b, count)]
        sender.join()
    assert len(numbers) > 1000
    assert all(one < other for one, other in itertools.pairwise(numbers))


def test_vlans_are_apart_and_the_trunk_is_tagged(lab: Lab) -> None:
    running = lab.start(
        {
            "red1": {"access": 10, "address": "10.88.10.1/24"},
            "red2": {"access": 10, "address": "10.88.10.2/24"},
            "blue1": {"access": 20, "address": "10.88.10.3/24"},
            "trunk": {"trunk": [10, 20], "native": 20},
        }
    )
    assert lab.guest("red1").ping("10.88.10.2") is not None
    assert lab.guest("red1").ping("10.88.10.3", timeout=0.5) is None
    with (
        lab.guest("red1").wire(lab.name("red1")) as red,
        lab.guest("blue1").wire(lab.name("blue1")) as blue,
        listen(lab.guest("trunk"), lab.name("trunk")) as trunk,
    ):
        body = TYPE + bytes(46)
        red.send(BROADCAST + mac(1) + body)
        red.send(BROADCAST + mac(1) + b"\x81\x00\xa0\x00" + body)
        blue.send(BROADCAST + mac(2) + body)
        red.send(BROADCAST + mac(1) + b"\x81\x00\x00\x14" + body)
        heard = receive(trunk, 4)
    red_tag, priority_tag = b"\x81\x00\x00\x0a", b"\x81\x00\xa0\x0a"
    assert sorted(heard) == sorted(
        [BROADCAST + mac(1) + red_tag + body, BROADCAST + mac(1) + priority_tag + body, BROADCAST + mac(2) + body]
    )
    assert running.dropped("red1")["vlan_filtered"] == 1


def test_a_frame_from_the_trunk_reaches_its_vlan_untagged(lab: Lab) -> None:
    lab.start({"red": {"access": 10}, "blue": {"access": 20}, "trunk": {"trunk": [10, 20]}})
    with (
        lab.guest("trunk").wire(lab.name("trunk")) as trunk,
        listen(lab.guest("red"), lab.name("red")) as red,
        listen(lab.guest("blue"), lab.name("blue")) as blue,
    ):
        for tag in (b"\x81\x00\x00\x0a", b"\x88\xa8\x00\x14", b"\x81\x00\x00\x1e"):
            trunk.send(BROADCAST + mac(3) + tag + TYPE + tag + bytes(42))
        trunk.send(BROADCAST + mac(3) + TYPE + b"untagged" + bytes(42))
        assert [frame[14:18] for frame in receive(red, 2)] == [b"\x81\x00\x00\x0a"]
        assert [frame[14:18] for frame in receive(blue, 2)] == [b"\x88\xa8\x00\x14"]


def pour(client: socket.socket, octets: bytes) -> None:
    client.sendall(octets)
    client.shutdown(socket.SHUT_WR)


def transfer(sender: Guest, receiver: Guest, address: str, octets: bytes) -> str:
    """Send octets by TCP; the digest of what arrives."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(receiver.open_socket(family, socket.SOCK_STREAM)) as server:
        server.bind((address, 0))
        server.listen(1)
        server.settimeout(30)
        with closing(sender.open_socket(family, socket.SOCK_STREAM)) as client:
            client.settimeout(30)
            client.connect(server.getsockname()[:2])
            connection, _ = server.accept()
            pouring = threading.Thread(target=pour, args=(client, octets))
            pouring.start()
            digest = hashlib.sha256()
            with closing(connection):
                while part := connection.recv(1 << 20):
                    digest.update(part)
            pouring.join()
    return digest.hexdigest()


@pytest.mark.parametrize("a_offload", [True, False])
@pytest.mark.parametrize("b_offload", [True, False])
@pytest.mark.parametrize("tagged", [True, False])
def test_tcp_arrives_whole_between_ports_of_any_offload(
    lab: Lab, *, a_offload: bool, b_offload: bool, tagged: bool
) -> None:
    octets = bytes(range(256)) * 32768
    digest = hashlib.sha256(octets).hexdigest()
    vlan = {"access": 10} if tagged else {}
    lab.start(
        {
            "a": {"address": ["10.88.0.1/24", "fd88::1/64"], "offload": a_offload, **vlan},
            "b": {"address": ["10.88.0.2/24", "fd88::2/64"], "offload": b_offload, **vlan},
        }
    )
    a, b = lab.guest("a"), lab.guest("b")
    for address in ("10.88.0.2", "fd88::2"):
        assert transfer(a, b, address, octets) == digest
    assert transfer(b, a, "10.88.0.1", octets) == digest


def test_superframes_pass_whole(lab: Lab, three: Callable[..., Running]) -> None:
    running = three()
    octets = bytes(8 << 20)
    with listen(lab.guest("b"), lab.name("b")) as b:
        transfer(lab.guest("a"), lab.guest("b"), "10.88.0.2", octets)
        assert max(len(frame) for frame in receive(b, 1 << 20, ethertype=0x0800)) > 32_000
    received = running.ports()["a"]["receive"]
    assert received["unicast"] >= len(octets) // 1448, "a superframe counts its segments"
    assert received["bytes"] >= len(octets) + received["unicast"] * 54 - 100_000


def test_udp_segmentation_offload_arrives_as_datagrams(lab: Lab) -> None:
    """UDP_SEGMENT: one send of the guest is one superframe to the switch, and so many datagrams to the other guest."""
    for b_offload in (True, False):
        running = lab.start(
            {
                "a": {"address": ["10.88.0.1/24", "fd88::1/64"]},
                "b": {"address": ["10.88.0.2/24", "fd88::2/64"], "offload": b_offload},
            }
        )
        for family, address in ((socket.AF_INET, "10.88.0.2"), (socket.AF_INET6, "fd88::2")):
            a = lab.guest("a").open_socket(family, socket.SOCK_DGRAM)
            b = lab.guest("b").open_socket(family, socket.SOCK_DGRAM)
            with closing(a), closing(b):
                b.bind((address, 0))
                b.settimeout(5)
                a.setsockopt(socket.IPPROTO_UDP, 103, 1000)  # UDP_SEGMENT
                a.sendto(b"".join(bytes((n,)) * 1000 for n in range(20)) + b"tail", b.getsockname()[:2])
                datagrams = [b.recv(2000) for _ in range(21)]
            assert datagrams == [*(bytes((n,)) * 1000 for n in range(20)), b"tail"]
        running.__exit__()


def test_jumbo_frames_pass_between_ports_that_allow_them(lab: Lab) -> None:
    running = lab.start(
        {
            "a": {"mtu": 9216, "address": "10.88.0.1/24"},
            "b": {"mtu": 9216, "address": "10.88.0.2/24"},
            "c": {},
        }
    )
    with lab.guest("a").wire(lab.name("a")) as a, listen(lab.guest("b"), lab.name("b")) as b:
        a.send(BROADCAST + mac(1) + TYPE + bytes(9216))
        assert [len(frame) for frame in receive(b, 1)] == [9230]
    assert running.dropped("c") == {"oversize": 1}


def test_a_port_without_offload_gets_complete_checksums(lab: Lab, three: Callable[..., Running]) -> None:
    """What a guest leaves to the hardware, the switch does where the other guest has none."""
    scapy = pytest.importorskip("scapy.layers.inet")
    lab.start({"a": {"address": "10.88.0.1/24"}, "b": {"address": "10.88.0.2/24", "offload": False}})
    with (
        closing(lab.guest("a").open_socket(socket.AF_INET, socket.SOCK_DGRAM)) as a,
        listen(lab.guest("b"), lab.name("b")) as b,
    ):
        a.sendto(b"checksum me", ("10.88.0.2", 4000))
        frame = next(f for f in receive(b, 10, ethertype=0x0800) if f[23] == 17)
    packet = scapy.IP(frame[14:])
    sent = packet[scapy.UDP].chksum
    del packet[scapy.UDP].chksum
    assert scapy.IP(bytes(packet))[scapy.UDP].chksum == sent
