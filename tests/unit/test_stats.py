"""Counters by size: of the switch that decides, and of both flow tables."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.octets import IPV4, IPV6, Octets
from tests.unit.frames import A, B, raw
from tests.unit.twins import MODES, Lab, fast_path
from vswitch.core import offload
from vswitch.core.offload import HEADER, Capability
from vswitch.core.stats import BEYOND, CASTS, PLACES, SIZE_BOUNDS, SIZES, PortCounters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ONE, TWO = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
AROUND = [octets + more for octets in SIZE_BOUNDS for more in (-1, 0, 1)] + [14, 60, 9000, 60_000]


@pytest.fixture(params=MODES)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    made = Lab(fast_path(request.param))
    yield made
    made.close()


def grouped(sizes: Sequence[int]) -> list[int]:
    """How many of these are in each group, told the long way round."""
    least = (0, 65, 128, 256, 512, 1024, 1519)
    most = (64, 127, 255, 511, 1023, 1518, 1 << 30)
    return [sum(low <= size <= high for size in sizes) for low, high in zip(least, most, strict=True)]


@given(st.integers(0, 70_000))
def test_a_size_is_in_one_group(octets: int) -> None:
    assert grouped([octets]) == [3 + 7 + number == PLACES[1][min(octets, BEYOND)] for number in range(SIZES)]


@pytest.mark.parametrize("how", ["burst", "carry"])
def test_frames_of_every_size_are_counted_in_their_group(lab: Lab, how: str) -> None:
    frames = [raw(B, A, payload=bytes(octets - 14)) for octets in AROUND]
    lab.knows(frames[0], lab.b)
    for frame in frames:
        if how == "burst":
            lab.a.send(frame, frame)
            assert lab.burst()[0] == 2
        else:
            lab.table.carry(frame)
            lab.table.carry(memoryview(frame))
        lab.b.received()
    assert lab.a.counters.receive.sizes == lab.b.counters.transmit.sizes == [2 * each for each in grouped(AROUND)]
    assert lab.a.counters.receive.frames == [2 * len(AROUND), 0, 0]
    assert lab.a.counters.receive.superframes == (0, 0)


@pytest.mark.parametrize(("old", "new"), [((), b"\x81\0\0\x0a"), (((0x8100, 10),), b"")], ids=["pushed", "popped"])
def test_a_tag_may_move_a_frame_to_another_group(lab: Lab, old: tuple[tuple[int, int], ...], new: bytes) -> None:
    frames = [raw(B, A, *old, payload=bytes(octets - 14 - 4 * len(old))) for octets in AROUND if octets > 60]
    lab.knows(frames[0], (lab.b, new))
    for frame in frames:
        lab.table.carry(frame)
    left = [len(frame) - HEADER for frame in lab.b.received()]
    assert lab.b.counters.transmit.sizes == grouped(left) != lab.a.counters.receive.sizes


@pytest.mark.parametrize(("payload", "size"), [(3000, 1000), (2999, 1448), (65, 64), (60_000, 1448), (900, 90)])
@pytest.mark.parametrize("ethertype", [IPV4, IPV6])
@pytest.mark.parametrize("tag", [None, b"\x81\0\0\x0a"])
def test_a_superframe_counts_each_of_its_segments(
    lab: Lab, payload: int, size: int, ethertype: int, tag: bytes | None
) -> None:
    sent = Octets(TWO, ONE, (), ethertype, True, 0, payload, size).raw
    segments = [len(each) - HEADER for each in offload.lower(sent, Capability.NONE)]
    lab.knows(sent, (lab.b, tag))
    lab.table.carry(sent)
    lab.a.send(sent)
    lab.burst()
    grown = [each + (4 if tag else 0) for each in segments]
    assert lab.a.counters.receive.sizes == [2 * each for each in grouped(segments)]
    assert lab.b.counters.transmit.sizes == [2 * each for each in grouped(grown)]
    assert lab.a.counters.receive.superframes == lab.b.counters.transmit.superframes == (2, 2 * len(segments))


def test_sizes_and_casts_count_the_same_frames() -> None:
    counters, numbers = PortCounters(), random.Random(2819)
    casts, sizes = [0] * len(CASTS), []
    for _ in range(1000):
        cast, octets = numbers.randrange(3), numbers.randint(14, 3000)
        counters.transmit.count(cast, 1, octets, octets)
        casts[cast] += 1
        sizes.append(octets)
    assert (counters.transmit.frames, counters.transmit.sizes) == (casts, grouped(sizes))
    assert counters.transmit.octets == sum(sizes)
    assert sum(counters.receive.frames) == 0
    assert sum(counters.dropped.values()) == 0
