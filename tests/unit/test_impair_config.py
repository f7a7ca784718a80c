"""The impairment of a port in a configuration: what may be said, what it comes to, and what is wrong with it."""

from __future__ import annotations

import os
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.exposition import generate_latest
from pydantic import TypeAdapter

from tests.unit.impaired import Link
from vswitch import units
from vswitch.cli.impair import _structured
from vswitch.cli.impairtable import impairments
from vswitch.control.api.impairmodels import impairment_of
from vswitch.control.config import impairfiles
from vswitch.control.config.impairamend import amended
from vswitch.control.config.impairment import DirectionConfig, ImpairConfig
from vswitch.control.config.presets import PRESETS
from vswitch.control.config.reading import ConfigError, load, read, validate
from vswitch.control.metrics.impairments import families, row
from vswitch.control.topology import reading as topology
from vswitch.stages.impairment.chance import Chances
from vswitch.stages.impairment.spec import Change, Codel, Copy, Every, Flap, Gilbert, Line, Share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric


def line(**options: Any) -> Line:
    return DirectionConfig.model_validate(options).line()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"delay": "10ms", "jitter": 0.001}, Line(delay=0.01, jitter=0.001)),
        ({"loss": "0.5%"}, Line(loss=Share(0.005))),
        ({"loss": {"share": 0.1, "correlation": "25%"}}, Line(loss=Share(0.1, 0.25))),
        ({"loss": {"gilbert": {"p": "1%"}}}, Line(loss=Gilbert(0.01, 0.99))),
        ({"loss": {"gilbert": {"p": 0.1, "r": 0.2, "bad": 0.9, "good": 0.1}}}, Line(loss=Gilbert(0.1, 0.2, 0.9, 0.1))),
        ({"loss": {"every": 7}}, Line(loss=Every(7))),
        ({"loss": 0, "duplicate": "0%"}, Line()),
        ({"reorder": {"share": "25%", "gap": 5}}, Line(reorder=Share(0.25), gap=5)),
        ({"corrupt": {"share": 1, "bits": 3, "checksums": "fix"}}, Line(corrupt=Share(1.0), bits=3, mend=True)),
        ({"rate": "50mbit", "queue": "64kB"}, Line(rate=50_000_000, queue_octets=64_000)),
        ({"rate": "1gbit", "queue": 0.5, "burst": "15kB"}, Line(rate=10**9, queue=0.5, burst=15_000)),
        ({"codel": True}, Line(codel=Codel())),
        ({"codel": False}, Line()),
        ({"codel": {"target": "1ms"}}, Line(codel=Codel(0.001, 0.1))),
        ({"flap": {"every": "10s", "down": "1s"}}, Line(flap=Flap(10.0, 1.0))),
        ({"vlan": [10, "20-21"], "limit": "1MiB"}, Line(vlans=frozenset((10, 20, 21)), limit=1 << 20)),
        ({"schedule": ["at 10s: loss 100% for 2s"]}, Line(schedule=(Change(10.0, 12.0, {"loss": Share(1.0)}),))),
        ({"schedule": ["at 1m: down"]}, Line(schedule=(Change(60.0, inf, {"loss": Share(1.0)}),))),
        ({"schedule": "at 1m: down"}, Line(schedule=(Change(60.0, inf, {"loss": Share(1.0)}),))),
        ({"schedule": [{"at 1m": "down"}]}, Line(schedule=(Change(60.0, inf, {"loss": Share(1.0)}),))),
        (
            {"schedule": {"at 1m": "down for 1s", "at 2m": "mtu 600"}},
            Line(schedule=(Change(60.0, 61.0, {"loss": Share(1.0)}), Change(120.0, inf, {"mtu": 600}))),
        ),
        (
            {"schedule": [{"at": 5, "for": "1s", "rate": "1mbit", "delay": "1s"}]},
            Line(schedule=(Change(5.0, 6.0, {"rate": 10**6, "delay": 1.0}),)),
        ),
    ],
)  # fmt: skip
def test_what_is_said_is_what_the_stage_does(options: dict[str, Any], expected: Line) -> None:
    assert line(**options) == expected
    again = DirectionConfig.model_validate(DirectionConfig.model_validate(options).dump())
    assert again.line() == expected, "it survives the way through the API"


