"""Which lab a command of `vswitch lab` is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vswitch.cli.app import wrong
from vswitch.control.client import CallError, Client, listens
from vswitch.control.place import lab_directory

if TYPE_CHECKING:
    from vswitch.control.topology.layout import LabConfig

Which = Annotated[
    str | None, typer.Argument(metavar="[LAB]", help="The lab's name, or its file; by default the only one that runs.")
]
Named = Annotated[str | None, typer.Option("--lab", metavar="LAB", help="The lab's name, or its file.")]


def read(file: Path) -> LabConfig:
    """A topology; where anything is wrong with it, that is said and the command ends."""
    from vswitch.control.config.reading import ConfigError
    from vswitch.control.topology import reading as lab

    try:
        return lab.read(file)
    except ConfigError as error:
        wrong(error)
        raise


def sockets() -> dict[str, Path]:
    """The control sockets of labs that run, by name."""
    folder = lab_directory("x").parent
    return {path.parent.name: path for path in sorted(folder.glob("*/control.sock")) if listens(path)}


def is_file(word: str) -> bool:
    """Whether it means a file, not a name: a name has neither dot nor slash."""
    return "/" in word or word.endswith((".yml", ".yaml"))


def name_of(which: str | None) -> str:
    """The name of the lab that is meant: the one named, that of a file, or of the only one. Raises CallError.

    One that was killed is meant where none runs.
    """
    if which is not None:
        return read(Path(which)).name if is_file(which) else which
    folder = lab_directory("x").parent
    killed = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    there = list(sockets()) or killed
    if len(there) != 1:
        several = f"several labs run ({', '.join(there)}); say which" if there else "no lab runs"
        raise CallError(several if there else f"{several}; start one with `vswitch lab up FILE`", 2 if there else 1)
    return there[0]


def client(which: str | None) -> Client:
    """The lab that is meant. Raises CallError where it does not run."""
    name = name_of(which)
    control = lab_directory(name) / "control.sock"
    if not listens(control):
        raise CallError(f"the lab {name} does not run; start it with `vswitch lab up FILE`")
    return Client(control)
