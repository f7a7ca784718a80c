"""Which twin forwards, and what the shadow says of two that differ."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from array import array
from typing import TYPE_CHECKING

import pytest

from tests.running import VSWITCH
from tests.unit.frames import A, B, raw
from tests.unit.twins import Lab, fast_path, make_flow
from vswitch.core.stats import PortCounters
from vswitch.fastpath.flowcache import ROOM, FlowTable
from vswitch.fastpath.shadow import ShadowTable
from vswitch.fastpath.twins import MODES, PYTHON, FastPath, FastPathError, choose

if TYPE_CHECKING:
    from pathlib import Path

    from vswitch.core.offload import Buffer
    from vswitch.fastpath.flowcache import Flow, Match
    from vswitch.fastpath.twins import Table

NOT_BUILT = "import sys; sys.modules['vswitch.fastpath._flowcache'] = None\n"
SAY = "from vswitch.fastpath.twins import choose; print(choose().name)"


def python(code: str, mode: str | None) -> subprocess.CompletedProcess[str]:
    """Run Python with VSWITCH_NATIVE set, or left out."""
    return subprocess.run([sys.executable, "-c", code], env=environment(mode), capture_output=True, text=True)


def environment(mode: str | None) -> dict[str, str]:
    rest = {name: value for name, value in os.environ.items() if name != "VSWITCH_NATIVE"}
    return rest if mode is None else {**rest, "VSWITCH_NATIVE": mode}


def table(path: FastPath) -> Table:
    return path.table(PortCounters().values, bytearray(ROOM), array("Q", (0,)))


# Which one


def test_off_is_python() -> None:
    assert choose("off") == PYTHON
    assert type(table(choose("off"))) is FlowTable


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_the_native_one_where_it_is_built(mode: str) -> None:
    fast_path("native")
    assert choose(mode).name == "native"
    assert not isinstance(table(choose(mode)), FlowTable)


def test_shadow_is_python_with_the_native_one_beside_it() -> None:
    path = fast_path("shadow")
    assert path.name == "python"
    assert isinstance(table(path), ShadowTable)


@pytest.mark.parametrize("mode", MODES)
def test_the_environment_says_which(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode != "off":
        fast_path("native")
    monkeypatch.setenv("VSWITCH_NATIVE", mode)
    assert choose().name == ("native" if mode in ("auto", "require") else "python")
    assert isinstance(table(choose()), ShadowTable) == (mode == "shadow")


@pytest.mark.parametrize("mode", [None, ""])
def test_left_out_or_empty_it_is_auto(mode: str | None) -> None:
    fast_path("native")
    assert python(SAY, mode).stdout == "native\n"


@pytest.mark.parametrize("mode", ["native", "OFF", "1", "shadow "])
def test_an_unknown_mode_is_told_with_the_known_ones(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSWITCH_NATIVE", mode)
    with pytest.raises(FastPathError) as raised:
        choose()
    assert str(raised.value) == f"VSWITCH_NATIVE is {mode!r}; it is one of auto, off, require, shadow"


@pytest.mark.parametrize("mode", [None, "auto", "off"])
def test_python_where_the_native_one_is_not_built(mode: str | None) -> None:
    done = python(NOT_BUILT + SAY, mode)
    assert (done.stdout, done.stderr) == ("python\n", "")


@pytest.mark.parametrize("mode", ["require", "shadow"])
def test_one_sentence_where_it_is_asked_for_and_not_built(mode: str) -> None:
    done = python(
        NOT_BUILT + "from vswitch.fastpath.twins import FastPathError, choose\n"
        "try: choose()\n"
        "except FastPathError as error: print(error)",
        mode,
    )
    assert done.stderr == ""
    (sentence,) = done.stdout.splitlines()
    assert sentence.startswith("the native fast path is not built (")
    assert "C compiler" in sentence
    assert "VSWITCH_NATIVE" in sentence


# `vswitch run`


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A switch without ports."""
    path = tmp_path / "lab.yml"
    path.write_text(f"name: lab\nports: {{}}\ncontrol: {tmp_path}/lab.sock\n")
    return path


