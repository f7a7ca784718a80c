"""`vswitch demo`: a switch, three guests and real traffic, by nothing but this package. It ends by itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vswitch.lab import rootless
from vswitch.lab.guest import Guest, stream
from vswitch.ports.base import PortError

if TYPE_CHECKING:
    from collections.abc import Callable

GUESTS: Final = {"alice": 1, "bob": 2, "carol": 3}
START_LIMIT: Final = 30.0  # seconds
STREAM_TIME: Final = 3.0  # seconds

LLDP: Final = "0180c200000e02000000000a88cc0207040200000000000a"

CONFIG: Final = """\
name: demo
ports:
{ports}control: {control}
"""
PORT: Final = (
    "  {name}: {{tap: demo-{name}, netns: demo-{name}, address: [10.99.0.{number}/24, 'fd99::{number}/64']}}\n"
)


class DemoError(Exception):
    """The demo cannot be shown: one sentence."""


def run(*, keep: bool) -> None:
    """Show it; with `keep` stay until Control-C. Raises DemoError, with nothing left behind."""
    try:
        if rootless.needed():
            rootless.enter()
            _say("not root: this runs in a user namespace of its own")
    except rootless.RootlessError as error:
        raise DemoError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="vswitch-demo-") as folder:
        control = Path(folder, "demo.sock")
        config = Path(folder, "demo.yml")
        ports = "".join(PORT.format(name=name, number=number) for name, number in GUESTS.items())
        config.write_text(CONFIG.format(ports=ports, control=control))
        _say(f"{config}:\n\n{config.read_text()}")
        switch = subprocess.Popen([*_VSWITCH, "run", str(config)])
        try:
            _wait(switch, control)
            _show(control)
            if keep:
                _stay(control)
        except (PortError, OSError) as error:
            raise DemoError(str(error)) from error
        except subprocess.CalledProcessError as error:
            raise DemoError("a command of the demo failed; what it says of it is above") from error
        finally:
            switch.send_signal(signal.SIGTERM)
            switch.wait()


_VSWITCH: Final = [sys.executable, "-m", "vswitch"]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _call(control: Path, *arguments: str) -> None:
    """A command as a user would type it, and what it prints."""
    _say(f"\n$ vswitch {' '.join(arguments)}")
    subprocess.run([*_VSWITCH, "--control", str(control), *arguments], check=True)


def _wait(switch: subprocess.Popen[bytes], control: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not control.exists():
        if switch.poll() is not None or time.monotonic() > deadline:
            raise DemoError("the switch did not start; what it says of it is above")
        time.sleep(0.02)


def _show(control: Path) -> None:
    guests = {name: Guest(f"demo-{name}") for name in GUESTS}
    _say("\nARP or neighbour discovery, then ICMP echo, from everyone to everyone:")
    for (one, other), family in ((pair, f) for pair in permutations(GUESTS, 2) for f in ("10.99.0.", "fd99::")):
        _ping(one, guests[one], other, f"{family}{GUESTS[other]}")
    _say(f"\nOne TCP stream from alice to bob, {STREAM_TIME:.0f} s:")
    rate = stream(guests["alice"], guests["bob"], f"10.99.0.{GUESTS['bob']}", STREAM_TIME)
    _say(f"  {rate / 1e9:.2f} Gbit/s")
    _say("\nalice sends an LLDP frame, which is not for a bridge to relay:")
    with guests["alice"].wire("demo-alice") as wire:
        wire.send(bytes.fromhex(LLDP))
    _until(lambda: _dropped(control))
    _call(control, "show", "ports")
    _call(control, "show", "fdb")
    _call(control, "explain", "alice", LLDP)


def _ping(one: str, guest: Guest, other: str, address: str) -> None:
    if guest.ping(address) is None:  # the first waits for ARP or neighbour discovery
        raise DemoError(f"{other} did not answer {one} at {address}")
    again = guest.ping(address)
    took = "lost" if again is None else f"{again * 1e6:.0f} µs"
    _say(f"  {one:>5} → {other:<5} {address:<9} {took}")


def _dropped(control: Path) -> bool:
    shown = subprocess.run(
        [*_VSWITCH, "--control", str(control), "show", "ports", "--json"], check=True, capture_output=True, text=True
    )
    return '"reserved_address": 1' in shown.stdout


def _until(happened: Callable[[], bool]) -> None:
    """Give the switch the moment that a frame takes."""
    for _ in range(20):
        if happened():
            return
        time.sleep(0.05)


def _stay(control: Path) -> None:
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # one that comes before the wait must not be lost
    _say(
        "\nIt goes on until Control-C. From another terminal:\n"
        f"  vswitch --control {control} show ports --watch\n"
        "  ip netns exec demo-alice ping 10.99.0.2"
    )
    signal.sigwait(ends)
    _say("")
