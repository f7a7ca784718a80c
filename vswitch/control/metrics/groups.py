"""Every family group, in the order of `/metrics`. A new one is one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.control.metrics import about, captures, fastpath, fdb, impairments, loop, ports, traffic

if TYPE_CHECKING:
    from vswitch.control.metrics.group import Group

GROUPS: Final[tuple[Group, ...]] = (
    traffic.GROUP,
    ports.GROUP,
    fdb.GROUP,
    fastpath.GROUP,
    impairments.GROUP,
    loop.GROUP,
    captures.GROUP,
    about.GROUP,
)
