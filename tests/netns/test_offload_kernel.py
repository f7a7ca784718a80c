"""Linux as the oracle: what its own software segmentation makes of a superframe is what ours does, octet for octet.

A frame is written to a TAP with its virtio-net header; a kernel bridge carries it to a second TAP that offers no
offload, so the kernel completes and segments it on the way.
"""

from __future__ import annotations

import os
import select
from contextlib import contextmanager
from fcntl import ioctl
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, assume, given, settings
from pyroute2 import IPRoute, netns

from tests.superframes import ADDRESSES, Sent, partials, superframes, twisted
from vswitch.core.offload import HEADER, PLAIN, Capability, Offload, OffloadError, lower, parse
from vswitch.ports import tun
from vswitch.ports.base import PortError
from vswitch.units import MOST_MTU

if TYPE_CHECKING:
    from collections.abc import Iterator

TUNSETOFFLOAD = 0x400454D0
QUEUE = 4096  # frames
LONGEST = 1 << 17
PATIENCE = 30_000  # milliseconds, for a machine that stands still
SENTINEL = ADDRESSES + b"\x88\xb5"
SILENCE = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "bridge/bridge-nf-call-arptables": "0",
    "bridge/bridge-nf-call-iptables": "0",
    "bridge/bridge-nf-call-ip6tables": "0",
}

with_kernel = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Bridge:
    """A kernel bridge between a TAP that takes every header and one that offers nothing."""

    def __init__(self, sender: int, receiver: int) -> None:
        self._sender = sender
        self._receiver = receiver
        self._poll = select.poll()
        self._poll.register(receiver, select.POLLIN)
        self._count = count()

    def carry(self, raw: bytes) -> list[bytes]:
        """What comes out for this frame; a frame of our own behind it says when that is all.

        Raises OSError where the TAP refuses it.
        """
        os.write(self._sender, raw)
        sentinel = PLAIN + SENTINEL + next(self._count).to_bytes(8) + bytes(38)
        os.write(self._sender, sentinel)
        carried: list[bytes] = []
        while True:
            assert self._poll.poll(PATIENCE), f"lost after {len(carried)} frames"
            frame = os.read(self._receiver, LONGEST)
            if frame == sentinel:
                return carried
            carried.append(frame)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Bridge]:
    """A bridge in a namespace of its own, which is gone afterwards."""
    namespace = f"vswitch-offload-{uuid4().hex[:12]}"
    try:
        netns.create(namespace)
    except OSError as error:
        pytest.skip(f"needs a network namespace: {error.strerror}")
    fds: list[int] = []
    try:
        with inside(namespace), IPRoute() as route:
            for setting, value in SILENCE.items():
                if (path := Path("/proc/sys/net", setting)).exists():
                    path.write_text(value)
            route.link("add", ifname="bridge", kind="bridge", br_forward_delay=0, br_mcast_snooping=0)
            bridge = route.link_lookup(ifname="bridge")[0]
            route.link("set", index=bridge, state="up")
            for name in ("sender", "receiver"):
                fds.append(tun.attach(name)[0])
                index = route.link_lookup(ifname=name)[0]
                ioctl(fds[-1], TUNSETOFFLOAD, int(Capability.NONE))
                route.link("set", index=index, master=bridge, mtu=MOST_MTU, state="up", txqlen=QUEUE)
        yield Bridge(*fds)
    except PortError as error:
        pytest.skip(str(error))
    finally:
        for fd in fds:
            os.close(fd)
        netns.remove(namespace)


@given(superframes())
@with_kernel
def test_superframes(kernel: Bridge, sent: Sent) -> None:
    assume(not refused(sent) and not too_long(sent))
    assert kernel.carry(sent.raw) == lower(sent.raw, Capability.NONE)


@given(partials())
@with_kernel
def test_partial_checksums(kernel: Bridge, sent: Sent) -> None:
    assert kernel.carry(sent.raw) == lower(sent.raw, Capability.NONE)


@given(twisted())
@with_kernel
def test_whatever_parses(kernel: Bridge, raw: bytes) -> None:
    """A TAP takes it, whole, and what Linux makes of it is what we make of it, unless it is nothing.

    Of a superframe with padding Linux takes the padding for payload, and leaves checksums that are wrong.
    """
    asked = parsed(raw)
    if asked is None:
        return
    carried = kernel.carry(raw)
    if carried and asked.octets == len(raw) - HEADER + (asked.segments - 1) * asked.header_length:
        assert carried == lower(raw, Capability.NONE)
    assert carried or (asked.segments == 1 and asked.header_length)


def refused(sent: Sent) -> bool:
    """Whether this is one segment that Linux drops, a difference that we are glad of.

    virtio_net_hdr_to_skb() takes it for a superframe as TCP options count as payload there, and tcp_gso_segment(),
    where they do not, refuses a superframe of one segment.
    """
    options = sent.headers - sent.start - 20 if sent.tcp else 0
    return len(sent.payload) <= sent.size < len(sent.payload) + options


def too_long(sent: Sent) -> bool:
    """Whether this is one segment that no MTU of a TAP lets pass: is_skb_forwardable() in Linux net/core/dev.c."""
    return len(sent.payload) <= sent.size and sent.headers + len(sent.payload) > MOST_MTU + 14


def parsed(raw: bytes) -> Offload | None:
    """What a header asks for, None where that is nothing or nonsense."""
    try:
        return parse(raw)
    except OffloadError:
        return None


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread in the namespace."""
    netns.pushns(namespace)
    try:
        yield
    finally:
        netns.popns()
