"""Which twin of the flow table forwards: the environment variable VSWITCH_NATIVE says.

`auto`: the C one where it is built, the default.  `off`: the Python one.  `require`: the C one or nothing.
`shadow`: the Python one, with each of its answers compared with the C one's.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from vswitch.fastpath.flowcache import FlowTable

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    from vswitch.core.offload import Buffer
    from vswitch.fastpath.flowcache import Flow, Match, Turn

VARIABLE: Final = "VSWITCH_NATIVE"
MODES: Final = ("auto", "off", "require", "shadow")


class FastPathError(Exception):
    """The fast path that was asked for cannot be had: one sentence that says why and what to do."""


class Reading(Protocol):
    """What the engine reads frames by."""

    def __len__(self) -> int:
        """Flows known."""

    def burst(self, fd: int, frames: int, octets: int, packet: bool = ..., /) -> Turn:
        """Forward what waits at a descriptor."""

    def carry(self, raw: Buffer, /) -> tuple[Flow | None, int]:
        """Forward one frame."""


class Table(Reading, Protocol):
    """What both twins are: see `FlowTable`."""

    def add(self, flow: Flow, /) -> None:
        """Know a flow."""

    def discard(self, key: bytes, /) -> None:
        """Know it no longer."""

    def clear(self) -> None:
        """Know none."""

    def burst_below(self, fd: int, frames: int, octets: int, packet: bool, limit: int, /) -> Turn:
        """Forward what waits, short of the frame that brings the segments to `limit`."""

    def match(self, raw: Buffer, /) -> Match | None:
        """The flow that a frame belongs to."""


TableType: TypeAlias = "Callable[[array[int], bytearray, array[int]], Table]"
"""Makes a table from a port's counters, a receive buffer and the clock."""


class FastPath(NamedTuple):
    """A twin. name: `native` or `python`.  table: makes its tables."""

    name: str
    table: TableType


PYTHON: Final = FastPath("python", FlowTable)


def choose(mode: str | None = None) -> FastPath:
    """The twin that VSWITCH_NATIVE, or `mode`, asks for. Raises FastPathError."""
    mode = mode or os.environ.get(VARIABLE) or "auto"
    if mode not in MODES:
        raise FastPathError(f"{VARIABLE} is {mode!r}; it is one of {', '.join(MODES)}")
    if mode == "off":
        return PYTHON
    try:
        table = native()
    except FastPathError:
        if mode == "auto":
            return PYTHON
        raise
    if mode == "shadow":
        from vswitch.fastpath.shadow import ShadowTable

        return FastPath("python", lambda values, buffer, clock: ShadowTable(values, buffer, clock, table))
    return FastPath("native", table)


def native() -> TableType:
    """The C twin. Raises FastPathError where it is not built."""
    try:
        from vswitch.fastpath import _flowcache
    except ImportError as error:
        raise FastPathError(
            f"the native fast path is not built ({error}); install a C compiler and then vswitch again, "
            f"or leave {VARIABLE} out to forward in Python"
        ) from error
    seed = secrets.randbits(64)
    return lambda values, buffer, clock: _flowcache.FlowTable(values, buffer, clock, seed)
