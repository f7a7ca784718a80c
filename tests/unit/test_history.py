"""The history of stations: what it keeps and answers, when a station flaps, and what the log says of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydantic import TypeAdapter

from vswitch.control.api.history import LINES, Chronicle, HistoryRow
from vswitch.core.history import FLAPS, GONE, MOVING, RECORDS, WINDOW, Flap, History
from vswitch.core.port import BridgePort
from vswitch.core.switch import Switch

if TYPE_CHECKING:
    from vswitch.core.fdb import Key

RED, BLUE, GREEN = BridgePort("red"), BridgePort("blue"), BridgePort("green")
A, B = (bytes((2, 0, 0, 0, 0, last)) for last in (1, 2))


def station(number: int) -> Key:
    return 1, b"\x02\x01" + number.to_bytes(4)


class Watched:
    """A history of three ports, and the episodes that it told of."""

    def __init__(self) -> None:
        self.told: list[Flap] = []
        self.history = History({"red", "blue", "green"}, self.told.append)

    def move(self, now: float, key: Key = (1, A), *, to: BridgePort = RED, before: BridgePort = BLUE) -> None:
        self.history.note(now, "moved", key, to, before)

    def flap(self, began: float, seconds: float, moves: int = FLAPS, key: Key = (1, A)) -> None:
        """Move to and fro so often, the first time at `began`, the last time so many seconds later."""
        for number in range(moves):
            ports = (RED, BLUE) if number % 2 else (BLUE, RED)
            self.move(began + seconds * number / (moves - 1), key, to=ports[0], before=ports[1])


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_record_says_who_what_when_and_where(watched: Watched) -> None:
    watched.history.note(1.5, "learned", (10, A), RED, None)
    watched.history.note(2.5, "moved", (10, A), BLUE, RED)
    assert watched.history.query(3.0) == [
        (1, 1.5, "learned", 10, A, "red", None, False),
        (2, 2.5, "moved", 10, A, "blue", "red", False),
    ]


def test_a_question_may_name_an_address_a_vlan_and_a_port(watched: Watched) -> None:
    note = watched.history.note
    note(0.0, "learned", (1, A), RED, None)
    note(0.0, "learned", (1, B), RED, None)
    note(0.0, "learned", (2, A), GREEN, None)
    note(0.0, "moved", (1, A), BLUE, RED)

    def numbers(**wanted: object) -> list[int]:
        return [record.number for record in watched.history.query(0.0, **wanted)]  # type: ignore[arg-type]

    assert numbers() == [1, 2, 3, 4]
    assert numbers(mac=A) == [1, 3, 4]
    assert numbers(mac=A, vid=1) == [1, 4]
    assert numbers(port="red") == [1, 2, 4]
    assert numbers(port="blue") == [4]
    assert numbers(port="nope") == []
    assert numbers(limit=2) == [3, 4]
    assert numbers(mac=A, limit=1) == [4]


def test_a_port_that_floods_addresses_washes_out_its_own_history_alone(watched: Watched) -> None:
    watched.history.note(0.0, "learned", (1, A), BLUE, None)
    for number in range(3 * RECORDS):
        watched.history.note(1.0, "learned", station(number), RED, None)
    assert [record.mac for record in watched.history.query(2.0, port="blue")] == [A]
    kept = watched.history.query(2.0, port="red")
    assert [(1, record.mac) for record in kept] == [station(number) for number in range(2 * RECORDS, 3 * RECORDS)]


def test_of_ports_that_are_gone_the_last_few_are_remembered() -> None:
    ports: set[str] = set()
    history = History(ports)
    for number in range(2 * GONE):
        name = f"p{number}"
        ports.add(name)
        history.note(float(number), "learned", station(number), BridgePort(name), None)
        if number:
            ports.remove(name)
    remembered = {record.port for record in history.query(0.0)}
    assert remembered == {"p0", *(f"p{number}" for number in range(GONE, 2 * GONE))}
    assert "p0" in history
    assert "p1" not in history


def test_a_station_flaps_from_its_fifth_move_within_ten_seconds(watched: Watched) -> None:
    watched.flap(100.0, WINDOW, FLAPS)
    assert watched.told == [Flap(1, A, ("blue", "red"))]
    assert watched.history.flaps == 1
    assert list(watched.history.flapping(110.0)) == [(1, A)]
    assert {record.flapping for record in watched.history.query(110.0)} == {True}


def test_fewer_moves_or_slower_ones_are_no_flapping(watched: Watched) -> None:
    watched.flap(100.0, 1.0, FLAPS - 1)
    watched.flap(200.0, WINDOW + 0.1, FLAPS)
    watched.flap(300.0, 1.0, FLAPS - 1, (1, B))
    watched.flap(300.0, 1.0, FLAPS - 1, (2, B))
    assert watched.told == []
    assert watched.history.flaps == 0


def test_an_episode_counts_once_until_the_station_kept_still(watched: Watched) -> None:
    watched.flap(0.0, 8.0, FLAPS)
    watched.flap(8.1, 100.0, 21)  # still 2 in 10 s: it is the same episode
    assert watched.history.flaps == 1
    assert list(watched.history.flapping(118.0)) == [(1, A)]
    assert list(watched.history.flapping(118.2)) == []
    watched.flap(118.2, 1.0, FLAPS)
    assert watched.history.flaps == 2
    assert len(watched.told) == 2


def test_every_port_of_the_last_moves_is_named(watched: Watched) -> None:
    route = [RED, BLUE, GREEN, RED, BLUE, GREEN]
    for number in range(FLAPS):
        watched.move(float(number), before=route[number], to=route[number + 1])
    assert watched.told == [Flap(1, A, ("blue", "green", "red"))]


def test_a_question_for_what_flaps(watched: Watched) -> None:
    watched.flap(0.0, 1.0)
    watched.history.note(1.0, "learned", (1, B), RED, None)
    assert {record.mac for record in watched.history.query(2.0, flapping=True)} == {A}
    assert {record.mac for record in watched.history.query(2.0, flapping=False)} == {B}
    assert watched.history.query(1.0 + WINDOW, flapping=True) == []


def test_moves_are_watched_of_so_many_stations_only(watched: Watched) -> None:
    watched.flap(0.0, 1.0)
    for number in range(3 * MOVING):
        watched.move(2.0, station(number))
    assert len(watched.history._moves) == MOVING
    watched.move(50.0)
    assert len(watched.history._moves) == 1, "who kept still is not watched any longer"


@pytest.mark.parametrize(("again", "flaps"), [(True, 1), (False, 0)])
def test_the_station_that_kept_still_longest_is_watched_no_longer(watched: Watched, again: bool, flaps: int) -> None:
    watched.flap(0.0, 1.0, FLAPS - 1 - again)
    for number in range(MOVING - 1):
        watched.move(2.0, station(number))
    if again:
        watched.move(3.0)
    watched.move(4.0, (2, A))
    watched.move(5.0)
    assert watched.history.flaps == flaps


class Told:
    """A switch of two ports whose history is kept, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.switch = Switch()
        for name in ("a", "b"):
            self.switch.add_port(BridgePort(name))
        self.chronicle = Chronicle(self.switch, lambda: self.now)

    def hear(self, source: bytes, port: str) -> None:
        raw = bytes(10) + b"\xff" * 6 + source + b"\x88\xb5" + bytes(46)
        self.switch.receive_raw(raw, self.switch.ports[port], self.now)

    def flap(self, *sources: bytes) -> None:
        for number in range(FLAPS + 1):
            for source in sources:
                self.hear(source, "ab"[number % 2])


