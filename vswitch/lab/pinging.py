"""Everybody pings everybody, as Mininet's pingall: one socket a guest, and all answers awaited together.

The kernel's table of neighbours (ARP, NDP) is one for all namespaces of a machine, and holds 1024 of them unless told
otherwise (net.ipv4.neigh.default.gc_thresh3), younger ones than 5 seconds never given up (neigh_forced_gc() in Linux
net/core/neighbour.c). A hundred guests know each other by 9900. So it is done in rounds, after which they forget.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from vswitch.lab.guest import ECHO, Guest, echo
from vswitch.lab.place import make_room
from vswitch.ports import netns
from vswitch.ports.base import PortError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

KNOWN: Final = 200
"""Couples of a round: each is two neighbours, and the table has room for more than those.

The second of a couple pings back once it knows the first by its ARP request, and so need not ask itself.
"""

TRIES: Final = 3
"""Echoes that a pair has, at most: the first may be lost where ARP takes long."""

_DELNEIGH, _REQUEST, _NDA_DST = 29, 1, 1


@dataclass(frozen=True)
class Target:
    """A guest that pings and is pinged. addresses: of all its interfaces, with the interface of each."""

    name: str
    netns: str
    addresses: tuple[tuple[str, str], ...]


@dataclass
class Result:
    """Who answered whom: the pairs that were tried and those that had no answer, and the times of the others."""

    pairs: int = 0
    lost: list[tuple[str, str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    took: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For a script; times in seconds."""
        times = sorted(self.times)
        return {
            "pairs": self.pairs,
            "answered": len(times),
            "lost": [{"from": one, "to": other, "address": address} for one, other, address in self.lost],
            "median": times[len(times) // 2] if times else None,
            "worst": times[-1] if times else None,
            "took": round(self.took, 3),
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        for one, other, address in islice(self.lost, 50):
            yield f"{one} → {other} ({address}): no answer"
        if len(self.lost) > 50:
            yield f"… and {len(self.lost) - 50} more"
        times = sorted(self.times)
        median = f", median {times[len(times) // 2] * 1e3:.2f} ms" if times else ""
        yield f"{len(times)} of {self.pairs} pings answered in {self.took:.1f} s{median}"


def hosts(status: dict[str, Any], names: Sequence[str] | None) -> list[Target]:
    """Those guests of a lab that have a namespace and an address. Raises PortError where one that is named has not."""
    targets = {
        row["guest"]: Target(
            row["guest"], row["netns"],
            tuple((address.partition("/")[0], plug["interface"])
                  for plug in row["interfaces"] for address in plug["addresses"]),
        )
        for row in status["guests"] if row["kind"] == "namespace"
    }  # fmt: skip
    for name in names or ():
        if name not in targets:
            raise PortError(f"there is no guest {name} that could ping; there are {', '.join(list(targets)[:20])}")
    return [target for target in targets.values() if target.addresses and (not names or target.name in names)]


def ping_all(targets: Sequence[Target], timeout: float) -> Result:
    """Ping from each to every address of every other; an answer may take `timeout` seconds. Raises PortError."""
    result = Result()
    make_room(4 * len(targets))
    began = time.perf_counter()
    with ExitStack() as stack:
        pingers = {target.name: stack.enter_context(Pinger(target)) for target in targets}
        couples = [
            (pingers[one.name], pingers[targets[(at + shift) % len(targets)].name])
            for shift in range(1, len(targets) // 2 + 1)
            for at, one in enumerate(targets)
            if 2 * shift < len(targets) or at < shift
        ]
        for start in range(0, len(couples), KNOWN):
            batch = couples[start : start + KNOWN]
            _try([pair for one, other in batch for pair in one.pairs(other)], timeout, result)
            _try([pair for one, other in batch for pair in other.pairs(one)], timeout, result)
            _forget(batch)
    result.took = time.perf_counter() - began
    return result


Pair = tuple["Pinger", str, str]


def _forget(couples: Iterable[tuple[Pinger, Pinger]]) -> None:
    """Have those who pinged each other forget each other."""
    known: dict[Pinger, set[str]] = {}
    for one, other in couples:
        known.setdefault(one, set()).update(address for address, _ in other.target.addresses)
        known.setdefault(other, set()).update(address for address, _ in one.target.addresses)
    for pinger, addresses in known.items():
        pinger.forget(addresses)


def _try(pairs: Iterable[Pair], timeout: float, result: Result) -> None:
    """Ping each pair at once."""
    waiting: dict[tuple[Pinger, int], tuple[Pair, float]] = {}
    left = list(pairs)
    result.pairs += len(left)
    for _ in range(TRIES):
        for pair in left:
            number = pair[0].send(pair[2])
            waiting[pair[0], number] = pair, time.perf_counter()
        _collect(waiting, timeout, result)
        left = [pair for pair, _ in waiting.values()]
        waiting.clear()
    result.lost += [(one.target.name, other, address) for one, other, address in left]


def _collect(waiting: dict[tuple[Pinger, int], tuple[Pair, float]], timeout: float, result: Result) -> None:
    """Take in answers until there are all, or none has come for so long: a busy machine may need more for all."""
    deadline = time.perf_counter() + timeout
    poll = select.epoll()
    sockets = {
        raw.fileno(): (pinger, raw) for pinger in {pair[0] for pair, _ in waiting.values()} for raw in pinger.raws
    }
    with poll:
        for fd in sockets:
            poll.register(fd, select.EPOLLIN)
        while waiting and (rest := deadline - time.perf_counter()) > 0:
            for fd, _ in poll.poll(rest):
                pinger, raw = sockets[fd]
                for number in pinger.answers(raw):
                    if (found := waiting.pop((pinger, number), None)) is not None:
                        deadline = time.perf_counter() + timeout
                        result.times.append(time.perf_counter() - found[1])


class Pinger:
    """A guest's sockets for echoes, by IP version as it has addresses; a context manager."""

    def __init__(self, target: Target) -> None:
        """Nothing is open yet."""
        self.target = target
        self._sockets: dict[int, socket.socket] = {}
        self._links: socket.socket | None = None
        self._index: dict[str, int] = {}
        self._number = 0

    def __enter__(self) -> Pinger:
        """Open sockets in the guest. Raises PortError."""
        guest = Guest(self.target.netns)
        for version in {ip_address(address).version for address, _ in self.target.addresses}:
            family, protocol = _FAMILIES[version]
            raw = self._sockets[version] = guest.open_socket(family, socket.SOCK_RAW, protocol)
            raw.setblocking(False)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._links = guest.open_socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        namespace = netns.find(self.target.netns)
        if namespace is not None:
            with netns.inside(namespace):
                self._index = {name: number for number, name in socket.if_nameindex()}
            namespace.close()
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        for each in (*self._sockets.values(), self._links):
            if each is not None:
                each.close()

    @property
    def raws(self) -> Iterable[socket.socket]:
        """The sockets that answers come by."""
        return self._sockets.values()

    def pairs(self, other: Pinger) -> Iterator[Pair]:
        """The pings to another one: to each of its addresses that this one has a kind of, too."""
        for address, _ in other.target.addresses:
            if ip_address(address).version in self._sockets:
                yield self, other.target.name, address

    def send(self, address: str) -> int:
        """Send an echo; its number, which goes round after 65535."""
        self._number = self._number % 0xFFFF + 1
        version = ip_address(address).version
        with suppress(OSError):  # no route, say: there will be no answer
            self._sockets[version].sendto(echo(ECHO[version][0], _IDENTIFIER, self._number), (address, 0))
        return self._number

    def answers(self, raw: socket.socket) -> Iterator[int]:
        """The numbers of the echoes that were answered since."""
        version = 4 if raw.family == socket.AF_INET else 6
        with suppress(BlockingIOError):
            while True:
                octets = raw.recv(2048)
                message = octets[(octets[0] & 15) * 4 :] if version == 4 else octets
                kind, _, _, identifier, number = struct.unpack_from("!BBHHH", message)
                if (kind, identifier) == (ECHO[version][1], _IDENTIFIER):
                    yield number

    def forget(self, addresses: Iterable[str]) -> None:
        """Forget these neighbours; those that are none do not matter."""
        if self._links is None:
            return
        requests = b"".join(_delete(address, index) for address in addresses for index in set(self._index.values()))
        self._links.setblocking(False)
        with suppress(OSError):
            while self._links.recv(1 << 16):
                pass
        for begin in range(0, len(requests), 1 << 15):
            with suppress(OSError):
                self._links.send(requests[begin : begin + (1 << 15)])


_FAMILIES: Final = {4: (socket.AF_INET, socket.IPPROTO_ICMP), 6: (socket.AF_INET6, socket.IPPROTO_ICMPV6)}
_IDENTIFIER: Final = 0x7653


def _delete(address: str, index: int) -> bytes:
    """RTM_DELNEIGH of one address at one interface: nlmsghdr, ndmsg and one rtattr (rtnetlink(7))."""
    packed = ip_address(address).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    length = 16 + 12 + 4 + len(packed)
    return b"".join((
        struct.pack("=IHHII", length, _DELNEIGH, _REQUEST, 1, 0),
        struct.pack("=BBHiHBB", family, 0, 0, index, 0, 0, 0),
        struct.pack("=HH", 4 + len(packed), _NDA_DST),
        packed,
    ))  # fmt: skip
