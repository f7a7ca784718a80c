"""What becomes of stations on a real switch: the history, the metric and the log of one that moves to and fro."""

from __future__ import annotations

import itertools
import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.test_api import free_port, scrape
from tests.netns.test_devices import index, inside
from tests.running import until
from vswitch.control.client import CallError
from vswitch.core.history import FLAPS

if TYPE_CHECKING:
    from tests.netns.conftest import Lab
    from tests.running import Running

BROADCAST, TYPE = b"\xff" * 6, b"\x88\xb5"
MAC = "02:00:00:00:0a:01"


def speak(running: Running, lab: Lab, port: str, mac: str = MAC) -> None:
    """Have a guest send as this station, and wait until the switch knows it there."""
    with lab.guest(port).wire(lab.name(port)) as wire:
        wire.send(BROADCAST + bytes.fromhex(mac.replace(":", "")) + TYPE + bytes(46))
    until(lambda: [row["port"] for row in running.client.call("GET", "fdb", mac=mac)] == [port], f"{mac} at {port}")


def history(running: Running, *arguments: str) -> list[dict[str, Any]]:
    """`vswitch show history`, as a script reads it."""
    result = running.vswitch("show", "history", *arguments, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


@pytest.fixture
def running(lab: Lab) -> Running:
    return lab.start({"a": {}, "b": {}})


def test_the_history_of_a_station_from_its_first_frame_to_its_last(running: Running, lab: Lab) -> None:
    began = time.time()
    speak(running, lab, "a")
    speak(running, lab, "b")
    assert running.vswitch("fdb", "add", MAC, "a").returncode == 0
    assert running.vswitch("fdb", "del", MAC).returncode == 0
    speak(running, lab, "b")
    assert running.vswitch("fdb", "flush", "--port", "b").returncode == 0
    speak(running, lab, "b")
    assert running.vswitch("port", "del", "b").returncode == 0
    rows = history(running, MAC.upper())
    assert [(row["kind"], row["port"], row["from_port"]) for row in rows] == [
        ("learned", "a", None),
        ("moved", "b", "a"),
        ("static", "a", "b"),
        ("removed", "a", None),
        ("learned", "b", None),
        ("flushed", "b", None),
        ("learned", "b", None),
        ("port_removed", "b", None),
    ]
    for row in rows:
        assert (row["mac"], row["vlan"], row["flapping"]) == (MAC, 1, False)
        moment = datetime.fromisoformat(row["time"])
        assert moment.tzinfo == UTC
        assert began - 0.1 <= moment.timestamp() <= time.time() + 0.1
        assert 0 <= row["age"] <= time.time() - began + 0.1
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    left = running.client.call("GET", "history", port="b", mac=MAC, limit=2)
    assert [row["kind"] for row in left] == ["learned", "port_removed"]


def test_a_link_that_goes_down_is_in_the_history(running: Running, lab: Lab) -> None:
    speak(running, lab, "a")
    with inside(lab.name("a")) as ipr:
        ipr.link("set", index=index(ipr, lab.name("a")), state="down")
    until(lambda: history(running, MAC)[-1]["kind"] == "port_down", "the link to be seen down")


def test_an_address_at_two_guests_flaps_in_the_history_the_metric_and_the_log(lab: Lab) -> None:
    port = free_port()
    running = lab.start({"a": {}, "b": {}}, metrics={"listen": f"127.0.0.1:{port}"})
    speak(running, lab, "a", "02:00:00:00:0a:02")
    turns = itertools.cycle("ab")
    while not running.client.call("GET", "switch")["fdb_flaps"]:
        speak(running, lab, next(turns))
    for _ in range(FLAPS):
        speak(running, lab, next(turns))
    rows = history(running, MAC)
    assert [row["kind"] for row in rows] == ["learned", *["moved"] * (len(rows) - 1)]
    assert [(row["port"], row["from_port"]) for row in rows[1:3]] == [("b", "a"), ("a", "b")]
    assert len(rows) > 2 * FLAPS
    assert all(row["flapping"] for row in rows)
    assert {row["mac"] for row in running.client.call("GET", "history", flapping="true")} == {MAC}
    assert {row["mac"] for row in running.client.call("GET", "history", flapping="false")} >= {"02:00:00:00:0a:02"}
    assert {row["mac"] for row in history(running, "--flapping")} == {MAC}
    assert {row["port"] for row in history(running, "--port", "b", "--vlan", "1")} <= {"a", "b"}
    assert history(running, "--port", "a", "--vlan", "7") == []
    assert (
        running.vswitch("show", "ports", "--flapping").stderr
        == "vswitch: `show ports` has no --flapping: leave it out\n"
    )
    assert running.client.call("GET", "switch")["fdb_flaps"] == 1
    assert f'vswitch_fdb_flaps_total{{switch="{lab.tag}"}} 1.0' in scrape(port)[0].splitlines()
    lines = [line for line in running.log.read_text().splitlines() if "flaps" in line]
    assert lines == [
        f"WARNING station {MAC} in VLAN 1 flaps between ports a and b: is there a loop, or the same address twice?"
    ]
    table = running.vswitch("show", "history", MAC).stdout.splitlines()
    assert table[0].split() == ["TIME", "AGE", "MAC", "VLAN", "WHAT", "PORT", "FROM", "FLAPS"]
    assert re.fullmatch(rf"\S+Z +[\d.]+ s +{MAC} +1 +moved +(a +b|b +a) +yes", table[-1].strip())


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"mac": "x"}, "'x' is not a MAC address"),
        ({"port": "nope"}, "there is no port nope; the ports are a, b"),
        ({"vlan": "4095"}, "'4095' is not a VLAN: a number from 1 to 4094"),
        ({"vlan": "²"}, "'²' is not a VLAN"),
        ({"limit": "0"}, "'0' is not how many events to show: a number from 1 to 1024"),
        ({"flapping": "perhaps"}, "flapping is true or false, not 'perhaps'"),
    ],
)
def test_a_wrong_question_is_one_sentence(running: Running, query: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CallError, match=re.escape(sentence)) as caught:
        running.client.call("GET", "history", **query)
    assert caught.value.status == 2
