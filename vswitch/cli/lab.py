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

from vswitch.cli.app import SETTINGS, Json, app, fail, wrong
from vswitch.cli.labs import Which, name_of, read
from vswitch.control.client import CallError, Client, listens
from vswitch.control.place import LAB_LOG as LOG
from vswitch.control.place import lab_directory, make_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.control.topology.layout import LabConfig

PATIENCE: Final = 120.0  # seconds for a lab to come up, or to be gone

lab_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=SETTINGS)
app.add_typer(lab_app, name="lab", help="Topologies of switches and guests: up, changed and down by one file.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A topology (YAML).")]


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
    from vswitch.control.status import ConflictError
    from vswitch.fastpath.twins import FastPathError
    from vswitch.lab import runner as lab
    from vswitch.lab.place import PlaceError
    from vswitch.ports import PortError

    runner.log_to_stderr()
    try:
        lab.run(file)
    except ConfigError as error:
        wrong(error)
    except (PlaceError, runner.RunError, PortError, ConflictError, FastPathError) as error:
        fail(str(error), 1)


def _detach(file: Path) -> None:
    """Start `lab up` in a session of its own, and wait until it is up or has failed."""
    config = read(file)
    if listens(lab_directory(config.name) / "control.sock"):
        raise CallError(f"the lab {config.name} runs already; `vswitch lab down {config.name}` ends it")
    folder = lab_directory(config.name)
    try:
        make_folder(folder)
    except OSError as error:
        raise CallError(f"cannot write to {folder}: {error.strerror}") from error
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
    name = name_of(which)
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
    config = read(file)
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
    config = read(file)
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
        wrong(error)
        return
    typer.echo("[]" if as_json else f"{file}: right, {found.counts()}")


@lab_app.command()
def schema() -> None:
    """Print the JSON Schema of topologies, for editors.

    Example: vswitch lab schema > lab.schema.json
    """
    from vswitch.control.topology.models import lab_schema

    typer.echo(json.dumps(lab_schema(), indent=2))