def test_a_switch_does_not_run_with_an_unknown_mode(configuration: Path) -> None:
    done = subprocess.run(
        [*VSWITCH, "run", str(configuration)], env=environment("fast"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == "vswitch: VSWITCH_NATIVE is 'fast'; it is one of auto, off, require, shadow\n"
    assert done.stdout == ""
    assert not (configuration.parent / "lab.sock").exists()


def test_a_switch_that_requires_what_is_not_built_does_not_run(configuration: Path) -> None:
    code = NOT_BUILT + f"sys.argv = ['vswitch', 'run', {str(configuration)!r}]\nfrom vswitch.cli import main; main()"
    done = python(code, "require")
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("vswitch: the native fast path is not built (")


# Twins that differ


class Wrong(FlowTable):
    """Knows every flow but the frames of one length."""

    def match(self, raw: Buffer) -> Match | None:
        return None if len(raw) == 100 else super().match(raw)


@pytest.fixture
def shadowed() -> Lab:
    return Lab(FastPath("python", lambda values, buffer, clock: ShadowTable(values, buffer, clock, Wrong)))


@pytest.mark.parametrize("way", ["burst", "carry"])
def test_a_difference_is_told_and_counted_and_python_s_answer_holds(
    shadowed: Lab, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    lab, shadow = shadowed, shadowed.table
    assert isinstance(shadow, ShadowTable)
    frames = [raw(B, A, payload=b"x" * length) for length in (76, 50, 76)]
    flow = lab.knows(frames[0], lab.b)
    with caplog.at_level(logging.ERROR):
        if way == "burst":
            lab.a.send(*frames)
            assert lab.burst() == (3, [flow], -1, None, 0)
        else:
            assert [shadow.carry(frame) for frame in frames] == [(flow, 1)] * 3
    assert lab.b.received() == frames
    assert shadow.differences == 2
    first, second = (record.getMessage() for record in caplog.records)
    assert first == second
    assert first.startswith(f"the twins do not agree on {frames[0].hex()}: ")
    assert first.endswith(" and None")
    assert lab.a.counters.receive.frames == [3, 0, 0]
    assert lab.b.counters.transmit.frames == [3, 0, 0]
    lab.close()


def test_a_long_frame_is_told_by_its_first_octets(caplog: pytest.LogCaptureFixture) -> None:
    class Blind(FlowTable):
        def match(self, raw: Buffer) -> Match | None:
            return None

    lab = Lab(FastPath("python", lambda values, buffer, clock: ShadowTable(values, buffer, clock, Blind)))
    frame = raw(B, A, payload=b"x" * 5000)
    lab.knows(frame, lab.b)
    lab.table.carry(frame)
    (record,) = caplog.records
    assert frame[:256].hex() in record.getMessage()
    assert frame[:257].hex() not in record.getMessage()
    lab.close()


def test_both_know_the_same_flows() -> None:
    made: list[FlowTable] = []

    def other(values: array[int], buffer: bytearray, clock: array[int]) -> Table:
        made.append(FlowTable(values, buffer, clock))
        return made[0]

    lab = Lab(FastPath("python", lambda values, buffer, clock: ShadowTable(values, buffer, clock, other)))
    flows: list[Flow] = [make_flow(raw(B, A, (0x8100, tci)), lab.b) for tci in range(3)]
    for flow in flows:
        lab.table.add(flow)
    lab.table.discard(flows[0].key)
    assert len(made[0]) == len(lab.table) == 2
    lab.table.carry(raw(B, A, (0x8100, 1)))
    assert list(made[0]._values) == [0] * len(made[0]._values), "it counts nothing of its own"
    assert lab.a.counters.receive.frames == [1, 0, 0]
    lab.table.clear()
    assert len(made[0]) == len(lab.table) == 0
    lab.close()
