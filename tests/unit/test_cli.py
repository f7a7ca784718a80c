"""The command line by itself, without a switch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.running import VSWITCH, vswitch
from vswitch import __version__
from vswitch.cli.app import _options_first, options_of
from vswitch.control.client import CallError

COMMANDS = [
    ["run"], ["check"], ["apply"], ["show"], ["explain"], ["inspect"], ["demo"],
    ["adopt"], ["release"], ["exec"], ["qemu-args"], ["libvirt-xml"],
    ["watch"], ["top"],
    ["port", "add"], ["port", "set"], ["port", "del"], ["fdb", "add"], ["fdb", "del"], ["fdb", "flush"],
    ["wireshark", "install"], ["wireshark", "uninstall"],
]  # fmt: skip


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    result = vswitch(*command, "--help")
    assert result.returncode == 0
    assert "Example: vswitch" in result.stdout


def test_help_imports_nothing_that_takes_long() -> None:
    code = "import sys, vswitch.cli.app; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"aiohttp", "pyroute2", "pydantic", "prometheus_client", "uvloop", "scapy", "rich", "asyncio"}
    assert not slow & set(result.stdout.split())


def test_version() -> None:
    assert vswitch("--version").stdout == f"vswitch {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["show"], ["run"], ["fdb", "add", "x"], ["show", "ports", "--nonsense"]]
)
def test_a_wrong_call_is_status_2(arguments: list[str]) -> None:
    result = vswitch(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_bash_completes_commands() -> None:
    environment = {**os.environ, "_VSWITCH_COMPLETE": "complete_bash", "COMP_WORDS": "vswitch expl", "COMP_CWORD": "1"}
    command = ["-c", "import sys; sys.argv[0] = 'vswitch'; from vswitch.cli import main; main()"]
    result = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["explain"]


def test_a_reader_that_stops_early_is_no_traceback(tmp_path: object) -> None:
    shell = f"{' '.join(VSWITCH)} --help | true"
    result = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("--tap web0 --access 10", {"tap": "web0", "access": "10"}),
        ("--trunk 10,20-29 --isolated", {"trunk": ["10", "20-29"], "isolated": True}),
        ("--access=10 --no-native", {"access": "10", "native": None}),
        ("--isolated --tap x", {"isolated": True, "tap": "x"}),
        ("", {}),
    ],
)
def test_options_of_a_port(words: str, options: dict[str, object]) -> None:
    assert options_of(words.split()) == options


@pytest.mark.parametrize("words", ["web0", "--", "--tap x y"])
def test_what_is_no_option_of_a_port(words: str) -> None:
    with pytest.raises(CallError, match="is not an option"):
        options_of(words.split())


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        ("show ports --switch x --json", "--switch x show ports --json"),
        ("show --control=/s ports", "--control=/s show ports"),
        ("explain a 00 -- --switch", "explain a 00 -- --switch"),
        ("show --switch", "--switch show"),
    ],
)
def test_which_switch_may_be_said_anywhere(words: str, ordered: str) -> None:
    assert _options_first(words.split()) == ordered.split()
