"""The port that stands in for an attachment in tests behaves as one."""

from __future__ import annotations

import select
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from vswitch.core.offload import PLAIN, Capability
from vswitch.ports.base import Capabilities, PortState
from vswitch.ports.memory import MemoryPort

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME = bytes(range(60))
ASKING = b"\x01" + bytes(9)


@contextmanager
def opened(*, capacity: int | None = None, capabilities: Capabilities | None = None) -> Iterator[MemoryPort]:
    port = MemoryPort(capacity=capacity, capabilities=capabilities)
    port.open()
    yield port
    port.close()


def buffers(count: int) -> list[memoryview]:
    return [memoryview(bytearray(2048)) for _ in range(count)]


def readable(port: MemoryPort) -> bool:
    return bool(select.select([port.fileno()], [], [], 0)[0])


def test_injected_frames_come_in_order_each_with_its_header() -> None:
    with opened() as port:
        port.inject(FRAME)
        port.inject(FRAME[::-1], header=ASKING)
        assert [bytes(raw) for raw in port.receive_burst(buffers(4))] == [PLAIN + FRAME, ASKING + FRAME[::-1]]


def test_it_is_readable_exactly_while_frames_wait() -> None:
    with opened() as port:
        assert not readable(port)
        port.inject(FRAME, FRAME, FRAME)
        assert len(port.receive_burst(buffers(2))) == 2
        assert readable(port)
        assert len(port.receive_burst(buffers(2))) == 1
        assert not readable(port)


def test_it_takes_no_more_than_its_capacity() -> None:
    with opened(capacity=3) as port:
        assert port.send_burst([PLAIN + FRAME] * 2) == 2
        assert port.send_burst([PLAIN + FRAME] * 2) == 1
        assert port.send_burst([PLAIN + FRAME]) == 0
        port.sent.clear()
        assert port.send_burst([PLAIN + FRAME]) == 1


def test_what_it_sent_is_a_copy() -> None:
    with opened() as port:
        buffer = bytearray(PLAIN + FRAME)
        port.send_burst([memoryview(buffer)])
        buffer[:] = bytes(len(buffer))
        assert port.sent == [PLAIN + FRAME]


def test_it_refuses_once_when_told() -> None:
    with opened() as port:
        port.refuse = OSError(5, "refused")
        with pytest.raises(OSError, match="refused"):
            port.send_burst([PLAIN + FRAME])
        assert port.send_burst([PLAIN + FRAME]) == 1


def test_it_is_present_while_it_is_open() -> None:
    port = MemoryPort(capabilities=Capabilities(Capability.NONE, 9000))
    states = [port.state]
    for step in (port.open, port.lose, port.reopen, port.close, port.close):
        step()
        states.append(port.state)
    up, gone = PortState.UP, PortState.NOT_PRESENT
    assert states == [gone, up, gone, up, gone, gone]
    assert port.capabilities.mtu == 9000
