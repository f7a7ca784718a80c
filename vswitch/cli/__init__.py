"""The command line: a client of the API, and the way to start a switch."""

from vswitch.cli.app import main

__all__ = ["main"]
