"""`vswitch capture`: frames as they pass, into a file or a pipe."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vswitch.cli.app import app, client
from vswitch.control.client import CallError
from vswitch.observe import pcapng

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

STDOUT: Final = "-"

Ports = Annotated[list[str] | None, typer.Argument(metavar="[PORT]...", help="Ports; all if none is named.")]
Filter = Annotated[str | None, typer.Option("--filter", metavar="BPF", help="Only what matches: pcap-filter(7).")]
Vlan = Annotated[int | None, typer.Option("--vlan", metavar="VID", help="Only this VLAN.", min=1, max=4094)]
Seconds = Annotated[float | None, typer.Option("--seconds", metavar="S", help="End after so many seconds.", min=0.001)]
Drops = Annotated[bool, typer.Option("--drops", help="Only dropped frames, each with its reason.")]


@app.command()
def capture(
    context: typer.Context,
    ports: Ports = None,
    write: Annotated[str, typer.Option("-w", metavar="FILE|-", help="Where to; - is standard output.")] = STDOUT,
    bpf: Filter = None,
    vlan: Vlan = None,
    drops: Drops = False,
    count: Annotated[int | None, typer.Option(metavar="N", help="End after so many packets.", min=1)] = None,
    seconds: Seconds = None,
    snaplen: Annotated[int | None, typer.Option(metavar="N", help="Octets to keep of each frame.", min=1)] = None,
    as_on_wire: Annotated[bool, typer.Option(help="Superframes as segments, checksums complete.")] = False,
    rotate: Annotated[
        str | None, typer.Option(metavar="SIZE:COUNT", help="A new file after SIZE (10M), keeping COUNT of them.")
    ] = None,
    ring: Annotated[
        str | None, typer.Option(metavar="TIME", help="Keep so much of the past (30s) until --trigger fires.")
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help="drop, drop:REASON, down, up, moved, flap (or down:PORT), a filter."),
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long a ring goes on after its trigger (1s).")
    ] = None,
    again: Annotated[
        int | None,
        typer.Option(metavar="COUNT", help="Have a ring wait for its trigger again, keeping COUNT files.", min=1),
    ] = None,
    buffer: Annotated[
        str | None, typer.Option(metavar="SIZE", help="How many octets may wait to be read (32M).")
    ] = None,
) -> None:
    """Capture frames at ports as pcapng, with directions, and drops with their reasons, until Control-C.

    Example: vswitch capture web db -w web.pcapng --filter "arp or icmp"

    Live: vswitch capture -w - | wireshark -k -i -
    """
    if write == STDOUT and sys.stdout.isatty():
        raise CallError("packets are not for a terminal: give -w FILE, or a pipe; `vswitch watch` shows frames", 2)
    if ring and not trigger:
        raise CallError("--ring needs a --trigger: drop, drop:REASON, down, up, moved, flap, or a filter", 2)
    if (trigger or after) and not ring:
        raise CallError("--trigger and --after are for a --ring: say how much of the past it keeps, such as 30s", 2)
    if again and (not ring or write == STDOUT or rotate):
        raise CallError("--again is for a --ring that is written to a file by -w, without --rotate", 2)
    asked = {
        "port": ports or None, "filter": bpf, "vlan": vlan, "count": count, "seconds": seconds, "snaplen": snaplen,
        "ring": ring, "trigger": trigger, "after": after, "drops": drops or None, "as_on_wire": as_on_wire or None,
        "buffer": None if buffer is None else _size(buffer),
    }  # fmt: skip
    switch, end = client(context), None if seconds is None else time.monotonic() + seconds
    octets = switch.stream("capture", **asked)
    sink = Dumps(write, again) if again else _sink(write, rotate)
    with suppress(KeyboardInterrupt):
        _pass_on(octets, sink)
        while again and (end is None or time.monotonic() < end):
            left = None if end is None else max(0.001, round(end - time.monotonic(), 3))
            _pass_on(switch.stream("capture", **{**asked, "seconds": left}), sink)
    sink.close()
    lost = f", {sink.lost} lost" if sink.lost else ""
    typer.echo(f"{sink.packets} packets{lost}", err=True)


def _pass_on(stream: Iterator[bytes], sink: Sink) -> None:
    """Whole blocks only, so that the file is right wherever it ends."""
    splitter = pcapng.Splitter()
    try:
        for octets in stream:
            sink.write(splitter.feed(octets))
    except BrokenPipeError:
        sink.gone()
    except OSError as error:
        sink.close()
        raise CallError(f"cannot write to {sink.name}: {error.strerror}; {sink.packets} packets are there") from error


def _sink(write: str, rotate: str | None) -> Sink:
    if rotate is None:
        return Sink(write)
    if write == STDOUT:
        raise CallError("--rotate needs a file: give -w FILE", 2)
    size, colon, count = rotate.partition(":")
    if not colon or not count.isdigit() or int(count) < 1:
        raise CallError(f"--rotate is SIZE:COUNT, such as 10M:5, not {rotate!r}", 2)
    return Rotation(write, _size(size), int(count))


def _size(words: str) -> int:
    """Octets from `4096`, `64k`, `10M` or `1G`. Raises CallError."""
    units = {"k": 10, "m": 20, "g": 30}
    number, unit = (words[:-1], words[-1].lower()) if words[-1:].lower() in units else (words, "")
    if not number.isdigit() or int(number) < 1:
        raise CallError(f"{words!r} is no size; write 4096, 64k, 10M or 1G", 2)
    return int(number) << units.get(unit, 0)


class Sink:
    """A file, or standard output, that packets go to; each block is written whole or not at all."""

    def __init__(self, name: str) -> None:
        """Raises CallError where it cannot be written to."""
        self.name = name if name != STDOUT else "standard output"
        self.packets = 0
        self.lost = 0
        self._file: BinaryIO | None = sys.stdout.buffer if name == STDOUT else self._open(Path(name))

    def _open(self, path: Path) -> BinaryIO:
        try:
            return path.open("wb", buffering=0)
        except OSError as error:
            raise CallError(f"cannot write to {path}: {error.strerror}") from error

    def write(self, blocks: Iterator[tuple[int, bytes]]) -> None:
        """Write blocks. Raises OSError."""
        written = [*blocks]
        self._put(b"".join(block for _, block in written))
        packets = [block for kind, block in written if kind == pcapng.PACKET]
        self.packets += len(packets)
        self.lost += sum(map(pcapng.lost_before, packets))

    def _put(self, octets: bytes) -> None:
        """All of it, or what was there before: a full disk leaves no half a block."""
        if self._file is None:
            return
        begin = self._file.tell() if self._file.seekable() else None
        view = memoryview(octets)
        try:
            while view:
                view = view[self._file.write(view) :]
            self._file.flush()
        except OSError:
            if begin is not None:
                with suppress(OSError):  # a device has no length
                    self._file.truncate(begin)
            raise

    def gone(self) -> None:
        """Nobody reads any more."""
        self._file = None
        if self.name == "standard output":  # so that nothing is written there when the program ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def close(self) -> None:
        """No more comes."""
        if self._file is not None and self._file is not sys.stdout.buffer:
            self._file.close()
        self._file = None


class Rotation(Sink):
    """Files of bounded size: `web.pcapng`, and before it `web.1.pcapng`, `web.2.pcapng` …"""

    def __init__(self, name: str, size: int, count: int) -> None:
        """size: octets of a file, about.  count: files that are kept."""
        self._path = Path(name)
        self._size = size
        self._count = count
        self._written = 0
        self._head: list[bytes] = []
        super().__init__(name)

    def write(self, blocks: Iterator[tuple[int, bytes]]) -> None:
        """Write blocks; each file begins with the descriptions of all interfaces so far. Raises OSError."""
        for kind, block in blocks:
            if kind in (pcapng.SECTION, pcapng.INTERFACE):
                self._head.append(block)
            elif self._written + len(block) > self._size and self._written > sum(map(len, self._head)):
                self._turn()
            self._written += len(block)
            super().write(iter(((kind, block),)))

    def _turn(self) -> None:
        """Begin a new file; those that are there grow older by one."""
        self.close()
        for number in range(self._count - 1, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._file = self._open(self._path)
        self._put(b"".join(self._head))
        self._written = sum(map(len, self._head))

    def _numbered(self, number: int) -> Path:
        return self._path.with_suffix(f".{number}{self._path.suffix}") if number else self._path


class Dumps(Rotation):
    """A file for each time that a ring was let go: the last is `drop.pcapng`, the one before it `drop.1.pcapng` …"""

    def __init__(self, name: str, count: int) -> None:
        """count: files that are kept."""
        super().__init__(name, 0, count)
        self._due = False

    def write(self, blocks: Iterator[tuple[int, bytes]]) -> None:
        """Write blocks; a file is begun where the first packet of a dump comes. Raises OSError."""
        for kind, block in blocks:
            if kind == pcapng.SECTION:
                self._head, self._due = [], True
            if kind == pcapng.PACKET and self._due:
                self._due = False
                if self._path.stat().st_size:
                    self._turn()
                else:
                    self._put(b"".join(self._head))
            if self._due:
                self._head.append(block)
            else:
                Sink.write(self, iter(((kind, block),)))
