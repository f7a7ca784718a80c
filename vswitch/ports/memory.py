"""`memory`: a port whose guest is a test. It is in no configuration."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from vswitch.core.offload import PLAIN, Capability
from vswitch.ports.base import Capabilities, Options, Port, PortState
from vswitch.ports.host import Host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.offload import Buffer


class MemoryPort(Port):
    """Frames go in by `inject` and come out in `sent`, each with its virtio-net header."""

    kind = "memory"

    def __init__(self, *, capacity: int | None = None, capabilities: Capabilities | None = None) -> None:
        """capacity: frames that it takes before it says "not now"; None: without end."""
        super().__init__(Options(), Host())
        self.capacity = capacity
        self.capabilities = capabilities or Capabilities(Capability.ALL)
        self.sent: list[bytes] = []
        self.refuse: OSError | None = None
        """Raised by the next `send_burst`, once."""
        self._waiting: deque[bytes] = deque()
        self._event = -1

    def open(self) -> None:
        """An eventfd stands in for a device."""
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.state = PortState.UP

    def close(self) -> None:
        """Drop what waits."""
        self.lose()

    def lose(self) -> None:
        """The guest is gone."""
        self.state = PortState.NOT_PRESENT
        event, self._event = self._event, -1
        if event >= 0:
            os.close(event)

    def reopen(self) -> None:
        """The guest is back."""
        self.open()

    def fileno(self) -> int:
        """The eventfd."""
        return self._event

    def inject(self, *frames: bytes, header: bytes = PLAIN) -> None:
        """The guest sends frames."""
        self._waiting.extend(header + frame for frame in frames)
        os.eventfd_write(self._event, 1)

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """What was injected, as far as the buffers go."""
        filled: list[memoryview] = []
        for buffer in buffers:
            if not self._waiting:
                with suppress(BlockingIOError):  # nothing was injected since
                    os.eventfd_read(self._event)
                break
            octets = self._waiting.popleft()
            buffer[: len(octets)] = octets
            filled.append(buffer[: len(octets)])
        return filled

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """Keep what there is room for."""
        if self.refuse is not None:
            error, self.refuse = self.refuse, None
            raise error
        room = len(frames) if self.capacity is None else max(0, self.capacity - len(self.sent))
        self.sent += [bytes(frame) for frame in frames[:room]]
        return min(room, len(frames))
