"""Whatever a topology says, it is a lab or a list of mistakes, and nothing else happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.test_config_random import PIECES, WORDS, told, values
from vswitch.control.config.reading import ConfigError
from vswitch.control.topology import reading as lab
from vswitch.control.topology.difference import compare_labs
from vswitch.lab import graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.control.topology.layout import LabConfig

GOOD = """\
name: lab0
x-guest: &guest {environment: {A: 1}, run: [sleep 1]}
loops: on
switches:
  core: {ageing: 60s, ports: {lan: {interface: eth1}}}
  s{n}: {count: 3}
guests:
  h[1-4]: {<<: *guest, switch: "s[1-3]", pool: [10.0.0.0/24, "fd00::/64"], routes: {default: 10.0.0.9}}
  r: {sysctls: {net.ipv4.ip_forward: 1}}
  vm: {qemu: {kernel: /k, memory: 64}}
links:
  - [core, "s[1-3]"]
  - [r:wan, {node: core, access: 10}]
  - {ends: [{node: vm, mtu: 1500}, "s{n}"], count: 2}
  - [h1, h2]
"""
KEYS = ["name", "switches", "guests", "links", "loops", "include", "x-a", "switch", "address", "pool", "count", "netns",
        "routes", "sysctls", "environment", "setup", "run", "qemu", "kernel", "ends", "node", "interface", "access",
        "mtu", "mac", "default", "a", "b", "s[1-3]", "h{n}"]  # fmt: skip
NAMES = ["a", "b", "s1", "s[1-3]", "h{n}", "a:eth0", "b:", "[1-2]", "s[3-1]", "{n}", *WORDS]
words = st.sampled_from(NAMES) | values
mappings = st.dictionaries(st.sampled_from(KEYS), words, max_size=4)
labs = st.fixed_dictionaries(
    {"name": st.just("lab0")},
    optional={
        "switches": st.dictionaries(st.sampled_from(NAMES), mappings | st.none(), max_size=3) | words,
        "guests": st.dictionaries(st.sampled_from(NAMES), mappings | st.none(), max_size=4) | words,
        "links": st.lists(st.lists(words | mappings, min_size=1, max_size=3) | mappings | words, max_size=4) | words,
        "loops": words,
        "include": words,
    },
)


def check(load: Callable[[], LabConfig]) -> None:
    try:
        found = load()
    except ConfigError as error:
        told(error)
    else:
        again = lab.validate(json.loads(json.dumps(found.data)))
        assert (again.switches, again.guests) == (found.switches, found.guests)
        assert not compare_labs(found, again, found.switches).lines
        for draw in graph.FORMATS.values():
            assert draw(found)


@settings(deadline=None)  # a wound may make thousands of guests
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=4))
def test_a_good_file_with_wounds(wounds: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for start, length, piece in wounds:
        text = text[:start] + piece + text[start + length :]
    check(lambda: lab.load(text, "lab.yml"))


@settings(deadline=None)
@given(labs | values)
def test_data_from_the_api(data: Any) -> None:
    check(lambda: lab.validate(data))


@settings(deadline=None)
@given(labs)
def test_the_same_data_from_a_file(data: Any) -> None:
    check(lambda: lab.load(yaml.safe_dump(data, allow_unicode=True), "lab.yml"))


def test_the_file_without_wounds_is_good() -> None:
    assert len(lab.load(GOOD).guests) == 6
