"""One Ethernet frame, checked once, so that no rule has to check a length again.

A frame travels with its virtio-net header in front, always (`raw`): ten octets, all zeros where there is nothing to
say. So a superframe goes from one TAP to another as the very octets that were read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vswitch.core import offload
from vswitch.core.mac import BROADCAST as BROADCAST_MAC
from vswitch.core.mac import format_mac, is_group
from vswitch.core.stats import BROADCAST, MULTICAST, UNICAST
from vswitch.core.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.offload import Buffer, Capability
    from vswitch.core.port import BridgePort

C_TAG: Final = 0x8100  # IEEE 802.1Q-2018 Table 9-1
S_TAG: Final = 0x88A8

ETHERNET_HEADER: Final = 14
MINIMUM: Final = 60  # IEEE 802.3 minFrameSize, 64, without the FCS

_DESTINATION: Final = offload.HEADER
_SOURCE: Final = _DESTINATION + 6
_TYPE: Final = _SOURCE + 6
_TAG_END: Final = _TYPE + 4
_LEAST: Final = offload.HEADER + ETHERNET_HEADER
_PADDED: Final = offload.HEADER + MINIMUM


class TagEdit(NamedTuple):
    """The outer tag that a frame is to leave with; TPID 0 means none."""

    tpid: int
    tci: int


UNTAGGED: Final = TagEdit(0, 0)


class Frame:
    """A frame that came in by `port`, its header fields read. Made by `Frame.parse` alone.

    raw: virtio-net header and frame, at least 60 octets of it (short ones are padded with zeros). It may be a view of
        a buffer that its owner uses again: whoever keeps a frame longer than the burst copies it.
    destination, source: six octets each.  tpid, tci: the outer tag, 0 and 0 where there is none.
    offload: what the virtio-net header asks for, None where it asks for nothing.
    cast: UNICAST, MULTICAST or BROADCAST of `core.stats`.
    segments, octets: as on the wire.  longest: octets of the longest segment, Ethernet header included.
    vid: the VLAN it is in; set by the switch once it has classified the frame.
    packet: its number, for those who see frames pass; 0 where nobody does.
    """

    __slots__ = (
        "_forms", "cast", "destination", "longest", "octets", "offload", "packet", "port", "raw", "segments", "source",
        "tci", "tpid", "vid",
    )  # fmt: skip

    def __init__(self, raw: Buffer, port: BridgePort, asked: offload.Offload | None) -> None:
        """Read the fields of a frame whose length and virtio-net header are known to be good."""
        received = len(raw) - offload.HEADER
        if received < MINIMUM:
            raw = bytes(raw) + bytes(MINIMUM - received)
        self.raw: Buffer = raw
        self.port = port
        self.offload = asked
        self.destination = bytes(raw[_DESTINATION:_SOURCE])
        self.source = bytes(raw[_SOURCE:_TYPE])
        self.tpid, self.tci = _tag(raw)
        self.segments = asked.segments if asked else 1
        self.octets = asked.octets if asked else received
        self.longest = asked.longest if asked else received
        self.cast = UNICAST
        if is_group(self.destination):
            self.cast = BROADCAST if self.destination == BROADCAST_MAC else MULTICAST
        self.vid = self.packet = 0
        self._forms: dict[tuple[TagEdit | None, Capability], Sequence[Buffer]] | None = None

    @classmethod
    def parse(cls, raw: Buffer, port: BridgePort) -> Frame | Reason:
        """The frame in `raw` (virtio-net header first), or the reason why there is none. Never raises."""
        if len(raw) < _LEAST:
            return Reason.RUNT
        try:
            asked = offload.parse(raw)
        except offload.OffloadError:
            return Reason.OFFLOAD_INVALID
        return cls(raw, port, asked)

    def kept(self) -> Frame:
        """The frame on octets of its own, for whoever keeps it longer than the burst."""
        return self if isinstance(self.raw, bytes) else self.like(bytes(self.raw), self.offload)

    def like(self, raw: bytes, asked: offload.Offload | None) -> Frame:
        """Other octets on the way of this one: a segment of it, say. asked: as `offload.parse` has it."""
        frame = Frame(raw, self.port, asked)
        frame.vid, frame.packet = self.vid, self.packet
        return frame

    def form(self, edit: TagEdit | None, capability: Capability) -> Sequence[Buffer]:
        """The frames, each with its virtio-net header, in which this one leaves a port of that capability.

        One, usually. Where the port lacks the offload that the frame asks for, its checksum is completed and a
        superframe is segmented. Forms are kept, so that a flood makes each of them once.
        """
        if edit is None and (self.offload is None or self.offload.needs in capability):
            return (self.raw,)
        if self._forms is None:
            self._forms = {}
        key = (edit, capability)
        if key not in self._forms:
            edited = self.raw if edit is None else self._retagged(edit)
            self._forms[key] = offload.lower(edited, capability)
        return self._forms[key]

    def wire(self, edit: TagEdit | None, form: Buffer) -> tuple[int, int]:
        """Segments and octets on the wire of this frame when it leaves whole, as `form`, with that edit."""
        if self.segments == 1:
            return 1, len(form) - offload.HEADER
        moved = 0 if edit is None else (4 if edit.tpid else 0) - (4 if self.tpid else 0)
        return self.segments, self.octets + moved * self.segments

    def _retagged(self, edit: TagEdit) -> bytes:
        """The frame with the outer tag that `edit` says, padded where losing one leaves it short."""
        raw = self.raw
        rest = raw[_TAG_END:] if self.tpid else raw[_TYPE:]
        tag = edit.tpid.to_bytes(2) + edit.tci.to_bytes(2) if edit.tpid else b""
        moved = len(tag) - (4 if self.tpid else 0)
        retagged = b"".join((offload.shift(raw, moved), raw[_DESTINATION:_TYPE], tag, rest))
        return retagged.ljust(_PADDED, b"\0")

    def __repr__(self) -> str:
        """Addresses, tag and length."""
        tag = f" {self.tpid:#06x}/{self.tci:#06x}" if self.tpid else ""
        return f"<Frame {format_mac(self.source)} > {format_mac(self.destination)}{tag} {self.octets} octets>"


def _tag(raw: Buffer) -> tuple[int, int]:
    tpid = int.from_bytes(raw[_TYPE : _TYPE + 2])
    if tpid in (C_TAG, S_TAG):
        return tpid, int.from_bytes(raw[_TYPE + 2 : _TAG_END])
    return 0, 0
