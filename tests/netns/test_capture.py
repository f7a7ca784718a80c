"""Captures of a real switch, read by tshark: complete, in order, and harmless whatever becomes of their reader."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.test_devices import index, inside
from tests.running import VSWITCH, Running, unique, until
from vswitch.lab import rootless
from vswitch.observe.pcapng import INBOUND, OUTBOUND, Packet, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.conftest import Lab

A, B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
LLDP = bytes.fromhex("0180c200000e 020000000001 88cc") + bytes(50)
MANY = 100_000


def read(path: Path) -> list[Packet]:
    return list(Reader().feed(path.read_bytes()))


def comments(path: Path) -> set[tuple[str, str]]:
    """Which ports' packets have which comments."""
    return {(each.interface, each.comment) for each in read(path)}


def tshark(path: Path, *arguments: str) -> str:
    return subprocess.run(["tshark", "-r", str(path), *arguments], check=True, capture_output=True, text=True).stdout


def fields(path: Path, *names: str) -> list[list[str]]:
    wanted = [word for name in names for word in ("-e", name)]
    return [line.split("\t") for line in tshark(path, "-T", "fields", *wanted).splitlines()]


def captures(switch: Running) -> int:
    return int(switch.client.call("GET", "switch")["captures"])


@contextlib.contextmanager
def capturing(switch: Running, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """`vswitch capture` beside the test, from the moment that the switch knows of it until Control-C."""
    before = captures(switch)
    words = [*VSWITCH, "--control", str(switch.control), "capture", *arguments]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **options)
    try:
        until(lambda: captures(switch) > before or process.poll() is not None, "the capture to begin")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    until(lambda: captures(switch) == before, "the capture to end")


@pytest.mark.program("tshark")
def test_tshark_sees_ports_directions_drops_and_what_belongs_together(
    lab: Lab, three: Callable[..., Running], tmp_path: Path
) -> None:
    switch, file = three(), tmp_path / "all.pcapng"
    with capturing(switch, "-w", str(file), "--filter", "icmp or ether proto 0x88cc"):
        assert lab.guest("a").ping("10.88.0.2") is not None
        with lab.guest("a").wire(lab.name("a")) as wire:
            wire.send(LLDP)
        until(lambda: switch.dropped("a").get("reserved_address"), "the drop")
        until(lambda: len(read(file)) == 5, "five packets")
    rows = fields(file, "frame.interface_name", "frame.packet_flags_direction", "frame.packet_id", "frame.comment")
    assert [row[:2] for row in rows] == [
        ["a", "0x00000001"], ["b", "0x00000002"], ["b", "0x00000001"], ["a", "0x00000002"], ["a", "0x00000001"]
    ]  # fmt: skip
    numbers = [row[2] for row in rows]
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3] != numbers[4]
    assert [row[3] for row in rows] == ["", "", "", "", "dropped: reserved_address"]
    assert "5" in tshark(file, "-q", "-z", "io,stat,0")
    assert "Errors" not in tshark(file, "-q", "-z", "expert,error")


def test_drops_alone_and_a_vlan_alone(lab: Lab, tmp_path: Path) -> None:
    addresses = {"a": ["10.88.0.1/24"], "b": ["10.88.0.2/24"], "c": ["10.88.0.3/24"]}
    ports = {name: {"address": address, "access": 10 if name != "c" else 20} for name, address in addresses.items()}
    switch, drops, ten = lab.start(ports), tmp_path / "drops", tmp_path / "ten"
    with capturing(switch, "--drops", "-w", str(drops)), capturing(switch, "--vlan", "10", "-w", str(ten)):
        assert lab.guest("a").ping("10.88.0.2") is not None
        with lab.guest("c").wire(lab.name("c")) as wire:
            wire.send(B + A + b"\x81\x00\x00\x0a\x88\xb5" + bytes(50))
        until(lambda: ("c", "dropped: vlan_filtered") in comments(drops), "the drop to be written")
    alone = {(port, "dropped: no_egress") for port in ports}  # what a guest's kernel says while nobody else is up
    assert comments(drops) - alone == {("c", "dropped: vlan_filtered")}
    assert {each.interface for each in read(ten)} == {"a", "b"}