@pytest.fixture
def told() -> Told:
    return Told()


def test_rows_have_the_time_of_day_and_the_age(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_010.25)
    told.hear(A, "a")
    told.now += 10.0
    told.hear(A, "b")
    told.now += 0.25
    rows = json.loads(TypeAdapter(list[HistoryRow]).dump_json(told.chronicle.rows()))
    common = {"mac": "02:00:00:00:00:01", "vlan": 1, "flapping": False}
    assert rows == [
        {"time": "2023-11-14T22:13:20.000Z", "age": 10.25, "kind": "learned", "port": "a", "from_port": None, **common},
        {"time": "2023-11-14T22:13:30.000Z", "age": 0.25, "kind": "moved", "port": "b", "from_port": "a", **common},
    ]


def test_the_log_says_once_an_episode_who_flaps_and_where(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.flap(A)
    told.flap(A)
    assert caplog.messages == [
        "station 02:00:00:00:00:01 in VLAN 1 flaps between ports a and b: is there a loop, or the same address twice?"
    ]
    told.now += WINDOW
    told.flap(A)
    assert len(caplog.messages) == 2


def test_the_log_names_a_few_stations_a_second(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.flap(*(station(number)[1] for number in range(3 * LINES)))
    assert len(caplog.messages) == LINES + 1
    assert caplog.messages[-1].startswith("more stations flap")
    told.now += 1.0
    told.flap(A)
    assert "02:00:00:00:00:01" in caplog.messages[-1]
    assert told.chronicle.history.flaps == 3 * LINES + 1
