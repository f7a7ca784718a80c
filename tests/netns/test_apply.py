"""A running switch changes by difference: what stays the same notices nothing."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.running import Running, listen, receive, until
from vswitch.control.client import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.conftest import Lab

BROADCAST, TYPE = b"\xff" * 6, b"\x88\xb5"
PORTS: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {}}


@pytest.fixture
def stream(lab: Lab) -> Iterator[Callable[[], list[int]]]:
    """A steady stream of numbered frames from a to b; calling it ends it and gives the numbers that arrived."""
    stop = threading.Event()
    sent = [0]
    heard: list[int] = []
    threads: list[threading.Thread] = []

    def start() -> None:
        a, b = lab.guest("a").wire(lab.name("a")), listen(lab.guest("b"), lab.name("b"))

        def pour() -> None:
            with a:
                while not stop.wait(0.0005):
                    a.send(BROADCAST + b"\x02\0\0\0\0\1" + TYPE + sent[0].to_bytes(4) + bytes(46))
                    sent[0] += 1

        def hear() -> None:
            with b:
                heard.extend(int.from_bytes(frame[14:18]) for frame in receive(b, 1 << 30))

        threads.extend((threading.Thread(target=hear), threading.Thread(target=pour)))
        for thread in threads:
            thread.start()

    def end() -> list[int]:
        if not threads:
            start()
            return []
        stop.set()
        for thread in threads:
            thread.join()
        assert heard == list(range(sent[0])), "not one frame is lost, doubled or out of order"
        return heard

    yield end
    stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("by", ["SIGHUP", "apply"])
def test_untouched_ports_lose_not_one_frame(lab: Lab, stream: Callable[[], list[int]], by: str) -> None:
    running = lab.start(PORTS)

    def become(ports: dict[str, dict[str, Any]], **options: Any) -> None:
        running.write(lab.config(ports, **options))
        if by == "SIGHUP":
            assert running.process is not None
            running.process.send_signal(signal.SIGHUP)
        else:
            result = running.vswitch("apply", str(running.file))
            assert (result.returncode, result.stderr) == (0, "")

    stream()
    until(lambda: running.ports()["b"]["transmit"]["broadcast"] > 100, "traffic")
    before = running.ports()
    become({**PORTS, "c": {"mtu": 1400}, "d": {}}, ageing=60)
    until(lambda: "d" in running.ports(), "the new port")
    become({"a": {}, "b": {}, "c": {"offload": False}}, ageing=60, fdb={"limit": 100})
    until(lambda: "d" not in running.ports(), "the port to go")
    become({"a": {}, "b": {}})
    until(lambda: "c" not in running.ports(), "the port to go")
    assert len(stream()) > 100
    after = running.ports()
    assert after["a"]["receive"]["broadcast"] >= before["a"]["receive"]["broadcast"]
    assert [after[port]["dropped"] for port in "ab"] == [before[port]["dropped"] for port in "ab"]


def test_stations_of_untouched_ports_stay_known(lab: Lab, three: Callable[..., Running]) -> None:
    running = three()
    assert lab.guest("a").ping("10.88.0.2") is not None
    known = {(row["mac"], row["port"]) for row in running.client.call("GET", "fdb") if row["port"] != "c"}
    running.client.call("DELETE", "ports/c")
    assert {(row["mac"], row["port"]) for row in running.client.call("GET", "fdb")} == known


def test_dry_run_prints_the_difference_and_changes_nothing(lab: Lab) -> None:
    running = lab.start(PORTS)
    before = running.client.call("GET", "config")
    running.write(lab.config({"a": {"access": 10}, "b": {"mtu": 1400}, "d": {}}, ageing="60s"))
    result = running.vswitch("apply", str(running.file), "--dry-run")
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        f"- port c (tap {lab.name('c')}, netns {lab.name('c')})",
        f"+ port d (tap {lab.name('d')}, netns {lab.name('d')})",
        "~ port b: mtu default → 1400",
        "~ port a: access default → 10",
        "~ ageing 300 → 60",
        "~ vlan_filtering off → on",
    ]
    assert running.client.call("GET", "config") == before


def test_a_change_that_fails_is_undone_whole(lab: Lab) -> None:
    running = lab.start(PORTS)
    before = running.client.call("GET", "config")
    wanted = lab.config({"a": {"mtu": 1400}, "c": {"access": 20}, "e": {}})
    wanted["ports"]["bad"] = {"tap": "lo"}
    wanted["control"] = str(running.control)
    with pytest.raises(CallError, match="no TAP"):
        running.client.call("PUT", "config", wanted)
    assert running.client.call("GET", "config") == before
    ports = running.ports()
    assert set(ports) == {"a", "b", "c"}
    assert ports["a"]["mtu"] == 1500
    assert all(row["state"] == "up" for row in ports.values())


def test_a_wrong_file_leaves_the_switch_as_it_is(lab: Lab) -> None:
    running = lab.start(PORTS)
    running.file.write_text("name: x\nports: 7\n")
    assert running.process is not None
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "stays as it is" in running.log.read_text(), "the log to say so")
    assert set(running.ports()) == {"a", "b", "c"}
    result = running.vswitch("apply", str(running.file))
    assert result.returncode == 2


def test_the_name_cannot_change_while_it_runs(lab: Lab) -> None:
    running = lab.start(PORTS)
    running.write({**lab.config(PORTS), "name": "other"})
    result = running.vswitch("apply", str(running.file))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "name cannot change" in result.stderr


def test_vlans_and_static_entries_change_in_place(lab: Lab, stream: Callable[[], list[int]]) -> None:
    running = lab.start({**PORTS, "a": {"access": 10}, "b": {"access": 10}})
    stream()
    until(lambda: running.ports()["b"]["transmit"]["broadcast"] > 10, "traffic")
    running.client.call("PATCH", "ports/c", {"trunk": ["10", "20-29"], "native": "1"})
    running.client.call("POST", "fdb", {"mac": "02:00:00:00:00:09", "port": "c", "vlan": 10})
    assert running.ports()["c"]["vlan"] == {"trunk": [10, "20-29"], "native": 1}
    rows = [row for row in running.client.call("GET", "fdb") if row["kind"] == "static"]
    assert rows == [{"mac": "02:00:00:00:00:09", "vlan": 10, "port": "c", "kind": "static", "age": 0.0}]
    running.client.call("DELETE", "fdb/10/02:00:00:00:00:09")
    assert not [row for row in running.client.call("GET", "fdb") if row["kind"] == "static"]
    assert len(stream()) > 10
