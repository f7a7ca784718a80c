"""`vswitch lab`: topologies of several switches and guests, up, changed and down by one file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vswitch.cli.app import _SETTINGS, PASS, Json, _fail, _wrong, app
from vswitch.control.client import CallError, Client, listens
from vswitch.control.place import LAB_LOG as LOG
from vswitch.control.place import lab_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.control.topology.layout import LabConfig

PATIENCE: Final = 120.0  # seconds for a lab to come up, or to be gone

lab_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=_SETTINGS)
app.add_typer(lab_app, name="lab", help="Topologies of switches and guests: up, changed and down by one file.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A topology (YAML).")]
Which = Annotated[
    str | None, typer.Argument(metavar="[LAB]", help="The lab's name, or its file; by default the only one that runs.")
]
Named = Annotated[str | None, typer.Option("--lab", metavar="LAB", help="The lab's name, or its file.")]


@lab_app.command()
def up(
    file: File,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Come back once it is up, and leave it so.")] = False,
) -> None:
    """Bring a lab up, in the foreground until SIGTERM or Control-C; SIGHUP rereads FILE.

    With --detach it goes on in the background until `vswitch lab down`.

    Example: vswitch lab up configs/lab-campus.yml
    """
    if detach:
        _detach(file)
        return
    from vswitch.control import runner
    from vswitch.control.config.reading import ConfigError
    from vswitch.control.service import ConflictError
    from vswitch.fastpath.twins import FastPathError
    from vswitch.lab import runner as lab
    from vswitch.lab.place import PlaceError
    from vswitch.ports import PortError

    runner.log_to_stderr()
    try:
        lab.run(file)
    except ConfigError as error:
        _wrong(error)
    except (PlaceError, runner.RunError, PortError, ConflictError, FastPathError) as error:
        _fail(str(error), 1)


def _detach(file: Path) -> None:
    """Start `lab up` in a session of its own, and wait until it is up or has failed."""
    config = _read(file)
    if listens(lab_directory(config.name) / "control.sock"):
        raise CallError(f"the lab {config.name} runs already; `vswitch lab down {config.name}` ends it")
    folder = lab_directory(config.name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    with (folder / LOG).open("wb") as out, (folder / LOG).open(errors="replace") as says:
        process = subprocess.Popen(
            [sys.executable, "-m", "vswitch", "lab", "up", str(file.resolve())],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
        while True:
            ended = process.poll()
            for line in says:
                typer.echo(line.rstrip().removeprefix("INFO "), err=True)
                if " is up: " in line:
                    return
            if ended is not None:
                break
            time.sleep(0.02)
    with suppress(OSError):  # of a start that did not get as far as to have the folder
        (folder / LOG).unlink()
        folder.rmdir()
        folder.parent.rmdir()
    sys.exit(ended)


@lab_app.command()
def down(which: Which = None) -> None:
    """Take a lab down: its processes, namespaces, switches and files; also what one that was killed left.

    Example: vswitch lab down campus
    """
    name = _name(which)
    control = lab_directory(name) / "control.sock"
    if listens(control):
        Client(control).call("POST", "down")
        _until_gone(lab_directory(name), name)
        typer.echo(f"{name} is down")
        return
    from vswitch.lab import runner
    from vswitch.lab.place import PlaceError

    try:
        left = runner.clear(name)
    except PlaceError as error:
        raise CallError(str(error)) from error
    typer.echo(f"{name}: cleared up what was left" if left else f"{name} does not run, and nothing of it is left")


def _until_gone(folder: Path, name: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while folder.exists():
        if time.monotonic() > deadline:
            raise CallError(f"{name} does not go down; `kill` the process that `vswitch lab status {name}` shows")
        time.sleep(0.02)


@lab_app.command()
def status(which: Which = None, as_json: Json = False) -> None:
    """Show a lab's switches and guests, or all labs that run where there are several.

    Example: vswitch lab status --json
    """
    running = _running()
    if which is None and len(running) != 1:
        if as_json:
            typer.echo(json.dumps([Client(path).call("GET", "lab") for path in running.values()]))
        else:
            typer.echo("\n".join(running) if running else "no lab runs; start one with `vswitch lab up FILE`")
        return
    answer = _client(which).call("GET", "lab")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    from vswitch.cli import labtables

    labtables.show(answer)


@lab_app.command("exec", context_settings=PASS)
def execute(
    guest: Annotated[str, typer.Argument(metavar="GUEST", help="A guest of the lab.")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="What to run there.")],
    lab: Named = None,
) -> None:
    """Run COMMAND in a guest: in its network, with its environment, and with the names of the other guests.

    The exit status is that of COMMAND.

    Example: vswitch lab exec h1 -- ping -c 1 h2
    """
    from vswitch.lab.entering import Quarters, become
    from vswitch.ports import PortError

    answer = _client(lab).call("GET", "lab")
    row = next((row for row in answer["guests"] if row["guest"] == guest), None)
    if row is None:
        there = ", ".join(row["guest"] for row in answer["guests"][:20]) or "none"
        raise CallError(f"there is no guest {guest} in {answer['name']}; the guests are {there}", 2)
    if row["kind"] == "qemu":
        raise CallError(f"{guest} is a virtual machine: what is inside is reached by its own network or console", 2)
    try:
        become(Quarters(guest, row["netns"], Path(answer["hosts"])), command, row["environment"])
    except PortError as error:
        raise CallError(str(error)) from error
    except OSError as error:
        print(f"vswitch: cannot run {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


@lab_app.command()
def ping(
    lab: Named = None,
    guests: Annotated[list[str] | None, typer.Argument(metavar="[GUEST]...", help="Only from and to these.")] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="How long an answer may take.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Ping from every guest to every other one, as Mininet's pingall; exit status 1 where an answer lacks.

    Example: vswitch lab ping --json
    """
    from vswitch.lab import pinging
    from vswitch.ports import PortError

    answer = _client(lab).call("GET", "lab")
    try:
        result = pinging.ping_all(pinging.hosts(answer, guests or None), timeout)
    except PortError as error:
        raise CallError(str(error)) from error
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        for line in result.lines():
            typer.echo(line)
    if result.lost:
        sys.exit(1)


