"""`show flows`: as many frames as real guests sent, whichever twin forwards and whatever became of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.running import Running, until
from vswitch.control.client import CallError
from vswitch.fastpath.twins import FastPathError, choose
from vswitch.lab.guest import stream

if TYPE_CHECKING:
    from tests.netns.conftest import Lab

BROADCAST, TYPE = b"\xff" * 6, b"\x88\xb5"
LENGTH = 60


@pytest.fixture(params=["require", "off"])
def native(request: pytest.FixtureRequest) -> str:
    try:
        choose(request.param)
    except FastPathError as error:
        pytest.skip(str(error))
    return str(request.param)


def start(lab: Lab, native: str, ports: dict[str, dict[str, Any]]) -> Running:
    running = Running(lab.folder, lab.config(ports), environment={"VSWITCH_NATIVE": native})
    lab.running.append(running)
    running.start()
    return running


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def frame(destination: int | bytes, source: int) -> bytes:
    to = destination if isinstance(destination, bytes) else bytes.fromhex(mac(destination).replace(":", ""))
    return (to + bytes.fromhex(mac(source).replace(":", "")) + TYPE).ljust(LENGTH, b"\0")


def flows(running: Running, **narrowed: Any) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Of our stations, by port, source and destination."""
    rows = running.client.call("GET", "flows", **narrowed)
    return {
        (row["port"], row["source"], row["destination"]): row for row in rows if row["source"].startswith(mac(0)[:-2])
    }


def counts(running: Running, port: str, source: int, destination: int) -> tuple[int, int]:
    row = flows(running).get((port, mac(source), mac(destination)), {"frames": 0, "bytes": 0})
    return row["frames"], row["bytes"]


def test_as_many_frames_as_were_sent(lab: Lab, native: str) -> None:
    running = start(lab, native, {"a": {}, "b": {}, "c": {}})
    with lab.guest("a").wire(lab.name("a")) as a, lab.guest("b").wire(lab.name("b")) as b:
        b.send(frame(BROADCAST, 2))
        until(lambda: flows(running, mac=mac(2)), "learning")
        for _ in range(300):
            a.send(frame(2, 1))
        for _ in range(7):
            b.send(frame(1, 2))
        a.send(frame(9, 1))
        for _ in range(5):
            a.send(frame(1, 1))
        until(lambda: counts(running, "a", 1, 1)[0] >= 5 and counts(running, "b", 2, 1)[0] >= 7, "the last of them")
        found = flows(running)
        assert {
            key: (row["frames"], row["bytes"], row["egress"], row["reason"], row["one_way"])
            for key, row in found.items()
        } == {
            ("b", mac(2), "ff:ff:ff:ff:ff:ff"): (1, LENGTH, ["a", "c"], None, False),
            ("a", mac(1), mac(2)): (300, 300 * LENGTH, ["b"], None, False),
            ("b", mac(2), mac(1)): (7, 7 * LENGTH, ["a"], None, False),
            ("a", mac(1), mac(9)): (1, LENGTH, ["b", "c"], None, True),
            ("a", mac(1), mac(1)): (5, 5 * LENGTH, [], "same_port", False),
        }
        assert all(row["vlan"] == 1 and row["age"] < 60 for row in found.values())
        assert running.vswitch("port", "set", "c", "--isolated").returncode == 0
        for _ in range(100):
            a.send(frame(2, 1))
        until(lambda: counts(running, "a", 1, 2)[0] >= 400, "what was sent after a change")
        assert counts(running, "a", 1, 2) == (400, 400 * LENGTH)


def test_superframes_count_their_segments_as_the_port_does(lab: Lab, native: str) -> None:
    running = start(lab, native, {"a": {"address": "10.88.1.1/24"}, "b": {"address": "10.88.1.2/24"}})
    stream(lab.guest("a"), lab.guest("b"), "10.88.1.2", 0.2)

    def both() -> list[tuple[int, int]]:
        received = running.ports()["a"]["receive"]
        rows = [row for row in running.client.call("GET", "flows") if row["port"] == "a"]
        by_port = sum(received[cast] for cast in ("unicast", "multicast", "broadcast")), received["bytes"]
        return [by_port, (sum(row["frames"] for row in rows), sum(row["bytes"] for row in rows))]

    def agree() -> bool:
        port, rows = both()
        return port == rows

    until(agree, "the sum of the conversations of a port to be what it counted")
    assert both()[0][0] > 1000


def test_a_link_that_works_one_way_is_found_with_one_command(lab: Lab, native: str) -> None:
    running = start(lab, native, {"a": {"access": 10}, "b": {"access": 10}, "c": {"access": 20}})
    with lab.guest("a").wire(lab.name("a")) as a, lab.guest("c").wire(lab.name("c")) as c:
        a.send(frame(2, 1))
        c.send(frame(1, 2))
        until(lambda: len(flows(running)) == 2, "both frames")
        assert {(row["port"], row["vlan"], row["one_way"]) for row in flows(running).values()} == {
            ("a", 10, True),
            ("c", 20, True),
        }, "in two VLANs, they do not hear each other"
        shown = running.vswitch("show", "flows", mac(1))
        assert shown.returncode == 0
        lines = [line for line in shown.stdout.splitlines() if mac(1) in line]
        assert len(lines) == 2
        assert all(line.rstrip().endswith("one-way") for line in lines)


def test_flows_are_narrowed_and_limited(lab: Lab, native: str) -> None:
    running = start(lab, native, {"a": {}, "b": {}, "c": {}})
    with lab.guest("a").wire(lab.name("a")) as a, lab.guest("b").wire(lab.name("b")) as b:
        b.send(frame(BROADCAST, 2))
        until(lambda: flows(running, mac=mac(2)), "learning")
        for number in range(20):
            a.send(frame(0x20 + number, 1))
        a.send(frame(2, 1))
        until(lambda: len(flows(running)) == 22, "all frames")
    assert set(flows(running, mac=mac(0x21))) == {("a", mac(1), mac(0x21))}
    assert {port for port, _, _ in flows(running, port="b")} == {"a", "b"}, "what comes in there, and what leaves"
    assert flows(running, vlan=7) == {}
    assert len(flows(running, vlan=1)) == 22
    last = running.client.call("GET", "flows", limit=5, mac=mac(1))
    assert len(last) == 5
    ages = [row["age"] for row in running.client.call("GET", "flows", mac=mac(1))]
    assert ages == sorted(ages)
    rows = json.loads(running.vswitch("show", "flows", mac(2).upper().replace(":", "-"), "--json").stdout)
    assert {(row["source"], row["frames"]) for row in rows} == {(mac(1), 1), (mac(2), 1)}
    for name, value in (("limit", 0), ("limit", 1001), ("limit", "x"), ("vlan", 4095), ("mac", "x"), ("port", "z")):
        with pytest.raises(CallError, match=str(value)) as refused:
            flows(running, **{name: value})
        assert refused.value.status == 2
    result = running.vswitch("show", "flows", "nonsense")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
