"""A capture: frames at ports, as they pass, in one stream of pcapng with an interface for each port.

It keeps what nobody has read yet in a buffer of bounded size. What does not fit is lost to the capture, counted, and
told of by the next packet; the switch is not held up.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vswitch.core import offload
from vswitch.core.offload import HEADER, Capability
from vswitch.observe import bpf, pcapng
from vswitch.observe.trigger import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from vswitch.core.offload import Buffer
    from vswitch.core.port import BridgePort
    from vswitch.observers import Happening, Sight

BUFFER: Final = 32 << 20
"""Octets that wait to be read, at most, unless asked otherwise."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a capture is to have.

    ports: their names, none for all.  filter: of pcap-filter(7).  vlan: the VLAN that the switch put the frame into.
    drops: dropped frames alone.  snaplen: octets that are kept of each, 0 for all.  count: packets after which it ends,
    0 for no end.  as_on_wire: superframes as their segments, checksums complete.  buffer: octets.
    tell_vlan: a comment with the VLAN that the switch put the frame into: `vlan 10`.
    ring: seconds of the past that are kept until `trigger` fires, which is words of a `Trigger`; 0: no such thing.
    after: seconds that it goes on from then.
    """

    ports: tuple[str, ...] = ()
    filter: str = ""
    vlan: int | None = None
    drops: bool = False
    snaplen: int = 0
    count: int = 0
    as_on_wire: bool = False
    tell_vlan: bool = False
    buffer: int = BUFFER
    ring: float = 0.0
    trigger: str = ""
    after: float = 1.0


class _Interface:
    """A port as an interface of the stream, and what was counted of it."""

    __slots__ = ("lost", "number", "received")

    def __init__(self, number: int) -> None:
        self.number = number
        self.received = 0
        self.lost = 0


class Capture:
    """An observer that writes what it sees. Whoever reads calls `read` again and again."""

    def __init__(
        self, wanted: Wanted, describe: Callable[[str], str] = lambda _: "", wake: Callable[[], None] = lambda: None
    ) -> None:
        """Raises ValueError for a filter or trigger that is not understood.

        describe: what a port is attached to, in words.  wake: called when there may be something to read.
        """
        self.wanted = wanted
        self._names = frozenset(wanted.ports)
        self._matches = bpf.compiled(wanted.filter) if wanted.filter else None
        self._trigger = Trigger(wanted.trigger) if wanted.ring else None
        self._describe = describe
        self._wake = wake
        self._head = deque([pcapng.section()])
        self._blocks: deque[tuple[int, bytes]] = deque()
        self._kept = 0
        self._taken = 0
        self._interfaces: dict[str, _Interface] = {}
        self._lost_before = 0
        self.packets = 0
        self.lost = 0
        self.fired: int | None = None
        """When the trigger fired, in nanoseconds since the epoch."""
        self.ended = False

    # As an observer

    @property
    def drops_only(self) -> bool:
        """As asked."""
        return self.wanted.drops

    def wants(self, port: str) -> bool:
        """Those that were named, or all."""
        return not self._names or port in self._names

    def see(self, sight: Sight) -> None:
        """Write the frame down, if it is one that was asked for."""
        wanted = self.wanted
        if self.ended or (wanted.vlan is not None and wanted.vlan != sight.mark.vid):
            return
        for frame in self._frames(sight.raw):
            if self._matches is None or self._matches(frame):
                self._write(sight, frame)

    def happened(self, what: Happening, ports: Collection[str]) -> None:
        """Something happened, which may be what a ring waits for."""
        if self._trigger is not None and self.fired is None and self._trigger.happened(what, ports):
            self.fired = time.time_ns()
            self._wake()

    def _frames(self, raw: Buffer) -> Iterator[bytes]:
        if self.wanted.as_on_wire and len(raw) >= HEADER + 14:
            with suppress(offload.OffloadError):
                yield from [bytes(each[HEADER:]) for each in offload.lower(raw, Capability.NONE)]
                return
        yield bytes(raw[HEADER:])

    def _write(self, sight: Sight, frame: bytes) -> None:
        interface = self._interfaces.get(sight.port.name) or self._describe_port(sight.port.name)
        interface.received += 1
        snaplen = self.wanted.snaplen
        block = pcapng.packet(
            sight.mark.packet,
            sight.time,
            frame[:snaplen] if snaplen else frame,
            len(frame),
            interface=interface.number,
            direction=pcapng.OUTBOUND if sight.leaves else pcapng.INBOUND,
            comment=self._comment(sight),
            lost=self._lost_before,
        )
        if not self._keep(sight.time, block):
            interface.lost += 1
            self.lost += 1
            self._lost_before += 1
            return
        self._lost_before = 0
        self.packets += 1
        if self._trigger is not None and self.fired is None and self._trigger.frame(sight.reason, frame):
            self.fired = sight.time
        if self._flows:
            if 0 < self.wanted.count <= self.packets:
                self.end()
            self._wake()

    def _comment(self, sight: Sight) -> str:
        words = [f"vlan {sight.mark.vid}"] if self.wanted.tell_vlan and sight.mark.vid else []
        return ", ".join([*words, f"dropped: {sight.reason}"] if sight.reason else words)

    def _keep(self, now: int, block: bytes) -> bool:
        """Whether there was room; a ring that waits for its trigger makes room by forgetting what is oldest."""
        blocks, limit = self._blocks, self.wanted.buffer
        if not self._flows:
            oldest = now - int(self.wanted.ring * 1e9)
            while blocks and (blocks[0][0] < oldest or self._waiting + len(block) > limit):
                self._taken += len(blocks.popleft()[1])
                self.packets -= 1
        if self._waiting + len(block) > limit:
            return False
        self._kept += len(block)
        blocks.append((now, block))
        return True

    def _describe_port(self, name: str) -> _Interface:
        """Interfaces go by the order in which frames of them came first."""
        self._head.append(pcapng.interface(name, self._describe(name), self.wanted.snaplen))
        return self._interfaces.setdefault(name, _Interface(len(self._interfaces)))

    def announce(self, port: BridgePort) -> None:
        """Describe a port before there is a frame of it."""
        if self.wants(port.name) and port.name not in self._interfaces:
            self._describe_port(port.name)

    # For whoever reads

    @property
    def _waiting(self) -> int:
        """Octets that wait to be read; of the two sums each is changed by one thread alone."""
        return self._kept - self._taken

    @property
    def _flows(self) -> bool:
        """Whether what is written may be read at once: a ring waits until its trigger fires."""
        return self._trigger is None or self.fired is not None

    def read(self, most: int) -> bytes:
        """The next octets of the stream: whole blocks, `most` of them or a little more; none where none wait.

        A thread may call it beside the one that shows frames. What describes an interface is taken after the packets of
        it, and comes before them.
        """
        blocks: list[bytes] = []
        size = 0
        while self._flows and self._blocks and size < most:
            block = self._blocks.popleft()[1]
            size += len(block)
            blocks.append(block)
        self._taken += size
        heads: list[bytes] = []
        while self._head:
            heads.append(self._head.popleft())
        return b"".join((*heads, *blocks))

    def end(self) -> None:
        """Take no more frames; what is kept can be read yet, and closes with the counts of each interface."""
        if self.ended:
            return
        if self._trigger is not None and self.fired is None:
            self._blocks.clear()
            self._trigger = None
        now = time.time_ns()
        for each in self._interfaces.values():
            self._blocks.append((now, pcapng.statistics(each.number, now, each.received, each.lost)))
        self.ended = True  # last: whoever reads knows from this that there is no more
        self._wake()
