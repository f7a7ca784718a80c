"""TAP ports on a real kernel: frames both ways, settings, and what was there before given back as it was."""

from __future__ import annotations

import os
import select
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pyroute2 import IPRoute

from tests.netns import guest
from vswitch.core.offload import HEADER, PLAIN, Capability
from vswitch.ports import netns
from vswitch.ports.base import PortError, PortState
from vswitch.ports.links import Link, LinkMonitor
from vswitch.ports.tap import TapOptions, TapPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.ports.host import Host
    from vswitch.ports.netns import Namespace


def tap_port(host: Host, namespace: str, **options: Any) -> TapPort:
    return TapPort(TapOptions.model_validate({"tap": "t0", "netns": namespace, **options}), host)


@contextmanager
def opened(host: Host, namespace: str, **options: Any) -> Iterator[TapPort]:
    port = tap_port(host, namespace, **options)
    port.open()
    with closing(port):
        yield port


@contextmanager
def existing(name: str) -> Iterator[Namespace]:
    """A namespace with a persistent TAP that is somebody else's."""
    namespace = netns.make(name, lambda _: None)
    guest.persist(namespace, "t0")
    yield namespace
    namespace.close()


def place(port: TapPort) -> Namespace:
    assert port.namespace is not None
    return port.namespace


def facts(namespace: Namespace, name: str = "t0") -> dict[str, Any]:
    """What `ip address show` would say."""
    with netns.inside(namespace), IPRoute() as ipr:
        index = ipr.link_lookup(ifname=name)[0]
        link = Link.of(ipr.get_links(index)[0])
        rows = ipr.get_addr(index=index)
    addresses = {f"{row.get('address')}/{row['prefixlen']}" for row in rows}
    return {"mtu": link.mtu, "mac": link.mac, "up": link.up, "index": index, "addresses": addresses}


def links_until_gone(monitor: LinkMonitor) -> list[Link]:
    links: list[Link] = []
    while not links or not links[-1].gone:
        assert select.select([monitor.fileno()], [], [], 5)[0]
        links += monitor.read()[0]
    return links


def test_frames_pass_both_ways(fresh: Callable[[], str], host: Host) -> None:
    with opened(host, fresh()) as port, guest.packet_socket(place(port), "t0") as raw:
        raw.send(guest.FRAME)
        assert guest.received(port, 1) == [PLAIN + guest.FRAME]
        assert port.send_burst([PLAIN + guest.FRAME]) == 1
        assert guest.heard(raw) == guest.FRAME


def test_a_burst_keeps_its_order(fresh: Callable[[], str], host: Host) -> None:
    frames = [guest.FRAME[:14] + bytes([number]) * 46 for number in range(50)]
    with opened(host, fresh()) as port, guest.packet_socket(place(port), "t0") as raw:
        assert port.send_burst([PLAIN + frame for frame in frames]) == 50
        assert [guest.heard(raw) for _ in frames] == frames
        for frame in frames:
            raw.send(frame)
        assert [octets[HEADER:] for octets in guest.received(port, 50, buffers=7)] == frames


def test_no_frame_waiting_is_an_empty_burst(fresh: Callable[[], str], host: Host) -> None:
    with opened(host, fresh()) as port:
        buffers = [memoryview(bytearray(68 * 1024)) for _ in range(32)]
        while port.receive_burst(buffers):
            pass
        assert port.receive_burst(buffers) == []


def test_the_guest_sees_what_the_options_say(fresh: Callable[[], str], host: Host) -> None:
    options = {"mtu": 9216, "mac": "02:00:00:00:00:05", "address": ["10.9.0.1/24", "fd00:9::1/64"]}
    with opened(host, fresh(), **options) as port:
        seen = facts(place(port))
        assert (seen["mtu"], seen["mac"], seen["up"]) == (9216, "02:00:00:00:00:05", True)
        assert {"10.9.0.1/24", "fd00:9::1/64"} <= seen["addresses"]
        assert (port.device, port.state, port.capabilities.mtu) == ("t0", PortState.UP, 9216)


def test_an_ipv6_address_is_usable_at_once(fresh: Callable[[], str], host: Host) -> None:
    import socket

    with opened(host, fresh(), address="fd00:9::1/64") as port, netns.inside(place(port)):
        socket.create_server(("fd00:9::1", 0), family=socket.AF_INET6).close()


