"""What a monitor tells of the links of its namespace."""

from __future__ import annotations

import os
import select
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from tests.netns import guest
from vswitch.ports import netns
from vswitch.ports.links import Link, LinkMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.ports.netns import Namespace


@contextmanager
def watching(name: str) -> Iterator[tuple[Namespace, LinkMonitor]]:
    namespace = netns.make(name, lambda _: None)
    monitor = guest.watch(namespace)
    yield namespace, monitor
    monitor.close()
    namespace.close()


def read(monitor: LinkMonitor) -> list[Link]:
    assert select.select([monitor.fileno()], [], [], 5)[0]
    links, missed = monitor.read()
    assert not missed
    return links


def set_link(namespace: Namespace, name: str, **attributes: object) -> None:
    with netns.inside(namespace), IPRoute() as ipr:
        ipr.link("set", index=ipr.link_lookup(ifname=name)[0], **attributes)


def test_a_tap_comes_changes_and_goes(fresh: Callable[[], str]) -> None:
    with watching(fresh()) as (namespace, monitor):
        fd = guest.tap(namespace, "t0")
        new = read(monitor)[-1]
        assert (new.name, new.kind, new.up, new.mtu, new.gone) == ("t0", "tun", False, 1500, False)
        set_link(namespace, "t0", mtu=9000, address="02:00:00:00:00:07", state="up")
        changed = read(monitor)[-1]
        assert (changed.index, changed.up, changed.mtu, changed.mac) == (new.index, True, 9000, "02:00:00:00:00:07")
        os.close(fd)
        gone = read(monitor)[-1]
        assert (gone.index, gone.gone) == (new.index, True)


def test_the_links_that_are_there_are_told_first(fresh: Callable[[], str]) -> None:
    with watching(fresh()) as (namespace, _):
        fd = guest.tap(namespace, "t0")
        monitor = LinkMonitor(namespace)
        assert {link.name for link in read(monitor)} == {"lo", "t0"}
        monitor.close()
        os.close(fd)


def test_nothing_new_is_an_empty_list(fresh: Callable[[], str]) -> None:
    with watching(fresh()) as (_, monitor):
        assert monitor.read() == ([], False)


def test_other_namespaces_are_not_heard(fresh: Callable[[], str]) -> None:
    with watching(fresh()) as (_, monitor), watching(fresh()) as (elsewhere, _):
        os.close(guest.tap(elsewhere, "t0"))
        assert monitor.read() == ([], False)


def test_leaving_a_bridge_is_not_leaving_the_namespace(fresh: Callable[[], str]) -> None:
    with watching(fresh()) as (namespace, monitor):
        fd = guest.tap(namespace, "t0")
        with netns.inside(namespace), IPRoute() as ipr:
            ipr.link("add", ifname="br", kind="bridge")
            set_link(namespace, "t0", master=ipr.link_lookup(ifname="br")[0])
            set_link(namespace, "t0", master=0)
        assert not [link for link in read(monitor) if link.gone]
        os.close(fd)


def test_more_than_fits_is_said_and_the_rest_still_comes(fresh: Callable[[], str]) -> None:
    with watching(fresh()) as (namespace, monitor):
        fds = [guest.tap(namespace, f"t{number}") for number in range(2)]
        with netns.inside(namespace), IPRoute() as ipr:
            index = ipr.link_lookup(ifname="t0")[0]
            for number in range(1500):
                ipr.link("set", index=index, mtu=1400 + number % 2)
        assert monitor.read()[1]
        set_link(namespace, "t1", state="up")
        assert read(monitor)[-1].name == "t1"
        for fd in fds:
            os.close(fd)


def test_a_monitor_that_was_closed_says_so(fresh: Callable[[], str]) -> None:
    with watching(fresh()) as (_, monitor):
        monitor.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            monitor.read()
