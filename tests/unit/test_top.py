"""Rates, how they are shown, and what keys do to that; a terminal that is as it was."""

from __future__ import annotations

import os
import pty
import sys
import termios
from contextlib import closing
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from vswitch.cli.keys import Keys
from vswitch.cli.top import COLUMNS, View, picture, short
from vswitch.observe import rates

if TYPE_CHECKING:
    from io import FileIO


def port(name: str, frames: int = 0, octets: int = 0, **drops: int) -> dict[str, Any]:
    counted = {"bytes": octets, "unicast": frames, "multicast": 0, "broadcast": 0}
    none = {"bytes": 0, "unicast": 0, "multicast": 0, "broadcast": 0}
    return {"port": name, "state": "up", "receive": counted, "transmit": none, "dropped": drops}


def flow(source: str, frames: int) -> dict[str, Any]:
    return {"port": "a", "source": source, "destination": "y", "vlan": 1, "frames": frames, "bytes": frames * 100}


def test_rates_are_differences_over_time() -> None:
    (row,) = rates.ports([port("a", 10, 1000, runt=5, oversize=1)], [port("a", 30, 3000, runt=9, oversize=1)], 2.0)
    assert row["receive"] == {"frames": 10.0, "bits": 8000.0}
    assert row["transmit"] == {"frames": 0.0, "bits": 0.0}
    assert row["dropped"] == {"runt": 2.0}


def test_a_port_that_is_new_or_was_replaced_has_no_rate_yet() -> None:
    new, replaced = rates.ports([port("b", 50, 5000)], [port("a", 10, 1000), port("b", 1, 64)], 1.0)
    assert new["receive"] == replaced["receive"] == {"frames": 0.0, "bits": 0.0}


def test_conversations_go_by_what_they_carry_now() -> None:
    before, now = (
        [flow("x", 0), flow("y", 100), flow("z", 7)],
        [flow("y", 110), flow("x", 50), flow("z", 7), flow("w", 9)],
    )
    assert [(row["source"], row["bits"]) for row in rates.flows(before, now, 1.0)] == [("x", 40_000.0), ("y", 8_000.0)]


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(0, "0"), (0.42, "0.4"), (42, "42.0"), (980.2, "980"), (999.9, "1.00k"), (12_340, "12.3k"), (5e15, "5000T")],
)
def test_a_rate_is_short(rate: float, shown: str) -> None:
    assert short(rate) == shown


def pressed(*words: str) -> View:
    view = View()
    for key in "".join(words):
        view.press(key)
    return view


ROWS = rates.ports(
    [port(name) for name in ("db", "web", "web2")],
    [port("db", 5, 500), port("web", 9, 100, runt=1), port("web2", 1, 900)],
    1.0,
)


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("", ["db", "web", "web2"]),
        ("r", ["web2", "web", "db"]),
        ("ss", ["web", "db", "web2"]),
        ("ssr", ["web2", "db", "web"]),
        ("sss", ["web2", "db", "web"]),
        ("s" * len(COLUMNS), ["db", "web", "web2"]),
        ("/we\r", ["web", "web2"]),
        ("/wex\x7fb2\r", ["web2"]),
        ("/we\x1b", ["db", "web", "web2"]),
        ("/nothing\r", []),
    ],
)
def test_keys_sort_turn_and_filter(typed: str, names: list[str]) -> None:
    assert [row["port"] for row in pressed(typed).rows(ROWS)] == names


def test_q_leaves_unless_it_is_a_letter_of_a_filter() -> None:
    assert pressed("q").left
    assert not pressed("/q").left
    assert pressed("/q\rq").left


def drawn(sample: dict[str, Any], view: View) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(picture(sample, view, keys=True))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_what_is_shown() -> None:
    text = drawn(
        {"ports": ROWS, "flows": rates.flows([flow("\x1b[31m[b]", 1)], [flow("\x1b[31m[b]", 3)], 1.0)}, pressed("ss/w")
    )
    assert "RX FRAMES/Sv" in text
    assert "ports with 'w'_" in text
    assert "runt 1.0" in text
    assert "\\x1b[31m[b]" in text
    assert "\x1b" not in text


def test_a_terminal_is_as_it_was_however_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "wb", 0)) as typist, open(theirs) as terminal:
        before = termios.tcgetattr(theirs)
        monkeypatch.setattr(sys, "stdin", terminal)
        with pytest.raises(ZeroDivisionError):
            _fail_in_the_midst(typist, theirs, before)
        assert termios.tcgetattr(theirs) == before


def _fail_in_the_midst(typist: FileIO, theirs: int, before: list[Any]) -> None:
    with Keys() as pressed_keys:
        assert termios.tcgetattr(theirs) != before
        assert pressed_keys.wait(0.0) == ""
        typist.write(b"s")
        assert pressed_keys.wait(30.0) == "s"
        raise ZeroDivisionError
