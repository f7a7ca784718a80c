"""`vswitch lab import`: topologies of containerlab and Mininet, as far as they map."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer looks at it
from typing import Annotated

import typer

from vswitch.cli.app import Json  # noqa: TC001 - typer looks at it
from vswitch.cli.lab import lab_app
from vswitch.control.client import CallError


@lab_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="x.clab.yml, x.py (Mininet; it is run) or x.mn.")],
    output: Annotated[Path | None, typer.Option("-o", metavar="FILE", help="Where to; by default it is shown.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="containerlab, mininet or miniedit; by default by the file's name.")
    ] = None,
    topology: Annotated[str | None, typer.Option(metavar="NAME", help="Which one of Mininet's `topos`.")] = None,
    as_json: Json = False,
) -> None:
    """Make a topology of one of containerlab or Mininet, and say what did not map.

    A Python file is run as you, with stand-ins for Mininet's modules: import only what you would run.

    Example: vswitch lab import campus.clab.yml -o campus.yml
    """
    from vswitch.control.config.reading import ConfigError
    from vswitch.control.topology import reading as lab
    from vswitch.lab import imports

    try:
        draft = imports.read(file, form, topology)
    except imports.ForeignError as error:
        raise CallError(str(error), 2) from error
    try:
        lab.validate(draft.data())
    except ConfigError as error:
        for problem in error.problems:
            draft.remark(f"to be put right before it can be brought up: {problem.key}: {problem.message}")
    if as_json:
        typer.echo(json.dumps({"topology": draft.data(), "remarks": draft.remarks}))
        return
    if output is None:
        typer.echo(draft.text(), nl=False)
        return
    try:
        output.write_text(draft.text(), encoding="utf-8")
    except OSError as error:
        raise CallError(f"cannot write to {output}: {error.strerror}") from error
    for sentence in draft.remarks:
        typer.echo(sentence, err=True)
