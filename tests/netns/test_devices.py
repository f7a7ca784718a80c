"""Devices that go down, vanish, move and come back; and what a guest sees of its own."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute

from tests.running import Running, listen, receive, until
from vswitch.ports import netns, tun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.conftest import Lab

TUNSETPERSIST = 0x400454CB
BROADCAST, TYPE = b"\xff" * 6, b"\x88\xb5"


@contextmanager
def inside(name: str) -> Iterator[IPRoute]:
    """Netlink in a guest's namespace."""
    namespace = netns.find(name)
    assert namespace is not None
    with netns.inside(namespace), IPRoute() as ipr:
        yield ipr
    namespace.close()


def index(ipr: IPRoute, name: str) -> int:
    return int(ipr.link_lookup(ifname=name)[0])


def make_persistent(name: str) -> None:
    """A TAP that stays without a holder, in this thread's namespace."""
    fd, _ = tun.attach(name)
    fcntl.ioctl(fd, TUNSETPERSIST, 1)
    os.close(fd)


def state(running: Running, port: str) -> str:
    return str(running.ports()[port]["state"])


def test_a_guest_that_sets_its_interface_down_takes_the_port_down(lab: Lab, three: Callable[..., Running]) -> None:
    running = three()
    assert lab.guest("a").ping("10.88.0.2") is not None
    known = {row["port"] for row in running.client.call("GET", "fdb")}
    assert {"a", "b"} <= known
    with inside(lab.name("b")) as ipr:
        ipr.link("set", index=index(ipr, lab.name("b")), state="down")
    until(lambda: state(running, "b") == "down", "the port to go down")
    assert "b" not in {row["port"] for row in running.client.call("GET", "fdb")}
    assert lab.guest("a").ping("10.88.0.3") is not None
    with inside(lab.name("b")) as ipr:
        ipr.link("set", index=index(ipr, lab.name("b")), state="up")
    until(lambda: state(running, "b") == "up", "the port to come up")
    assert lab.guest("a").ping("10.88.0.2") is not None


def test_a_device_that_is_deleted_takes_its_port_down_until_it_is_back(lab: Lab) -> None:
    running = lab.start(
        {
            "a": {"address": "10.88.0.1/24"},
            "b": {"address": "10.88.0.2/24", "mac": "02:00:00:00:00:02", "mtu": 1400},
            "c": {"address": "10.88.0.3/24"},
        }
    )
    assert lab.guest("a").ping("10.88.0.2") is not None
    received = running.ports()["b"]["receive"]["unicast"]
    changes = running.ports()["b"]["state_changes"]
    with inside(lab.name("b")) as ipr:
        ipr.link("del", index=index(ipr, lab.name("b")))
    until(lambda: state(running, "b") == "not_present", "the loss to be seen")
    assert lab.guest("a").ping("10.88.0.3") is not None
    with inside(lab.name("b")):
        make_persistent(lab.name("b"))
    until(lambda: state(running, "b") == "up", "the port to come back, as the file says")
    assert lab.guest("a").ping("10.88.0.2") is not None
    assert running.ports()["b"]["mtu"] == 1400
    assert running.ports()["b"]["state_changes"] == changes + 2, "down, and up again"
    assert running.ports()["b"]["receive"]["unicast"] > received, "counters go on"


def test_a_device_deleted_in_the_middle_of_traffic_costs_the_others_nothing(
    lab: Lab, three: Callable[..., Running]
) -> None:
    running = three()
    frame = BROADCAST + b"\x02\0\0\0\0\1" + TYPE
    with (
        lab.guest("a").wire(lab.name("a")) as a,
        listen(lab.guest("c"), lab.name("c")) as c,
        inside(lab.name("b")) as ipr,
    ):
        for number in range(200):
            if number == 100:
                ipr.link("del", index=index(ipr, lab.name("b")))
            a.send(frame + number.to_bytes(2) + bytes(46))
        heard = [int.from_bytes(frame[14:16]) for frame in receive(c, 200)]
    assert heard == list(range(200))
    assert running.dropped("c") == {}


def test_an_interface_moved_to_another_namespace_keeps_its_port(lab: Lab, three: Callable[..., Running]) -> None:
    running = three()
    with inside(lab.name("b")) as ipr:
        target = netns.find(lab.name("c"))
        assert target is not None
        ipr.link("set", index=index(ipr, lab.name("b")), net_ns_fd=target.fd)
        target.close()
    with inside(lab.name("c")) as ipr:
        moved = index(ipr, lab.name("b"))
        until(lambda: state(running, "b") == "down", "the port to follow: an interface arrives set down")
        ipr.link("set", index=moved, state="up")
        until(lambda: state(running, "b") == "up", "the port to come up")
    with (
        lab.guest("a").wire(lab.name("a")) as a,
        listen(lab.guest("c"), lab.name("b")) as b,
    ):
        a.send(BROADCAST + b"\x02\0\0\0\0\1" + TYPE + bytes(46))
        assert len(receive(b, 1)) == 1


def test_a_guest_may_rename_its_interface_and_change_its_mtu(lab: Lab, three: Callable[..., Running]) -> None:
    running = three()
    with inside(lab.name("b")) as ipr:
        link = index(ipr, lab.name("b"))
        ipr.link("set", index=link, state="down")
        ipr.link("set", index=link, ifname="renamed", mtu=1300)
        ipr.link("set", index=link, state="up")
    until(lambda: running.ports()["b"]["device"] == "renamed", "the new name")
    until(lambda: (running.ports()["b"]["mtu"], state(running, "b")) == (1300, "up"), "the new MTU")


def ethtool_speed(name: str) -> int:
    """Mb/s as ETHTOOL_GSET tells it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = tun._ethtool(control, name, struct.pack("I40x", 1))
    return int(struct.unpack_from("H", answer, 12)[0]) | int(struct.unpack_from("H", answer, 28)[0]) << 16


def test_a_guest_sees_what_the_file_says_of_its_interface(lab: Lab) -> None:
    running = lab.start(
        {
            "a": {
                "mtu": 9216,
                "mac": "02:12:34:56:78:9a",
                "speed": "25gbit",
                "address": ["10.88.0.1/24", "fd88::1/64"],
            },
            "b": {},
        }
    )
    with inside(lab.name("a")) as ipr:
        link: Any = ipr.get_links(index(ipr, lab.name("a")))[0]
        assert (link.get("mtu"), link.get("address")) == (9216, "02:12:34:56:78:9a")
        addresses = {row.get("address"): row["flags"] for row in ipr.get_addr(index=link["index"])}
        assert {"10.88.0.1", "fd88::1"} <= set(addresses)
        assert ethtool_speed(lab.name("a")) == 25_000
    with inside(lab.name("b")):
        assert ethtool_speed(lab.name("b")) == 10_000
    assert running.ports()["a"]["mtu"] == 9216
