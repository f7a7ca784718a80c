"""The commands. Whatever takes long to import is imported by the command that needs it."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vswitch import __version__
from vswitch.control.client import CallError, Client, find

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
PASS: Final = {**SETTINGS, "ignore_unknown_options": True, "allow_extra_args": True}

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
                  context_settings=SETTINGS)  # fmt: skip
port_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=SETTINGS)
fdb_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=SETTINGS)
app.add_typer(port_app, name="port", help="Add, change and remove ports of a running switch.")
app.add_typer(fdb_app, name="fdb", help="Add, remove and flush stations of a running switch.")

TRAILING = ("--switch", "--control")
"""Options that say which switch: they may stand anywhere in a call."""

PAGE: Final = "127.0.0.1:9476"
"""Where the live page is, unless an address is given."""

_ADDRESS: Final = re.compile(r"(\[.*\]|[0-9.]*):[0-9]+")


def _port_names(incomplete: str) -> list[str]:
    """Ports to complete a word with."""
    try:
        rows = find(None, None).call("GET", "ports")
    except CallError:
        return []
    return [row["port"] for row in rows if row["port"].startswith(incomplete)]


PortName = Annotated[str, typer.Argument(metavar="PORT", help="A port's name.", autocompletion=_port_names)]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A configuration file (YAML).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
Vlan = Annotated[int, typer.Option("--vlan", metavar="VID", help="The VLAN.", min=1, max=4094)]


def main() -> None:
    """Run a command; errors are one sentence, exit status 1 where it failed and 2 where the call was wrong."""
    try:
        app(_options_first(sys.argv[1:]))
    except CallError as error:
        fail(str(error), error.status, error.problems)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _options_first(arguments: list[str]) -> list[str]:
    """The call with --switch and --control in front, where the program's own options stand."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in TRAILING:
            first += [word, *[value for value in [next(words, None)] if value is not None]]
        elif word.startswith(tuple(f"{option}=" for option in TRAILING)):
            first.append(word)
        else:
            rest.append(word)
    return first + (_with_address(rest) if rest[:1] == ["run"] else rest)


def _with_address(words: list[str]) -> list[str]:
    """`run` with an address behind a `--page` that has none: what follows may be its file."""
    following = [*words[1:], ""]
    return [
        f"{word}={PAGE}" if word == "--page" and not _ADDRESS.fullmatch(after) else word
        for word, after in zip(words, following, strict=True)
    ]


def fail(sentence: str, status: int, problems: list[str] | None = None) -> None:
    for line in [f"vswitch: {sentence}", *(f"  {problem}" for problem in problems or [] if problem != sentence)]:
        print(line, file=sys.stderr)  # noqa: T201
    sys.exit(status)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vswitch {__version__}")
        raise typer.Exit


@app.callback()
def vswitch(
    context: typer.Context,
    switch: Annotated[str | None, typer.Option(metavar="NAME", help="The switch of this name.")] = None,
    control: Annotated[Path | None, typer.Option(metavar="SOCKET", help="The switch on this control socket.")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """A userspace Ethernet switch that explains every frame.

    With one switch running, commands find it; with several, --switch or --control says which.

    Example: vswitch run lab.yml
    """
    _ = version
    context.obj = (switch, control)


def client(context: typer.Context) -> Client:
    """The switch that a command is for. Raises CallError."""
    return find(*context.obj)


@app.command()
def run(
    file: File,
    page: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help=f"Serve the live page (by default on {PAGE}), with a random token that is printed once.",
        ),
    ] = None,
    until_released: Annotated[bool, typer.Option("--until-released", hidden=True)] = False,
) -> None:
    """Run a switch in the foreground until SIGTERM or Control-C; SIGHUP rereads FILE.

    Example: vswitch run configs/three-guests.yml --page
    """
    from vswitch.control import runner
    from vswitch.control.config.reading import ConfigError
    from vswitch.control.status import ConflictError
    from vswitch.fastpath.twins import FastPathError
    from vswitch.ports import PortError

    runner.log_to_stderr()
    try:
        own_page = None if page is None else runner.own_page(page)
    except ValueError as error:
        fail(f"--page: {error}", 2)
    try:
        runner.run(file, page=own_page, until_released=until_released)
    except ConfigError as error:
        wrong(error)
    except (runner.RunError, PortError, ConflictError, FastPathError) as error:
        fail(str(error), 1)


def wrong(error: Any) -> None:
    """Every mistake of a file on a line of its own; exit status 2."""
    print(error, file=sys.stderr)  # noqa: T201
    sys.exit(2)


def _read(file: Path) -> Any:
    from vswitch.control.config import reading as config

    try:
        return config.read(file)
    except config.ConfigError as error:
        wrong(error)


@app.command()
def check(
    file: File,
    as_json: Json = False,
) -> None:
    """Say whether FILE is right, and everything that is wrong with it; exit status 2 if anything is.

    Example: vswitch check lab.yml
    """
    from vswitch.control.config import reading as config

    try:
        found = config.read(file, files=True)
    except config.ConfigError as error:
        if as_json:
            typer.echo(json.dumps([problem.as_json() for problem in error.problems], indent=2))
            sys.exit(2)
        wrong(error)
        return
    typer.echo("[]" if as_json else f"{file}: right, {len(found.ports)} ports")


