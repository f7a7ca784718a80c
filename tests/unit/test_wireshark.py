"""The extcap program: how it gets to where Wireshark looks, and what it answers without a switch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.running import VSWITCH, vswitch
from vswitch.cli import wireshark
from vswitch.control.client import CallError

if TYPE_CHECKING:
    from pathlib import Path

EXTCAP = [sys.executable, "-c", "from vswitch.cli.extcap import main; main()"]


def extcap(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EXTCAP, *arguments], capture_output=True, text=True, timeout=30, check=False)


def at_home(home: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """A command of a user whose home directory this is; path: where programs are, if there are any."""
    environment = {**os.environ, "HOME": str(home), "PATH": path or os.environ["PATH"]}
    words = [*VSWITCH, "wireshark", *arguments]
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_the_program_goes_into_the_users_folder_and_away_again(tmp_path: Path) -> None:
    file = tmp_path / ".local/lib/wireshark/extcap/vswitch"
    for _ in range(2):
        result = at_home(tmp_path, "install", "--json")
        assert result.returncode == 0
        assert json.loads(result.stdout) == {"file": str(file)}
        assert list(file.parent.iterdir()) == [file]
    answer = subprocess.run([file, "--extcap-dlts"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert answer.stdout == "dlt {number=1}{name=EN10MB}{display=Ethernet}\n"
    assert json.loads(at_home(tmp_path, "uninstall", "--json").stdout) == {"file": str(file), "removed": True}
    assert not file.exists()
    assert "was not there" in at_home(tmp_path, "uninstall").stdout


def program(folder: Path, says: str) -> str:
    """A folder in which a tshark says this of its folders."""
    folder.mkdir()
    (folder / "tshark").write_text(f"#!/bin/sh\nprintf '{says}'\n")
    (folder / "tshark").chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("says", "read"),
    [
        ("Extcap path:\\t{own}\\n", False),
        ("Personal Extcap path:\\t/home/x\\nGlobal Extcap path:\\t{own}\\n", True),
    ],
)
def test_it_is_said_where_wireshark_does_not_look_and_system_is_where_it_does(
    tmp_path: Path, says: str, read: bool
) -> None:
    path = f"{program(tmp_path / 'bin', says.format(own=tmp_path / 'own'))}:/bin:/usr/bin"
    result = at_home(tmp_path, "install", path=path)
    assert result.returncode == 0
    assert ("install with --system" in result.stderr) is not read
    assert at_home(tmp_path, "install", "--system", path=path).returncode == 0
    assert (tmp_path / "own" / "vswitch").exists()
    assert at_home(tmp_path, "uninstall", "--system", path=path).returncode == 0
    assert not (tmp_path / "own" / "vswitch").exists()


def test_without_wireshark_there_is_no_folder_of_the_system(tmp_path: Path) -> None:
    result = at_home(tmp_path, "install", "--system", path=str(tmp_path))
    assert result.returncode == 1
    assert "install one, or give --folder DIR" in result.stderr


def test_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "vswitch").write_text("#!/bin/sh\n")
    for command in ("install", "uninstall"):
        result = vswitch("wireshark", command, "--folder", str(tmp_path))
        assert result.returncode == 1
        assert "is not of vswitch" in result.stderr
    assert (tmp_path / "vswitch").read_text() == "#!/bin/sh\n"


def test_a_place_that_cannot_be_written_to_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        result = vswitch("wireshark", "install", "--folder", str(folder))
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
    assert vswitch("wireshark", "install", "--system", "--folder", str(tmp_path)).returncode == 2


def test_a_python_that_no_script_can_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
    with pytest.raises(CallError, match="no spaces"):
        wireshark.install(folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("expression", "answer"), [("arp or icmp", ""), ("nonsense here", "not understood")])
def test_a_filter_is_checked_as_wireshark_asks_for_it(expression: str, answer: str) -> None:
    result = extcap("--extcap-interface", "vswitch-x", "--extcap-capture-filter", expression)
    assert result.returncode == 0
    assert answer in result.stdout
    assert bool(result.stdout) is bool(answer)


def test_options_have_a_name_each() -> None:
    lines = extcap("--extcap-config", "--extcap-interface", "vswitch-x", "--extcap-of-tomorrow=1").stdout.splitlines()
    assert [line.split("}")[1] for line in lines] == [
        "{call=--drops", "{call=--as-on-wire", "{call=--vlan", "{call=--snaplen"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "for Wireshark to call"),
        (["--capture"], 2, "--fifo"),
        (["--capture", "--fifo", "/nonexistent/fifo"], 1, "cannot write"),
        (["--capture", "--fifo", "/dev/null", "--extcap-interface", "eth0"], 2, "no interface of vswitch"),
        (["--capture", "--fifo", "/dev/null", "--extcap-interface", "vswitch-../x"], 2, "no interface of vswitch"),
        (["--capture", "--fifo", "/dev/null", "--extcap-interface", "vswitch-nope"], 1, "no switch answers"),
    ],
)
def test_errors_are_one_sentence(arguments: list[str], status: int, words: str) -> None:
    result = extcap(*arguments)
    assert result.returncode == status
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
