"""The same labs from Python: objects, a context with and without a loop of one's own, and guests that do things."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.labs import NAMED
from tests.running import unique, vswitch
from vswitch.control.config import ConfigError
from vswitch.control.place import lab_directory
from vswitch.lab import Guest, Lab, Link, Switch, capture
from vswitch.lab.place import PlaceError

if TYPE_CHECKING:
    from pathlib import Path


def two(name: str, *more: Guest) -> Lab:
    guests = [Guest("a", switch="s1", address="10.85.0.1/24"), Guest("b", switch="s2", address="10.85.0.2/24")]
    return Lab(name, switches=[Switch("s1"), Switch("s2", ageing="60s")], guests=[*guests, *more],
               links=[Link("s1", {"node": "s2", "mtu": 1500})])  # fmt: skip


def left(name: str) -> list[Path]:
    return [place for place in (*NAMED.glob(f"{name}-*"), lab_directory(name)) if place.exists()]


def test_a_lab_in_a_program_that_has_no_loop() -> None:
    name = unique("l")
    with two(name) as lab:
        assert lab["a"].ping("b") is not None
        assert [guest.name for guest in lab.guests] == ["a", "b"]
        with capture("s1", switch=lab.switch_name("s2")) as seen:
            result = lab["a"].run("hostname; exit 3")
            assert (result.returncode, result.stdout) == (3, "a\n")
            lab["a"].ping("b")
            seen.expect("icmp[icmptype] = icmp-echo")
        assert lab.ping_all().lost == []
        changes = lab.apply(two(name, Guest("c", switch="s1", address="10.85.0.3/24")))
        assert changes[0] == "+ guest c (eth0 at s1, 10.85.0.3/24)"
        assert lab["c"].ping("b") is not None
        assert "alone takes it down" in vswitch("lab", "down", name).stderr
        with pytest.raises(PlaceError, match="runs already"), two(name):
            pass
        with lab["c"].popen(["sleep", "1000"]) as process:
            process.kill()
    assert left(name) == []


def test_a_lab_on_the_loop_that_runs() -> None:
    name = unique("l")

    async def scenario() -> None:
        async with two(name) as lab:
            assert await asyncio.to_thread(lab["a"].ping, "b") is not None
            assert lab.service("s1").config.name == f"{name}-s1"
            assert await lab.become(two(name)) == []

    asyncio.run(scenario())
    assert left(name) == []


def test_cancelled_while_it_comes_up_it_leaves_nothing() -> None:
    async def scenario(name: str, delay: float) -> None:
        lab = two(name, *(Guest(f"g{n}", switch="s1", setup="sleep 1000") for n in range(5)))
        coming = asyncio.ensure_future(lab.__aenter__())
        await asyncio.sleep(delay)
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming

    for number in range(8):
        name = unique("l")
        asyncio.run(scenario(name, number * 0.01))
        assert left(name) == []


def test_mistakes_of_objects_are_told_as_those_of_a_file() -> None:
    with pytest.raises(ConfigError, match=r"guests.a.swich: unknown key; did you mean switch\?"):
        Lab("x", guests=[Guest("a", swich="s")])
    with pytest.raises(RuntimeError, match="is not up"):
        Lab("x").status()
