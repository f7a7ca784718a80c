"""The two flow tables agree, on any octets: what they know, what they write, what they count."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.script import Script, frame
from tests.fuzz.seeds import FRAMES
from tests.property.agreement import Twins
from tests.property.octets import IPV4, IPV6, Octets
from tests.property.strategies import any_octets, frames
from tests.superframes import twisted
from tests.unit.twins import fast_path
from vswitch.core.offload import HEADER, NEEDS_CSUM, Capability, OffloadError, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

TAGS = (None, b"", bytes.fromhex("8100200a"), bytes.fromhex("88a8400b"))
UNBOUNDED = 1 << 30

scripted = st.binary(max_size=60).map(lambda data: frame(Script(data)))
octets = st.one_of(scripted, scripted, any_octets, st.binary(max_size=120), st.binary(min_size=10, max_size=120))
offloads = st.integers(0, 127).map(Capability) | st.just(Capability.ALL)
tags = st.lists(st.sampled_from(TAGS), max_size=3).map(tuple)
seeds = st.integers(0, 1 << 64)


def examples(count: int) -> settings:
    return settings(deadline=None, max_examples=count, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def twins() -> Iterator[Twins]:
    with Twins(fast_path("native")) as both:
        yield both


@pytest.fixture(autouse=True)
def _nothing_known(twins: Twins) -> None:
    twins.forget(None)


@given(octets, offloads, st.sampled_from((-1, 0, 1, UNBOUNDED)))
@examples(2000)
def test_they_know_the_same_frames(twins: Twins, raw: bytes, offload: Capability, more: int) -> None:
    check_match(twins, raw, offload, more)


@given(twisted(), offloads, st.sampled_from((-1, 0, 1, UNBOUNDED)))
@examples(400)
def test_they_know_the_same_superframes(twins: Twins, raw: bytes, offload: Capability, more: int) -> None:
    check_match(twins, raw, offload, more)


def test_they_parse_every_change_of_one_octet_alike(twins: Twins) -> None:
    """Each octet of the header and of the first 100 of the frame, with values around what it was and at random."""
    numbers = random.Random(8021)
    known = 0
    for raw in FRAMES:
        for at in range(min(len(raw), HEADER + 100)):
            for value in {0, 1, 4, 5, 0x80, 0xFF, raw[at] ^ 1, raw[at] + 1 & 0xFF, numbers.randrange(256)}:
                changed = raw[:at] + bytes((value,)) + raw[at + 1 :]
                twins.forget(None)
                twins.know(changed)
                known += twins.match(changed)
                twins.know(changed, longest=numbers.randint(0, 2000), offload=Capability(numbers.randrange(128)))
                twins.match(changed)
    assert known > 1000


def test_they_draw_every_limit_alike(twins: Twins) -> None:
    known = []
    for raw in limits():
        twins.know(raw)
        known.append(twins.match(raw))
        for offload, more in ((Capability.ALL, -1), *((Capability.ALL & ~bit, 0) for bit in Capability)):
            twins.know(raw, offload=offload, longest=max(0, longest(raw) + more))
            twins.match(raw)
    assert known == [parses(raw) for raw in limits()]
    assert 20 < sum(known) < len(known) - 20


def limits() -> Iterator[bytes]:
    """Frames on both sides of each limit: tags, extensions, sizes, segments, positions, padding, kinds."""
    two, one = b"\2\0\0\0\0\2", b"\2\0\0\0\0\1"
    for ethertype, tcp in product((IPV4, IPV6), (True, False)):
        sent = Octets(two, one, (), ethertype, tcp, 0, 1000, 100)
        for count in (7, 8, 9, 10):
            yield replace(sent, tags=((0x8100, 10),) * count).raw
            yield replace(sent, extra=count).raw
        for size in (1, 7, 8, 0xFFFE, 0xFFFF):
            yield replace(sent, size=size, length=min(size, 65_000)).raw
            yield replace(sent, size=size, length=50).raw
        for size, segments in ((10, 128), (10, 129), (8, 2048), (8, 2049)):
            for more in (-1, 0, 1):
                yield replace(sent, size=size, length=size * segments + more).raw
                yield replace(sent, size=size, length=size * segments - 3).raw + bytes(3 + more)
        for extension in (0, 43, 44, 51, 60, 135):
            raw = replace(sent, ethertype=IPV6, extra=2).raw
            yield raw[: HEADER + 20] + bytes((extension,)) + raw[HEADER + 21 :]
        for gso in range(256):
            yield sent.raw[:1] + bytes((gso,)) + sent.raw[2:]
    for start in range(0xFFF6, 0x10000):
        yield struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, start, 0) + Octets(two, one, length=0x10100).frame[:0x10010]


def test_they_parse_a_frame_cut_anywhere_alike(twins: Twins) -> None:
    for raw in FRAMES:
        twins.forget(None)
        twins.know(raw)
        for end in (*range(min(len(raw), 160)), len(raw) - 1, len(raw)):
            twins.match(raw[:end])
        twins.match(raw + bytes(7))


@given(octets, tags, offloads, st.sampled_from((-1, *range(13))), st.integers(0, 2), st.none() | st.integers(0, 2))
@examples(800)
def test_they_write_and_count_the_same(
    twins: Twins, raw: bytes, out: tuple[bytes | None, ...], offload: Capability, drop: int, cast: int, held: int | None
) -> None:
    twins.know(raw, out, offload=offload, drop=min(drop, 11), cast=cast)
    if held is not None:
        twins.hold(held, held=True)
    twins.carry(memoryview(bytearray(raw)))
    if held is not None:
        twins.hold(held, held=False)
    twins.carry(raw)


@given(
    st.lists(st.tuples(octets, tags), min_size=1, max_size=3),
    st.lists(frames(), max_size=2),
    st.integers(1, 8),
    st.integers(1, 3000),
    st.just(0) | st.integers(1, 100),
    seeds,
)
@examples(800)
def test_they_forward_the_same_bursts(
    twins: Twins,
    known: list[tuple[bytes, tuple[bytes | None, ...]]],
    unknown: list[Octets],
    most: int,
    budget: int,
    limit: int,
    seed: int,
) -> None:
    numbers = random.Random(seed)
    twins.forget(None)
    for raw, out in known:
        twins.know(raw, out, longest=numbers.choice((UNBOUNDED, len(raw))))
    choices = [raw for raw, _ in known if len(raw) < 9000] + [each.raw for each in unknown]
    if choices:
        twins.burst([numbers.choice(choices) for _ in range(numbers.randint(1, 10))], most, budget, limit)


def check_match(twins: Twins, raw: bytes, offload: Capability, more: int) -> None:
    """Both know it, or do not, whatever fits the exits; `more`: octets more than the longest that fits."""
    twins.know(raw, offload=offload, longest=UNBOUNDED if more == UNBOUNDED else max(0, longest(raw) + more))
    known = twins.match(raw)
    assert known or more != UNBOUNDED or offload != Capability.ALL or not parses(raw)


def longest(raw: bytes) -> int:
    """Octets of the longest segment."""
    try:
        asked = parse(raw)
    except OffloadError:
        asked = None
    return asked.longest if asked else max(0, len(raw) - HEADER)


def parses(raw: bytes) -> bool:
    """Whether a switch would take it in."""
    try:
        parse(raw)
    except OffloadError:
        return False
    return len(raw) >= HEADER + 14
