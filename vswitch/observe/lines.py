"""`python -m vswitch.observe.lines`: frames come by standard input, what they say goes to standard output.

Both are JSON, an object a line, one for one. It is the process in which the page's live frames are decoded: they are
hostile, so it keeps no power that it can give away, and ends when its input does or its parent is gone.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from vswitch.observe import decode
from vswitch.observe.marks import Marks, Passed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NOBODY: Final = 65534
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # prctl(2)
_LONGEST: Final = 300
"""Letters of a mark."""

_TIME: Final = 5
"""Seconds for one frame, after which the process ends: scapy may be caught by one."""


def answers(rows: Iterable[str]) -> Iterator[str]:
    """What each frame says."""
    marks = Marks()
    for text in rows:
        signal.alarm(_TIME)
        row = json.loads(text)
        octets = bytes.fromhex(row["frame"])
        yield json.dumps({"line": _text(decode.words(octets).summary), "marks": _marked(marks, row, octets)})
        signal.alarm(0)


def _text(words: str) -> str:
    """Without halves of surrogate pairs, which are no text to anybody else."""
    return words.encode(errors="replace").decode()


def _marked(marks: Marks, row: dict[str, Any], octets: bytes) -> list[str]:
    leaves = row["direction"] == "out"
    passed = Passed(
        row["at"], "" if leaves else row["port"], (row["port"],) if leaves else (), row["vlan"] or 0, (octets,)
    )
    found = marks.of(passed)
    return [_text(f"{mark.word}: {mark.detail}" if mark.detail else mark.word)[:_LONGEST] for mark in found]


def _give_up_powers() -> None:
    """Be nobody, and end with the parent. In a user namespace there may be no such user: then stay who one is."""
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after, since a change of user takes it back


def main() -> None:
    """Until the input ends."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # libuv lets a child have what its parent was given by its own
    decode.words(bytes(60))  # what scapy loads late it loads now
    _give_up_powers()
    for text in answers(sys.stdin):
        print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
