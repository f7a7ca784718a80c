"""Frames of a packet socket: the kernel takes the outer tag off, and tells of it beside the frame (packet(7)).

The twin of `fastpath/packet.h`.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from vswitch.core import offload
from vswitch.core.offload import HEADER

_TAGGED, _TPID_KNOWN = 0x10, 0x40  # TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID of linux/if_packet.h
_AUX: Final = struct.Struct("=IIIHHHH")  # tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_ROOM: Final = socket.CMSG_SPACE(_AUX.size)
_TAG: Final = 4
_TYPE: Final = HEADER + 12


def receive(sock: socket.socket, buffer: memoryview) -> int:
    """Read a frame with its virtio-net header, its tag where it was: octets. Raises OSError.

    The socket has PACKET_VNET_HDR and PACKET_AUXDATA.
    """
    got, ancillary, _, _ = sock.recvmsg_into((buffer[:-_TAG],), _ROOM)
    for _, _, data in ancillary:
        status, _, _, _, _, tci, tpid = _AUX.unpack_from(data)
        if status & _TAGGED and got >= _TYPE:
            buffer[_TYPE + _TAG : got + _TAG] = buffer[_TYPE:got]
            struct.pack_into("!HH", buffer, _TYPE, tpid if status & _TPID_KNOWN else 0x8100, tci)
            buffer[:HEADER] = offload.shift(buffer, _TAG)
            return got + _TAG
    return got
