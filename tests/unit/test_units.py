"""What people write: taken in every form the documents name, refused in one sentence, and the same after JSON."""

from __future__ import annotations

import json
import re
from ipaddress import ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from vswitch import units
from vswitch.units import (
    Addresses,
    Duration,
    InterfaceName,
    InterfacePattern,
    Listen,
    ListenAddress,
    MacAddress,
    PortName,
    Rate,
    Share,
    Size,
    Vid,
    VlanSet,
    parse_vlans,
    shown,
    vlan_ranges,
)

TAKEN: list[tuple[Any, object, object]] = [
    (Duration, "10ms", 0.01),
    (Duration, "250us", 0.00025),
    (Duration, "250µs", 0.00025),
    (Duration, "300s", 300.0),
    (Duration, "5m", 300.0),
    (Duration, "5 min", 300.0),
    (Duration, "1.5h", 5400.0),
    (Duration, 7, 7.0),
    (Duration, "7", 7.0),
    (Rate, "500kbit", 500_000),
    (Rate, "10Mbit", 10_000_000),
    (Rate, "2.5gbit", 2_500_000_000),
    (Rate, 64, 64),
    (Share, "0.5%", 0.005),
    (Share, "100%", 1.0),
    (Share, 0.25, 0.25),
    (Vid, "10", 10),
    (Vid, 4094, 4094),
    (VlanSet, [10, "20-22", 7], frozenset((7, 10, 20, 21, 22))),
    (VlanSet, ["10", " 4093 - 4094 "], frozenset((10, 4093, 4094))),
    (VlanSet, 10, frozenset((10,))),
    (VlanSet, "5-5", frozenset((5,))),
    (VlanSet, [], frozenset()),
    (InterfaceName, "fifteen-letters", "fifteen-letters"),
    (InterfaceName, "100%", "100%"),
    (InterfacePattern, "vnet%d", "vnet%d"),
    (InterfacePattern, "eth0.5", "eth0.5"),
    (MacAddress, "52-54-00-A8-32-D7", "52:54:00:a8:32:d7"),
    (PortName, "r1.eth0:1_a-b", "r1.eth0:1_a-b"),
    (PortName, "x" * 32, "x" * 32),
    (Listen, "127.0.0.1:9475", ListenAddress("127.0.0.1", 9475)),
    (Listen, "[::1]:9475", ListenAddress("::1", 9475)),
    (Listen, ":9475", ListenAddress("", 9475)),
    (Addresses, "10.0.0.1/24", (ip_interface("10.0.0.1/24"),)),
    (Addresses, ["10.0.0.1/24", "fd00::1/64"], (ip_interface("10.0.0.1/24"), ip_interface("fd00::1/64"))),
]

REFUSED: list[tuple[Any, object, str]] = [
    (Duration, "10 parsecs", "'10 parsecs' is not a duration"),
    (Duration, "-1s", "'-1s' is not a duration"),
    (Duration, -1, "-1 is not a duration"),
    (Duration, True, "true is not a duration"),
    (Duration, None, "nothing is not a duration"),
    (Duration, float("nan"), "nan is not a duration"),
    (Duration, float("inf"), "inf is not a duration"),
    (Duration, 10**400, "a huge number is not a duration"),
    (Duration, "1٣s", "is not a duration"),
    (Rate, "10mb", "'10mb' is not a rate"),
    (Rate, "1001tbit", "'1001tbit' is not a rate"),
    (Rate, [1], "a list is not a rate"),
    (Share, "101%", "'101%' is not a share"),
    (Share, 2, "2 is not a share"),
    (Vid, 0, "VLAN 0 does not exist; VLANs go from 1 to 4094"),
    (Vid, "4095", "VLAN 4095 does not exist"),
    (Vid, "10-20", "'10-20' is not a VLAN from 1 to 4094"),
    (Vid, 1.0, "1.0 is not a VLAN"),
    (Vid, True, "true is not a VLAN"),
    (VlanSet, "20-10", "the range 20-10 runs backwards"),
    (VlanSet, [0], "VLAN 0 does not exist"),
    (VlanSet, "1-4095", "VLAN 4095 does not exist"),
    (VlanSet, "1 0", "'1 0' is not a VLAN or a range"),
    (VlanSet, "1-2-3", "'1-2-3' is not a VLAN or a range"),
    (VlanSet, [[1]], "a list is not a VLAN or a range"),
    (VlanSet, [{}], "a mapping is not a VLAN or a range"),
    (InterfaceName, "a-device-name-too-long", "has 22 characters; an interface name has 15 at most"),
    (InterfaceName, "éééééééé", "has 16 characters"),
    (InterfaceName, "", "'' is not an interface name"),
    (InterfaceName, "..", "'..' is not an interface name"),
    (InterfaceName, "a b", "'a b' is not an interface name"),
    (InterfaceName, "a/b", "'a/b' is not an interface name"),
    (InterfaceName, "a:b", "'a:b' is not an interface name"),
    (InterfaceName, "\x1b[2J", "is not an interface name"),
    (InterfaceName, "\ud800", "is not an interface name"),
    (InterfacePattern, "v%s", "neither an interface name nor a pattern with one %d"),
    (InterfacePattern, "v%d%d", "neither an interface name nor a pattern with one %d"),
    (MacAddress, "52:54:00", "'52:54:00' is not a MAC address"),
    (MacAddress, "01:00:5e:00:00:01", "it is a group address"),
    (MacAddress, "00:00:00:00:00:00", "it is all zeros"),
    (MacAddress, 525400, "525400 is not a MAC address"),
    (PortName, "-a", "'-a' is no port name"),
    (PortName, "x" * 33, "is no port name"),
    (PortName, "é", "'é' is no port name"),
    (PortName, "a\n", "is no port name"),
    (Listen, "127.0.0.1:0", "ports go from 1 to 65535"),
    (Listen, "127.0.0.1:65536", "ports go from 1 to 65535"),
    (Listen, "127.0.0.1", "is not an address to listen on"),
    (Listen, "127.0.0.999:80", "is not an address to listen on"),
    (Listen, "::1:80", "is not an address to listen on"),
    (Listen, "[127.0.0.1]:80", "is not an address to listen on"),
    (Listen, "here:80", "is not an address to listen on"),
    (Listen, 9475, "9475 is not an address to listen on"),
    (Addresses, "10.0.0.300/24", "is not an address with prefix length"),
    (Addresses, "10.0.0.1/33", "is not an address with prefix length"),
    (Addresses, "10.0.0.1", "is not an address with prefix length"),
    (Addresses, "fe80::1%eth0/64", "is not an address with prefix length"),
    (Addresses, 5, "5 is not an address with prefix length"),
]


