"""pcapng against itself and against scapy, and a reader that is given anything."""

from __future__ import annotations

import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import RawPcapNgReader

from vswitch.observe import pcapng
from vswitch.observe.pcapng import INBOUND, OUTBOUND, Packet, PcapngError, Reader

SEVERAL = [
    Packet("web", 1_700_000_000_123_456_789, bytes(range(61)), 61, INBOUND, "", 1, 0),
    Packet("db", 1_700_000_000_123_456_790, bytes(60), 1500, OUTBOUND, "dropped: queue_full", 1, 0),
    Packet("web", 2**63 - 1, b"", 0, INBOUND, "dropped: runt", 2**40, 7),
]


def written(packets: list[Packet]) -> bytes:
    names = list(dict.fromkeys(each.interface for each in packets))
    blocks = [pcapng.section(), *(pcapng.interface(name, f"tap {name}", 0) for name in names)]
    blocks += [
        pcapng.packet(
            each.number, each.time, each.data, each.length, interface=names.index(each.interface),
            direction=each.direction, comment=each.comment, lost=each.lost,
        )
        for each in packets
    ]  # fmt: skip
    blocks += [pcapng.statistics(number, 5, 10, 2) for number, _ in enumerate(names)]
    return b"".join(blocks)


packets = st.builds(
    Packet,
    interface=st.sampled_from(["web", "db", "ä-1"]),
    time=st.integers(0, 2**64 - 1),
    data=st.binary(max_size=100),
    length=st.integers(0, 2**32 - 1),
    direction=st.sampled_from([INBOUND, OUTBOUND]),
    comment=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    number=st.integers(1, 2**64 - 1),
    lost=st.integers(0, 2**64 - 1),
)


@given(st.lists(packets, max_size=8), st.data())
def test_what_is_written_is_read_in_any_pieces(several: list[Packet], data: st.DataObject) -> None:
    octets, reader, found = written(several), Reader(), list[Packet]()
    while octets:
        piece = data.draw(st.integers(1, len(octets)))
        found += reader.feed(octets[:piece])
        octets = octets[piece:]
    assert found == several


def test_another_implementation_reads_the_same() -> None:
    theirs = RawPcapNgReader(io.BytesIO(written(SEVERAL[:2])))
    for each in SEVERAL[:2]:
        data, meta = theirs._read_packet()
        assert data == each.data
        assert (meta.tshigh << 32 | meta.tslow) == each.time
        assert meta.tsresol == 1_000_000_000
        assert meta.wirelen == each.length
        assert meta.ifname == each.interface.encode()


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    with suppress(PcapngError):
        list(Reader().feed(octets))


@given(st.integers(0, len(written(SEVERAL)) - 1), st.integers(0, 255))
def test_an_octet_that_is_wrong_is_read_or_refused(at: int, octet: int) -> None:
    octets = bytearray(written(SEVERAL))
    octets[at] = octet
    with suppress(PcapngError):
        list(Reader().feed(bytes(octets)))


@pytest.mark.parametrize("each", SEVERAL)
def test_the_losses_before_a_packet_show_in_its_block(each: Packet) -> None:
    block = pcapng.packet(1, 2, each.data, each.length, interface=0, direction=1, comment=each.comment, lost=each.lost)
    assert pcapng.lost_before(block) == each.lost
    assert len(block) % 4 == 0
