"""tshark captures from a real switch by the extcap program.

tshark as root reads one folder alone. So it runs in a mount namespace of its own, where that folder is the test's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.isolated import PREFIX
from tests.netns.test_capture import LLDP, captures
from tests.running import VSWITCH, Running, until, vswitch
from vswitch.cli.wireshark import _own_folder
from vswitch.control.place import control_socket
from vswitch.observe import pcapng

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.netns.conftest import Lab

pytestmark = pytest.mark.program("tshark", "unshare", "mount")
INTERFACE = "frame.interface_name"


@pytest.fixture
def switch(lab: Lab, three: Callable[..., Running]) -> Running:
    """Three guests, and the control socket where switches are looked for."""
    return three(control=str(control_socket(lab.tag)))


class Wireshark:
    """Programs that find this folder where tshark looks for extcap programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.started: list[subprocess.Popen[str]] = []

    def words(self, *arguments: str) -> list[str]:
        shell = 'mount --bind "$0" "$1" && shift && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", shell, str(self.folder), str(_own_folder()), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.words(*arguments), capture_output=True, text=True, timeout=60, check=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """tshark, in the background."""
        words = self.words("tshark", "-l", "-n", *arguments)
        self.started.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return self.started[-1]


@pytest.fixture
def wireshark(tmp_path: Path) -> Iterator[Wireshark]:
    """The program is installed, in a folder of this test; what is started ends with it."""
    made = Wireshark(tmp_path / "extcap")
    assert vswitch("wireshark", "install", "--folder", str(made.folder)).returncode == 0
    yield made
    for process in made.started:
        process.kill()
        process.communicate(timeout=30)


def test_system_is_the_folder_that_tshark_reads(wireshark: Wireshark) -> None:
    (wireshark.folder / "vswitch").unlink()
    assert wireshark.run(*VSWITCH, "wireshark", "install", "--system").returncode == 0
    assert (wireshark.folder / "vswitch").exists()
    assert wireshark.run(*VSWITCH, "wireshark", "uninstall", "--system").returncode == 0
    assert list(wireshark.folder.iterdir()) == []


def test_tshark_lists_a_switch_and_its_ports(lab: Lab, switch: Running, wireshark: Wireshark) -> None:
    _ = switch
    listed = wireshark.run("tshark", "-D").stdout
    assert f"vswitch-{lab.tag} (vswitch {lab.tag} (all ports))" in listed
    for port in "abc":
        assert f"vswitch-{lab.tag}:{port} (vswitch {lab.tag}, port {port})" in listed


def test_without_a_switch_there_is_no_interface(wireshark: Wireshark) -> None:
    words = [*PREFIX, str(wireshark.folder / "vswitch"), "--extcap-interfaces"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0
    assert result.stderr == ""
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["extcap"]


def test_tshark_sees_frames_with_the_names_of_their_ports(lab: Lab, switch: Running, wireshark: Wireshark) -> None:
    tshark = wireshark.start("-i", f"vswitch-{lab.tag}", "-f", "icmp", "-c", "4", "-T", "fields", "-e", INTERFACE)
    until(lambda: captures(switch) or tshark.poll() is not None, "the capture to begin")
    assert lab.guest("a").ping("10.88.0.2") is not None
    names, words = tshark.communicate(timeout=60)
    assert names.split() == ["a", "b", "b", "a"], words
    until(lambda: captures(switch) == 0, "the capture to end")


def test_one_port_and_what_is_asked_of_it(lab: Lab, switch: Running, wireshark: Wireshark) -> None:
    port = f"vswitch-{lab.tag}:a"
    options = [f"extcap.{port.replace('-', '_').replace(':', '_')}.{each}" for each in ("drops:true", "snaplen:20")]
    wanted = ["-T", "fields", "-e", INTERFACE, "-e", "frame.cap_len", "-e", "frame.comment"]
    tshark = wireshark.start("-i", port, "-o", options[0], "-o", options[1], "-c", "1", *wanted)
    until(lambda: captures(switch) or tshark.poll() is not None, "the capture to begin")
    for name in "ba":
        with lab.guest(name).wire(lab.name(name)) as wire:
            wire.send(LLDP)
    seen, words = tshark.communicate(timeout=60)
    assert seen.strip().split("\t") == ["a", "20", "dropped: reserved_address"], words


def test_a_tshark_that_is_killed_ends_the_capture_of_a_quiet_switch(
    lab: Lab, switch: Running, wireshark: Wireshark
) -> None:
    tshark = wireshark.start("-i", f"vswitch-{lab.tag}", "-f", "ether proto 0x1234")
    until(lambda: captures(switch) == 1, "the capture to begin")
    tshark.kill()
    tshark.communicate(timeout=30)
    until(lambda: captures(switch) == 0, "the capture to end")


def test_a_pipe_that_nobody_reads_any_more_ends_the_capture_of_a_quiet_switch(
    lab: Lab, switch: Running, wireshark: Wireshark, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    words = ["--capture", "--fifo", str(tmp_path / "fifo"), "--extcap-interface", f"vswitch-{lab.tag}:a"]
    process = subprocess.Popen([wireshark.folder / "vswitch", *words, "--extcap-capture-filter", "ether proto 0x1234"])
    with (tmp_path / "fifo").open("rb") as fifo:
        assert fifo.read(4) == pcapng.SECTION.to_bytes(4)
        assert captures(switch) == 1
    assert process.wait(30) == 0
    until(lambda: captures(switch) == 0, "the capture to end")


def test_the_end_of_the_switch_ends_the_capture(lab: Lab, switch: Running, wireshark: Wireshark) -> None:
    tshark = wireshark.start("-i", f"vswitch-{lab.tag}")
    until(lambda: captures(switch) == 1, "the capture to begin")
    assert switch.stop() == 0
    assert tshark.communicate(timeout=60)[1]


def test_what_the_switch_refuses_is_what_tshark_says(lab: Lab, switch: Running, wireshark: Wireshark) -> None:
    _ = switch
    result = wireshark.run("tshark", "-i", f"vswitch-{lab.tag}", "-f", "nonsense here", "-c", "1")
    assert result.returncode != 0
    assert "is not understood" in result.stderr
    assert sys.executable not in result.stderr
