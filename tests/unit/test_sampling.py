"""Which frames are sampled, and that all of them fare as if none was: by both twins, and where Python relays."""

from __future__ import annotations

import asyncio
from math import sqrt
from random import Random
from typing import TYPE_CHECKING

import pytest

from perf.instructions import SocketPort
from tests.property.octets import IPV4, IPV6, Octets
from tests.unit.frames import BROADCAST, A, B, C, parsed, raw
from tests.unit.twins import MODES, fast_path
from vswitch.core.frame import Frame
from vswitch.core.offload import HEADER, PLAIN, parse
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.sampling import MOST, Sample, Sampler
from vswitch.core.switch import Switch
from vswitch.core.verdict import Verdict
from vswitch.core.vlan import PortVlan
from vswitch.engine import Engine
from vswitch.ports.memory import MemoryPort

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vswitch.ports.base import Port

RATES = (1, 2, 3, 10, 1000)
VERDICT = Verdict()
ONE = parsed(Frame.parse(raw(B, A), BridgePort("a")))


def superframe(segments: int, size: int = 100, ethertype: int = IPV4) -> bytes:
    """A superframe of TCP from A to B."""
    octets = Octets(bytes.fromhex(B.replace(":", "")), bytes.fromhex(A.replace(":", "")), (), ethertype, True, 0,
                    segments * size, size)  # fmt: skip
    asked = parse(octets.raw)
    assert asked is not None
    assert asked.segments == segments
    return octets.raw


def chosen(sampler: Sampler, taken: list[Sample], frame: Frame) -> list[int]:
    taken.clear()
    sampler.consider(frame, VERDICT)
    return [sample.number for sample in taken]


# The choice


@pytest.mark.parametrize("rate", RATES)
def test_one_frame_in_so_many_is_a_sample(rate: int) -> None:
    taken: list[Sample] = []
    sampler = Sampler(rate, Random(1).random, taken.append)
    count = 300 * rate
    for _ in range(count):
        sampler.consider(ONE, VERDICT)
    assert abs(len(taken) - count / rate) <= 3 * sqrt(count / rate * (1 - 1 / rate))
    assert sampler.pool == count
    assert sampler.missed == 0


def test_every_place_is_as_likely_as_every_other_from_the_first_on() -> None:
    """1000 samplers see 20 frames each: every place gives a tenth of them."""
    numbers, places = Random(2).random, [0] * 20
    for _ in range(1000):
        taken: list[Sample] = []
        sampler = Sampler(10, numbers, taken.append)
        for place in range(20):
            places[place] += bool(chosen(sampler, taken, ONE))
    assert max(abs(count - 100) for count in places) < 3.5 * sqrt(1000 * 0.1 * 0.9)


def test_segments_of_superframes_are_as_likely_as_frames() -> None:
    frame = parsed(Frame.parse(superframe(40), BridgePort("a")))
    taken: list[Sample] = []
    sampler = Sampler(10, Random(3).random, taken.append)
    places = [0] * 40
    for _ in range(1000):
        for number in chosen(sampler, taken, frame):
            places[number] += 1
    assert max(abs(count - 100) for count in places) < 4 * sqrt(1000 * 0.1 * 0.9)
    assert sampler.pool == 40_000


def test_a_superframe_gives_so_many_samples_and_tells_of_the_others() -> None:
    frame = parsed(Frame.parse(superframe(2000, 8), BridgePort("a")))
    taken: list[Sample] = []
    sampler = Sampler(1, Random(4).random, taken.append)
    assert chosen(sampler, taken, frame) == list(range(MOST))
    assert sampler.missed == 2000 - MOST
    assert chosen(sampler, taken, ONE) == [0], "and goes on behind it"
    sampler = Sampler(4, Random(4).random, taken.append)
    for _ in range(50):
        assert len(chosen(sampler, taken, frame)) == MOST
    assert abs(sampler.missed - 50 * (500 - MOST)) < 3 * sqrt(50 * 2000 * 0.25 * 0.75)


# The engine


def expected(rate: int, seed: int, segments: Iterable[int]) -> list[tuple[int, int]]:
    """The frames, by number, and their segments that are samples: by gaps alone, counted from the first segment."""
    places: list[int] = []
    sampler = Sampler(rate, Random(seed).random, lambda _: None)
    counts = list(segments)
    at = sampler.left
    while at <= sum(counts):
        places.append(at - 1)
        at += sampler._gap()
    found, begin = [], 0
    for frame, count in enumerate(counts):
        found += [(frame, place - begin) for place in places if begin <= place < begin + count]
        begin += count
    return found


def traffic(count: int) -> list[bytes]:
    """Frames of known flows, floods, drops, addresses never seen again, and superframes, in any order, all numbered."""
    numbers = Random(5)
    frames = []
    for _ in range(count):
        kind = numbers.randrange(8)
        if kind < 4:
            frame = raw((B, B, C, BROADCAST)[kind], A, payload=bytes(numbers.randrange(46, 400)))
        elif kind == 4:
            frame = raw(A, A)  # dropped: it is behind the port that it came from
        elif kind == 5:
            frame = raw(B, f"02:00:00:00:{numbers.randrange(256):02x}:{numbers.randrange(256):02x}")
        else:
            frame = superframe(numbers.randrange(2, 60), 100, IPV4 if kind == 6 else IPV6)
        frames.append(frame)
    return frames


