"""The filtering database: learning, moving, ageing, limits and who pays for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vswitch.core.fdb import Fdb
from vswitch.core.port import BridgePort

if TYPE_CHECKING:
    from collections.abc import Callable

A, B, C = (bytes((2, 0, 0, 0, 0, last)) for last in (1, 2, 3))


def station(number: int) -> bytes:
    return b"\x02\x00" + number.to_bytes(4)


@pytest.fixture
def red() -> BridgePort:
    return BridgePort("red")


@pytest.fixture
def blue() -> BridgePort:
    return BridgePort("blue")


def test_a_station_is_found_where_it_was_heard_in_its_vlan_alone(red: BridgePort) -> None:
    fdb = Fdb()
    fdb.learn(10, A, red, 0.0)
    assert fdb.lookup(10, A, 1.0) is red
    assert fdb.lookup(20, A, 1.0) is None
    assert fdb.lookup(10, B, 1.0) is None
    assert fdb.sizes == {10: 1}


def test_an_entry_expires_at_the_ageing_time_and_not_before(red: BridgePort) -> None:
    fdb = Fdb(ageing=300.0)
    fdb.learn(1, A, red, 0.0)
    fdb.learn(1, B, red, 10.0)
    assert fdb.next_deadline() == 300.0
    assert fdb.lookup(1, A, 299.9) is red
    assert fdb.lookup(1, A, 300.0) is None
    assert fdb.expire(299.9) == 0
    assert fdb.expire(300.0) == 1
    assert len(fdb) == 1
    assert fdb.next_deadline() == 310.0


def test_hearing_a_station_again_keeps_it(red: BridgePort) -> None:
    fdb = Fdb(ageing=300.0)
    fdb.learn(1, A, red, 0.0)
    fdb.learn(1, A, red, 200.0)
    assert fdb.lookup(1, A, 499.0) is red
    assert [row.age for row in fdb.rows(210.0)] == [10.0]


def test_a_move_takes_effect_at_once_and_is_counted(red: BridgePort, blue: BridgePort) -> None:
    fdb = Fdb()
    fdb.learn(1, A, red, 0.0)
    fdb.learn(1, A, blue, 1.0)
    assert fdb.lookup(1, A, 1.0) is blue
    assert fdb.moves == 1
    assert fdb.flush(port=red) == 0
    assert fdb.flush(port=blue) == 1


def test_whoever_keeps_what_a_lookup_found_is_told_of_every_change(red: BridgePort, blue: BridgePort) -> None:
    told: list[tuple[int, bytes]] = []
    fdb = Fdb(ageing=10.0, limit=2, changed=told.append)
    changes: list[tuple[Callable[[], object], list[bytes]]] = [
        (lambda: fdb.learn(1, A, red, 0.0), [A]),
        (lambda: fdb.learn(1, A, red, 1.0), []),
        (lambda: fdb.learn(1, A, blue, 2.0), [A]),
        (lambda: fdb.learn(1, B, blue, 3.0), [B]),
        (lambda: fdb.learn(1, C, red, 4.0), [A, C]),
        (lambda: fdb.expire(13.0), [B]),
        (lambda: fdb.add_static(1, C, blue, 14.0), [C, C]),
        (lambda: fdb.learn(1, C, red, 15.0), []),
        (lambda: fdb.remove(1, C), [C]),
        (lambda: fdb.learn(1, B, red, 16.0), [B]),
        (lambda: fdb.flush(vid=2), []),
        (lambda: fdb.flush(port=red), [B]),
    ]
    for change, stations in changes:
        change()
        assert [mac for _, mac in told] == stations
        told.clear()


def test_whoever_writes_its_history_is_told_what_happened(red: BridgePort, blue: BridgePort) -> None:
    told: list[tuple[str, bytes, BridgePort, BridgePort | None]] = []
    fdb = Fdb(ageing=10.0, limit=2, tell=lambda change, key, *ports: told.append((change, key[1], *ports)))
    changes: list[tuple[Callable[[], object], list[tuple[str, bytes, BridgePort, BridgePort | None]]]] = [
        (lambda: fdb.learn(1, A, red, 0.0), [("learned", A, red, None)]),
        (lambda: fdb.learn(1, A, red, 1.0), []),
        (lambda: fdb.learn(1, A, blue, 2.0), [("moved", A, blue, red)]),
        (lambda: fdb.learn(1, A, red, 12.0), [("aged", A, blue, None), ("learned", A, red, None)]),
        (lambda: fdb.learn(1, B, blue, 13.0), [("learned", B, blue, None)]),
        (lambda: fdb.learn(1, C, red, 14.0), [("evicted", A, red, None), ("learned", C, red, None)]),
        (lambda: fdb.expire(23.0), [("aged", B, blue, None)]),
        (lambda: fdb.add_static(1, C, blue, 23.0), [("static", C, blue, red)]),
        (lambda: fdb.add_static(1, C, blue, 23.0), []),
        (lambda: fdb.learn(1, C, red, 23.0), []),
        (lambda: fdb.remove(1, C), [("removed", C, blue, None)]),
        (lambda: fdb.learn(1, A, red, 24.0), [("learned", A, red, None)]),
        (lambda: fdb.add_static(1, A, red, 24.0), [("static", A, red, None)]),
        (lambda: fdb.learn(1, B, red, 24.0), [("learned", B, red, None)]),
        (lambda: fdb.flush(port=red), [("flushed", B, red, None)]),
        (lambda: fdb.learn(1, B, blue, 24.0), [("learned", B, blue, None)]),
        (lambda: fdb.resize(1), [("evicted", B, blue, None)]),
        (lambda: fdb.forget_port(red), [("port_removed", A, red, None)]),
    ]
    for change, expected in changes:
        change()
        assert told == expected
        told.clear()


def test_a_static_entry_is_never_learned_over_nor_expires(red: BridgePort, blue: BridgePort) -> None:
    fdb = Fdb(ageing=10.0)
    fdb.learn(1, A, blue, 0.0)
    fdb.add_static(1, A, red, 0.0)
    fdb.learn(1, A, blue, 1.0)
    assert fdb.lookup(1, A, 1e9) is red
    assert fdb.expire(1e9) == 0
    assert fdb.flush() == 0
    assert fdb.moves == 0
    assert fdb.flush(static=True) == 1


@pytest.mark.parametrize("mac", [b"\xff" * 6, bytes.fromhex("01005e000001"), bytes(6)])
def test_a_static_entry_needs_an_individual_address(mac: bytes, red: BridgePort) -> None:
    with pytest.raises(ValueError, match="individual"):
        Fdb().add_static(1, mac, red, 0.0)


def test_a_flooding_port_pushes_out_its_own_entries_only(red: BridgePort, blue: BridgePort) -> None:
    fdb = Fdb(limit=10)
    for number in range(3):
        fdb.learn(1, station(number), blue, float(number))
    for number in range(100, 200):
        fdb.learn(1, station(number), red, float(number))
    assert len(fdb) == 10
    assert all(fdb.lookup(1, station(number), 200.0) is blue for number in range(3))
    assert [row.mac for row in fdb.rows(200.0) if row.port is red] == [station(n) for n in range(193, 200)]
    assert fdb.evictions == 93


def test_a_port_that_owns_as_many_as_any_other_pays_for_itself(red: BridgePort, blue: BridgePort) -> None:
    fdb = Fdb(limit=4)
    for number, port in enumerate((red, red, blue, blue)):
        fdb.learn(1, station(number), port, float(number))
    fdb.learn(1, station(9), blue, 9.0)
    assert [row.mac for row in fdb.rows(9.0)] == [station(0), station(1), station(3), station(9)]


def test_the_least_recently_heard_entry_goes_first(red: BridgePort) -> None:
    fdb = Fdb(limit=2)
    fdb.learn(1, A, red, 0.0)
    fdb.learn(1, B, red, 1.0)
    fdb.learn(1, A, red, 2.0)
    fdb.learn(1, C, red, 3.0)
    assert fdb.lookup(1, B, 3.0) is None
    assert fdb.lookup(1, A, 3.0) is red


def test_a_table_full_of_static_entries_learns_nothing_and_says_so(red: BridgePort) -> None:
    fdb = Fdb(limit=1)
    fdb.add_static(1, A, red, 0.0)
    fdb.learn(1, B, red, 0.0)
    assert fdb.lookup(1, B, 0.0) is None
    with pytest.raises(ValueError, match="full"):
        fdb.add_static(1, C, red, 0.0)


def test_a_smaller_limit_evicts_and_keeps_static_entries(red: BridgePort) -> None:
    fdb = Fdb()
    fdb.add_static(1, A, red, 0.0)
    for number in range(10):
        fdb.learn(1, station(number), red, float(number))
    fdb.resize(3)
    assert [row.mac for row in fdb.rows(10.0)] == [A, station(8), station(9)]
    fdb.resize(0)
    assert [row.mac for row in fdb.rows(10.0)] == [A]


def test_flush_by_port_and_vlan(red: BridgePort, blue: BridgePort) -> None:
    fdb = Fdb()
    for vid in (10, 20):
        fdb.learn(vid, A, red, 0.0)
        fdb.learn(vid, B, blue, 0.0)
    assert fdb.flush(port=red, vid=10) == 1
    assert fdb.flush(vid=20) == 2
    assert [(row.vid, row.mac) for row in fdb.rows(0.0)] == [(10, B)]
    assert fdb.sizes == {10: 1}


def test_a_port_that_leaves_takes_its_static_entries_along(red: BridgePort, blue: BridgePort) -> None:
    fdb = Fdb()
    fdb.add_static(1, A, red, 0.0)
    fdb.learn(1, B, red, 0.0)
    fdb.learn(1, C, blue, 0.0)
    fdb.forget_port(red)
    assert [row.mac for row in fdb.rows(0.0)] == [C]


def test_remove_says_whether_there_was_anything(red: BridgePort) -> None:
    fdb = Fdb()
    fdb.learn(1, A, red, 0.0)
    assert fdb.remove(1, A)
    assert not fdb.remove(1, A)
    assert fdb.next_deadline() is None
