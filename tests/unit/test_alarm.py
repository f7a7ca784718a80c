"""The alarm: rings once, at the earliest time that was asked for, on either loop."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from tests.netns.guest import descriptors
from tests.unit.test_engine import on_both_loops
from vswitch.alarm import Alarm


class Bell:
    def __init__(self) -> None:
        self.rung: list[float] = []
        self.event = asyncio.Event()

    def __call__(self) -> None:
        self.rung.append(time.monotonic())
        self.event.set()

    async def ring(self) -> float:
        """When it rings next."""
        await asyncio.wait_for(self.event.wait(), 10)
        self.event.clear()
        return self.rung[-1]


@on_both_loops
async def test_it_rings_at_the_earliest_time_and_never_early() -> None:
    bell = Bell()
    alarm = Alarm(bell)
    begin = time.monotonic()
    alarm.set(60.0)
    alarm.set(0.02)
    alarm.set(0.04)
    assert await bell.ring() - begin >= 0.02
    assert len(bell.rung) == 1
    begin = time.monotonic()
    alarm.set(0.001)
    assert await bell.ring() - begin >= 0.001
    alarm.close()


@pytest.mark.parametrize("seconds", [0.0, -5.0, 1e-12])
@on_both_loops
async def test_what_is_due_already_rings_at_once(seconds: float) -> None:
    bell = Bell()
    alarm = Alarm(bell)
    alarm.set(seconds)
    await bell.ring()
    alarm.close()


@on_both_loops
async def test_nothing_is_open_before_it_is_set_and_after_it_is_closed() -> None:
    before = descriptors()
    alarm = Alarm(Bell())
    assert descriptors() == before
    alarm.set(60.0)
    assert descriptors() == before + 1
    alarm.close()
    alarm.close()
    assert descriptors() == before


def test_a_process_that_is_started_does_not_inherit_it() -> None:
    async def flags() -> bool:
        alarm = Alarm(lambda: None)
        alarm.set(60.0)
        inheritable = os.get_inheritable(alarm._fd)
        alarm.close()
        return inheritable

    assert not asyncio.run(flags())