def segments(frames: Sequence[bytes]) -> list[int]:
    return [asked.segments if (asked := parse(frame)) else 1 for frame in frames]


Taken = tuple[bytes, int]


async def pass_through(here: Port, frames: Sequence[bytes], native: str, rate: int) -> tuple[Engine, list[Taken]]:
    """The frames, from one guest to two others, in bursts; those that were sampled, with the segment."""
    driver = Engine(Switch(), busy_poll=0, fast_path=fast_path(native))
    b, c = MemoryPort(), MemoryPort()
    await driver.attach(BridgePort("here"), here)
    await driver.attach(BridgePort("b"), b)
    await driver.attach(BridgePort("c"), c)
    for name, station in (("b", B), ("c", C)):
        driver.inject(name, raw(A, station))
    taken: list[Taken] = []

    def take(sample: Sample) -> None:
        taken.append((bytes(sample.frame.raw), sample.number))

    driver.sample(lambda: Sampler(rate, Random(6).random, take))
    for begin in range(0, len(frames), 16):
        burst = frames[begin : begin + 16]
        for frame in burst:
            if isinstance(here, MemoryPort):
                here.inject(frame[HEADER:], header=frame[:HEADER])
            else:
                assert isinstance(here, SocketPort)
                here.guest.send(frame)
        while driver._receive(driver.attached["here"]):
            pass
        driver._receive(driver.attached["here"])
    return driver, taken


@pytest.mark.parametrize("rate", [1, 3, 100])
@pytest.mark.parametrize("port", [SocketPort, MemoryPort])
@pytest.mark.parametrize("native", MODES)
def test_the_frames_chosen_are_those_that_come_in_these_places(native: str, port: type[Port], rate: int) -> None:
    frames = traffic(800)

    async def run() -> None:
        driver, taken = await pass_through(port(), frames, native, rate)  # type: ignore[call-arg]
        here = driver.attached["here"]
        counts = segments(frames)
        assert here.sampler is not None
        assert here.sampler.pool == sum(counts) == sum(here.bridge.counters.receive.frames)
        assert taken == [(frames[place], number) for place, number in expected(rate, 6, counts)]
        await driver.close()

    asyncio.run(run())


@pytest.mark.parametrize("port", [SocketPort, MemoryPort])
@pytest.mark.parametrize("native", MODES)
def test_guests_and_counters_notice_nothing_of_it(native: str, port: type[Port]) -> None:
    frames = traffic(800)

    async def run(rate: int) -> object:
        driver, _ = await pass_through(port(), frames, native, rate)  # type: ignore[call-arg]
        sent = [each.port.sent for each in driver.attached.values() if isinstance(each.port, MemoryPort)]
        counters = [list(bridge.counters.values) for bridge in driver.switch.ports.values()]
        talks = sorted(
            (each.parties, list(each.values)[:2]) for each in driver.conversations(driver.switch.ports["here"])
        )
        await driver.close()
        return sent, counters, talks

    assert asyncio.run(run(7)) == asyncio.run(run(1 << 30)), "sampled or, as good as, not"


def test_where_nothing_is_sampled_nothing_stands_in_the_way() -> None:
    async def run() -> None:
        driver = Engine(Switch(), busy_poll=0)
        await driver.attach(BridgePort("a"), MemoryPort())
        bare = driver.attached["a"].table
        driver.sample(lambda: Sampler(10, Random(1).random, lambda _: None))
        await driver.attach(BridgePort("b"), MemoryPort())
        assert driver.attached["a"].sampler is not driver.attached["b"].sampler
        assert driver.attached["b"].sampler is not None, "a port that comes later is sampled, too"
        driver.sample(None)
        assert driver.attached["a"].table is bare
        assert driver.attached["a"].sampler is None
        await driver.close()

    asyncio.run(run())


def test_a_frame_that_is_injected_may_be_a_sample_and_one_that_is_none_is_not() -> None:
    async def run() -> None:
        taken: list[str] = []
        driver = Engine(Switch(vlan_filtering=True), busy_poll=0)
        for name, vid in (("a", 1), ("b", 2)):
            await driver.attach(BridgePort(name, PortSettings(PortVlan.access(vid))), MemoryPort())
        driver.sample(lambda: Sampler(1, Random(1).random, lambda sample: taken.append(str(sample.verdict.reason))))
        driver.inject("a", raw(BROADCAST, A))
        driver.inject("a", raw(BROADCAST, A, (0x8100, 2)))
        driver.inject("a", PLAIN + b"runt")
        assert taken == ["no_egress", "vlan_filtered"]
        await driver.close()

    asyncio.run(run())
