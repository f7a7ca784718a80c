"""A switch that `vswitch adopt` starts in the background, and that does not come."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from vswitch.cli import adopt
from vswitch.control.client import CallError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("command", "said", "expected"),
    [
        ("exit 3", "", "it ended with status 3"),
        ("sleep 60", "", "it takes too long"),
        ("exit 1", "vswitch: one sentence\n", "vswitch: one sentence"),
    ],
)
def test_why_the_switch_did_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, said: str, expected: str
) -> None:
    monkeypatch.setattr(adopt, "PATIENCE", 0.0 if "sleep" in command else 30.0)
    (log := tmp_path / "log").write_text(said)
    with subprocess.Popen(["sh", "-c", command]) as switch:
        with pytest.raises(CallError, match=f"^the switch did not start: {expected}$"):
            adopt._wait(switch, tmp_path / "socket", log)
        switch.kill()
