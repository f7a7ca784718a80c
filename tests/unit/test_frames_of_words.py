"""Frames as people write them, and packets of files that anybody may have written."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import ARP, Ether
from scapy.utils import wrpcap, wrpcapng

from vswitch.cli import frames
from vswitch.control.client import CallError
from vswitch.observe import packets, pcapng

if TYPE_CHECKING:
    from pathlib import Path

SEVERAL = [Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=f"10.0.0.{n}") for n in range(1, 4)]


@pytest.mark.parametrize(
    "words",
    [
        "ffffffffffff0200000000010806",
        "ff:ff:ff:ff:ff:ff 02-00-00-00-00-01 0806",
        "FFFFFFFFFFFF 020000000001 0806",
        "ffffffffffff\n020000000001\r\n0806\n",
        "0xffffffffffff0200000000010806",
        "0XFFFFFFFFFFFF 0x020000000001 0x0806",
        "0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06",
        r"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x06",
        "ffff.ffff.ffff 0200.0000.0001 0806",
    ],
)
def test_hexadecimal_however_it_is_parted(words: str) -> None:
    assert frames.octets(words).lower() == "ffffffffffff0200000000010806"


def test_a_packet_of_a_file(tmp_path: Path) -> None:
    for name, write in (("x.pcap", wrpcap), ("x.pcapng", wrpcapng)):
        path = tmp_path / name
        write(str(path), SEVERAL)
        assert frames.octets(str(path)) == bytes(SEVERAL[0]).hex()
        assert frames.octets(f"{path}:3") == bytes(SEVERAL[2]).hex()
        with pytest.raises(CallError, match="no packet 4"):
            frames.octets(f"{path}:4")


def test_a_number_that_no_file_has_is_a_sentence(tmp_path: Path) -> None:
    wrpcap(str(tmp_path / "x.pcap"), SEVERAL)
    with pytest.raises(CallError, match="no packet 99999999999999999999"):
        frames.octets(f"{tmp_path}/x.pcap:99999999999999999999")


def test_packets_of_another_link_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    link = bytearray(pcapng.interface("web", "", 0))
    link[8:10] = (101).to_bytes(2, sys.byteorder)  # LINKTYPE_RAW
    packet = pcapng.packet(1, 2, bytes(60), 60, interface=0, direction=1)
    path.write_bytes(pcapng.section() + bytes(link) + packet)
    with pytest.raises(CallError, match="another link than Ethernet"):
        frames.octets(str(path))


def test_a_packet_of_a_capture(tmp_path: Path) -> None:
    blocks = [pcapng.section(), pcapng.interface("web", "", 0)]
    blocks += [pcapng.packet(1, 2, bytes(each), 60, interface=0, direction=1) for each in SEVERAL]
    (tmp_path / "c").write_bytes(b"".join(blocks))
    assert frames.octets(f"{tmp_path}/c:2") == bytes(SEVERAL[1]).hex()


def test_an_expression_of_scapy() -> None:
    words = 'Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff")/ARP(pdst="10.0.0.2", hwsrc="02:00:00:00:00:01")'
    assert bytes.fromhex(frames.octets(words))[:14].hex() == "ffffffffffff0200000000010806"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("abc", "odd number"),
        ("nonsense", "no frame"),
        ("z" * 5000, "no frame"),
        ("z\0", "no frame"),
        ("Nonsense()", "scapy does not"),
        (f"Nonsense({300 * ' '})", "scapy does not"),
        ("exit()", "scapy does not"),
        ("Ether(", "scapy does not"),
        ("IP()/ICMP()", r"begins with Ether\(\)"),
        ("(1)", "no frame of scapy"),
        ("[Ether()]", "no frame of scapy"),
        ("/etc/hostname", "no pcap"),
        ("/etc/hostname:0", "count from 1"),
        ("/nowhere/x.pcap", "there is no file /nowhere/x.pcap"),
        ("/nowhere/x.pcap:2", "there is no file /nowhere/x.pcap"),
        ("/etc", "/etc is a directory"),
    ],
)
def test_what_is_no_frame_is_a_sentence(words: str, sentence: str) -> None:
    with pytest.raises(CallError, match=sentence) as caught:
        frames.octets(words)
    assert caught.value.status == 2


@given(st.binary(max_size=200), st.sampled_from(["", "d4c3b2a1", "a1b2c3d4", "4d3cb2a1", "0a0d0d0a"]))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, octets: bytes, magic: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(bytes.fromhex(magic) + octets)
    with suppress(ValueError):
        list(packets.packets(path))
