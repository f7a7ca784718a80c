"""A switch that `vswitch adopt` starts in the background, and that does not come."""

from __future__ import annotations

import resource
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.running import unique
from vswitch.cli import adopt
from vswitch.control.client import CallError
from vswitch.control.pinned import Pinned
from vswitch.control.place import runtime_directory
from vswitch.ports import PortError
from vswitch.ports.kernel_bridge import KernelBridge, Pin


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


def test_static_entries_that_cannot_be_written_down_leave_no_file() -> None:
    """A full disk, say: nothing was done to the bridge by then."""
    switch, pins = unique("a"), (Pin("02:00:00:00:00:01", None, "v1", sticky=False),)
    bridge = KernelBridge("br", "", 1500, 300, False, False, 0, (), (), (), pins)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(PortError, match=r"cannot write down the static entries of br: .*File too large"):
            Pinned(switch, bridge, None, "tap")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not list(runtime_directory().glob(f"{switch}*"))
    with suppress(OSError):  # others may be there
        runtime_directory().rmdir()