@pytest.mark.parametrize(("speed", "megabits"), [("25gbit", 25_000), ("100gbit", 100_000), ("10mbit", 10)])
def test_the_guest_sees_the_speed(speed: str, megabits: int, fresh: Callable[[], str], host: Host) -> None:
    with opened(host, fresh(), speed=speed) as port:
        assert guest.speed(place(port), "t0") == megabits
        assert port.capabilities.speed == megabits * 1_000_000


def test_without_offload_there_is_none(fresh: Callable[[], str], host: Host) -> None:
    with opened(host, fresh(), offload=False) as port:
        assert port.capabilities.offload is Capability.NONE
    with opened(host, fresh()) as port:
        assert port.capabilities.offload & Capability.TSO == Capability.TSO


def test_a_pattern_takes_the_first_free_name(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with opened(host, name, tap="vnet%d") as first, opened(host, name, tap="vnet%d") as second:
        assert (first.device, second.device) == ("vnet0", "vnet1")


def test_a_made_tap_goes_with_its_port(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with opened(host, name, tap="stays"):
        port = tap_port(host, name)
        port.open()
        namespace = place(port)
        port.close()
        port.close()
        with netns.inside(namespace):
            assert not any(link == "t0" for _, link in guest.links())


def test_an_existing_tap_is_given_back_as_it_was(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with existing(name) as namespace:
        before = facts(namespace)
        with opened(host, name, mtu=9000, mac="02:00:00:00:00:05", address="10.9.0.1/24"):
            assert facts(namespace)["mtu"] == 9000
        assert facts(namespace) == before


def test_addresses_of_others_stay(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with existing(name) as namespace:
        with netns.inside(namespace), IPRoute() as ipr:
            index = ipr.link_lookup(ifname="t0")[0]
            ipr.addr("add", index=index, address="10.9.0.1", prefixlen=24)
        with opened(host, name, address=["10.9.0.1/24", "10.9.1.1/24"]):
            assert facts(namespace)["addresses"] >= {"10.9.0.1/24", "10.9.1.1/24"}
        assert facts(namespace)["addresses"] == {"10.9.0.1/24"}


def test_a_held_tap_names_its_holder(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with opened(host, name, tap=fresh()) as port:
        with pytest.raises(PortError, match=rf"held by .*\(pid {os.getpid()}, fd {port.fileno()}\)"):
            tap_port(host, name, tap=port.device).open()
        assert port.send_burst([PLAIN + guest.FRAME]) == 1


def test_an_interface_that_is_no_tap_is_left_alone(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with existing(name) as namespace:
        with netns.inside(namespace), IPRoute() as ipr:
            ipr.link("add", ifname="br", kind="bridge")
        with pytest.raises(PortError, match="exists and is no TAP"):
            tap_port(host, name, tap="br").open()
        assert facts(namespace, "br")["mtu"] == 1500


def test_a_failed_open_leaves_nothing(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    before = guest.descriptors()
    with pytest.raises(PortError):
        tap_port(host, name, address="0.0.0.0/0", mac="02:00:00:00:00:05", tap="lo").open()
    assert guest.descriptors() == before
    assert not (netns.NAMED / name).exists()


def test_settings_change_in_place(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with opened(host, name, address=["10.9.0.1/24", "10.9.1.1/24"]) as port:
        index = facts(place(port))["index"]
        new = {"tap": "t0", "netns": name, "mtu": 4000, "mac": "02:00:00:00:00:06", "speed": "1gbit"}
        assert port.change(TapOptions.model_validate({**new, "address": ["10.9.1.1/24", "10.9.2.1/24"]}))
        seen = facts(place(port))
        assert (seen["mtu"], seen["mac"], seen["index"]) == (4000, "02:00:00:00:00:06", index)
        assert {a for a in seen["addresses"] if "." in a} == {"10.9.1.1/24", "10.9.2.1/24"}
        assert (port.capabilities.mtu, guest.speed(place(port), "t0")) == (4000, 1000)


@pytest.mark.parametrize("left", [["10.9.0.3/24"], ["10.9.0.2/24", "10.9.0.3/24"], ["10.9.0.3/24", "10.9.0.1/24"], []])
def test_addresses_of_one_network_change_in_place(left: list[str], fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with opened(host, name, address=["10.9.0.1/24", "10.9.0.2/24"]) as port:
        assert port.change(TapOptions.model_validate({"tap": "t0", "netns": name, "address": left}))
        assert {a for a in facts(place(port))["addresses"] if "." in a} == set(left)


@pytest.mark.parametrize("other", [{"tap": "t1"}, {"netns": "elsewhere"}, {"offload": False}])
def test_another_device_is_no_change_in_place(other: dict[str, Any], fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with opened(host, name) as port:
        assert not port.change(TapOptions.model_validate({"tap": "t0", "netns": name, **other}))


def test_a_link_that_goes_down_is_a_state(fresh: Callable[[], str], host: Host) -> None:
    with opened(host, fresh()) as port, closing(guest.watch(place(port))) as monitor:
        with netns.inside(place(port)), IPRoute() as ipr:
            ipr.link("set", index=ipr.link_lookup(ifname="t0")[0], state="down")
        assert select.select([monitor.fileno()], [], [], 5)[0]
        for link in monitor.read()[0]:
            assert port.owns(link)
            port.link_changed(link)
        assert guest.state(port) is PortState.DOWN
        with pytest.raises(OSError, match="Input/output error"):
            port.send_burst([PLAIN + guest.FRAME])


def test_a_device_that_vanishes_comes_back(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with existing(name) as namespace, opened(host, name) as port, closing(guest.watch(namespace)) as monitor:
        with netns.inside(namespace), IPRoute() as ipr:
            ipr.link("del", index=ipr.link_lookup(ifname="t0")[0])
        gone = links_until_gone(monitor)[-1]
        assert port.owns(gone)
        assert not port.locate()
        with pytest.raises(OSError, match="File descriptor in bad state"):
            port.receive_burst([memoryview(bytearray(2000))])
        port.lose()
        assert guest.state(port) is PortState.NOT_PRESENT
        assert not port.wants(gone)
        guest.persist(namespace, "t0")
        assert select.select([monitor.fileno()], [], [], 5)[0]
        assert port.wants(monitor.read()[0][-1])
        port.reopen()
        assert guest.state(port) is PortState.UP
        with guest.packet_socket(namespace, "t0") as raw:
            port.send_burst([PLAIN + guest.FRAME])
            assert guest.heard(raw) == guest.FRAME


def test_coming_back_never_makes_a_device(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with existing(name) as namespace, opened(host, name) as port:
        port.lose()
        guest.persist(namespace, "t0", on=False)
        port.reopen()
        assert guest.state(port) is PortState.NOT_PRESENT
        with netns.inside(namespace):
            assert not any(link == "t0" for _, link in guest.links())


def test_a_device_moved_to_another_namespace_is_followed(fresh: Callable[[], str], host: Host) -> None:
    target = netns.make(fresh(), lambda _: None)
    with opened(host, fresh()) as port:
        with netns.inside(place(port)), IPRoute() as ipr:
            ipr.link("set", index=ipr.link_lookup(ifname="t0")[0], net_ns_fd=target.fd)
        assert port.locate()
        assert (port.namespace, port.state) == (target, PortState.DOWN)
    target.close()


def test_a_tap_given_back_hands_out_no_superframes(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with existing(name) as namespace:
        with opened(host, name):
            assert guest.offloads(namespace, "t0") == (1, 1)
        assert guest.offloads(namespace, "t0") == (0, 0)


def test_ipv6_needs_its_least_mtu() -> None:
    with pytest.raises(ValueError, match="needs an mtu of 1280 or more, not 1279"):
        TapOptions.model_validate({"tap": "t0", "address": "fd00::1/64", "mtu": 1279})
    assert TapOptions.model_validate({"tap": "t0", "address": "10.9.0.1/24", "mtu": 68}).mtu == 68


def test_a_device_that_comes_back_unfit_is_let_go(fresh: Callable[[], str], host: Host) -> None:
    name = fresh()
    with existing(name) as namespace, opened(host, name, address="10.9.0.1/24") as port:
        port.lose()
        with netns.inside(namespace), IPRoute() as ipr:
            ipr.link("set", index=ipr.link_lookup(ifname="t0")[0], mtu=1400)
        object.__setattr__(port.options, "mtu", 70000)  # what no TAP takes
        with pytest.raises(PortError):
            port.reopen()
        os.close(guest.tap(namespace, "t0"))  # nobody holds it
