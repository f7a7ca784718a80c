"""Frames over sockets, as virtual machines send them: one a datagram, or with their length in front on a stream.

Neither has a virtio-net header, so frames come in with the one that asks for nothing, and leave completed.
"""

from __future__ import annotations

import os
import socket
import struct
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from vswitch.core.offload import HEADER, PLAIN
from vswitch.core.verdict import Reason
from vswitch.ports.base import BURST_OCTETS, PeerError
from vswitch.ports.bursts import send_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.offload import Buffer

LONGEST: Final = 65536 + 64
"""Octets of the longest frame on a stream: all that IP can be, an Ethernet header, tags. More is no length."""

_LENGTH: Final = struct.Struct("!I")
_READ: Final = 128 * 1024
_MOST_FRAMES: Final = 256  # two parts each: half of what one sendmsg(2) takes


class Wire(ABC):
    """A socket that frames come by, and a connected one that they leave by: the same, or another."""

    def __init__(self, sock: socket.socket, out: socket.socket | None = None) -> None:
        """Carry frames over `sock`, or only in by that and out by `out`, which is the wire's own."""
        self._socket = sock
        self._out = out or sock
        self._more = False
        self._error: OSError | None = None
        for each in (self._socket, self._out):
            each.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to wait for frames at."""
        return self._socket.fileno()

    def send_fileno(self) -> int:
        """The descriptor to wait at until frames are taken."""
        return self._out.fileno()

    def close(self) -> None:
        """Hang up."""
        self._out.close()

    def pending(self) -> bool:
        """Whether there is more to be had, or an error to be told.

        The descriptor need not tell of it: uvloop gives up one that is in error once it has told of that.
        """
        return self._more or self._error is not None

    def unfinished(self) -> int | None:
        """As `Port.unfinished`."""
        return None

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """As `Port.receive_burst`; raises ConnectionResetError where the far end hung up."""
        if self._error is not None:
            raise self._error
        filled: list[memoryview] = []
        try:
            self._more = self._fill(buffers, filled)
        except OSError as error:
            if not filled:
                raise
            self._error = error
        return filled

    @abstractmethod
    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """As `Port.send_burst`."""

    @abstractmethod
    def _fill(self, buffers: Sequence[memoryview], filled: list[memoryview]) -> bool:
        """Fill buffers; False once nothing more waits. Raises OSError."""


class DatagramWire(Wire):
    """A frame is a datagram. That the far end is gone shows when something is sent to it."""

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """One send(2) a frame."""
        send = self._out.send
        return send_each(lambda frame: send(memoryview(frame)[HEADER:]), frames)

    def _fill(self, buffers: Sequence[memoryview], filled: list[memoryview]) -> bool:
        """One recv(2) a frame; one that is longer than any buffer is too long for any port."""
        receive, octets = self._socket.recv_into, 0
        try:
            for buffer in buffers:
                length = receive(buffer[HEADER:])
                buffer[:HEADER] = PLAIN
                filled.append(buffer[: HEADER + length])
                octets += length
                if octets > BURST_OCTETS:
                    break
        except BlockingIOError:
            return False
        return True


class StreamWire(Wire):
    """A frame follows its length, four octets in network order: QEMU's `-netdev stream` and `socket` (net/stream.c)."""

    def __init__(self, sock: socket.socket) -> None:
        """Nothing came yet, nothing is half sent."""
        super().__init__(sock)
        self._come = memoryview(bytearray(_READ))
        self._start = self._end = 0
        self._passed = 0
        """Octets that came before those in the buffer."""
        self._sent = 0
        """Octets of the first frame, its length included, that have left."""

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """As many frames in one sendmsg(2) as it takes."""
        done = 0
        while done < len(frames):
            batch = frames[done : done + _MOST_FRAMES]
            parts: list[Buffer] = []
            for frame in batch:
                parts += (_LENGTH.pack(len(frame) - HEADER), memoryview(frame)[HEADER:])
            if self._sent:
                parts[:2] = [b"".join(parts[:2])[self._sent :]]
            try:
                left = self._out.sendmsg(parts) + self._sent
            except BlockingIOError:
                break
            except OSError:
                if not done:
                    raise
                break
            for frame in batch:
                if left < (size := len(frame) - HEADER + _LENGTH.size):
                    break
                left -= size
                done += 1
            self._sent = left
            if left:
                break
        return done

    def unfinished(self) -> int | None:
        """Where in the stream the frame began of which a part is there."""
        return self._passed + self._start if self._start < self._end else None

    def _fill(self, buffers: Sequence[memoryview], filled: list[memoryview]) -> bool:
        """The whole frames that came; what is left of one stays until the rest comes."""
        for buffer in buffers:
            while not (whole := self._whole()):
                if not self._read():
                    return False
            begin, end = self._start + _LENGTH.size, self._start + whole
            used = HEADER + end - begin
            buffer[:HEADER] = PLAIN
            buffer[HEADER:used] = self._come[begin:end]
            filled.append(buffer[:used])
            self._start = end
        return True

    def _read(self) -> bool:
        """Read behind what is left of a frame, once that is at the front of the buffer; False: nothing waits."""
        left = self._end - self._start
        self._come[:left] = self._come[self._start : self._end]
        self._passed += self._start
        self._start, self._end = 0, left
        try:
            length = self._socket.recv_into(self._come[left:])
        except BlockingIOError:
            return False
        except ConnectionResetError:
            length = 0
        if length == 0 and left:
            raise PeerError(Reason.TRUNCATED, "it hung up in the middle of a frame")
        if length == 0:
            raise ConnectionResetError("the far end hung up")
        self._end += length
        return True

    def _whole(self) -> int:
        """Octets of the next frame with its length, if it is whole; 0: it is not. Raises PeerError."""
        come = self._end - self._start
        if come < _LENGTH.size:
            return 0
        (length,) = _LENGTH.unpack_from(self._come, self._start)
        if length > LONGEST:
            raise PeerError(Reason.OVERSIZE, f"it announced a frame of {length} octets")
        return length + _LENGTH.size if come >= length + _LENGTH.size else 0


def wire(sock: socket.socket) -> Wire | None:
    """The wire for a connected socket by its type; None where that carries no frames."""
    kinds: dict[int, type[Wire]] = {socket.SOCK_STREAM: StreamWire, socket.SOCK_DGRAM: DatagramWire}
    kind = kinds.get(sock.type)
    return kind(sock) if kind is not None else None


def adopt(fd: int) -> socket.socket:
    """A socket object for a copy of this descriptor, whose type the kernel says. Raises OSError where it is none."""
    return socket.socket(fileno=os.dup(fd))