@pytest.mark.parametrize(("unit", "written", "meant"), TAKEN)
def test_every_form_is_taken_and_survives_json(unit: Any, written: object, meant: object) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(unit)
    assert adapter.validate_python(written) == meant
    assert adapter.validate_python(json.loads(adapter.dump_json(meant))) == meant


@pytest.mark.parametrize(("unit", "written", "sentence"), REFUSED)
def test_what_is_wrong_is_said_in_one_sentence(unit: Any, written: object, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(unit).validate_python(written)
    (fault,) = refused.value.errors()
    assert sentence in fault["msg"]
    assert fault["msg"].isprintable()


JSON_TYPES = {int: "integer", float: "number", str: "string", list: "array"}


@pytest.mark.parametrize(("unit", "written", "meant"), TAKEN)
def test_the_schema_allows_what_is_written_and_what_is_dumped(unit: Any, written: object, meant: object) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(unit)
    schema = adapter.json_schema()
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    allowed = {*kinds, *(["integer"] if "number" in kinds else [])}
    assert JSON_TYPES[type(json.loads(adapter.dump_json(meant)))] in allowed
    assert JSON_TYPES[type(written)] in allowed or unit is Vid
    for example in schema.get("examples", []):
        adapter.validate_python(example)


PATTERNS = [
    (Duration, ["10ms", " 1.5 S", "5Min", "3µs", "7", "{n}ms"], ["-1ms", "10 parsecs", "ms", "1e3s", ""]),
    (Rate, ["10mbit", "1 Gbit", "1000"], ["10mbps", "fast"]),
    (Size, ["64kB", "1MiB", "1500b"], ["64 apples"]),
    (Share, ["0.5%", "100%", "99.9 %", "0.25", "1", "1.0", "0", "00%"], ["101%", "1.5", "2", "-1%", "%", "5 %%", ""]),
    (Addresses, ["10.0.0.1/24", "fd00::1/64", "10.0.0.{n}/24"], ["10.0.0.1", "web/24"]),
]


@pytest.mark.parametrize(("unit", "right", "wrong"), PATTERNS)
def test_the_schema_s_pattern_is_what_is_read(unit: Any, right: list[str], wrong: list[str]) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(unit)
    pattern = re.compile(adapter.json_schema()["pattern"])
    for text in right:
        assert pattern.search(text), text
        if "{n}" not in text:
            adapter.validate_python(text)
    for text in wrong:
        assert not pattern.search(text), text
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


@given(st.frozensets(st.integers(1, 4094)))
def test_ranges_are_the_same_vlans(vids: frozenset[int]) -> None:
    assert parse_vlans(vlan_ranges(vids)) == vids


def test_only_runs_of_three_and_more_are_ranges() -> None:
    assert vlan_ranges(frozenset((1, 2, 4, 5, 6, 8))) == [1, 2, "4-6", 8]


def test_a_value_is_shown_on_one_short_line() -> None:
    for value in ("x" * 10**6, "\n" * 100, "\ud800\x1b", 10**5000, b"\0" * 1000, 1e308):
        assert len(shown(value)) <= 60
        assert shown(value).isprintable()


PARSERS = [parser for name, parser in vars(units).items() if name.startswith("parse_") and name != "parse_mac"]
anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.integers())


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: str(parser.__name__))
@given(value=anything | st.from_regex(r"[0-9]{0,3}[-.:/%\[\]a-z]{0,3}[0-9]{0,3}[a-z%]{0,4}", fullmatch=True))
def test_anything_is_taken_or_refused(parser: Any, value: object) -> None:
    try:
        parser(value)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017