@lab_app.command()
def plan(file: File, as_json: Json = False) -> None:
    """Show what `apply` would change in the running lab that FILE names, or all that `up` would make.

    Example: vswitch lab plan lab.yml
    """
    _print_changes(_apply(file, dry_run=True), as_json=as_json)


@lab_app.command("apply")
def apply_(file: File, as_json: Json = False) -> None:
    """Bring the running lab that FILE names to FILE; guests and switches that stay the same notice nothing.

    Example: vswitch lab apply lab.yml
    """
    _print_changes(_apply(file, dry_run=False), as_json=as_json)


def _apply(file: Path, *, dry_run: bool) -> dict[str, Any]:
    config = _read(file)
    control = lab_directory(config.name) / "control.sock"
    if dry_run and not listens(control):
        from dataclasses import replace

        from vswitch.control.topology.difference import compare_labs

        nothing = replace(config, switches={}, guests={}, links=())
        return {"changes": compare_labs(nothing, config, {}).lines, "applied": False}
    if not listens(control):
        raise CallError(f"the lab {config.name} does not run; start it with `vswitch lab up {file}`")
    client = Client(control, timeout=PATIENCE)
    answer: dict[str, Any] = client.call("PUT", "config", dict(config.data), dry_run="true" if dry_run else None)
    return answer


def _print_changes(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for line in answer["changes"] or ["nothing changes"]:
        typer.echo(line)


@lab_app.command()
def graph(
    file: File,
    form: Annotated[str, typer.Option("--format", metavar="svg|dot|mermaid", help="What to draw it as.")] = "svg",
) -> None:
    """Draw a topology: as SVG by itself, or for Graphviz or Mermaid.

    Example: vswitch lab graph lab.yml > lab.svg
    """
    from vswitch.lab import graph as drawing

    draw: Callable[[LabConfig], str] | None = drawing.FORMATS.get(form)
    if draw is None:
        raise CallError(f"there is no format {form!r}; take {', '.join(drawing.FORMATS)}", 2)
    config = _read(file)
    try:
        typer.echo(draw(config))
    except RecursionError:
        raise CallError("so many switches in a row cannot be drawn as svg; take --format dot") from None


@lab_app.command()
def check(file: File, as_json: Json = False) -> None:
    """Say whether FILE is right, and everything that is wrong with it; exit status 2 if anything is.

    Example: vswitch lab check lab.yml
    """
    from vswitch.control.config.reading import ConfigError
    from vswitch.control.topology import reading as lab

    try:
        found = lab.read(file)
    except ConfigError as error:
        if as_json:
            typer.echo(json.dumps([problem.as_json() for problem in error.problems], indent=2))
            sys.exit(2)
        _wrong(error)
        return
    counts = f"{len(found.switches) - len(found.wires)} switches, {len(found.guests)} guests, {len(found.links)} links"
    typer.echo("[]" if as_json else f"{file}: right, {counts}")


@lab_app.command()
def schema() -> None:
    """Print the JSON Schema of topologies, for editors.

    Example: vswitch lab schema > lab.schema.json
    """
    from vswitch.control.topology.models import lab_schema

    typer.echo(json.dumps(lab_schema(), indent=2))


def _read(file: Path) -> LabConfig:
    from vswitch.control.config.reading import ConfigError
    from vswitch.control.topology import reading as lab

    try:
        return lab.read(file)
    except ConfigError as error:
        _wrong(error)
        raise


def _running() -> dict[str, Path]:
    """The control sockets of labs that run, by name."""
    folder = lab_directory("x").parent
    return {path.parent.name: path for path in sorted(folder.glob("*/control.sock")) if listens(path)}


def _name(which: str | None) -> str:
    """The name of the lab that is meant: the one named, that of a file, or of the only one. Raises CallError.

    One that was killed is meant where none runs.
    """
    if which is not None:
        return _read(Path(which)).name if "/" in which or which.endswith((".yml", ".yaml")) else which
    folder = lab_directory("x").parent
    killed = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    there = list(_running()) or killed
    if len(there) != 1:
        several = f"several labs run ({', '.join(there)}); say which" if there else "no lab runs"
        raise CallError(several if there else f"{several}; start one with `vswitch lab up FILE`", 2 if there else 1)
    return there[0]


def _client(which: str | None) -> Client:
    name = _name(which)
    control = lab_directory(name) / "control.sock"
    if not listens(control):
        raise CallError(f"the lab {name} does not run; start it with `vswitch lab up FILE`")
    return Client(control)
