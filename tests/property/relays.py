"""The same switch driven in two ways: bare, frame by frame, and through the fast path, as the engine does it."""

from __future__ import annotations

import socket
from collections import Counter, defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from vswitch.core.frame import Frame
from vswitch.core.mirror import lost
from vswitch.core.offload import HEADER, OffloadError, parse
from vswitch.core.verdict import Reason
from vswitch.fastpath.cache import FlowCache
from vswitch.fastpath.conversations import TICK
from vswitch.fastpath.flowcache import ROOM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vswitch.core.offload import Buffer
    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch
    from vswitch.core.verdict import Egress, Verdict
    from vswitch.fastpath.conversations import Parties
    from vswitch.fastpath.flowcache import Flow
    from vswitch.fastpath.twins import FastPath, Table

BURST: Final = 64
BURST_OCTETS: Final = 256 * 1024
JUNK: Final = b"junk"
"""Fills a socket, and is no frame that a guest gets."""


class Talk:
    """What one station sent another by one port: frames and octets, when the last one came, and how they fared."""

    def __init__(self) -> None:
        self.counts = (0, 0, 0.0)  # the time in ticks
        self.fates = set[tuple[tuple[str, ...], Reason | None]]()

    def count(self, frame: Frame, verdict: Verdict, now: float) -> None:
        frames, octets, _ = self.counts
        self.counts = frames + frame.segments, octets + frame.octets, now // TICK
        egress = tuple(each.port.name for each in verdict.egress)
        lost = [reason for _, reason in verdict.lost]
        self.fates.add((egress, None if egress else verdict.reason or lost[0]))


class Bare:
    """Every frame is decided by the switch. talks: by port, then by VLAN and addresses."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.received: defaultdict[str, list[bytes]] = defaultdict(list)
        self.talks: defaultdict[str, defaultdict[Parties, Talk]] = defaultdict(lambda: defaultdict(Talk))

    def plug(self, bridge: BridgePort) -> None:
        self.switch.add_port(bridge)

    def unplug(self, name: str) -> None:
        self.switch.remove_port(name)
        self.talks.pop(name, None)

    def burst(self, name: str, raws: Sequence[bytes], now: float) -> None:
        for raw in raws:
            bridge = self.switch.ports[name]
            frame = Frame.parse(raw, bridge)
            if isinstance(frame, Reason):
                self.switch.refuse(raw, bridge, frame)
                continue
            verdict = self.switch.receive(frame, now)
            self.talks[name][frame.vid, frame.source, frame.destination].count(frame, verdict, now)
            for egress in verdict.egress + verdict.mirrored:
                if egress.port.takes_copies and lost(egress.frame, egress.port):
                    continue
                for octets in leave(egress):
                    self.received[egress.port.name].append(octets)

    def collect(self) -> dict[str, list[bytes]]:
        """What each guest received since."""
        received, self.received = self.received, defaultdict(list)
        return dict(received)


class Attachment:
    """A port's descriptor, its guest at the other end, and what waits to be sent by other means than the fast path."""

    def __init__(self, bridge: BridgePort, cache: FlowCache) -> None:
        self.bridge = bridge
        self.table, self.exit = cache.add_port(bridge)
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.near, self.far):
            end.setblocking(False)
        self.exit.state[0] = self.near.fileno()
        self.held = False
        self.waiting: list[bytes] = []
        self.received: list[bytes] = []

    def put(self, egress: Egress) -> None:
        if self.bridge.takes_copies and lost(egress.frame, self.bridge):
            return
        self.exit.state[1] = 1
        self.waiting += leave(egress)

    def flush(self) -> None:
        for octets in self.waiting:
            try:
                self.near.send(octets)
            except BlockingIOError:
                self.drain()
                self.near.send(octets)
        self.waiting.clear()
        self.hold(held=self.held)

    def hold(self, *, held: bool) -> None:
        """Whether the fast path is to find that frames wait here."""
        self.held = held
        self.exit.state[1] = held

    def choke(self, room: int) -> None:
        """Fill the socket, but for about so many small frames."""
        with suppress(BlockingIOError):
            for _ in range(room):
                self.near.send(JUNK)
        for size in (20_000, 1):
            with suppress(BlockingIOError):
                while True:
                    self.near.send(JUNK * size)
        for _ in range(room):
            self.far.recv(ROOM)

    def drain(self) -> None:
        """The guest reads."""
        with suppress(BlockingIOError):
            while True:
                octets = self.far.recv(2 * ROOM)
                if not octets.startswith(JUNK):
                    self.received.append(octets)

    def close(self) -> None:
        self.exit.state[0] = -1
        self.near.close()
        self.far.close()


