"""Bursts of frames each of which is a call of the kernel: when they end, and what an error in the middle of one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.ports.base import BURST_OCTETS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vswitch.core.offload import Buffer


def receive_each(receive: Callable[[memoryview], memoryview], buffers: Sequence[memoryview]) -> list[memoryview]:
    """Have `receive` fill one buffer after the other until nothing waits; the filled parts.

    Raises OSError where the first call does. A later one ends the burst: the next will meet it again.
    """
    filled: list[memoryview] = []
    octets = 0
    try:
        for buffer in buffers:
            filled.append(receive(buffer))
            octets += len(filled[-1])
            if octets > BURST_OCTETS:
                break
    except BlockingIOError:
        pass
    except OSError:
        if not filled:
            raise
    return filled


def send_each(send: Callable[[Buffer], object], frames: Sequence[Buffer]) -> int:
    """Have `send` take one frame after the other, as long as it does; how many.

    Raises OSError where the first was refused.
    """
    sent = 0
    try:
        for frame in frames:
            send(frame)
            sent += 1
    except BlockingIOError:
        pass
    except OSError:
        if not sent:
            raise
    return sent
