"""Every example of docs/testing.md does what it says, as a reader would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/testing.md"
PYTHON = re.compile(r"^## (.*?)$|^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str]]:
    """Each with the heading that it stands under."""
    found: list[tuple[str, str]] = []
    heading = ""
    for title, code in PYTHON.findall(PAGE.read_text()):
        heading = title or heading
        if code:
            found.append((heading, code))
    return found


@pytest.mark.parametrize(
    "code", [pytest.param(code, id=f"{heading} {n}") for n, (heading, code) in enumerate(examples())]
)
def test_an_example(tmp_path: Path, code: str) -> None:
    tests = len(re.findall(r"^def test_", code, re.MULTILINE))
    (tmp_path / "test_example.py").write_text(code)
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"] if tests else ["-X", "dev", "-W", "error"]
    result = subprocess.run(
        [sys.executable, *command, str(tmp_path / "test_example.py")], cwd=tmp_path, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{result.stdout[-4000:]}\n{result.stderr[-3000:]}"
    assert f"{tests} passed" in result.stdout if tests else result.stderr == ""


def test_there_are_examples_of_everything() -> None:
    assert len(examples()) == 8
