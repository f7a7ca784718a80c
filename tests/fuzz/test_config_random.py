"""Whatever a file or an API call says, it is a configuration or a list of mistakes, and nothing else happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from vswitch.control.config import reading as config
from vswitch.control.config.difference import compare
from vswitch.control.config.reading import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.control.config.schema import SwitchConfig

GOOD = """\
name: lab0
ageing: 5m
vlan_filtering: on
ports:
  web: &web {tap: web0, netns: web, address: [10.0.0.1/24, "fd00::1/64"], mac: 52:54:00:11:22:33, mtu: 9000}
  db:  {<<: *web, tap: vnet%d, mac: 52:54:00:11:22:34, access: 10, isolated: true, reserved: wire, offload: off}
  fd:  {fd: 27, trunk: [10, 20-29], native: 1}
fdb: {limit: 5, static: [{mac: "52:54:00:00:00:01", port: db, vlan: 10}]}
metrics: {listen: "[::1]:9475"}
"""
PIECES = [*"[]{}:,&*!|>'\"%@`#-?~\n\t \0\ud800\ufeffé", "- ", ": ", "? ", "<<: ", "*web", "&web ", "---\n", "...\n",
          "!!binary ", "!<%ff>", '"\\x', '"\\UFFFFFFFF"', '"\\ud800"', "9" * 400, "1e999", "4095"]  # fmt: skip
WORDS = ["a", "b", "tap0", "vnet%d", "10ms", "10mbit", "20-29", "29-20", "4095", "52:54:00:a8:32:d7", "10.0.0.1/24",
         "[::1]:9475", "/run/x", "wire", "", "\0", "\ud800", "\x1b[2J\n", "bool", "function-x", "x" * 500]  # fmt: skip
KEYS = ["name", "ports", "ageing", "vlan_filtering", "fdb", "limit", "static", "mac", "port", "vlan", "metrics", "page",
        "listen", "control", "tap", "fd", "qemu", "netns", "address", "mtu", "speed", "offload", "access", "trunk",
        "native", "isolated", "reserved", "a", "b"]  # fmt: skip
scalars = (
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.sampled_from(WORDS) | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS + WORDS) | st.text(), inner, max_size=5)
    ),
    max_leaves=15,
)
ports = st.dictionaries(st.sampled_from(KEYS[14:]), values, max_size=4)
configurations = st.fixed_dictionaries(
    {"name": st.just("lab0"), "ports": st.dictionaries(st.sampled_from(["a", "b", "c"]), ports | values, max_size=3)},
    optional=dict.fromkeys(("ageing", "fdb", "metrics", "control", "vlan_filtering", "bool"), values),
)


def check(load: Callable[[], SwitchConfig]) -> None:
    try:
        found = load()
    except ConfigError as error:
        told(error)
    else:
        again = config.validate(json.loads(json.dumps(found.dump())))
        assert again == found
        assert compare(found, again).empty


def told(error: ConfigError) -> None:
    """Mistakes that a terminal and JSON can show."""
    assert error.problems
    for problem in error.problems:
        assert problem.message
        assert problem.text().isprintable()
        assert len(problem.text()) < 1000
        json.dumps(problem.as_json()).encode()


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=4))
def test_a_good_file_with_wounds(wounds: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for start, length, piece in wounds:
        text = text[:start] + piece + text[start + length :]
    check(lambda: config.load(text, "lab.yml"))


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=15))
def test_a_text_of_yaml_pieces(pieces: list[str]) -> None:
    check(lambda: config.load("".join(pieces), "lab.yml"))


@given(configurations | values)
def test_data_from_the_api(data: Any) -> None:
    check(lambda: config.validate(data))


@given(configurations)
def test_the_same_data_from_a_file(data: Any) -> None:
    check(lambda: config.load(yaml.safe_dump(data, allow_unicode=True), "lab.yml"))


def test_the_file_without_wounds_is_good() -> None:
    assert list(config.load(GOOD).ports) == ["web", "db", "fd"]
