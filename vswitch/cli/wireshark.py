"""`vswitch wireshark`: Wireshark and tshark list the running switches, and capture from them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from vswitch.cli.app import Json, app
from vswitch.control.client import CallError

PROGRAM: Final = "vswitch"
PERSONAL: Final = Path(".local/lib/wireshark/extcap")
"""In the home directory: where Wireshark looks from 4.2 on, beside its own folder."""

_MARK: Final = "from vswitch.cli.extcap import main"

wireshark_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(wireshark_app, name="wireshark", help="Let Wireshark and tshark capture from running switches.")

System = Annotated[bool, typer.Option("--system", help="The folder of the installed Wireshark, for all users.")]
Folder = Annotated[Path | None, typer.Option(metavar="DIR", help="This folder.")]


@wireshark_app.command()
def install(system: System = False, folder: Folder = None, as_json: Json = False) -> None:
    """Put an extcap program into the user's folder: from then on every switch is an interface of Wireshark.

    Example: vswitch wireshark install --system
    """
    where = _folder(system, folder)
    file = where / PROGRAM
    _refuse_what_is_not_ours(file)
    try:
        where.mkdir(parents=True, exist_ok=True)
        _write(file)
    except OSError as error:
        raise CallError(f"cannot write {file}: {error.strerror}; call as its owner, or give --folder DIR") from error
    if as_json:
        typer.echo(json.dumps({"file": str(file)}))
    else:
        typer.echo(f"{file} is there; `tshark -D` lists the switches that run")
    own = _own_folder()
    if not system and folder is None and own is not None and not _reads_personal():
        typer.echo(f"vswitch: this Wireshark reads {own} alone: install with --system", err=True)


@wireshark_app.command()
def uninstall(system: System = False, folder: Folder = None, as_json: Json = False) -> None:
    """Remove the extcap program from the user's folder, and no other file.

    Example: vswitch wireshark uninstall --system
    """
    file = _folder(system, folder) / PROGRAM
    _refuse_what_is_not_ours(file)
    try:
        there = file.exists()
        file.unlink(missing_ok=True)
    except OSError as error:
        raise CallError(f"cannot remove {file}: {error.strerror}; call as its owner") from error
    if as_json:
        typer.echo(json.dumps({"file": str(file), "removed": there}))
    else:
        typer.echo(f"{file} is removed" if there else f"{file} was not there")


def _folder(system: bool, folder: Path | None) -> Path:
    if folder is not None:
        if system:
            raise CallError("give --system or --folder DIR, not both", 2)
        return folder.absolute()
    if not system:
        return Path.home() / PERSONAL
    own = _own_folder()
    if own is None:
        raise CallError(
            "neither tshark nor wireshark says where its extcap folder is: install one, or give --folder DIR"
        )
    return own


@functools.cache
def _folders() -> dict[str, Path]:
    """What `tshark -G folders` says, or wireshark's, by its lower-case names."""
    program = shutil.which("tshark") or shutil.which("wireshark")
    if program is None:
        return {}
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run([program, "-G", "folders"], capture_output=True, text=True, timeout=30, check=True)
        pairs = (line.split(":", 1) for line in answer.stdout.splitlines() if ":" in line)
        return {name.strip().lower(): Path(path.strip()) for name, path in pairs}
    return {}


def _own_folder() -> Path | None:
    """The folder that came with the program: `Extcap path` until 4.0, `Global Extcap path` from 4.2 on."""
    folders = _folders()
    return folders.get("global extcap path") or folders.get("extcap path")


def _reads_personal() -> bool:
    return "personal extcap path" in _folders()


def _refuse_what_is_not_ours(file: Path) -> None:
    try:
        ours = _MARK in file.read_text(errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise CallError(f"cannot read {file}: {error.strerror}") from error
    if not ours:
        raise CallError(f"{file} is not of vswitch: it stays as it is; give another place with --folder DIR")


def _write(file: Path) -> None:
    """The program whole, or not at all. Raises OSError."""
    new = file.with_name(f".{PROGRAM}-{os.getpid()}")
    try:
        new.write_text(f"#!{_python()}\n{_MARK}\n\nmain()\n")
        new.chmod(0o755)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _python() -> str:
    """The Python that vswitch is installed in, as the first line of a script may name it: execve(2)."""
    if any(character.isspace() for character in sys.executable) or len(sys.executable) > 250:
        raise CallError(
            f"a script cannot name {sys.executable}: install vswitch where the path is short and has no spaces"
        )
    return sys.executable