HEAD = "name: lab\nports:\n  a:\n    tap: a0\n    impair:\n"


@pytest.mark.parametrize(
    ("text", "number", "sentence"),
    [
        ("      out: {delay: 10x}", 6, "ports.a.impair.out.delay: '10x' is not a duration"),
        ("      out:\n        los: 1%", 7, "did you mean loss?"),
        ("      out:\n        loss: 200%", 7, "is not a share"),
        ("      out:\n        loss: {every: 3, share: 1%}", 7, "one of `share`, `gilbert` and `every`"),
        ("      out:\n        schedule:\n          - at 10s loss 100%", 8, "is no entry of a schedule"),
        ("      out:\n        schedule:\n          - 'at 10s: loss'", 8, "is not what to change"),
        ("      out:\n        schedule:\n          - 'at 10s: speed 5'", 8, "unknown key"),
        ("      out:\n        queue: soon", 7, "neither a duration"),
        ("      out:\n        distribution: bell", 6, "there is no distribution 'bell'"),
        ("      out:\n        filter: nonsense here", 6, "is not understood"),
        ("      out:\n        trace: /nowhere", 6, "cannot read /nowhere"),
        ("      flap: {every: 1s, down: 2s}", 6, "unknown key"),
        ("      in:\n        flap: {every: 1s, down: 2s}", 7, "`down` is longer"),
        ("      preset: lte2", 5, "there is no preset 'lte2'; the presets are 3g, lte"),
        ("      preset: lte2", 5, "wifi-lossy; did you mean lte?"),
        ("      preset: satellite geo", 5, "wifi-lossy; did you mean geo?"),
        ("      preset: Lossy_WiFi", 5, "wifi-lossy; did you mean wifi-lossy?"),
        ("      out:\n        schedule: {at 1s: down, after 2s: down}", 7, "found a mapping, expected a list"),
        ("      seed: -1", 6, "at least 0"),
        ("      out: 5", 6, "expected a mapping"),
    ],
)
def test_mistakes_have_their_line(text: str, number: int, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(HEAD + text + "\n", "lab.yml")
    assert [problem.line for problem in caught.value.problems] == [number]
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_and_what_stands_beside_goes_before(name: str) -> None:
    impair = ImpairConfig.model_validate({"preset": name, "in": {"delay": 0}, "out": {"loss": "50%"}})
    plain = ImpairConfig.model_validate({"preset": name}).impairment()
    made = impair.impairment()
    assert plain.received is not None
    assert plain.sent is not None
    assert made.received == replace(plain.received, delay=0.0)
    assert made.sent == replace(plain.sent, loss=Share(0.5))
    data = {"name": "lab", "ports": {"a": {"tap": "a0", "impair": {"preset": name, "in": {"delay": 0}}}}}
    config = validate(data)
    assert validate(config.dump()).dump() == config.dump()
    assert validate(config.dump()).ports["a"].settings() == config.ports["a"].settings()


def test_a_trace_goes_before_the_rate_of_a_preset(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text("1\n")
    impair = ImpairConfig.model_validate({"preset": "lte", "out": {"trace": str(tmp_path / "trace")}}).impairment()
    assert impair.sent is not None
    assert (impair.sent.rate, impair.sent.trace, impair.sent.delay) == (0, (0.001,), 0.035)


def test_what_is_said_anew_takes_the_place_of_that_direction_alone() -> None:
    before = ImpairConfig.model_validate({"preset": "lte", "seed": 3, "in": {"loss": "1%"}})
    assert amended(None, {"out": {}}) == {"out": {}}
    assert amended(before, {"seed": 4}) == {"preset": "lte", "seed": 4, "in": {"loss": {"share": 0.01}}}
    assert amended(before, {"preset": "3g"}) == {"preset": "3g", "seed": 3}
    after = ImpairConfig.model_validate(amended(before, {"out": {"loss": "2%"}})).impairment()
    assert (after.seed, after.received) == (3, before.impairment().received)
    assert after.sent == Line(loss=Share(0.02))


def test_files_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "down.trace").write_text("1\n")
    (tmp_path / "fates").write_text("[[0,0,[]]]\n")
    (tmp_path / "bell").write_text("0 1\n")
    impair = "{in: {trace: down.trace}, out: {replay: ./fates, jitter: 1ms, distribution: ./bell}}"
    (tmp_path / "lab.yml").write_text(
        f"name: t\nports: {{a: {{tap: t0, impair: &i {impair}}}, b: {{tap: t1, impair: *i}}}}\n"
    )
    guests = f"{{b: {{switch: s, impair: {impair}}}}}"
    (tmp_path / "topology.yml").write_text(f"name: t\nswitches: {{s: }}\nguests: {guests}\n")
    switch = topology.read(tmp_path / "topology.yml").switches["s"]
    for port in (*read(tmp_path / "lab.yml").ports.values(), *switch.ports.values()):
        assert port.impair is not None
        made = port.impair.impairment()
        assert made.received.trace == (0.001,)
        assert (made.sent.replay, made.sent.distribution) == (((Copy(0.0),),), (0, 1 / 8192))


def test_the_schema_allows_what_may_be_written_shorter() -> None:
    schema = ImpairConfig.model_json_schema()
    assert schema["properties"]["preset"]["enum"] == [*PRESETS, None]
    properties = schema["$defs"]["DirectionConfig"]["properties"]
    share = TypeAdapter(units.Share).json_schema()
    for key in ("loss", "duplicate", "reorder", "corrupt"):
        assert properties[key]["anyOf"][0] == share, key
    assert {"type": "boolean"} in properties["codel"]["anyOf"]
    assert {"type": "string"} in properties["schedule"]["anyOf"]
    assert {"type": "string"} in properties["schedule"]["anyOf"][0]["items"]["anyOf"]
    assert share in schema["$defs"]["ScheduleEntry"]["properties"]["loss"]["anyOf"]


def test_distributions_have_the_mean_and_deviation_of_tc_netem_s() -> None:
    assert impairfiles.distribution("uniform") is None
    for name, mean, deviation in (("normal", 0.0, 1.0), ("pareto", 0.0, 1.0), ("paretonormal", 0.0, 1.0)):
        table = impairfiles.distribution(name)
        assert table is not None
        found = sum(table) / len(table)
        assert found == pytest.approx(mean, abs=0.1)
        assert (sum((value - found) ** 2 for value in table) / len(table)) ** 0.5 == pytest.approx(deviation, abs=0.2)
        assert max(table) <= 4
    assert Chances(Highest()).fate(Line(delay=0.1, jitter=0.01, distribution=(1.0, 2.0, 3.0)))[
        0
    ].delay == pytest.approx(0.13)


class Highest:
    def random(self) -> float:
        return 0.999999


def test_files_are_read_where_a_configuration_is(tmp_path: Path) -> None:
    table, trace, fates = (tmp_path / name for name in ("table.dist", "cell.trace", "fates"))
    table.write_text("# a table\n -8192 0\n 8192\n")
    trace.write_text("0\n5\n5\n20\n")
    recorded = ((), (Copy(0.5), Copy(0.1, True, (3, 9))))
    fates.write_text("".join(f"{impairfiles.fate_line(fate)}\n" for fate in recorded))
    found = line(distribution=str(table), trace=str(trace), replay=str(fates))
    assert found.distribution == (-1.0, 0.0, 1.0)
    assert found.trace == (0.0, 0.005, 0.005, 0.02)
    assert found.replay == recorded
    for file, text, sentence in (
        (trace, "0\n", "no time after 0"), (trace, "5\n4\n", "line 2 .* back"), (trace, "x\n", "line 1 .* expected"),
        (table, "", "is empty"), (table, "1.5", "no whole number"), (fates, "", "no fate"), (fates, "[[1]]", "line 1"),
        (fates, "[[-1,0,[]]]", "line 1"), (fates, "[" * 5000, "line 1"), (trace, "1\n" * (3 << 20), "longer than"),
        (trace, "9" * 400, "line 1 .* expected"), (table, "9" * 400, "whole number"),
        (fates, f"[[{'9' * 400},0,[]]]", "line 1"), (fates, "[[1,0,[1e9999]]]", "line 1"),
    ):  # fmt: skip
        file.write_text(text)
        read = {trace: impairfiles.trace, table: impairfiles.distribution, fates: impairfiles.fates}[file]
        with pytest.raises(ValueError, match=sentence):
            read(str(file))


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"delay": "1ms", "loss": "1%"}, {"delay": "1ms", "loss": "1%"}),
        ({"loss": "1%", "loss_correlation": "25%"}, {"loss": {"share": "1%", "correlation": "25%"}}),
        ({"reorder_gap": "5", "reorder": "1%"}, {"reorder": {"gap": "5", "share": "1%"}}),
        ({"loss_gilbert_p": "1%", "loss_gilbert_r": "9%"}, {"loss": {"gilbert": {"p": "1%", "r": "9%"}}}),
        ({"codel": True}, {"codel": True}),
        ({"schedule": ["at 1s: down", " delay 1;at 5s: down"]}, {"schedule": ["at 1s: down, delay 1", "at 5s: down"]}),
    ],
)  # fmt: skip
def test_options_of_a_call_say_what_a_file_does(options: dict[str, Any], data: dict[str, Any]) -> None:
    assert _structured(options) == data


