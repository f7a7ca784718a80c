"""`vswitch password`: what a configuration keeps instead of a password."""

from __future__ import annotations

import getpass
import sys

import typer

from vswitch.cli.app import app


@app.command()
def password() -> None:
    """Print the hash of a password, for metrics.basic_auth; it is asked for, or the first line of standard input.

    Example: vswitch password
    """
    from vswitch.control.metrics.credentials import hashed

    if sys.stdin.isatty():
        given = getpass.getpass()
        if getpass.getpass("Again: ") != given:
            _refuse("the two are not the same; nothing is printed")
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        _refuse("there is no password; type one, or pipe one in as a line")
    typer.echo(hashed(given))


def _refuse(sentence: str) -> None:
    typer.echo(f"vswitch: {sentence}", err=True)
    sys.exit(2)