class Pair:
    """A switch whose two guests are this test's, by sockets: what the sender writes waits until the switch reads it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.near = dict[str, socket.socket]()
        far = []
        for name in "ab":
            self.near[name], other = socket.socketpair()
            far.append(other)
        ports = {name: {"fd": other.fileno()} for name, other in zip("ab", far, strict=True)}
        fds = tuple(other.fileno() for other in far)
        self.switch = Running(folder, {"name": unique("p"), "ports": ports}, fds=fds, environment=environment)
        self.switch.start()
        for other in far:
            other.close()
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def _receive(self) -> None:
        with self.near["b"].makefile("rb") as stream:
            while head := stream.read(4):
                self.received.append(stream.read(int.from_bytes(head)))

    def send(self, numbers: range) -> list[bytes]:
        """Frames from a to b, each with its number; what was sent."""
        frames = [B + A + b"\x88\xb5" + number.to_bytes(8) + bytes(46 + number % 50) for number in numbers]
        for begin in range(0, len(frames), 1000):
            part = frames[begin : begin + 1000]
            self.near["a"].sendall(b"".join(len(frame).to_bytes(4) + frame for frame in part))
        return frames

    def close(self) -> None:
        self.switch.__exit__()
        for sock in self.near.values():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._thread.join()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


@pytest.mark.program("tshark")
@pytest.mark.parametrize("native", ["auto", "off"])
def test_a_hundred_thousand_frames_at_full_speed_are_all_there_in_order(tmp_path: Path, native: str) -> None:
    pair, file = Pair(tmp_path, VSWITCH_NATIVE=native), tmp_path / "many.pcapng"
    try:
        with capturing(pair.switch, "-w", str(file), "--count", str(2 * MANY)) as process:
            sent = pair.send(range(MANY))
            assert process.wait(120) == 0
    finally:
        pair.close()
    packets = read(file)
    assert [each.data for each in packets if (each.interface, each.direction) == ("a", INBOUND)] == sent
    assert [each.data for each in packets if (each.interface, each.direction) == ("b", OUTBOUND)] == sent
    assert pair.received == sent
    assert sum(each.lost for each in packets) == 0
    statistics = tshark(file, "-q", "-z", "io,stat,0")
    assert str(2 * MANY) in statistics
    assert "Errors" not in tshark(file, "-q", "-z", "expert,error")


def memory(switch: Running) -> int:
    """Octets of it that are resident."""
    assert switch.process is not None
    pages = Path(f"/proc/{switch.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_a_capture_that_nobody_reads_costs_the_switch_no_frame_and_bounded_memory(pair: Pair) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(pair.switch.control))
        caller.sendall(b"GET /v1/capture?buffer=1000000 HTTP/1.1\r\nHost: vswitch\r\n\r\n")
        until(lambda: captures(pair.switch) == 1, "the capture")
        pair.send(range(20_000))
        until(lambda: len(pair.received) == 20_000, "all frames")
        before = memory(pair.switch)
        pair.send(range(50_000))
        until(lambda: len(pair.received) == 70_000, "all frames")
        assert memory(pair.switch) - before < 4 << 20
        until(lambda: "not being read" in pair.switch.log.read_text(), "the log to tell")
    until(lambda: captures(pair.switch) == 0, "the capture to end")
    assert "lost" in pair.switch.log.read_text()
    pair.send(range(10))
    until(lambda: len(pair.received) == 70_010, "frames after it")


def test_a_reader_that_is_killed_leaves_nothing_behind(pair: Pair) -> None:
    reader, writer = os.pipe()
    with capturing(pair.switch, "-w", "-", stdout=writer) as process:
        os.close(writer)
        os.close(reader)
        pair.send(range(1000))
        process.communicate(timeout=30)
        assert process.returncode == 0
    until(lambda: captures(pair.switch) == 0, "the capture to end")
    with capturing(pair.switch, "-w", os.devnull) as process:
        process.kill()
        process.wait()
        until(lambda: captures(pair.switch) == 0, "the capture to end though there is no frame")
    assert "INFO who read a capture went, after 0 packets\n" in pair.switch.log.read_text()


@pytest.mark.skipif(rootless.needed(), reason="needs root")
def test_a_full_disk_ends_the_capture_with_a_sentence_and_a_file_that_is_right(pair: Pair, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    rootless.mount("tmpfs", str(disk), "tmpfs", 0, "size=64k")
    try:
        with capturing(pair.switch, "-w", str(disk / "x")) as process:
            pair.send(range(5000))
            _, words = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "cannot write" in words
        assert "No space left" in words
        found = read(disk / "x")
        assert f"; {len(found)} packets are there" in words
        whole = b"".join(block for _, block in _blocks(disk / "x"))
        assert found
        assert whole == (disk / "x").read_bytes(), "no half a block"
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    until(lambda: len(pair.received) == 5000, "the switch to go on")


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    octets, at = path.read_bytes(), 0
    while at + 8 <= len(octets):
        kind, length = struct.unpack_from("=II", octets, at)
        if at + length > len(octets):
            return
        yield kind, octets[at : at + length]
        at += length


@pytest.mark.program("tshark")
def test_files_take_turns_and_each_can_be_read_by_itself(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "turn.pcapng"
    with capturing(pair.switch, "-w", str(file), "--rotate", "32k:3", "--count", "2000") as process:
        pair.send(range(1000))
        assert process.wait(30) == 0
    files = [tmp_path / "turn.2.pcapng", tmp_path / "turn.1.pcapng", file]
    assert sorted(tmp_path.glob("turn*")) == sorted(files)
    assert all(each.stat().st_size < 33 * 1024 for each in files)
    came = [int(number) for each in files for port, number in fields(each, "frame.interface_name", "frame.packet_id")
            if port == "a"]  # fmt: skip
    assert len(came) > 100
    assert came == list(range(came[0], came[0] + len(came))), "without a gap between two files"


def test_a_ring_dumps_the_past_once_its_trigger_fires(lab: Lab, three: Callable[..., Running], tmp_path: Path) -> None:
    switch, file = three(), tmp_path / "ring"
    words = ["-w", str(file), "--ring", "1m", "--trigger", "drop:reserved_address", "--after", "0.2s"]
    with capturing(switch, *words) as process:
        assert lab.guest("a").ping("10.88.0.2") is not None
        assert read(file) == []
        with lab.guest("a").wire(lab.name("a")) as wire:
            wire.send(LLDP)
        assert process.wait(30) == 0
    packets = read(file)
    assert [each.comment for each in packets if each.comment] == ["dropped: reserved_address"]
    assert any(each.data[12:14] == b"\x08\x00" for each in packets), "the past"


def test_a_ring_that_goes_on_has_a_file_for_each_time_that_a_port_went_down(
    lab: Lab, three: Callable[..., Running], tmp_path: Path
) -> None:
    switch, file = three(), tmp_path / "down.pcapng"
    words = ["--ring", "1m", "--trigger", "down:b", "--after", "50ms", "--again", "2", "-w", str(file)]

    last = float("-inf")

    def dumped(before: bytes) -> bool:
        """Whether there is one more, whole; if not, a link goes down every five seconds: a ring may have come late."""
        nonlocal last
        if [kind for kind, _ in _blocks(file)][-1:] == [5] and file.read_bytes() != before:
            return True  # the counts of an interface are last
        if time.monotonic() - last > 5.0:
            last = time.monotonic()
            set_link(lab, "b", "up")
            until(lambda: lab.guest("a").ping("10.88.0.2") is not None, "the guests to talk")
            set_link(lab, "c", "down")  # that is somebody else's
            set_link(lab, "c", "up")
            set_link(lab, "b", "down")
        return False

    with capturing(switch, *words) as process:
        for _ in range(3):
            last = float("-inf")
            until(lambda: captures(switch) == 1, "the ring")
            until(partial(dumped, file.read_bytes()), "the dump")
        assert process.poll() is None
    assert sorted(each.name for each in tmp_path.glob("down*")) == ["down.1.pcapng", "down.pcapng"]
    for each in tmp_path.glob("down*"):
        assert [kind for kind, _ in _blocks(each)].count(0x0A0D0D0A) == 1
        assert {packet.interface for packet in read(each)} >= {"a", "b"}


def test_a_ring_that_goes_on_ends_after_the_seconds_that_were_asked_for(pair: Pair, tmp_path: Path) -> None:
    words = ["capture", "--ring", "1m", "--trigger", "drop", "--again", "2", "--seconds", "1", "-w"]
    result = pair.switch.vswitch(*words, str(tmp_path / "x"))
    assert result.returncode == 0
    assert "0 packets" in result.stderr


@pytest.mark.parametrize("command", [["capture", "-w", os.devnull], ["watch"]], ids=lambda words: words[0])
@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_seconds_are_some(pair: Pair, command: list[str], seconds: str) -> None:
    assert pair.switch.vswitch(*command, "--seconds", seconds).returncode == 2


def set_link(lab: Lab, guest: str, state: str) -> None:
    with inside(lab.name(guest)) as ipr:
        ipr.link("set", index=index(ipr, lab.name(guest)), state=state)


def test_open_captures_end_whole_when_the_switch_does(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "end"
    words = [*VSWITCH, "--control", str(pair.switch.control), "capture", "-w", str(file)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    until(lambda: captures(pair.switch) == 1, "the capture")
    pair.send(range(100))
    until(lambda: len(pair.received) == 100, "the frames")
    assert pair.switch.stop() == 0
    assert "200 packets" in process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert [kind for kind, _ in _blocks(file)][-1] == 5, "the counts of an interface"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope", "-w", "x"], "no port nope"),
        (["-w", "x", "--filter", "nonsense here"], "not understood"),
        (["-w", "x", "--ring", "1s"], "--trigger"),
        (["-w", "x", "--ring", "1s", "--trigger", "drop:nonsense"], "no drop reason"),
        (["-w", "x", "--again", "2"], "--ring"),
        (["-w", "x", "--trigger", "drop"], "--ring"),
        (["-w", "x", "--after", "1s"], "--ring"),
        (["-w", "x", "--ring", "0s", "--trigger", "drop"], "ring"),
        (["-w", "x", "--ring", "1s", "--trigger", "down:nope"], "no port nope"),
        (["-w", "x", "--rotate", "10M"], "SIZE:COUNT"),
        (["-w", "x", "--buffer", "many"], "no size"),
        (["-w", "-", "--rotate", "10M:2"], "needs a file"),
    ],
)
def test_a_call_that_is_wrong_is_one_sentence(pair: Pair, tmp_path: Path, arguments: list[str], words: str) -> None:
    call = [*VSWITCH, "--control", str(pair.switch.control), "capture", *arguments]
    result = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, timeout=30, check=False)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "x").exists()
