"""What observers see of frames that pass the engine, and what a capture makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.superframes import partials, superframes
from tests.unit.frames import BROADCAST, A, B, raw
from tests.unit.test_engine import counters, engine, frame, on_both_loops, until
from vswitch import outlet
from vswitch.core.frame import Frame
from vswitch.core.offload import HEADER, PLAIN
from vswitch.core.port import BridgePort
from vswitch.core.verdict import Reason
from vswitch.observe.capture import Capture, Wanted
from vswitch.observe.pcapng import INBOUND, OUTBOUND, Packet, Reader
from vswitch.observers import Happening, Mark, Sight
from vswitch.ports.base import Capabilities
from vswitch.ports.memory import MemoryPort

if TYPE_CHECKING:
    from vswitch.engine import Engine

SECOND = 1_000_000_000
RESERVED = "01:80:c2:00:00:0e"


_readers: WeakKeyDictionary[Capture, Reader] = WeakKeyDictionary()


def packets(capture: Capture) -> list[Packet]:
    """Those that were not read yet."""
    octets = b"".join(iter(lambda: capture.read(1000), b""))
    return list(_readers.setdefault(capture, Reader()).feed(octets))


def watch(driver: Engine, **wanted: Any) -> Capture:
    capture = Capture(Wanted(**wanted))
    driver.observers.add(capture)
    return capture


def seen(capture: Capture) -> list[tuple[str, int, str]]:
    return [(each.interface, each.direction, each.comment) for each in packets(capture)]


@on_both_loops
async def test_a_frame_is_seen_where_it_comes_in_and_where_it_leaves() -> None:
    a, b, c = MemoryPort(), MemoryPort(), MemoryPort()
    async with engine(a=a, b=b, c=c) as driver:
        capture = watch(driver)
        a.inject(frame(BROADCAST, A, 1), frame(BROADCAST, A, 2))
        await until(lambda: len(c.sent) == 2)
        found = packets(capture)
        first = [each for each in found if each.number == found[0].number]
        assert [(each.interface, each.direction) for each in first[:1]] == [("a", INBOUND)]
        assert {(each.interface, each.direction) for each in first[1:]} == {("b", OUTBOUND), ("c", OUTBOUND)}
        assert {each.data for each in first} == {frame(BROADCAST, A, 1).ljust(60, b"\0")}
        assert len({each.number for each in found}) == 2
        assert first[0].time <= min(each.time for each in first)


@on_both_loops
async def test_every_frame_of_a_flow_is_seen_though_the_flow_was_kept_before() -> None:
    a, b, c, d = MemoryPort(), MemoryPort(), MemoryPort(), MemoryPort()
    async with engine(a=a, b=b, c=c, d=d) as driver:
        b.inject(frame(A, B))
        await until(lambda: a.sent)
        a.inject(*(frame(B, A) for _ in range(3)))
        await until(lambda: len(b.sent) == 3)
        assert len(driver.attached["a"].table) == 1
        capture = watch(driver, ports=("a",))
        a.inject(*(frame(B, A, number) for number in range(50)))
        await until(lambda: len(b.sent) == 53)
        assert seen(capture) == [("a", INBOUND, "")] * 50
        driver.observers.remove(capture)
        a.inject(*(frame(B, A, number) for number in range(50)))
        await until(lambda: len(b.sent) == 103)
        assert packets(capture) == []


@on_both_loops
async def test_flows_of_other_ports_stay_on_the_fast_path() -> None:
    a, b, c, d = MemoryPort(), MemoryPort(), MemoryPort(), MemoryPort()
    async with engine(a=a, b=b, c=c, d=d) as driver:
        watch(driver, ports=("d",))
        b.inject(frame(A, B))
        await until(lambda: a.sent)
        a.inject(*(frame(B, A) for _ in range(3)))
        await until(lambda: len(b.sent) == 3)
        assert len(driver.attached["a"].table) == 1
        assert len(driver.attached["d"].table) == 0


@on_both_loops
async def test_a_dropped_frame_is_seen_once_with_the_word_that_the_counter_has() -> None:
    a, b = MemoryPort(), MemoryPort()
    async with engine(a=a, b=b) as driver:
        everything, drops = watch(driver), watch(driver, drops=True)
        a.inject(frame(A, A), b"short", frame(BROADCAST, BROADCAST), frame(BROADCAST, A))
        await until(lambda: b.sent)
        wanted = [("a", INBOUND, f"dropped: {reason}") for reason in ("same_port", "runt", "source_invalid")]
        assert seen(drops) == wanted
        assert seen(everything) == [*wanted, ("a", INBOUND, ""), ("b", OUTBOUND, "")]
        for _, _, comment in wanted:
            assert counters(driver, "a").dropped[Reason(comment.removeprefix("dropped: "))] == 1  # type: ignore[call-arg]


@on_both_loops
async def test_whoever_wants_drops_alone_leaves_what_passes_on_the_fast_path() -> None:
    a, b = MemoryPort(), MemoryPort()
    async with engine(a=a, b=b) as driver:
        drops = watch(driver, drops=True)
        b.inject(frame(A, B))
        await until(lambda: a.sent)
        a.inject(*(frame(B, A) for _ in range(5)), *(frame(A, A) for _ in range(5)))
        await until(lambda: len(b.sent) == 5)
        await until(lambda: counters(driver, "a").dropped[Reason.SAME_PORT] == 5)
        assert len(driver.attached["a"].table) == 1
        assert seen(drops) == [("a", INBOUND, "dropped: same_port")] * 5


@on_both_loops
async def test_what_a_port_cannot_take_is_seen_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "QUEUE", 2)
    a, slow = MemoryPort(), MemoryPort(capacity=1)
    small = MemoryPort()
    async with engine(a=a, slow=slow, small=small) as driver:
        small.capabilities = Capabilities(mtu=100)
        driver.switch.ports["small"].mtu = 100
        capture = watch(driver, ports=("slow", "small"))
        a.inject(*(raw(BROADCAST, A, payload=bytes(200))[HEADER:] for _ in range(4)))
        await until(lambda: counters(driver, "slow").dropped[Reason.QUEUE_FULL] == 1)
        assert sorted(seen(capture)) == sorted(
            [("slow", OUTBOUND, ""), ("slow", OUTBOUND, "dropped: queue_full")]
            + [("small", OUTBOUND, "dropped: oversize")] * 4
        )


@on_both_loops
async def test_an_injected_frame_is_the_guest_s_or_goes_to_it() -> None:
    a, b, c = MemoryPort(), MemoryPort(), MemoryPort()
    async with engine(a=a, b=b, c=c) as driver:
        capture = watch(driver)
        driver.inject("a", PLAIN + frame(BROADCAST, A))
        driver.inject("a", PLAIN + frame(BROADCAST, B), leaves=True)
        assert (len(a.sent), len(b.sent), len(c.sent)) == (1, 1, 1)
        (came, *flooded, left) = (each[:2] for each in seen(capture))
        assert (came, left) == (("a", INBOUND), ("a", OUTBOUND))
        assert sorted(flooded) == [("b", OUTBOUND), ("c", OUTBOUND)]
        assert counters(driver, "a").receive.frames == [0, 0, 1]
        assert counters(driver, "a").transmit.frames == [0, 0, 1]
        with pytest.raises(ValueError, match="14 octets"):
            driver.inject("a", PLAIN + b"short", leaves=True)
        with pytest.raises(KeyError):
            driver.inject("nope", PLAIN + frame(BROADCAST, A))


# A capture by itself


def sight(
    octets: bytes, *, port: str = "web", vid: int = 1, number: int = 1, time: int = SECOND, reason: Reason | None = None
) -> Sight:
    return Sight(time, Mark(number, vid), BridgePort(port), False, PLAIN + octets, reason)


ARP = frame(BROADCAST, A)[:12] + b"\x08\x06" + bytes(46)
OTHER = frame(B, A)


def test_a_filter_and_a_vlan_choose() -> None:
    capture = Capture(Wanted(filter="arp", vlan=10))
    for octets, vid in ((ARP, 10), (ARP, 20), (OTHER, 10), (ARP, 10)):
        capture.see(sight(octets, vid=vid))
    assert [each.data for each in packets(capture)] == [ARP, ARP]


@pytest.mark.parametrize("words", ["nonsense here", "arp\n", "x" * 5000])
def test_a_filter_that_is_not_understood_is_a_sentence(words: str) -> None:
    with pytest.raises(ValueError, match="filter"):
        Capture(Wanted(filter=words))


@pytest.mark.parametrize("words", ["", "drop:nonsense", "nonsense here"])
def test_a_trigger_that_is_not_understood_is_a_sentence(words: str) -> None:
    with pytest.raises(ValueError, match=r"trigger|reason|filter"):
        Capture(Wanted(ring=1.0, trigger=words))


def test_a_frame_is_kept_as_far_as_asked_and_says_how_long_it_was() -> None:
    capture = Capture(Wanted(snaplen=20))
    capture.see(sight(OTHER))
    (packet,) = packets(capture)
    assert (packet.data, packet.length) == (OTHER[:20], len(OTHER))


def test_it_ends_after_so_many_packets() -> None:
    capture = Capture(Wanted(count=3))
    for _ in range(5):
        capture.see(sight(OTHER))
    assert capture.ended
    assert len(packets(capture)) == 3


def test_nobody_reads_memory_is_bounded_and_the_loss_is_told_by_the_next_packet() -> None:
    capture = Capture(Wanted(buffer=1 << 16))
    for _ in range(2000):
        capture.see(sight(OTHER))
    kept = packets(capture)
    assert 0 < len(kept) < 1000
    assert capture.lost == 2000 - len(kept)
    capture.see(sight(OTHER))
    assert [each.lost for each in packets(capture)] == [capture.lost]
    capture.see(sight(OTHER))
    assert [each.lost for each in packets(capture)] == [0]


@given(st.one_of(superframes(), partials()).map(lambda sent: sent.raw))
def test_superframes_as_they_are_or_as_on_the_wire(octets: bytes) -> None:
    parsed = Frame.parse(octets, BridgePort("web"))
    assert isinstance(parsed, Frame)
    for as_on_wire in (False, True):
        capture = Capture(Wanted(as_on_wire=as_on_wire))
        capture.see(Sight(1, Mark(7, 1), BridgePort("web"), False, octets, None))
        found = packets(capture)
        assert [each.number for each in found] == [7] * (parsed.segments if as_on_wire else 1)
        assert sum(each.length for each in found) == (parsed.octets if as_on_wire else len(octets) - HEADER)


@given(st.binary(max_size=200))
def test_any_octets_are_written_as_on_the_wire(octets: bytes) -> None:
    capture = Capture(Wanted(as_on_wire=True))
    capture.see(Sight(1, Mark(7, 1), BridgePort("web"), False, octets, Reason.OFFLOAD_INVALID))
    assert b"".join(each.data for each in packets(capture)) == octets[HEADER:]


def test_a_ring_keeps_the_past_until_its_trigger_fires() -> None:
    capture = Capture(Wanted(ring=10.0, trigger="drop:same_port"))
    for second in range(100):
        capture.see(sight(OTHER, number=second, time=second * SECOND))
    capture.see(sight(OTHER, number=100, time=100 * SECOND, reason=Reason.RUNT))
    assert packets(capture) == []
    capture.see(sight(OTHER, number=101, time=101 * SECOND, reason=Reason.SAME_PORT))
    assert capture.fired == 101 * SECOND
    capture.see(sight(OTHER, number=102, time=102 * SECOND))
    numbers = [each.number for each in packets(capture)]
    assert numbers == list(range(91, 103))


def test_a_ring_is_bounded_by_its_buffer_too() -> None:
    capture = Capture(Wanted(ring=1000.0, trigger="drop", buffer=1 << 16))
    for number in range(5000):
        capture.see(sight(OTHER, number=number, time=number))
    capture.see(sight(OTHER, number=5000, time=5000, reason=Reason.RUNT))
    numbers = [each.number for each in packets(capture)]
    assert numbers == list(range(5001 - len(numbers), 5001))
    assert 100 < len(numbers) < 1000
    assert capture.lost == 0


def test_a_ring_whose_trigger_never_fired_says_nothing() -> None:
    capture = Capture(Wanted(ring=10.0, trigger="arp"))
    capture.see(sight(OTHER))
    capture.end()
    assert packets(capture) == []


@pytest.mark.parametrize(
    ("words", "what", "ports", "fires"),
    [
        ("down", "down", ["web"], True),
        ("down:web", "down", ["web"], True),
        ("down:db", "down", ["web"], False),
        ("down", "up", ["web"], False),
        ("moved:db", "moved", ["web", "db"], True),
        ("flap", "flap", ["web", "db"], True),
        ("flap", "moved", ["web", "db"], False),
        ("drop", "down", ["web"], False),
        ("arp", "down", ["web"], False),
    ],
)
def test_a_ring_waits_for_what_happens(words: str, what: Happening, ports: list[str], fires: bool) -> None:
    woken: list[None] = []
    capture = Capture(Wanted(ring=10.0, trigger=words), wake=lambda: woken.append(None))
    capture.see(sight(OTHER))
    capture.happened(what, ports)
    capture.happened(what, ports)
    assert (len(packets(capture)), len(woken)) == ((1, 1) if fires else (0, 0))
    assert (capture.fired is not None) is fires


def test_what_happens_is_nothing_to_a_capture_without_ring() -> None:
    capture = Capture(Wanted())
    capture.happened("down", ["web"])
    assert capture.fired is None


@pytest.mark.parametrize(
    ("vid", "reason", "comment"),
    [(10, None, "vlan 10"), (0, None, ""), (10, Reason.ISOLATED, "vlan 10, dropped: isolated")],
)
def test_the_vlan_is_told_where_that_is_asked_for(vid: int, reason: Reason | None, comment: str) -> None:
    capture = Capture(Wanted(tell_vlan=True))
    capture.see(sight(OTHER, vid=vid, reason=reason))
    assert [each.comment for each in packets(capture)] == [comment]
