"""What a running switch has to do to come from one configuration to another."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from vswitch.control.config import reading as config
from vswitch.control.config.difference import Difference, compare

MAC = "52:54:00:00:00:01"


def difference(old: str, new: str, *, head: str = "", new_head: str | None = None) -> Difference:
    new_head = head if new_head is None else new_head
    return compare(
        config.load(f"name: x\nports: {{{old}}}\n{head}"), config.load(f"name: x\nports: {{{new}}}\n{new_head}")
    )


def test_the_same_configuration_in_other_words_is_no_difference() -> None:
    same = difference(
        "a: {tap: t, trunk: [10, 11, 12], isolated: off}, b: {fd: 5, access: 1}",
        "b: {fd: '5', access: '1'}, a: {trunk: 10-12, tap: t, mtu: 1500, reserved: bridge}",
        head="ageing: 5m",
        new_head="ageing: 300s\nfdb: {limit: 16384}",
    )
    assert same == Difference()
    assert same.empty


def test_ports_come_and_go_by_name() -> None:
    found = difference("a: {tap: t}, b: {tap: u}", "c: {fd: 5, trunk: [1, 5-9], native: 2}, b: {tap: u}")
    assert (found.removed, found.added, found.attachment, found.settings) == (["a"], ["c"], [], [])
    assert found.lines[:2] == ["- port a (tap t)", "+ port c (fd 5, trunk 1,5-9, native 2)"]
    assert not found.empty


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("tap: t, access: 10", "tap: t, access: 20", ["~ port a: access 10 → 20"]),
        (
            "tap: t, access: 10",
            "tap: t, trunk: [10]",
            ["~ port a: access 10 → default", "~ port a: trunk default → 10"],
        ),
        ("tap: t, isolated: on", "tap: t", ["~ port a: isolated on → default"]),
        ("tap: t", "tap: t, reserved: wire", ["~ port a: reserved default → wire"]),
    ],
)
def test_settings_change_without_the_attachment(old: str, new: str, lines: list[str]) -> None:
    found = difference(f"a: {{{old}}}", f"a: {{{new}}}", head="vlan_filtering: on")
    assert (found.settings, found.attachment, found.lines) == (["a"], [], lines)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("tap: t", "tap: u", ["~ port a: tap t → u"]),
        ("tap: t", "fd: 5", ["~ port a: tap t → default", "~ port a: fd default → 5"]),
        ("tap: t, netns: n", "tap: t, netns: m", ["~ port a: netns n → m"]),
        ("tap: t", "tap: t, mtu: 9000, access: 2", ["~ port a: mtu default → 9000", "~ port a: access default → 2"]),
        ("tap: t, offload: off", "tap: t", ["~ port a: offload off → default"]),
        ("tap: t, address: 10.0.0.1/24", "tap: t, address: [10.0.0.2/24, 10.0.0.3/24]",
         ["~ port a: address 10.0.0.1/24 → 10.0.0.2/24,10.0.0.3/24"]),
    ],
)  # fmt: skip
def test_another_attachment_is_named_once_whatever_else_changes(old: str, new: str, lines: list[str]) -> None:
    found = difference(f"a: {{{old}}}", f"a: {{{new}}}", head="vlan_filtering: on")
    assert (found.attachment, found.settings, found.lines) == (["a"], [], lines)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("ageing: 10m", "ageing: 0.5h", ["~ ageing 600 → 1800"]),
        ("", "vlan_filtering: on", ["~ vlan_filtering off → on"]),
        ("fdb: {limit: 5}", "", ["~ fdb.limit 5 → 16384"]),
        ("", "metrics: {listen: '[::1]:9475'}", ["~ metrics default → [::1]:9475"]),
        ("metrics: {listen: '127.0.0.1:1'}", "metrics: {listen: '127.0.0.1:2'}",
         ["~ metrics 127.0.0.1:1 → 127.0.0.1:2"]),
        ("metrics: {listen: '127.0.0.1:1'}", "metrics: {listen: '127.0.0.1:1', tls: {certificate: /a, key: /b}}",
         ["~ metrics.tls default → /a, /b"]),
        ("metrics: {listen: '127.0.0.1:1'}", "metrics: {listen: '127.0.0.1:1', insecure: true}",
         ["~ metrics.insecure default → on"]),
        ("", f"fdb: {{static: [{{mac: {MAC}, port: a}}]}}", [f"+ static {MAC} vlan 1 on a"]),
        (f"fdb: {{static: [{{mac: {MAC}, port: a}}]}}", f"fdb: {{static: [{{mac: {MAC}, port: b}}]}}",
         [f"- static {MAC} vlan 1 on a", f"+ static {MAC} vlan 1 on b"]),
        (f"fdb: {{static: [{{mac: {MAC}, port: a, vlan: 2}}]}}", "", [f"- static {MAC} vlan 2 on a"]),
    ],
)  # fmt: skip
def test_a_change_of_the_switch_is_a_line(old: str, new: str, lines: list[str]) -> None:
    found = difference("a: {tap: t}, b: {tap: u}", "a: {tap: t}, b: {tap: u}", head=old, new_head=new)
    assert found == Difference(lines=lines)


def test_a_port_that_names_a_vlan_turns_filtering_on() -> None:
    assert difference("a: {tap: t}", "a: {tap: t, access: 2}").lines == [
        "~ port a: access default → 2",
        "~ vlan_filtering off → on",
    ]


def test_name_and_control_socket_are_refused() -> None:
    old, new = config.load("name: x\nports: {}"), config.load("name: y\nports: {}")
    assert len(compare(old, new).refused) == 2
    assert "(x to y)" in compare(old, new).refused[0]
    moved = config.load("name: x\ncontrol: /run/other.sock\nports: {}")
    (refused,) = compare(old, moved).refused
    assert "control socket" in refused
    assert compare(moved, moved).refused == []


def test_a_difference_is_json() -> None:
    found = difference("a: {tap: t}", "b: {tap: u, access: 5}")
    assert Difference(**json.loads(json.dumps(asdict(found)))) == found


def test_the_way_there_and_back_is_the_same_length() -> None:
    ports = ["a: {tap: t}", "a: {tap: t, access: 5}, b: {fd: 5}", "b: {fd: 6}"]
    for old in ports:
        for new in ports:
            assert len(difference(old, new).lines) == len(difference(new, old).lines)


def test_mirrors_come_and_go() -> None:
    ports = "a: {tap: t}, b: {tap: u}, s: {tap: v}"
    old, new = (
        "mirrors: {m: {ports: a, to: s}, n: {ports: b, to: s}}",
        "mirrors: {m: {ports: [a, b], to: s}, n: {ports: [b], direction: both, to: s}}",
    )
    found = difference(ports, ports, head=old, new_head=new)
    assert found.lines == ["- mirror m (ports a, to s)", "+ mirror m (ports a,b, to s)"]


def test_another_password_is_a_change_that_shows_nothing_of_it() -> None:
    old, new = (
        config.load(f"name: x\nports: {{}}\nmetrics: {{listen: '127.0.0.1:1', basic_auth: {{bob: {password}}}}}")
        for password in (f"scrypt:14:8:1:{'ab' * 16}:{digit * 64}" for digit in "cd")
    )
    (line,) = compare(old, new).lines
    assert line.startswith("~ metrics.basic_auth bob (")
    assert "cccc" not in line + line.upper()
