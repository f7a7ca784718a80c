"""`vswitch impair`: what a port's link does to frames, on a running switch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vswitch.cli.app import PASS, Json, PortName, app, client, options_of
from vswitch.control.client import CallError
from vswitch.control.config.impairpaths import anchored

impair_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=app.info.context_settings)
app.add_typer(impair_app, name="impair", help="Delay, lose and spoil frames at ports of a running switch.")

Direction = Annotated[
    str, typer.Argument(metavar="[in|out|both]", help="in: what comes from the guest; out: what goes to it.")
]
WORDS = ("in", "out", "both")
NESTED = ("loss", "duplicate", "reorder", "corrupt", "flap", "codel")


@impair_app.command("set", context_settings=PASS)
def impair_set(context: typer.Context, port: PortName, direction: Direction = "both") -> None:
    """Impair PORT from now on, in place of what was said before of that direction.

    The options are those of `in:` and `out:` in the configuration file, such as --delay, --jitter, --distribution,
    --loss, --duplicate, --reorder, --corrupt, --rate, --burst, --queue, --codel, --trace, --mtu, --schedule, --vlan,
    --filter, --replay; and --preset and --seed. docs/impair.md has them all.

    Example: vswitch impair set db out --delay 10ms --jitter 1ms --loss 0.5% --rate 50mbit
    """
    words = list(context.args)
    if direction.startswith("--"):
        words, direction = [direction, *words], "both"
    _check(direction)
    options = options_of(words)
    if not options:
        raise CallError("say what is to happen to frames, such as --delay 10ms, or --preset lte", 2)
    client(context).call("PUT", f"ports/{port}/impair", anchored(_structured(options), Path()), direction=direction)


@impair_app.command("clear")
def impair_clear(context: typer.Context, port: PortName, direction: Direction = "both") -> None:
    """Impair PORT no more; frames that are on their way arrive at once, in order.

    Example: vswitch impair clear db
    """
    _check(direction)
    client(context).call("DELETE", f"ports/{port}/impair", direction=direction)


@impair_app.command("show")
def impair_show(
    context: typer.Context,
    port: Annotated[str | None, typer.Argument(metavar="[PORT]", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Show what is asked for and what is achieved, of PORT or of all that are impaired.

    Example: vswitch impair show db
    """
    if port is None:
        rows = client(context).call("GET", "impairments")
    else:
        found = client(context).call("GET", f"ports/{port}/impair")
        rows = [] if found is None else [{"port": port, "impair": found}]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from vswitch.cli import tables
    from vswitch.cli.impairtable import impairments

    tables.console().print(impairments(rows))


@impair_app.command("record")
def impair_record(
    context: typer.Context,
    port: PortName,
    direction: Annotated[str, typer.Argument(metavar="in|out")],
    write: Annotated[Path, typer.Option("-w", "--write", metavar="FILE", help="Where to; - is standard output.")],
) -> None:
    """Write down what becomes of each frame from now on, until Control-C; `--replay FILE` does the same again.

    Example: vswitch impair record db out -w fates
    """
    _check(direction)
    stream = client(context).stream(f"ports/{port}/impair/record", direction=direction)
    try:
        out = sys.stdout.buffer if str(write) == "-" else write.open("wb")
    except OSError as error:
        raise CallError(f"cannot write to {write}: {error.strerror}") from error
    with out:
        for octets in stream:
            out.write(octets)
            out.flush()


def _check(direction: str) -> None:
    if direction not in WORDS:
        raise CallError(f"{direction!r} is no direction: in, out or both", 2)


def _structured(options: dict[str, Any]) -> dict[str, Any]:
    """Words that stand for what a configuration has braces for: `--loss-every 100`, `--reorder 1% --reorder-gap 5`."""
    found: dict[str, Any] = {}
    for key, value in options.items():
        first, *rest = key.split("_") if key.split("_")[0] in NESTED else [key]
        place, word = found, first
        for part in rest:
            if not isinstance(place.get(word), dict):
                place[word] = {"share": place[word]} if word in place else {}
            place, word = place[word], part
        if isinstance(place.get(word), dict):
            place[word]["share"] = value
        else:
            place[word] = value
    if "schedule" in found:
        said = found["schedule"]
        found["schedule"] = (",".join(said) if isinstance(said, list) else str(said)).split(";")
    return found
