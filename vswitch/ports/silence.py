"""An interface for the switch alone: the host's own stack, and a kernel bridge it is in, neither hear nor use it.

A table of nf_tables drops what comes in by it and what the host sends on it. Packet sockets hear a frame before that
hook (__netif_receive_skb_core() in Linux net/core/dev.c), and what the switch sends has a mark that lets it pass and is
taken off there. The table belongs to a netlink socket (NFT_TABLE_F_OWNER) and ends with it: whatever becomes of the
process, nothing is left behind.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
from typing import Final

_NETLINK_NETFILTER: Final = 12
_BATCH_BEGIN, _BATCH_END, _NFTABLES = 16, 17, 10  # linux/netfilter/nfnetlink.h; the last is a subsystem
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 3, 6  # nft_msg_types of linux/netfilter/nf_tables.h
_REQUEST, _ACK, _CREATE_NEW = 1, 4, 0x600
_NETDEV, _OWNER, _DROP, _ACCEPT = 5, 2, 0, 1  # NFPROTO_NETDEV, NFT_TABLE_F_OWNER, NF_DROP, NF_ACCEPT
_MARK, _EQUAL = 3, 0  # NFT_META_MARK, NFT_CMP_EQ
_INGRESS, _EGRESS = 0, 1  # nf_dev_hooks
_FIRST: Final = -(1 << 31)  # of all priorities

_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr
_FAMILY: Final = struct.Struct("=BBH")  # nfgenmsg


class Silence:
    """Holds an interface silent for the host until it is closed."""

    def __init__(self, interface: str) -> None:
        """In the namespace of this thread. Raises OSError where the kernel cannot (before 5.16), or may not."""
        self.mark = secrets.randbits(31) + 1
        """What the switch's own socket is to have for SO_MARK."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            table = f"vswitch {interface} {self._socket.getsockname()[0]}"
            self._commit(
                _new(_NEW_TABLE, _text(1, table) + _number(2, _OWNER)),
                _chain(table, "in", _INGRESS, interface),
                _chain(table, "out", _EGRESS, interface),
                _let_pass(table, "out", self.mark),
            )
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """The host hears and uses it again."""
        self._socket.close()

    def _commit(self, *messages: bytes) -> None:
        """One transaction: all of it, or OSError."""
        begin = _message(_BATCH_BEGIN, 0, b"", _NFTABLES)
        self._socket.send(b"".join((begin, *messages, _message(_BATCH_END, 0, b"", _NFTABLES))))
        for _ in messages:
            answer = self._socket.recv(1 << 16)
            (code,) = struct.unpack_from("=i", answer, _HEADER.size)
            if code:
                raise OSError(-code, os.strerror(-code))


def _chain(table: str, name: str, hook: int, interface: str) -> bytes:
    """A chain without rules, at a hook of the interface, whose policy is to drop."""
    place = _number(1, hook) + _number(2, _FIRST & 0xFFFFFFFF) + _text(3, interface)
    attributes = _text(1, table) + _text(3, name) + _nested(4, place) + _number(5, _DROP)
    return _new(_NEW_CHAIN, attributes + _text(7, "filter"))


def _let_pass(table: str, chain: str, mark: int) -> bytes:
    """A rule: what has the mark loses it and passes."""
    steps = (
        _step("meta", _number(1, 1) + _number(2, _MARK)),
        _step("cmp", _number(1, 1) + _number(2, _EQUAL) + _nested(3, _attribute(1, struct.pack("=I", mark)))),
        _step("immediate", _number(1, 1) + _nested(2, _attribute(1, bytes(4)))),
        _step("meta", _number(3, 1) + _number(2, _MARK)),
        _step("immediate", _number(1, 0) + _nested(2, _nested(2, _number(1, _ACCEPT)))),
    )
    return _new(_NEW_RULE, _text(1, table) + _text(2, chain) + _nested(4, b"".join(steps)))


def _step(name: str, data: bytes) -> bytes:
    return _nested(1, _text(1, name) + _nested(2, data))


def _new(kind: int, attributes: bytes) -> bytes:
    return _message(_NFTABLES << 8 | kind, _ACK | _CREATE_NEW, attributes)


def _message(kind: int, flags: int, attributes: bytes, resource: int = 0) -> bytes:
    body = _FAMILY.pack(_NETDEV, 0, socket.htons(resource)) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 0, 0) + body


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _nested(kind: int, data: bytes) -> bytes:
    return _attribute(kind | 0x8000, data)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack("!I", number))
