"""The cache of verdicts that frames are forwarded by, in Python and in C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.fastpath.flowcache import FlowTable

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable


def table_type() -> Callable[[array[int], bytearray], FlowTable]:
    """The twin that forwards here."""
    return FlowTable