@app.command()
def apply(
    context: typer.Context,
    file: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the difference and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the running switch that FILE names to FILE; ports that stay the same notice nothing.

    Example: vswitch apply lab.yml --dry-run
    """
    config = _read(file)
    name, control = context.obj
    switch = Client(config.control_path) if name is None and control is None else find(name, control)
    answer = switch.call("PUT", "config", config.dump(), dry_run="true" if dry_run else None)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for line in answer["changes"] or ["nothing changes"]:
        typer.echo(line)


@port_app.command("add", context_settings=PASS)
def port_add(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.")]) -> None:
    """Add a port; the options are those of a port in the configuration file.

    With --fd N it hands over this process's own open descriptor: a TAP, or a socket of a virtual machine. With
    --fd NAME the port waits for one.

    Example: vswitch port add web --tap web0 --netns web --address 10.0.0.1/24 --access 10
    """
    options = options_of(context.args)
    fd = _descriptor(options)
    client(context).call("POST", "ports", {"name": name, **options}, fd=fd)


@port_app.command("set", context_settings=PASS)
def port_set(context: typer.Context, name: PortName) -> None:
    """Change options of a port; --no-OPTION takes one away.

    With --fd N it hands over this process's own open descriptor, in place of the one that the port had.

    Example: vswitch port set web --trunk 10,20-29 --no-access
    """
    options = options_of(context.args)
    fd = _descriptor(options)
    if options or fd is None:
        client(context).call("PATCH", f"ports/{name}", options)
    if fd is not None:
        client(context).call("PUT", f"ports/{name}/fd", fd=fd)


@port_app.command("del")
def port_del(context: typer.Context, name: PortName) -> None:
    """Remove a port, and the device that the switch made for it.

    Example: vswitch port del web
    """
    client(context).call("DELETE", f"ports/{name}")


def _descriptor(options: dict[str, Any]) -> int | None:
    """The open descriptor of this process that goes with a call, taken out of its options. Raises CallError."""
    word = options.get("fd")
    if not str(word).isdecimal():
        return None
    with suppress(OverflowError, OSError):
        number = int(str(options.pop("fd")))
        os.fstat(number)
        return number
    raise CallError(f"{word} is not an open descriptor; open it in the shell, as in `vswitch port add … 5<>FILE`", 2)


def options_of(words: list[str]) -> dict[str, Any]:
    """`--access 10 --trunk 10,20-29 --isolated --no-native` as options of a configuration file. Raises CallError."""
    options: dict[str, Any] = {}
    position = 0
    while position < len(words):
        word = words[position]
        if not word.startswith("--") or word == "--":
            raise CallError(f"{word!r} is not an option; write options as --access 10", 2)
        key, equals, value = word.removeprefix("--").partition("=")
        position += 1
        if not equals and position < len(words) and not words[position].startswith("--"):
            value, equals = words[position], " "
            position += 1
        if not equals and key.startswith("no-"):
            options[key.removeprefix("no-").replace("-", "_")] = None
            continue
        given: Any = value.split(",") if "," in value else value if equals else True
        options[key.replace("-", "_")] = given
    return options


@fdb_app.command("add")
def fdb_add(
    context: typer.Context,
    mac: Annotated[str, typer.Argument(metavar="MAC", help="The station's address.")],
    port: PortName,
    vlan: Vlan = 1,
) -> None:
    """Tie a station to a port with a static entry.

    Example: vswitch fdb add 52:54:00:a8:32:d7 web --vlan 10
    """
    client(context).call("POST", "fdb", {"mac": mac, "port": port, "vlan": vlan})


@fdb_app.command("del")
def fdb_del(
    context: typer.Context,
    mac: Annotated[str, typer.Argument(metavar="MAC", help="The station's address.")],
    vlan: Vlan = 1,
) -> None:
    """Remove a station, static or learned.

    Example: vswitch fdb del 52:54:00:a8:32:d7 --vlan 10
    """
    client(context).call("DELETE", f"fdb/{vlan}/{mac}")


@fdb_app.command("flush")
def fdb_flush(
    context: typer.Context,
    port: Annotated[
        str | None, typer.Option(metavar="PORT", help="Only what was learned on PORT.", autocompletion=_port_names)
    ] = None,
    vlan: Annotated[int | None, typer.Option(metavar="VID", help="Only in this VLAN.", min=1, max=4094)] = None,
) -> None:
    """Forget the stations that were learned; static entries stay.

    Example: vswitch fdb flush --port web
    """
    answer = client(context).call("POST", "fdb/flush", {"port": port, "vlan": vlan})
    typer.echo(f"{answer['flushed']} forgotten")


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Stay until Control-C, to look around.")] = False,
) -> None:
    """Start a switch with three guests, send real traffic through it and show what it did.

    Example: vswitch demo --keep
    """
    from vswitch.lab import demo as lab

    try:
        lab.run(keep=keep)
    except lab.DemoError as error:
        fail(str(error), 1)
