"""Labs of many switches: how long they take to come up and go, and what a cable between two switches costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from perf.contenders import wait_for_line
from perf.lab import PATIENCE
from vswitch.control.place import lab_directory
from vswitch.lab.guest import Guest, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = f"vswitch-perf-{os.getpid()}"
CAMPUS: Final = """\
switches: {{core: , s: {{count: 10}}}}
guests: {{h: {{count: {guests}, switch: "s[1-10]", pool: 10.66.0.0/16}}}}
links: [[core, "s[1-10]"]]
"""
CHAINS: Final = (1, 2, 3, 5)
PINGS: Final = 300

Rounds = dict[str, list[float]]


def measure(rounds: int, seconds: float, guests: int = 100) -> Rounds:
    """Figures of every round."""
    figures: Rounds = {}
    for number in range(rounds):
        print(f"lab, round {number + 1}", file=sys.stderr, flush=True)
        for name, value in {**campus(guests), **chains(seconds)}.items():
            figures.setdefault(name, []).append(value)
    return figures


def show(figures: Rounds) -> None:
    """Medians, and how far the rounds are apart."""
    for name, values in figures.items():
        print(f"{name:24} {median(values):10.4g}   {min(values):.4g} … {max(values):.4g}")


def campus(guests: int) -> dict[str, float]:
    """Ten switches around a core: seconds until everything is up, everybody has pinged everybody, nothing is left."""
    began = time.perf_counter()
    with running(CAMPUS.format(guests=guests)) as process:
        up = time.perf_counter() - began
        call = [sys.executable, "-m", "vswitch", "lab", "ping", "--lab", NAME, "--json"]
        answer = json.loads(subprocess.run(call, capture_output=True, check=False, timeout=20 * PATIENCE).stdout)
        began = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        down = time.perf_counter() - began
    left = len(list(Path("/run/netns").glob(f"{NAME}-*"))) + lab_directory(NAME).exists()
    return {"up s": up, "down s": down, "left": left, "ping s": answer["took"],
            "pings": answer["pairs"], "pings lost": len(answer["lost"])}  # fmt: skip


def chains(seconds: float) -> dict[str, float]:
    """A TCP stream and pings through so many switches in a row."""
    figures: dict[str, float] = {}
    for count in CHAINS:
        links = ", ".join(f"[s{n}, s{n + 1}]" for n in range(1, count))
        ends = f"a: {{switch: s1, address: 10.66.0.1/24}}, b: {{switch: s{count}, address: 10.66.0.2/24}}"
        with running(f"switches: {{s: {{count: {count}}}}}\nguests: {{{ends}}}\nlinks: [{links}]\n"):
            one, other = (Guest(f"{NAME}-{name}") for name in "ab")
            times = sorted(filter(None, (one.ping("10.66.0.2") for _ in range(PINGS))))
            rate = stream(one, other, "10.66.0.2", max(0.5, seconds))
        figures |= {f"{count} switches, TCP gbit": rate / 1e9, f"{count} switches, RTT us": median(times) * 1e6}
    return figures


@contextmanager
def running(topology: str) -> Iterator[subprocess.Popen[str]]:
    """A lab in a process of its own, which is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="vswitch-perf-") as folder:
        file = Path(folder, "lab.yml")
        file.write_text(f"name: {NAME}\n{topology}")
        call = [sys.executable, "-m", "vswitch", "lab", "up", str(file)]
        process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
        try:
            wait_for_line(process.stderr, " is up: ")
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)
            if process.stderr is not None:
                process.stderr.close()
