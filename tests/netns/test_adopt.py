"""Taking a bridge of the kernel over while it is in use, and giving it back as it was, however the switch ends."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyroute2.netlink.rtnl import RTMGRP_LINK

from tests.isolated import PREFIX
from tests.netns.bridged import BridgedHost
from tests.running import VSWITCH, Running, unique
from vswitch.control.place import runtime_directory
from vswitch.ports import kernel_bridge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyroute2 import IPRoute


@pytest.fixture
def bridged() -> Iterator[BridgedHost]:
    host = BridgedHost()
    yield host
    host.close()


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path, {"name": unique("a"), "ports": {}}) as running:
        yield running


def adopt(switch: Running, host: BridgedHost, *options: str) -> Any:
    result = switch.vswitch("adopt", "br", "--netns", host.name, "--json", *options)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def everybody_reaches_everybody(host: BridgedHost) -> bool:
    numbers = range(1, len(host.guests) + 1)
    return all(host.ping(one, other) for one in numbers for other in (*numbers, 254) if one != other)


def test_guests_and_host_go_on_through_the_switch(bridged: BridgedHost, switch: Running) -> None:
    assert everybody_reaches_everybody(bridged)
    mac = bridged.mac()
    answer = adopt(switch, bridged)
    assert bridged.mac() == mac
    assert answer["ports"] == ["br", "v1", "v2", "v3"]
    assert 0 < answer["outage"] < answer["took"], "one port is moved after the other"
    assert everybody_reaches_everybody(bridged)
    ports = switch.ports()
    assert {name: port["state"] for name, port in ports.items()} == dict.fromkeys(("br", "v1", "v2", "v3"), "up")
    assert all(port["receive"]["unicast"] >= 4 for name, port in ports.items())


def test_the_host_goes_on_sending_to_those_who_say_nothing_just_then(bridged: BridgedHost, switch: Running) -> None:
    assert everybody_reaches_everybody(bridged)
    adopt(switch, bridged)
    for number in (1, 2, 3):
        assert bridged.ping_from_host(number), "the bridge still knows the guest behind a port that is the switch's"


def test_a_station_is_known_as_soon_as_its_port_is_there(bridged: BridgedHost, switch: Running) -> None:
    """Not only once all are: who says nothing meanwhile is taken to be where it was heard last, behind the TAP."""
    assert everybody_reaches_everybody(bridged)
    macs = [bridged.guest_mac(number) for number in (1, 2, 3)]
    bridged.pin("v2", macs[1])
    adopt(switch, bridged)
    rows = switch.client.call("GET", "history")
    first, second, third = (
        max(row["age"] for row in rows if (row["mac"], row["port"]) == (mac, f"v{number}"))
        for number, mac in enumerate(macs, 1)
    )
    assert first >= second + 0.001, "it takes some milliseconds to open a port"
    assert second >= third + 0.001


def test_a_dry_run_shows_the_plan_and_changes_nothing(bridged: BridgedHost, switch: Running) -> None:
    before = bridged.settings()
    result = switch.vswitch("adopt", "br", "--netns", bridged.name, "--dry-run")
    assert "+ port v1 (interface v1" in result.stdout
    assert "moved" not in result.stdout
    assert not switch.ports()
    bridged.settles_as(before)


def test_what_the_bridge_knew_is_known(bridged: BridgedHost, switch: Running) -> None:
    assert everybody_reaches_everybody(bridged)
    bridged.set_port("v3", IFLA_BRPORT_ISOLATED=1)
    with bridged.route() as route:
        route.fdb("append", ifindex=bridged.index("v1"), lladdr="02:00:00:00:00:99", NDA_MASTER=bridged.index("br"),
                  state=0x40)  # fmt: skip
    adopt(switch, bridged)
    fdb = {row["mac"]: row for row in switch.client.call("GET", "fdb")}
    assert (fdb["02:00:00:00:00:99"]["port"], fdb["02:00:00:00:00:99"]["kind"]) == ("v1", "static")
    assert {row["port"] for row in fdb.values() if row["kind"] == "learned"} >= {"v1", "v2", "v3"}
    config = switch.client.call("GET", "config")
    assert (config["ageing"], config["ports"]["v3"]["isolated"]) == (60.0, True)


@pytest.mark.parametrize("end", ["release", "SIGTERM", "SIGKILL"])
def test_the_bridge_is_as_it_was_however_that_ends(bridged: BridgedHost, switch: Running, end: str) -> None:
    bridged.set_port("v2", IFLA_BRPORT_ISOLATED=1, IFLA_BRPORT_MODE=1)
    before = bridged.settings()
    answer = adopt(switch, bridged)
    assert answer["left"] == ["v2: hairpin on has no like here"]
    assert bridged.ping(1, 2)
    if end == "release":
        assert switch.vswitch("release", "br").stdout == "given back: br\n"
        assert not switch.ports()
    else:
        switch.stop(getattr(signal, end))
    bridged.settles_as(before)
    assert everybody_reaches_everybody(bridged)


def test_while_ports_come_back_the_bridge_takes_nobody_to_be_behind_the_switch(
    bridged: BridgedHost, switch: Running
) -> None:
    """It would go on to, until the last is back: who says nothing meanwhile could not be reached by those who do."""
    adopt(switch, bridged)
    assert everybody_reaches_everybody(bridged)
    tap = bridged.index("vswitch0")
    assert bridged.learned_behind(tap)
    kernel_bridge.forget("vswitch0", bridged.name)
    assert everybody_reaches_everybody(bridged)
    assert not bridged.learned_behind(tap)
    assert switch.vswitch("release").returncode == 0
    adopt(switch, bridged)
    tap = bridged.index("vswitch0")
    with bridged.route() as route:
        route.bind(groups=RTMGRP_LINK)
        assert switch.vswitch("release").returncode == 0
        heard = itertools.takewhile(lambda event: event["event"] != "RTM_DELLINK", _events(route, tap))
        assert 0 in [learning for event in heard if (learning := _learning(event)) is not None]


def _events(route: IPRoute, index: int) -> Iterator[Any]:
    while True:
        yield from (event for event in route.get() if event["index"] == index)


def _learning(event: Any) -> int | None:
    info = event.get("protinfo")
    return None if info is None else info.get_attr("IFLA_BRPORT_LEARNING")


@pytest.mark.parametrize("end", ["release", "SIGTERM", "SIGKILL"])
def test_static_entries_hold_for_the_host_and_are_back_afterwards(
    bridged: BridgedHost, switch: Running, end: str
) -> None:
    """Guest 1 is heard by the TAP meanwhile, which moves its entry there, and takes it along when it goes."""
    bridged.pin("v1", bridged.guest_mac(1))
    bridged.pin("v1", "02:00:00:00:00:99", sticky=True)
    before = bridged.settings()
    adopt(switch, bridged)
    assert bridged.ping_from_host(1)
    assert everybody_reaches_everybody(bridged)
    if end == "release":
        assert switch.vswitch("release", "br").stdout == "given back: br\n"
    else:
        switch.stop(getattr(signal, end))
    if end == "SIGKILL":
        switch.start()
    bridged.settles_as(before)
    assert everybody_reaches_everybody(bridged)
    assert not list(runtime_directory().glob(f"{switch.file.stem}.*pins*"))


def test_a_tcp_connection_lives_through_it_and_back(bridged: BridgedHost, switch: Running) -> None:
    """Octets that are all different come in order and whole while the bridge is taken over and given back."""
    total, began, done = 64 << 20, threading.Event(), threading.Event()
    with (
        closing(bridged.guest(2).open_socket(2, 1)) as server,
        closing(bridged.guest(1).open_socket(2, 1)) as client,
    ):
        server.bind(("10.87.0.2", 0))
        server.listen(1)
        client.settimeout(60)
        client.connect(server.getsockname())
        connection, _ = server.accept()
        thread = threading.Thread(target=_pour, args=(client, total, began, done))
        thread.start()
        with closing(connection):
            connection.settimeout(60)
            received = 0
            for step in (None, adopt, None, _release, None):
                if step is not None:
                    step(switch, bridged)
                received += _read(connection, received, total // 8)
            done.set()
            received += _read(connection, received, None)
        thread.join()
    assert received >= total // 8 * 3


def _release(switch: Running, _: BridgedHost) -> None:
    assert switch.vswitch("release").returncode == 0


def _pour(client: Any, total: int, began: threading.Event, done: threading.Event) -> None:
    """Numbers of eight octets, one after the other, until all that is wanted has come."""
    sent = 0
    while not done.is_set():
        client.sendall(b"".join(number.to_bytes(8) for number in range(sent, sent + 8192)))
        sent += 8192
    client.shutdown(1)


def _read(connection: Any, before: int, least: int | None) -> int:
    """Read so many octets (None: to the end), and see that they are the ones that come next; how many."""
    received, rest = 0, b""
    expected, skip = divmod(before, 8)
    while least is None or received < least:
        octets = connection.recv(1 << 20)
        if not octets:
            assert least is None, "the connection ended"
            break
        received += len(octets)
        rest += octets
        whole = (len(rest) + skip) // 8
        numbers = b"".join(number.to_bytes(8) for number in range(expected, expected + whole))
        assert rest.startswith(numbers[skip:])
        rest, skip, expected = rest[len(numbers) - skip :] if whole else rest, 0 if whole else skip, expected + whole
    if rest:
        assert (expected.to_bytes(8))[skip:].startswith(rest)
    return received


def test_what_cannot_be_taken_over_is_said_in_a_sentence(bridged: BridgedHost, switch: Running) -> None:
    def refusal(bridge: str) -> str:
        result = switch.vswitch("adopt", bridge, "--netns", bridged.name)
        assert result.returncode == 1
        return result.stderr

    assert "there is no bridge nothing" in refusal("nothing")
    assert "v1 is an interface, and no bridge" in refusal("v1")
    adopt(switch, bridged)
    assert "taken over already" in refusal("br")
    assert switch.vswitch("release", "other").returncode == 1
    assert switch.vswitch("release").returncode == 0
    bridged.set("br", kind="bridge", br_stp_state=1)
    assert "spanning tree" in refusal("br")
    assert not switch.ports()


def test_of_two_who_take_a_bridge_over_at_once_one_does(bridged: BridgedHost, switch: Running) -> None:
    """The other one comes too late, and takes nothing away from the first."""
    bridged.pin("v1", bridged.guest_mac(1))
    before = bridged.settings()
    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(switch.vswitch, "adopt", "br", "--netns", bridged.name) for _ in range(4)]
    results = [caller.result() for caller in callers]
    assert sorted(result.returncode for result in results) == [0, 1, 1, 1], results
    assert all("taken over already" in result.stderr for result in results if result.returncode)
    assert list(switch.ports()) == ["br", "v1", "v2", "v3"]
    assert everybody_reaches_everybody(bridged)
    assert switch.vswitch("release").returncode == 0
    bridged.settles_as(before)


def test_a_bridge_that_cannot_be_given_back_yet_is_not_forgotten(bridged: BridgedHost, switch: Running) -> None:
    """A mirror needs one of its ports: once that is gone, the bridge is given back as ever."""
    bridged.pin("v1", bridged.guest_mac(1))
    before = bridged.settings()
    adopt(switch, bridged)
    switch.client.call("POST", "mirrors", {"name": "m", "ports": ["v1"], "to": "v3"})
    refused = switch.vswitch("release", "br")
    assert (refused.returncode, "there is no port v1" in refused.stderr) == (2, True)
    switch.client.call("DELETE", "mirrors/m")
    released = switch.vswitch("release", "br")
    assert released.stdout == "given back: br\n", released.stderr
    bridged.settles_as(before)


def test_one_command_moves_a_host_over_and_one_back(bridged: BridgedHost) -> None:
    """Where no switch runs: in a /run and a /tmp of its own, with the host's namespace entered by the commands.

    The first is killed, and leaves its control socket to the next.
    """
    script = f"""
        set -e
        vswitch() {{ {" ".join(VSWITCH)} "$@"; }}
        pid=$(vswitch adopt br 2>&1 | sed -n 's/.*(pid \\([0-9]*\\)).*/\\1/p')
        kill -9 $pid
        i=0
        until vswitch release br | sed 's/^/killed, but /' | grep given || [ $i -ge 50 ]; do i=$((i+1)); done
        vswitch adopt br
        ls /run/vswitch
        vswitch show ports
        vswitch release
        i=0; while [ -e /run/vswitch ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done
        ls /run
        vswitch release
    """
    bridged.pin("v1", bridged.guest_mac(1))
    before = bridged.settings()
    with open(f"/run/netns/{bridged.name}") as namespace:
        result = subprocess.run(
            [*PREFIX, "nsenter", f"--net=/proc/self/fd/{namespace.fileno()}", "sh", "-c", script],
            capture_output=True, text=True, timeout=120, pass_fds=[namespace.fileno()],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())}, check=False,
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert re.search(r"br: 3 ports moved within [0-9.]+ ms, none of them out for longer than [0-9.]+ ms", result.stdout)
    assert "br.sock" in result.stdout
    assert "killed, but given back: br" in result.stdout
    assert "\ngiven back: br" in result.stdout
    assert "nothing to give back" in result.stdout
    assert "runs in the background" in result.stderr
    bridged.settles_as(before)
