"""The one shape of a family group: what is copied on the loop of the switch, and what becomes of it elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.service import Service

Row = tuple[Any, ...]
"""What is copied at a time: numbers, text and octets, so that `marshal` takes it."""


class Group(NamedTuple):
    """Families of metrics that are made of the same rows.

    name: unique.  copy: the rows of this moment, each made in some microseconds, since between any two of them frames
    may have their turn; ports may then come and go.  families: what becomes of the rows, and of the switch's name, in
    the process that renders.
    """

    name: str
    copy: Callable[[Service], Iterator[Row]]
    families: Callable[[str, Sequence[Row]], Iterator[Metric]]


def bound(value: float) -> str:
    """The upper bound of a bucket, as OpenMetrics has it: `64.0`."""
    return str(float(value))


PORT = ("switch", "port")
"""The labels of what is of one port."""
