"""`vswitch watch`: frames as they pass, a line each, in words, with marks on what is remarkable."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vswitch.cli.app import Json, app, client
from vswitch.cli.capture import Drops, Filter, Ports, Seconds, Vlan  # noqa: TC001  typer reads them
from vswitch.control.client import CallError
from vswitch.observe import pcapng
from vswitch.observe.gather import Gatherer
from vswitch.observe.marks import Marks, Passed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from rich.text import Text

    from vswitch.control.client import Client
    from vswitch.observe.gather import Gathered
    from vswitch.observe.pcapng import Packet

    Batches = queue.Queue[list[Packet] | Exception | None]

_IDLE: Final = 0.05
"""Seconds without a packet after which nothing more of the frames so far is waited for."""

_BUFFER: Final = 16 << 20
"""Octets that may wait in the switch: what comes too fast is lost to the view, and told of, before it is old."""

_WIDTH: Final = 18
"""Letters that ports have, so that what follows stands in a column."""

_GRAVE: Final = frozenset(("arp conflict", "bad checksum", "duplicate"))


@app.command()
def watch(
    context: typer.Context,
    ports: Ports = None,
    bpf: Filter = None,
    vlan: Vlan = None,
    drops: Drops = False,
    count: Annotated[int | None, typer.Option(metavar="N", help="End after so many frames.", min=1)] = None,
    seconds: Seconds = None,
    as_json: Json = False,
) -> None:
    """Show frames as they pass, a line each: where in, where out or why not, VLAN, what it says; until Control-C.

    With PORTs: the frames that come in, leave or are lost there. Marks: retransmission, arp conflict, dhcp, duplicate,
    flood, bad checksum.

    Example: vswitch watch web --filter "arp or icmp"
    """
    switch = client(context)
    named = _known(switch, ports or [])
    decode = _decoder()
    stream = switch.stream("capture", filter=bpf, vlan=vlan, drops=drops or None, seconds=seconds, buffer=_BUFFER,
                           as_on_wire=True, tell_vlan=True)  # fmt: skip
    gatherer, marks, shown = Gatherer(), Marks(), 0
    show = _json_line if as_json else _line_printer()
    try:
        with suppress(KeyboardInterrupt):
            for frame in _frames(stream, gatherer):
                if named and not named & {frame.port, *frame.egress, *frame.lost}:
                    continue
                show(describe(frame, marks, decode))
                shown += 1
                if shown == count:
                    break
    finally:
        lost = f", {gatherer.lost} packets lost: they came faster than they can be shown" if gatherer.lost else ""
        typer.echo(f"{shown} frames{lost}", err=True)


def _known(switch: Client, ports: list[str]) -> set[str]:
    """The ports, all of which there are. Raises CallError."""
    for port in ports:
        switch.call("GET", f"ports/{port}")
    return set(ports)


def _decoder() -> ModuleType:
    try:
        from vswitch.observe import decode
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "scapy":
            raise
        raise CallError("frames are decoded by scapy, which is not here: pip install 'vswitch[scapy]'") from None
    return decode


def _frames(stream: Iterator[bytes], gatherer: Gatherer) -> Iterator[Gathered]:
    """The frames of a stream, soon after each is complete. Raises CallError."""
    batches: Batches = queue.Queue(8)
    threading.Thread(target=_read, args=(stream, batches), daemon=True).start()
    while True:
        try:
            batch = batches.get(timeout=_IDLE)
        except queue.Empty:
            yield from gatherer.rest()
            continue
        if not isinstance(batch, list):
            break
        for packet in batch:
            gatherer.add(packet)
        yield from gatherer.ready()
    yield from gatherer.rest()
    if isinstance(batch, Exception):
        raise batch


def _read(stream: Iterator[bytes], batches: Batches) -> None:
    """Pass on what comes, and at last why no more does."""
    reader = pcapng.Reader()
    try:
        for octets in stream:
            batches.put(list(reader.feed(octets)))
    except pcapng.PcapngError as error:
        batches.put(CallError(f"the switch does not send a capture: {error}"))
    except CallError as error:
        batches.put(error)
    else:
        batches.put(None)


def describe(frame: Gathered, marks: Marks, decode: ModuleType) -> dict[str, Any]:
    """A frame as `--json` shows it."""
    octets = frame.frames()
    passed = Passed(frame.time / 1e9, frame.port, tuple(frame.egress), frame.vlan, tuple(octets))
    first = octets[0] if octets else b""
    words = decode.words(first)
    time = datetime.fromtimestamp(frame.time / 1e9, UTC).isoformat(timespec="microseconds")
    return {
        "time": time.replace("+00:00", "Z"),
        "port": frame.port or None,
        "egress": list(frame.egress),
        "lost": frame.lost,
        "reason": frame.reason,
        "vlan": frame.vlan or None,
        "length": sum(map(len, octets)),
        "segments": len(octets),
        "protocol": words.protocol,
        "summary": words.summary,
        "marks": [{"mark": mark.word, "detail": mark.detail} for mark in marks.of(passed)],
        "frame": first.hex(),
    }


def _json_line(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)  # noqa: T201


def _line_printer() -> Callable[[dict[str, Any]], None]:
    from vswitch.cli.tables import console

    out = console()
    return lambda row: out.print(line(row), soft_wrap=True)


def line(row: dict[str, Any]) -> Text:
    """A frame as one line. What a stranger wrote into it is no markup, and moves no terminal."""
    from rich.text import Text

    from vswitch.cli.cables import printable

    time = datetime.fromisoformat(row["time"]).astimezone()
    text = Text(f"{time:%H:%M:%S.%f} ", "dim")
    begin = len(text)
    text.append(row["port"] or "-", "bold").append(" > ").append(" ".join(row["egress"]) or "-")
    for port, reason in row["lost"].items():
        text.append(f" lost at {port}: {reason}", "bold red")
    if row["reason"]:
        text.append(f" dropped: {row['reason']}", "bold red")
    text.append(" " * (_WIDTH - len(text) + begin))
    text.append(f" {row['vlan'] or '-':>4} ").append(f"{printable(row['protocol']):<6} ", "cyan")
    text.append(printable(row["summary"]))
    if row["segments"] > 1:
        text.append(f" (the first of {row['segments']} segments, {row['length']} octets)")
    for mark in row["marks"]:
        words = f"{mark['mark']}: {mark['detail']}" if mark["detail"] else mark["mark"]
        text.append(f"  [{printable(words)}]", "bold red" if mark["mark"] in _GRAVE else "bold yellow")
    return text
