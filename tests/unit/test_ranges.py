"""Many ports by one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_config import load, problems
from vswitch.control.config import reading as config
from vswitch.control.config.ranges import MOST_PORTS
from vswitch.control.config.reading import ConfigError


def test_a_range_is_as_many_ports_each_with_its_number() -> None:
    found = load('name: x\nports:\n  "vm[08-11]": {qemu: "/run/vm{n}.sock"}\n  web: {tap: web0}\n')
    assert list(found.ports) == ["vm08", "vm09", "vm10", "vm11", "web"]
    assert found.ports["vm09"].dump() == {"qemu": "/run/vm09.sock"}


def test_the_number_stands_in_lists_too() -> None:
    found = load('name: x\nports:\n  "g[1-2]x": {tap: "g{n}", netns: "g{n}", address: ["10.0.0.{n}/24"]}\n')
    assert found.ports["g2x"].dump() == {"tap": "g2", "netns": "g2", "address": ["10.0.0.2/24"]}


def test_the_same_device_for_each_is_found() -> None:
    assert problems('name: x\nports:\n  "vm[1-2]": {tap: same}\n') == [
        "lab.yml:3: ports.vm2.tap: same is the device of port vm1 already"
    ]


def test_a_mistake_inside_has_its_line() -> None:
    text = 'name: x\nports:\n  "vm[1-2]":\n    tap: "vm{n}"\n    access: 5000\n'
    assert [line.split(": ")[:2] for line in problems(text)] == [
        ["lab.yml:5", "ports.vm1.access"],
        ["lab.yml:5", "ports.vm2.access"],
    ]


def test_what_cannot_be_spread_is_said() -> None:
    assert problems('name: x\nports:\n  "vm[3-1]": {vde: /run/d}\n') == [
        "lab.yml:3: ports.vm[3-1]: the range 3-1 runs backwards"
    ]
    many = f'name: x\nports:\n  "vm[1-{MOST_PORTS + 1}]": {{vde: /run/d}}\n'
    assert f"make {MOST_PORTS} ports at most" in problems(many)[0]
    assert problems('name: x\nports:\n  "vm[1-2]": {vde: /run/d}\n  vm2: {tap: t}\n') == [
        "lab.yml:3: ports.vm[1-2]: there is a port vm2 already"
    ]


@given(st.text("vm[]0123456789-{n}", max_size=14), st.text("{n}[]a1-", max_size=9))
def test_any_name_is_ports_or_a_mistake(name: str, value: str) -> None:
    try:
        found = config.validate({"name": "x", "ports": {name: {"tap": value}}})
    except ConfigError:
        return
    assert 1 <= len(found.ports) <= MOST_PORTS
