"""Frames for tests, built octet by octet, virtio-net header in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.core.frame import Frame
from vswitch.core.offload import HEADER, PLAIN

if TYPE_CHECKING:
    from vswitch.core.verdict import Verdict

BROADCAST = "ff:ff:ff:ff:ff:ff"
LLDP = "01:80:c2:00:00:0e"
A, B, C = (f"02:00:00:00:00:{last:02x}" for last in (1, 2, 3))


def raw(
    destination: str, source: str, *tags: tuple[int, int], ethertype: int = 0x88B5, payload: bytes = b"x" * 50
) -> bytes:
    """A frame with any number of (TPID, TCI) tags."""
    octets = bytes.fromhex((destination + source).replace(":", ""))
    octets += b"".join(tpid.to_bytes(2) + tci.to_bytes(2) for tpid, tci in tags)
    return PLAIN + octets + ethertype.to_bytes(2) + payload


def leaving(verdict: Verdict) -> dict[str, list[bytes]]:
    """The frames that leave, without virtio-net header, by port."""
    return {
        egress.port.name: [bytes(form[HEADER:]) for form in egress.frame.form(egress.edit, egress.port.offload)]
        for egress in verdict.egress
    }


def ports(verdict: Verdict) -> set[str]:
    """The names of the ports that the frame leaves by."""
    return {egress.port.name for egress in verdict.egress}


def parsed(frame: object) -> Frame:
    """The frame, which is known to be one."""
    assert isinstance(frame, Frame)
    return frame
