"""`vswitch watch` and `vswitch top` of a real switch with guests."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.running import VSWITCH, Running, until
from vswitch.lab.guest import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.conftest import Lab
    from vswitch.lab.guest import Guest

LLDP = bytes.fromhex("0180c200000e 020000000001 88cc") + bytes(50)
HOSTILE = b"\x1b]0;owned\x07\x1b[31m"


class Watching:
    """`vswitch watch` beside the test, and its lines so far."""

    def __init__(self, switch: Running, *arguments: str) -> None:
        words = [*VSWITCH, "--control", str(switch.control), "watch", *arguments]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def end(self, number: int = signal.SIGINT) -> str:
        """Control-C, if it has not ended; what it said beside the lines."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(30)
        self._thread.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        with self.process.stdout, self.process.stderr as stderr:
            return stderr.read()

    def rows(self) -> list[dict[str, Any]]:
        """The lines of `--json`."""
        return [json.loads(line) for line in self.lines]


@contextlib.contextmanager
def watching(switch: Running, *arguments: str) -> Iterator[Watching]:
    """From the moment that the switch knows of it until Control-C."""
    before = captures(switch)
    watch = Watching(switch, *arguments)
    try:
        until(lambda: captures(switch) > before or watch.process.poll() is not None, "watching to begin")
        yield watch
    finally:
        said = watch.end()
    assert watch.process.returncode == 0, said
    until(lambda: captures(switch) == before, "watching to end")


def captures(switch: Running) -> int:
    return int(switch.client.call("GET", "switch")["captures"])


