"""A switch under measurement, and results on disk."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results"


class Started(NamedTuple):
    """A switch that runs, and the seconds from exec to its being ready."""

    pid: int
    seconds: float


@contextmanager
def running(ports: dict[str, dict[str, Any]]) -> Iterator[Started]:
    """A switch with these ports."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "perf.yml")
        file.write_text(yaml.safe_dump({"name": "perf", "control": f"{folder}/perf.sock", "ports": ports}))
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "vswitch", "run", str(file)], stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                if not any(" runs with " in line for line in process.stderr):
                    raise SystemExit("the switch did not start")
                yield Started(process.pid, time.perf_counter() - began)
            finally:
                process.send_signal(signal.SIGTERM)


def save(name: str, figures: dict[str, Any]) -> None:
    """Print figures and keep them as the last results of this name."""
    facts = {"machine": f"{platform.system()} {platform.release()}, Python {platform.python_version()}", **figures}
    RESULTS.mkdir(exist_ok=True)
    RESULTS.joinpath(f"{name}.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))
