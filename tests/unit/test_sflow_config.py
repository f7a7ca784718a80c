"""The `sflow` section of a configuration: what it means, what is wrong with it, and what the schema says of it."""

from __future__ import annotations

import pytest

from tests.unit.test_config import load, problems
from vswitch.control.config import reading as config
from vswitch.control.config.collectors import Collector, SflowConfig, parse_collector
from vswitch.control.config.difference import compare
from vswitch.control.config.schema import schemas

HEAD = "name: x\nports: {a: {tap: t}}\n"


def sflow(text: str) -> SflowConfig:
    found = load(f"{HEAD}sflow: {text}\n").sflow
    assert found is not None
    return found


def test_defaults() -> None:
    assert load(HEAD).sflow is None
    found = sflow("{collector: 10.0.0.9}")
    assert found.collector == (Collector("10.0.0.9", 6343),)
    assert (found.sampling, found.polling, found.agent, found.header, found.datagram) == (1000, 20.0, None, 128, 1400)


@pytest.mark.parametrize(
    ("written", "meant", "named"),
    [
        ("10.0.0.9", "10.0.0.9:6343", False),
        ("10.0.0.9:1", "10.0.0.9:1", False),
        ("fd00::9", "[fd00::9]:6343", False),
        ("[fd00:0::9]", "[fd00::9]:6343", False),
        ("[fd00::9]:65535", "[fd00::9]:65535", False),
        ("::ffff:10.0.0.9", "[::ffff:a00:9]:6343", False),
        ("collector", "collector:6343", True),
        ("a-b.example.:99", "a-b.example.:99", True),
        ("9to5.example", "9to5.example:6343", True),
    ],
)
def test_a_collector_is_an_address_or_a_name(written: str, meant: str, named: bool) -> None:
    found = parse_collector(written)
    assert (str(found), found.named) == (meant, named)
    assert parse_collector(str(found)) == found


@pytest.mark.parametrize(
    "written",
    ["", ":6343", "10.0.0.300", "1.2.3", "10.0.0.9:0", "10.0.0.9:65536", "10.0.0.9:", "fd00::9::1", "[10.0.0.9]:1",
     "[fd00::9", "fd00::9]:1", "a b", "a..b", "-a", "a/b", "é", "a" * 64, "fe80::1%eth0", "a\n", 6343, None, ["a"]],
)  # fmt: skip
def test_what_is_no_collector(written: object) -> None:
    with pytest.raises(ValueError, match="is not a collector such as"):
        parse_collector(written)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("{}", "sflow.collector: this key is missing"),
        ("10.0.0.9", "sflow: found '10.0.0.9', expected a mapping"),
        ("{collector: 10.0.0.300}", "sflow.collector: '10.0.0.300' is not a collector such as"),
        ("{collector: []}", "sflow.collector: found 0 collectors, expected 1 to 8"),
        ("{collector: [a, b, 'a:6343']}", "sflow.collector: a:6343 is there twice"),
        ("{collector: [a, 7]}", "sflow.collector: 7 is not a collector"),
        ("{collector: a, sampling: -1}", "sflow.sampling: found -1, expected at least 0"),
        ("{collector: a, sampling: true}", "sflow.sampling: found true, expected a whole number"),
        ("{collector: a, sampling: 2000000000}", "sflow.sampling: found 2000000000, expected at most 1073741824"),
        ("{collector: a, polling: often}", "sflow.polling: 'often' is not a duration such as"),
        ("{collector: a, polling: 10ms}", "sflow: found a polling of 0.01 s, expected 1s to 24h, or 0 for none"),
        ("{collector: a, agent: host}", "sflow.agent: 'host' is not the IP address of a host"),
        ("{collector: a, header: 13}", "sflow.header: found 13, expected at least 14"),
        ("{collector: a, datagram: 100}", "sflow.datagram: found 100, expected at least 512"),
        (
            "{collector: a, header: 1000, datagram: 1100}",
            "sflow: a datagram of 1100 octets has room for a header of 969, not 1000",
        ),
        ("{collector: a, samplin: 5}", "sflow.samplin: unknown key; did you mean sampling?"),
    ],
)
def test_mistakes(text: str, mistake: str) -> None:
    (found,) = problems(f"{HEAD}sflow: {text}\n")
    assert found.startswith(f"lab.yml:3: {mistake}")


@pytest.mark.parametrize("text", ["{collector: a}", "{collector: [a, '[::1]:7'], sampling: 5, polling: 0, header: 64}"])
def test_it_survives_a_round_trip(text: str) -> None:
    found = load(f"{HEAD}sflow: {text}\n")
    again = config.validate(found.dump())
    assert again == found
    assert compare(found, again).empty


def test_what_changes_is_said_in_words() -> None:
    off, one = load(HEAD), load(f"{HEAD}sflow: {{collector: a}}\n")
    two = load(f"{HEAD}sflow: {{collector: [a, b], sampling: 5}}\n")
    assert compare(off, one).lines == ["~ sflow.collector default → a:6343"]
    assert compare(one, two).lines == ["~ sflow.collector a:6343 → a:6343,b:6343", "~ sflow.sampling default → 5"]
    assert not compare(two, off).empty


def test_the_schema_has_it() -> None:
    whole = schemas()["Configuration"]
    assert "sflow" in whole["properties"]
    section = whole["$defs"]["SflowConfig"]
    assert set(section["properties"]) == set(SflowConfig.model_fields)
    assert section["required"] == ["collector"]