def test_a_ping_is_a_line_for_each_frame_with_both_ports(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    assert lab.guest("a").ping("10.88.0.2") is not None, "so that neighbours are known"
    with watching(switch, "--filter", "icmp", "--json") as watch:
        assert lab.guest("a").ping("10.88.0.2") is not None
        until(lambda: len(watch.lines) >= 2, "two lines")
    rows = watch.rows()
    assert [(row["port"], row["egress"], row["protocol"]) for row in rows] == [
        ("a", ["b"], "ICMP"), ("b", ["a"], "ICMP")
    ]  # fmt: skip
    assert "echo-request" in rows[0]["summary"]
    assert [(row["vlan"], row["reason"], row["marks"]) for row in rows] == [(1, None, [])] * 2


def test_lines_for_people_have_no_colour_in_a_pipe_and_ports_narrow_them(
    lab: Lab, three: Callable[..., Running]
) -> None:
    switch = three()
    with watching(switch, "c", "--filter", "icmp") as watch:
        assert lab.guest("a").ping("10.88.0.2") is not None
        assert lab.guest("a").ping("10.88.0.3") is not None
        until(lambda: len(watch.lines) >= 2, "two lines")
    assert len(watch.lines) == 2
    assert " a > c " in watch.lines[0]
    assert "IP / ICMP 10.88.0.3 > 10.88.0.1 echo-reply" in watch.lines[1]
    assert "\x1b" not in "".join(watch.lines)


def test_a_drop_has_its_reason(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with watching(switch, "--drops", "--filter", "ether proto 0x88cc") as watch:
        with lab.guest("a").wire(lab.name("a")) as wire:
            wire.send(LLDP)
        until(lambda: watch.lines, "a line")
    assert " a > - dropped: reserved_address" in watch.lines[0]
    assert " LLDP " in watch.lines[0]


def test_two_guests_of_one_address_are_a_conflict_in_one_vlan_alone(lab: Lab) -> None:
    guests = {
        "a": ("10.88.0.1/24", 10),
        "b": ("10.88.0.2/24", 10),
        "c": ("10.88.0.2/24", 10),
        "d": ("10.88.0.2/24", 20),
    }
    switch = lab.start({name: {"address": [address], "access": vlan} for name, (address, vlan) in guests.items()})
    with watching(switch, "--filter", "arp", "--json") as watch:

        def told() -> bool:
            lab.guest("a").ping("10.88.0.2", timeout=0.2)
            lab.guest("d").ping("10.88.0.9", timeout=0.2)
            return any(conflicts(row) for row in watch.rows())

        until(told, "the conflict")
    details = [detail for row in watch.rows() for detail in conflicts(row)]
    assert "10.88.0.2 is claimed by" in details[0]
    assert "(b)" in details[0]
    assert "(c)" in details[0]
    assert not any("(d)" in detail for detail in details)
    assert {row["vlan"] for row in watch.rows()} == {10, 20}


def conflicts(row: dict[str, Any]) -> list[str]:
    return [mark["detail"] for mark in row["marks"] if mark["mark"] == "arp conflict"]


def test_a_tcp_transfer_is_lines_in_both_directions_none_of_them_wrong(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with watching(switch, "--filter", "tcp", "--json") as watch:
        transfer(lab.guest("a"), lab.guest("b"), "10.88.0.2", 200_000)
        until(lambda: any(" FA " in row["summary"] for row in watch.rows()), "its end")
    rows = watch.rows()
    assert {(row["port"], *row["egress"]) for row in rows} == {("a", "b"), ("b", "a")}
    assert " S seq " in rows[0]["summary"]
    assert not {mark["mark"] for row in rows for mark in row["marks"]} & {"bad checksum", "duplicate"}
    assert any(row["segments"] > 1 for row in rows), "superframes are a line each"


def test_a_count_ends_it(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with watching(switch, "--filter", "tcp", "--count", "10") as watch:
        assert stream(lab.guest("a"), lab.guest("b"), "10.88.0.2", 0.3) > 0
        until(lambda: watch.process.poll() is not None, "ten frames")
    assert len(watch.lines) == 10


def transfer(sender: Guest, receiver: Guest, address: str, octets: int) -> None:
    """So many octets over a TCP connection, which is closed then."""
    with receiver.open_socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((address, 0))
        server.listen(1)
        with sender.open_socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect(server.getsockname())
            connection, _ = server.accept()
            client.sendall(bytes(octets))
        with connection, connection.makefile("rb") as received:
            assert len(received.read()) == octets


def test_hostile_frames_are_lines_as_any(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    types = ["0800 45", "86dd 60", "88cc 02", "0806", "8100 000a 0800 45", "0026 424203", "88b5", "8809 01"]
    with watching(switch, "a") as watch, lab.guest("a").wire(lab.name("a")) as wire:
        for number in range(200):
            begin = bytes.fromhex("ffffffffffff 020000000001" + types[number % len(types)])
            wire.send(begin + HOSTILE + os.urandom(60))
        wire.send(bytes.fromhex("ffffffffffff 020000000001 88b6 feedbeef") + bytes(60))
        until(lambda: any("feedbeef" in line for line in watch.lines), "the last")
        assert watch.process.poll() is None
    assert all(line.isprintable() for line in watch.lines)


def test_what_is_wrong_is_a_sentence(three: Callable[..., Running]) -> None:
    switch = three()
    for arguments, words in ((["nobody"], "nobody"), (["--filter", "nonsense here"], "not understood")):
        result = switch.vswitch("watch", *arguments)
        assert result.returncode == 2
        assert words in result.stderr
        assert "Traceback" not in result.stderr


def test_without_scapy_a_sentence_says_what_to_install(three: Callable[..., Running]) -> None:
    switch = three()
    code = "import sys; sys.modules['scapy'] = None; from vswitch.cli import main; main()"
    call = [VSWITCH[0], "-c", code, "--control", str(switch.control), "watch"]
    result = subprocess.run(call, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert result.stderr == "vswitch: frames are decoded by scapy, which is not here: pip install 'vswitch[scapy]'\n"


def test_top_shows_rates_of_what_is_counted(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with lab.guest("a").wire(lab.name("a")) as wire:
        before = switch.ports()
        words = [*VSWITCH, "--control", str(switch.control), "top", "--once", "--json", "--interval", "2"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                wire.send(LLDP)
                time.sleep(0.01)
            assert process.stdout is not None
            sample = json.loads(process.stdout.read())
        after = switch.ports()
    assert process.returncode == 0
    row = next(row for row in sample["ports"] if row["port"] == "a")
    assert [row["port"] for row in sample["ports"]] == ["a", "b", "c"]
    assert row["state"] == "up"
    dropped = [ports["a"]["dropped"]["reserved_address"] for ports in (before, after)]
    assert 0 < row["dropped"]["reserved_address"] * sample["seconds"] <= dropped[1] - dropped[0]
    octets = after["a"]["receive"]["bytes"] - before["a"]["receive"]["bytes"]
    assert 0 < row["receive"]["bits"] / 8 * sample["seconds"] <= octets
    assert sample["seconds"] >= 2.0


class Terminal:
    """`vswitch top` in a terminal of its own."""

    def __init__(self, switch: Running) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
        self.before = termios.tcgetattr(self.theirs)
        words = [*VSWITCH, "--control", str(switch.control), "top", "--interval", "0.2"]
        environment = {**os.environ, "TERM": "xterm"}
        self.process = subprocess.Popen(
            words, stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, env=environment
        )
        self.shown = b""

    def shows(self, words: bytes) -> bool:
        """Whether the terminal was told these words since the last key."""
        while select.select([self.ours], [], [], 0.05)[0]:
            self.shown += os.read(self.ours, 1 << 16)
        return words in self.shown

    def press(self, keys: bytes) -> None:
        self.shown = b""
        os.write(self.ours, keys)

    def ended(self) -> bool:
        self.shows(b"")
        return self.process.poll() is not None

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(three: Callable[..., Running]) -> Iterator[Terminal]:
    terminal = Terminal(three())
    yield terminal
    terminal.close()


def test_top_obeys_keys_and_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    until(lambda: terminal.shows(b"PORT^"), "the table")
    terminal.press(b"s")
    until(lambda: terminal.shows(b"STATE^"), "another order")
    terminal.press(b"/nobody\r")
    until(lambda: terminal.shows(b"ports with 'nobody'"), "a filter")
    assert termios.tcgetattr(terminal.theirs) != terminal.before
    terminal.press(b"q")
    until(terminal.ended, "it to end")
    assert terminal.process.returncode == 0
    assert terminal.shows(b"\x1b[?1049l"), "back on the screen that was there"
    assert termios.tcgetattr(terminal.theirs) == terminal.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(terminal: Terminal, number: int) -> None:
    until(lambda: terminal.shows(b"PORT^"), "the table")
    terminal.process.send_signal(number)
    until(terminal.ended, "it to end")
    assert terminal.shows(b"\x1b[?1049l")
    assert termios.tcgetattr(terminal.theirs) == terminal.before
