"""The history against a plain list, over random events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.core.history import FLAPS, RECORDS, WINDOW, History
from vswitch.core.port import BridgePort

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vswitch.core.fdb import Change, Key

NAMES = ("red", "green", "blue")
PORTS = {name: BridgePort(name) for name in NAMES}
RING = 6

keys = st.tuples(st.sampled_from((1, 10)), st.integers(1, 3).map(lambda number: bytes((2, 0, 0, 0, 0, number))))
names = st.sampled_from(NAMES)


@dataclass
class Event:
    """What happened, as the model has it."""

    time: float
    change: Change
    key: Key
    port: str
    before: str | None


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """Up to sixty events, half of them moves, in seconds and fractions of them."""
    happened, now = [], 0.0
    for _ in range(draw(st.integers(0, 60))):
        now += draw(st.sampled_from((0.0, 0.5, 3.0, WINDOW)))
        key, port, before = draw(keys), draw(names), draw(names)
        change: Change = draw(st.sampled_from(("learned", "aged", "evicted", "flushed")))
        moves = port != before and draw(st.booleans())
        happened.append(Event(now, "moved" if moves else change, key, port, before if moves else None))
    return happened


def episodes(happened: Sequence[Event], key: Key) -> tuple[int, float | None]:
    """How often a station began to flap, and when it moved last if it did not end."""
    times = [event.time for event in happened if event.key == key and event.change == "moved"]
    count, since, flapping = 0, 0, False
    for number, time in enumerate(times):
        if number and time - times[number - 1] >= WINDOW:
            since, flapping = number, False
        lately = [other for other in times[since : number + 1] if time - other <= WINDOW]
        if len(lately) >= FLAPS and not flapping:
            count, flapping = count + 1, True
    return count, times[-1] if flapping else None


def note(history: History, happened: Iterable[Event]) -> None:
    """Have a history hear of events."""
    for event in happened:
        before = None if event.before is None else PORTS[event.before]
        history.note(event.time, event.change, event.key, PORTS[event.port], before)


@given(happened=events(), later=st.sampled_from((0.0, 4.0, WINDOW)), data=st.data())
def test_the_history_is_what_a_plain_list_says(happened: list[Event], later: float, data: st.DataObject) -> None:
    history = History(NAMES)
    note(history, happened)
    now = (happened[-1].time if happened else 0.0) + later
    found = {key: episodes(happened, key) for key in {event.key for event in happened}}
    flapping = {key for key, (_, last) in found.items() if last is not None and now - last < WINDOW}
    assert history.flaps == sum(count for count, _ in found.values())
    assert set(history.flapping(now)) == flapping

    key, port, only = data.draw(st.none() | keys), data.draw(st.none() | names), data.draw(st.none() | st.booleans())
    limit = data.draw(st.sampled_from((1, 5, RECORDS)))
    expected = [
        (number, event.time, event.change, *event.key, event.port, event.before, event.key in flapping)
        for number, event in enumerate(happened, 1)
        if (key is None or event.key == key)
        and (port is None or port in (event.port, event.before))
        and (only is None or (event.key in flapping) is only)
    ]
    vid, mac = key or (None, None)
    assert history.query(now, mac=mac, vid=vid, port=port, flapping=only, limit=limit) == expected[-limit:]


@given(happened=events())
def test_each_port_keeps_its_own_last_ones(happened: list[Event]) -> None:
    history = History(NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vswitch.core.history.RECORDS", RING)
        note(history, happened)
    kept = {name: [n for n, event in enumerate(happened, 1) if event.port == name][-RING:] for name in NAMES}
    assert [record.number for record in history.query(0.0)] == sorted(
        number for numbers in kept.values() for number in numbers
    )
