"""A real `vswitch lab up` as a process of its own, and what a test does to it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.running import PATIENCE, VSWITCH, unique, until, vswitch
from vswitch.control.place import control_socket, lab_directory
from vswitch.lab.guest import Guest

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMED, ETC = Path("/run/netns"), Path("/etc/netns")


class RunningLab:
    """A lab in a process: a context that ends it, with a name that no other test has."""

    def __init__(self, folder: Path, topology: str, name: str | None = None) -> None:
        """topology: YAML without a name."""
        self.name = name or unique("l")
        self.file = folder / f"{self.name}.yml"
        self.log = folder / f"{self.name}.log"
        self.folder = lab_directory(self.name)
        self.process: subprocess.Popen[bytes] | None = None
        self.write(topology)

    def write(self, topology: str) -> None:
        """Write the file anew."""
        self.file.write_text(f"name: {self.name}\n{topology}")

    def __enter__(self) -> RunningLab:
        self.start()
        return self

    def start(self) -> None:
        """Start, and wait until it is up."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*VSWITCH, "lab", "up", str(self.file)], stdout=log, stderr=log)
        until(self._is_up, "the lab to come up")

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the lab ended:\n{self.log.read_text()}"
        return " is up: " in self.log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        vswitch("lab", "down", self.name)

    def guest(self, name: str) -> Guest:
        """Who lives there."""
        return Guest(f"{self.name}-{name}")

    def lab(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of `vswitch lab`."""
        return vswitch("lab", *words)

    def execute(self, guest: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in a guest."""
        return vswitch("lab", "exec", "--lab", self.name, guest, "--", *command)

    def status(self) -> dict[str, Any]:
        """As a script has it."""
        said = self.lab("status", self.name, "--json")
        assert said.returncode == 0, said.stderr
        answer: dict[str, Any] = json.loads(said.stdout)
        return answer

    def row(self, guest: str) -> dict[str, Any]:
        """One guest of it."""
        return next(row for row in self.status()["guests"] if row["guest"] == guest)

    def left(self) -> list[str]:
        """What is on the host of it."""
        places = (*NAMED.glob(f"{self.name}-*"), *ETC.glob(f"{self.name}-*"), self.folder,
                  *control_socket(self.name).parent.glob(f"{self.name}-*"))  # fmt: skip
        return [str(place) for place in places if place.exists()] + list(self._processes())

    def _processes(self) -> Iterator[str]:
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = line.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if self.name in words:
                yield words.replace("\0", " ")
