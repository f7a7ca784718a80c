"""Faults that people really have, each staged with real guests, and each found with one command."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.netns.test_watch import watching
from tests.running import Running, unique, until
from vswitch.ports import netns

if TYPE_CHECKING:
    from tests.netns.conftest import Lab

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


def send(lab: Lab, port: str, frame: bytes) -> None:
    """From the guest itself."""
    with lab.guest(port).wire(lab.name(port)) as wire:
        wire.send(frame)


def rows(switch: Running, *command: str) -> list[dict[str, Any]]:
    result = switch.vswitch(*command, "--json")
    assert result.returncode == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def last_drops(switch: Running) -> list[dict[str, Any]]:
    return rows(switch, "explain", "--last", "20", "--drops")


def pair(lab: Lab, a: dict[str, Any], b: dict[str, Any], **options: Any) -> Running:
    addresses = {"a": ["10.88.0.1/24"], "b": ["10.88.0.2/24"]}
    return lab.start({"a": {"address": addresses["a"], **a}, "b": {"address": addresses["b"], **b}}, **options)


def test_a_guest_in_the_wrong_vlan_by_explain(lab: Lab) -> None:
    switch = pair(lab, {"access": 10}, {"access": 20})
    assert lab.guest("a").ping("10.88.0.2", timeout=0.3) is None
    found = [row for row in last_drops(switch) if row["port"] == "a" and row["reason"] == "no_egress"]
    assert found
    asides = {port["port"]: port["reason"] for port in found[-1]["explanation"]["ports"]}
    assert "b" not in asides, "b is no member of VLAN 10"
    assert found[-1]["explanation"]["vlan"] == 10


def test_tags_that_the_port_is_no_member_of_by_explain(lab: Lab) -> None:
    switch = pair(lab, {"trunk": [10], "native": 1}, {"access": 10})
    tagged = bytes.fromhex((B + A).replace(":", "") + "8100 0014 88b5") + bytes(50)
    send(lab, "a", tagged)
    until(lambda: switch.dropped("a").get("vlan_filtered"), "the drop")
    (found,) = [row for row in last_drops(switch) if row["reason"] == "vlan_filtered"]
    assert found["explanation"]["steps"][-1]["saw"] == "port a is no member of VLAN 20"


def test_an_mtu_black_hole_by_explain(lab: Lab) -> None:
    switch = pair(lab, {"mtu": 9000}, {})
    assert lab.guest("a").ping("10.88.0.2") is not None, "small ones pass"
    (station,) = {row["mac"] for row in rows(switch, "show", "fdb") if row["port"] == "b"}
    big = bytes.fromhex((station + A).replace(":", "") + "88b5") + bytes(4000)
    send(lab, "a", big)
    until(lambda: switch.dropped("b").get("oversize"), "the drop")
    (found,) = [row for row in last_drops(switch) if row["lost"]]
    assert found["lost"] == {"b": "oversize"}
    assert "MTU" not in found["frame"]


def test_an_asymmetric_vlan_by_flows(lab: Lab) -> None:
    """a asks in VLAN 10, the answers come in VLAN 20."""
    switch = pair(lab, {"access": 10}, {"trunk": [10, 20]}, fdb={"static": [{"mac": B, "port": "b", "vlan": 10}]})
    send(lab, "a", bytes.fromhex((B + A).replace(":", "") + "88b5") + bytes(50))
    send(lab, "b", bytes.fromhex((A + B).replace(":", "") + "8100 0014 88b5") + bytes(50))
    until(lambda: len(rows(switch, "show", "flows", A)) == 2, "both")
    found = {(row["source"], row["vlan"], row["one_way"]) for row in rows(switch, "show", "flows", A)}
    assert found == {(A, 10, True), (B, 20, True)}


def test_a_link_that_passes_one_way_by_flows(lab: Lab) -> None:
    switch = pair(lab, {}, {})
    until(lambda: len(rows(switch, "show", "fdb")) >= 2, "both to be heard")
    (station,) = {row["mac"] for row in rows(switch, "show", "fdb") if row["port"] == "b"}
    for _ in range(3):
        send(lab, "a", bytes.fromhex((station + A).replace(":", "") + "88b5") + bytes(50))
    until(lambda: rows(switch, "show", "flows", A), "the conversation")
    (found,) = rows(switch, "show", "flows", A)
    assert (found["port"], found["egress"], found["frames"], found["one_way"]) == ("a", ["b"], 3, True)


def test_a_station_that_flaps_by_history(lab: Lab) -> None:
    switch = pair(lab, {}, {})
    frame = bytes.fromhex(("ff:ff:ff:ff:ff:ff" + A).replace(":", "") + "88b5") + bytes(50)
    for count in range(1, 7):
        for port in "ab":
            send(lab, port, frame)
            until(lambda port=port: _where(switch) == port, f"it to be heard at {port}, time {count}")  # type: ignore[misc]
    found = rows(switch, "show", "history", A)
    assert {row["port"] for row in found if row["flapping"]} == {"a", "b"}
    assert f"station {A} in VLAN 1 flaps" in switch.log.read_text()


def _where(switch: Running) -> str | None:
    return next((str(row["port"]) for row in rows(switch, "show", "fdb") if row["mac"] == A), None)


def test_a_sender_of_wrong_checksums_by_watch(lab: Lab) -> None:
    switch = pair(lab, {}, {})
    frame = bytes(Ether(src=A, dst=B) / IP(src="10.88.0.1", dst="10.88.0.2") / UDP(dport=9, chksum=0x1234) / bytes(40))
    with watching(switch, "--filter", "udp port 9", "--json") as watch:
        send(lab, "a", frame)
        until(lambda: watch.lines, "a line")
    assert [mark["mark"] for mark in watch.rows()[0]["marks"]] == ["bad checksum"]


@pytest.mark.program("ip")
def test_a_loop_by_watch_and_by_history(lab: Lab) -> None:
    """Two ports of the switch end in one bridge of the kernel; nothing bounds what goes round, until a port goes."""
    there = unique("v")
    ports = {name: {"tap": lab.name(name), "netns": there} for name in ("l1", "l2")}
    config = lab.config({"a": {}}, name=lab.tag)
    config["ports"] |= ports
    switch = Running(lab.folder, config)
    lab.running.append(switch)
    switch.start()
    with watching(switch, "--filter", "ether proto 0x88b5", "--json", "--count", "30") as watch:
        _bridge(there, [lab.name(name) for name in ports])
        send(lab, "a", bytes.fromhex(("ff:ff:ff:ff:ff:ff" + A).replace(":", "") + "88b5") + bytes(50))
        until(lambda: any("duplicate" in line for line in watch.lines), "the mark")
        until(lambda: any(row["flapping"] for row in rows(switch, "show", "history", A)), "the history to tell")
        switch.client.call("DELETE", "ports/l2")
    marks = [mark for row in watch.rows() for mark in row["marks"]]
    assert "duplicate" in {mark["mark"] for mark in marks}


def _bridge(name: str, members: list[str]) -> None:
    namespace = netns.find(name)
    assert namespace is not None
    with netns.inside(namespace), IPRoute() as route:
        route.link("add", ifname="loop", kind="bridge")
        bridge = socket.if_nametoindex("loop")
        for member in members:
            route.link("set", index=socket.if_nametoindex(member), master=bridge, state="up")
        route.link("set", index=bridge, state="up")
