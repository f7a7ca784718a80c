"""What every port has in common whose frames pass by a wire, which may come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vswitch.ports.base import Port, PortState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.offload import Buffer


class Carrier(Protocol):
    """A wire: each method is that of `Port` by its name."""

    def fileno(self) -> int: ...
    def send_fileno(self) -> int: ...
    def close(self) -> None: ...
    def pending(self) -> bool: ...
    def unfinished(self) -> int | None: ...
    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]: ...
    def send_burst(self, frames: Sequence[Buffer]) -> int: ...


class WiredPort(Port):
    """A port that is up for as long as it has a wire."""

    _wire: Carrier | None = None

    def fileno(self) -> int:
        """The wire's."""
        return self._wire.fileno() if self._wire else -1

    def send_fileno(self) -> int:
        """The wire's."""
        return self._wire.send_fileno() if self._wire else -1

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """As the wire has them."""
        return self._wire.receive_burst(buffers) if self._wire else []

    def pending(self) -> bool:
        """As the wire says."""
        return self._wire is not None and self._wire.pending()

    def unfinished(self) -> int | None:
        """As the wire says."""
        return self._wire.unfinished() if self._wire else None

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """As the wire takes them."""
        return self._wire.send_burst(frames) if self._wire else 0

    def lose(self) -> None:
        """The far end is gone."""
        self.state = PortState.NOT_PRESENT
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