class Cached:
    """What the cache knows passes by the fast path, and what it hands back goes to the switch.

    hits: frames that passed by the fast path alone, by what they were: see `kinds`.
    """

    def __init__(self, switch: Switch, fast_path: FastPath) -> None:
        self.switch = switch
        self.buffer = bytearray(ROOM)
        self.cache = FlowCache(switch, fast_path.table, self.buffer)
        self.attached: dict[str, Attachment] = {}
        self.hits: Counter[str] = Counter()
        self.frames = 0

    def plug(self, bridge: BridgePort) -> None:
        self.attached[bridge.name] = Attachment(bridge, self.cache)
        self.switch.add_port(bridge)

    def unplug(self, name: str) -> None:
        gone = self.attached.pop(name)
        bridge = self.switch.remove_port(name)
        self.cache.remove_port(bridge)
        gone.close()

    def close(self) -> None:
        for each in self.attached.values():
            each.close()

    def burst(self, name: str, raws: Sequence[bytes], now: float) -> None:
        """A burst that the guest sends, through the descriptor or, where the port has none, frame by frame."""
        attached = self.attached[name]
        self.frames += len(raws)
        if attached.exit.state[0] < 0:
            self._relay(attached, raws, now)
            return
        for raw in raws:
            attached.far.send(raw)
        self._burst(attached, raws, now)
        with suppress(BlockingIOError):
            raise AssertionError(f"left unread: {attached.near.recv(ROOM).hex()}")

    def _burst(self, attached: Attachment, raws: Sequence[bytes], now: float) -> None:
        coming = iter(raws)
        left = BURST
        while left > 0:
            self.cache.keep_up(now)
            read, flows, length, flow, done = attached.table.burst(attached.near.fileno(), left, BURST_OCTETS)
            for _ in range(read - (length >= 0)):
                self._note(next(coming), attached.table)
            self.cache.heard(flows, attached.bridge, now)
            if length < 0:
                return
            left -= read
            assert len(next(coming)) == length
            self._flush(self._decide(attached, memoryview(self.buffer)[:length], flow, done, now))

    def _relay(self, attached: Attachment, raws: Iterable[bytes], now: float) -> None:
        touched = set[Attachment]()
        for raw in raws:
            self.cache.keep_up(now)
            flow, done = attached.table.carry(memoryview(bytearray(raw)))
            handed_back = flow is None or done < len(flow.exits)
            if not handed_back:
                self._note(raw, attached.table)
            if flow is not None:
                self.cache.heard((flow,), attached.bridge, now)
            if handed_back:
                touched |= self._decide(attached, raw, flow, done, now)
        self._flush(touched)

    def _decide(self, attached: Attachment, raw: Buffer, flow: Flow | None, done: int, now: float) -> set[Attachment]:
        frame = Frame.parse(raw, attached.bridge)
        if isinstance(frame, Reason):
            assert flow is None
            self.switch.refuse(raw, attached.bridge, frame)
            return set()
        if flow is not None:
            egress = tuple(flow.egress(frame, done))
        else:
            verdict = self.switch.receive(frame, now)
            self.cache.offer(frame, verdict)
            egress = verdict.egress + verdict.mirrored
        touched = [self.attached[each.port.name] for each in egress]
        for attachment, each in zip(touched, egress, strict=True):
            attachment.put(each)
        return set(touched)

    def _flush(self, touched: Iterable[Attachment]) -> None:
        for each in touched:
            each.flush()

    def _note(self, raw: bytes, table: Table) -> None:
        """Count a hit, as long as the table knows its flow."""
        self.hits["all"] += 1
        matched = table.match(raw)
        assert matched is not None
        self.hits.update(kinds(raw, matched[0]))

    def collect(self) -> dict[str, list[bytes]]:
        """What each guest received since."""
        received: dict[str, list[bytes]] = {}
        for name, each in self.attached.items():
            each.drain()
            if each.received:
                received[name], each.received = each.received, []
        return received


def leave(egress: Egress) -> list[bytes]:
    """The frames that leave, counted at their port."""
    frame, count = egress.frame, egress.port.counters.transmit.count
    forms = [bytes(form) for form in frame.form(egress.edit, egress.port.offload)]
    if len(forms) == 1:
        count(frame.cast, *frame.wire(egress.edit, forms[0]))
    else:
        for form in forms:
            count(frame.cast, 1, len(form) - HEADER, len(form) - HEADER)
    return forms


def kinds(raw: bytes, flow: Flow) -> set[str]:
    """What a frame that passed by the fast path was: for tests that want all of it to have happened."""
    found = set[str]()
    if flow.drop >= 0:
        found.add("drop")
    if len(flow.exits) > 1:
        found.add("flood")
    if len(flow.exits) == 1:
        found.add("unicast")
    if any(tag == b"" for _, tag in flow.exits):
        found.add("popped")
    if any(tag for _, tag in flow.exits):
        found.add("tagged")
    with suppress(OffloadError):
        asked = parse(raw)
        if asked is not None and asked.segments > 1:
            found.add("superframe" if all(tag is None for _, tag in flow.exits) else "superframe edited")
    return found


def alike(bare: Bare, cached: Cached, now: float) -> None:
    """Both came to the same: what guests received, what was counted, and what is known of stations."""
    expected, received = bare.collect(), cached.collect()
    assert received.keys() == expected.keys()
    for name, octets in expected.items():
        assert [each.hex() for each in received[name]] == [each.hex() for each in octets], name
    for name, port in bare.switch.ports.items():
        assert list(cached.switch.ports[name].counters.values) == list(port.counters.values), name
        conversations = {each.parties: each for each in cached.cache.conversations(cached.switch.ports[name])}
        counts = {parties: tuple(each.values) for parties, each in conversations.items()}
        assert counts == {parties: talk.counts for parties, talk in bare.talks[name].items()}, name
        entrance = cached.cache._entrances[cached.switch.ports[name]]
        known = Counter(flow.conversation.parties for flow in entrance.flows.values())
        assert known == {parties: each.flows for parties, each in conversations.items() if each.flows}, name
        for parties, each in conversations.items():
            assert (tuple(port.name for port in each.ports), each.reason) in bare.talks[name][parties].fates, name
    assert stations(cached.switch, now) == stations(bare.switch, now)


def stations(switch: Switch, now: float) -> tuple[object, ...]:
    """All of the filtering database that shows."""
    fdb = switch.fdb
    rows = [(row.vid, row.mac.hex(), row.port.name, row.static, row.age) for row in fdb.rows(now)]
    return rows, len(fdb), dict(fdb.sizes), fdb.moves, fdb.evictions, fdb.next_deadline()
