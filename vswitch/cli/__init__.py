"""The command line: a client of the API, and the way to start a switch. One file a command that is more than a call."""

from vswitch.cli import adopt as _adopt
from vswitch.cli import capture as _capture
from vswitch.cli import exec as _exec
from vswitch.cli import explain as _explain
from vswitch.cli import guests as _guests
from vswitch.cli import impair as _impair
from vswitch.cli import inspect as _inspect
from vswitch.cli import lab as _lab
from vswitch.cli import labimport as _labimport
from vswitch.cli import labinside as _labinside
from vswitch.cli import mirror as _mirror
from vswitch.cli import password as _password
from vswitch.cli import send as _send
from vswitch.cli import show as _show
from vswitch.cli import top as _top
from vswitch.cli import watch as _watch
from vswitch.cli import wireshark as _wireshark
from vswitch.cli.app import main

__all__ = ["main"]

_COMMANDS = (
    _adopt, _capture, _exec, _explain, _guests, _impair, _inspect, _lab, _labimport, _labinside, _mirror, _password,
    _send, _show, _top, _watch, _wireshark
)  # fmt: skip
"""Imported for what they register."""
