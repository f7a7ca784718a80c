"""Topologies of Mininet in Python: the file is run, in a process of its own, with stand-ins for Mininet's modules.

The stand-ins (`standin.py`) take note of hosts, switches and links. Nothing else of Mininet is there, so what a script
does with the network afterwards, such as to ping or to start a command, comes to nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vswitch.lab.imports.draft import ForeignError
from vswitch.lab.imports.graph import BASE, UNFIT, draw

if TYPE_CHECKING:
    from vswitch.lab.imports.draft import Draft

_STANDIN: Final = Path(__file__).with_name("standin.py")
_PATIENCE: Final = 20.0  # seconds that a file may run
_MOST: Final = 64 << 20


def read(path: Path, which: str | None = None) -> Draft:
    """The topology that a file makes: `which` of its `topos`, or its only one. Raises ForeignError."""
    if not path.is_file():
        raise ForeignError(f"there is no file {path}")
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        call = [sys.executable, "-I", str(_STANDIN), str(path.resolve()), str(found), which or ""]
        try:
            done = subprocess.run(
                call, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False,
                errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ForeignError(f"{path} did not end within {_PATIENCE:.0f} s") from None
        if done.returncode or not found.exists() or found.stat().st_size > _MOST:
            raise ForeignError(f"{path}: {_last_line(done.stderr) or 'it makes no network'}")
        data: dict[str, Any] = json.loads(found.read_bytes())
    try:
        draft = draw(data["name"] or path.stem, data["hosts"], data["switches"], data["links"], data["base"] or BASE)
    except UNFIT as error:
        raise ForeignError(f"{path} makes no network that is understood: {error}") from error
    if data["controllers"]:
        draft.remark("no controllers: every switch learns by itself, as Mininet's with its default controller")
    if data["nats"]:
        draft.remark("NAT has no counterpart: there is no way out of the network")
    return draft


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:400]