def test_the_table_has_what_is_asked_for_and_what_else_holds() -> None:
    def row(link: Link, **directions: Any) -> dict[str, Any]:
        found = impairment_of(link.switch, link.port("b"), ImpairConfig.model_validate(directions), link.now)
        assert found is not None
        return {"port": "b", "impair": found.model_dump(mode="json")}

    plain = impairments([row(Link(delay=0.001), out={"delay": "1ms"})])
    assert [str(column.header) for column in plain.columns] == [
        "PORT", "DIRECTION", "DELAY", "P99", "LOSS", "RATE", "FRAMES", "HELD", "FULL"
    ]  # fmt: skip
    more = {"corrupt": "1%", "filter": "icmp", "vlan": [3, 5], "schedule": "at 1s: down"}
    whole = impairments([row(Link(corrupt=Share(0.01)), out=more)])
    cells = {str(column.header): list(column.cells) for column in whole.columns}
    assert cells["CORRUPT"] == ["0% / 1%"]
    assert cells["ALSO"] == ["filter icmp, vlan 3,5, schedule"]


def test_what_is_achieved_is_told_by_the_api_and_the_metrics() -> None:
    config = ImpairConfig.model_validate({"out": {"delay": "10ms", "loss": {"every": 4}, "rate": "10mbit"}})
    link = Link(delay=0.01, loss=Every(4), rate=10_000_000)
    for number in range(3000):
        link.send(number, 500)
        link.run(0.001)
    impairment = impairment_of(link.switch, link.port("b"), config, link.now)
    assert impairment is not None
    (found,) = impairment.directions.values()
    assert (found.asked.delay, found.asked.loss, found.asked.rate) == (0.01, 0.25, 10_000_000)
    achieved = found.achieved
    assert (achieved.frames, achieved.lost, achieved.loss) == (3000, 750, 0.25)
    assert achieved.delay_mean == pytest.approx(0.0104)
    assert achieved.delay_p99 == pytest.approx(0.0104)
    assert achieved.rate == pytest.approx(750 * 500 * 8, rel=0.1)
    assert achieved.held == 3000 - 750 - achieved.passed

    class Registry:
        def collect(self) -> Iterator[Metric]:
            return families("s", [row("b", "out", link.wire, link.now)])

    text = generate_latest(Registry()).decode()
    labels = 'direction="out",port="b",switch="s"'
    assert 'vswitch_impair_frames_total{direction="out",fate="lost",port="b",switch="s"} 750.0' in text
    assert f"vswitch_impair_asked_loss_ratio{{{labels}}} 0.25" in text
    assert f"vswitch_impair_asked_rate_bytes_per_second{{{labels}}} 1.25e+06" in text
    assert f"vswitch_impair_asked_corrupt_ratio{{{labels}}} 0.0" in text
    assert f"vswitch_impair_asked_reorder_ratio{{{labels}}} 0.0" in text
    assert 'vswitch_impair_delay_seconds_bucket{direction="out",le="0.01",port="b",switch="s"} 0.0' in text
    assert f"vswitch_impair_delay_seconds_count{{{labels}}} {float(achieved.passed)}" in text


@pytest.mark.parametrize("read", [impairfiles.trace, impairfiles.distribution, impairfiles.fates])
def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path, read: Callable[[str], object]) -> None:
    """Whoever opens a pipe waits for the one who writes to it, and with the switch everybody would."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ValueError, match=f"cannot read {path}: "):
            read(str(path))
