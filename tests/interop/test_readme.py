"""Every command of the README and of the documents beside it does what it is there for."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.isolated import PREFIX

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

ROOT = Path(__file__).parents[2]
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    if SHELL.search(path.read_text())
)

PROGRAMS = (
    "bridge",
    "curl",
    "ip",
    "make",
    "nsenter",
    "ping",
    "qemu-system-x86_64",
    "tcpdump",
    "tshark",
    "unshare",
    "vde_plug2tap",
)

WAIT = """
for i in $(seq 300); do vswitch show ports >/dev/null 2>&1 && break; sleep 0.1; done
"""


def script(commands: list[str]) -> str:
    """A shell script that runs every line in turn, a switch in the background, and stops at the first that fails."""
    lines = ["set -eu", "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"]
    for command in commands:
        lines.append(f"echo {command!r}" if "'" not in command else "true")
        if command.startswith("vswitch run"):
            lines += [f"{command} &", WAIT]
        else:
            lines.append(command)
    return "\n".join(lines)


def commands(page: Path) -> list[str]:
    """What a reader is asked to type, without what follows `#`; the lines up to END go with the command before."""
    blocks = SHELL.findall((ROOT / page).read_text())
    typed: list[str] = []
    open_ended = False
    for line in (line for block in blocks for line in block.splitlines()):
        if open_ended:
            typed[-1] += f"\n{line}"
            open_ended = line != "END"
        elif (command := re.sub(r"\s+# .*", "", line)) and not command.startswith("#"):
            typed.append(command)
            open_ended = command.endswith("<<'END'")
    return typed


def with_programs(page: Path) -> ParameterSet:
    """A page, with the programs that it calls."""
    words = set(re.findall(r"[\w-]+", "\n".join(commands(page))))
    marks = pytest.mark.program("bash", *(name for name in PROGRAMS if name in words))
    return pytest.param(page, marks=marks, id=str(page))


@pytest.mark.parametrize("page", [with_programs(page) for page in PAGES])
def test_commands_of_a_page(page: Path) -> None:
    typed = commands(page)
    targets = [line for line in typed if line.startswith("make ")]
    for target in targets:  # the gate itself runs them
        subprocess.run([*shlex.split(target), "-n"], cwd=ROOT, check=True, capture_output=True)
    rest = [line for line in typed if line not in targets and not line.startswith(("pip ", "docker "))]
    path = f"export PATH={Path(sys.executable).parent}:$PATH\n"
    result = subprocess.run(
        [*PREFIX, "bash", "-c", path + script(rest)], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"


PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_example_in_python(tmp_path: Path) -> None:
    """Beside the switch that its page has running, in the same network."""
    (example,) = PYTHON.findall((ROOT / "docs/python.md").read_text())
    (tmp_path / "test_example.py").write_text(example)
    pytest = f"{shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider {shlex.quote(str(tmp_path))}"
    path = f"export PATH={Path(sys.executable).parent}:$PATH\n"
    result = subprocess.run(
        [*PREFIX, "bash", "-c", path + script([*commands(Path("docs/python.md")), pytest])],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    assert "1 passed" in result.stdout


def test_the_lab_in_python() -> None:
    (example,) = PYTHON.findall((ROOT / "docs/lab.md").read_text())
    result = subprocess.run(
        [*PREFIX, sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_readme_has_commands() -> None:
    assert len(commands(Path("README.md"))) > 5
