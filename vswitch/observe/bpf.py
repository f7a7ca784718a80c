"""Filters in the language of pcap-filter(7), compiled by libpcap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_ETHERNET: Final = 1
_WHOLE: Final = 1 << 18
_MOST: Final = 4096
"""Octets of an expression: a longer one would hold the loop up while it is compiled."""


def compiled(expression: str) -> Callable[[bytes], bool]:
    """Whether a frame, Ethernet header first, matches. Raises ValueError with one sentence."""
    try:
        import pcapy
    except ImportError as error:
        raise ValueError(f"filters need pcapy-ng ({error}); install it, or leave the filter out") from error
    if not expression.isprintable() or len(expression) > _MOST:
        raise ValueError(f"a filter is one line of at most {_MOST} characters")
    try:
        program = pcapy.compile(_ETHERNET, _WHOLE, expression, 1, 0)
    except pcapy.PcapError as error:
        raise ValueError(f"the filter {expression!r} is not understood: {error}; see pcap-filter(7)") from error
    matches = program.filter
    return lambda frame: matches(frame) > 0
