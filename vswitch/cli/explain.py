"""`vswitch explain`: what would happen to a frame, and what became of real ones."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vswitch.cli import frames
from vswitch.cli.app import Json, app, client
from vswitch.control.client import CallError

if TYPE_CHECKING:
    from collections.abc import Iterator


@app.command()
def explain(
    context: typer.Context,
    port: Annotated[str | None, typer.Argument(metavar="PORT", help="The port that it comes in by.")] = None,
    frame: Annotated[str | None, typer.Argument(metavar="FRAME", help=frames.HELP)] = None,
    last: Annotated[int | None, typer.Option(metavar="N", help="The last real ones instead.", min=1)] = None,
    drops: Annotated[bool, typer.Option("--drops", help="With --last or --live: only dropped ones.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Real ones as they come, until Control-C.")] = False,
    as_json: Json = False,
) -> None:
    """Say what would happen to FRAME on PORT, rule by rule, without sending it; or what became of real frames.

    A port remembers the last 32 that the switch decided on: of a flow that is known, the first two. --live sees all.

    Example: vswitch explain web "ffffffffffff 525400a832d7 0806"

    Example: vswitch explain --last 10 --drops
    """
    if last is None and not live:
        _hypothetical(context, port, frame, as_json=as_json)
        return
    if frame is not None:
        raise CallError("give a FRAME, or --last or --live, not both", 2)
    asked = {"port": port, "drops": "true" if drops else None}
    switch = client(context)
    with suppress(KeyboardInterrupt):
        rows = switch.call("GET", "explain/recent", last=last, **asked) if last is not None else []  # type: ignore[arg-type]
        if last is not None and as_json and not live:
            typer.echo(json.dumps(rows))
            return
        for row in rows:
            _print(row, as_json=as_json)
        if last is not None and not rows and not live:
            typer.echo("no frame was decided yet" if not drops else "no frame was dropped", err=True)
        for row in _rows(switch.stream("explain/live", **asked)) if live else ():
            _print(row, as_json=as_json)


def _hypothetical(context: typer.Context, port: str | None, frame: str | None, *, as_json: bool) -> None:
    if port is None or frame is None:
        raise CallError("say which PORT and FRAME, or --last N or --live; see `vswitch explain --help`", 2)
    answer = client(context).call("POST", "explain", {"port": port, "frame": frames.octets(frame)})
    if as_json:
        typer.echo(json.dumps(answer))
        return
    from vswitch.cli import tables

    tables.console().print(tables.explanation(answer))


def _rows(stream: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    rest = b""
    for octets in stream:
        *lines, rest = (rest + octets).split(b"\n")
        yield from map(json.loads, lines)


def _print(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(row))
        return
    from vswitch.cli import tables

    console = tables.console()
    console.print(tables.became(row))
    if row["explanation"] is not None:
        console.print(tables.explanation(row["explanation"]))
    console.print()
