"""Frames over a TAP's descriptor whose virtio-net header has any size, or is none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vswitch.core.offload import HEADER, PLAIN
from vswitch.ports.bursts import receive_each, send_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.offload import Buffer


class TapWire:
    """One read or write a frame, its header brought to ten octets, or from them, by where its parts go."""

    def __init__(self, fd: int, size: int) -> None:
        """fd: of a TAP, from now on the wire's own.  size: octets of the header that the TAP has, 0 for none."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._size = size
        self._rest = bytearray(max(0, size - HEADER))
        self._zeros = bytes(self._rest)

    @property
    def direct(self) -> bool:
        """Whether frames pass as they are."""
        return self._size == HEADER

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    send_fileno = fileno

    def close(self) -> None:
        """Let go."""
        os.close(self._fd)

    def pending(self) -> bool:
        """As `Port.pending`."""
        return False

    def unfinished(self) -> int | None:
        """As `Port.unfinished`: a read has a whole frame."""
        return None

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """As `Port.receive_burst`."""
        return receive_each(self._receive, buffers)

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """As `Port.send_burst`."""
        return send_each(lambda frame: os.writev(self._fd, self._write_parts(frame)), frames)

    def _receive(self, buffer: memoryview) -> memoryview:
        length = os.readv(self._fd, self._read_parts(buffer)) - self._size
        return buffer[: HEADER + max(0, length)]

    def _read_parts(self, buffer: memoryview) -> tuple[Buffer, ...]:
        if self._size == 0:
            buffer[:HEADER] = PLAIN
            return (buffer[HEADER:],)
        return (buffer,) if self._size == HEADER else (buffer[:HEADER], self._rest, buffer[HEADER:])

    def _write_parts(self, frame: Buffer) -> tuple[Buffer, ...]:
        if self._size == 0:
            return (memoryview(frame)[HEADER:],)
        return (frame,) if self._size == HEADER else (frame[:HEADER], self._zeros, memoryview(frame)[HEADER:])
