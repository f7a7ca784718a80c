"""Every target with Hypothesis, and with atheris where it is installed.

VSWITCH_FUZZ_SECONDS: how long atheris takes for each target.  VSWITCH_FUZZ_EXAMPLES: how many Hypothesis makes of each.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import run
from tests.fuzz.script import KEYS, TEXTS, Script, frame
from tests.fuzz.seeds import CONFIGURATION, DATA, FRAMES, seeds
from tests.fuzz.targets import TARGETS, raw_frame, small_switch
from vswitch.control.config import reading as config
from vswitch.core.offload import Capability
from vswitch.core.verdict import Reason

if TYPE_CHECKING:
    from vswitch.core.verdict import Egress

ROOT = Path(__file__).parents[2]
SECONDS = int(os.environ.get("VSWITCH_FUZZ_SECONDS", "2"))
EXAMPLES = int(os.environ.get("VSWITCH_FUZZ_EXAMPLES", "300"))
unhurried = settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))

words = st.sampled_from(TEXTS)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=20)
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | words, inner, max_size=6),
    max_leaves=20,
)
YAML = (
    "a", "name", "ports", "tap", ": ", "- ", "\n", "  ", "{", "}", "[", "]", ", ", "&a ", "*a", "<<: ", "!!int ", "? ",
    '"', "'", "|", ">", "#", "%YAML 1.2\n", "---\n", "\\", "\\U0010FFFF", "\\UFFFFFFFF", "\\ud800", "~", "\0", "é", "1",
)  # fmt: skip
lines = st.sampled_from(CONFIGURATION.splitlines(keepends=True))
yaml_texts = st.lists(st.sampled_from(YAML) | lines, max_size=30).map("".join)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    @given(st.binary(max_size=400))
    @unhurried
    def fuzzed(data: bytes) -> None:
        TARGETS[name](data)

    fuzzed()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_is_near_them(name: str) -> None:
    numbers = random.Random(name)
    for seed in seeds(name):
        TARGETS[name](seed)
        for _ in range(EXAMPLES // 10):
            near = bytearray(seed)
            for _ in range(numbers.randint(1, 4)):
                near[numbers.randrange(len(near))] = numbers.randrange(256)
            TARGETS[name](bytes(near[: numbers.randint(0, 2 * len(near))]))


@given(json_values)
@unhurried
def test_any_json(data: Any) -> None:
    TARGETS["json_text"](json.dumps(data).encode())


@given(st.sampled_from(sorted(DATA)), json_values)
@unhurried
def test_any_json_for_one_key_of_a_good_configuration(key: str, data: Any) -> None:
    TARGETS["json_text"](json.dumps({**DATA, key: data}).encode())


@given(yaml_texts)
@unhurried
def test_any_yaml(text: str) -> None:
    TARGETS["yaml_text"](text.encode())


def test_the_seeds_are_good_configurations() -> None:
    assert set(config.load(CONFIGURATION).ports) == {"web", "db", "far"}
    assert set(config.validate(DATA).ports) == {"web", "far"}


def test_scripts_reach_every_reason_and_superframes_with_tags() -> None:
    numbers = random.Random(8021)
    seen: set[object] = set()
    for _ in range(1500):
        switch = small_switch(vlan_filtering=True)
        script = Script(numbers.randbytes(200))
        while not script.ended:
            verdict = switch.receive_raw(frame(script), script.choose(tuple(switch.ports.values())), 0.0)
            seen |= {verdict.reason, *(reason for _, reason in verdict.lost), *map(kind, verdict.egress)}
    elsewhere = {Reason.IMPAIRED, Reason.QUEUE_FULL, Reason.IO_ERROR, Reason.TRUNCATED, Reason.TUNNEL_LOOP}
    assert set(Reason) - elsewhere <= seen
    assert {
        (version, tcp, segmented, edited)
        for version in (4, 6)
        for tcp in (False, True)
        for segmented in (False, True)
        for edited in (False, True)
    } <= seen


def kind(egress: Egress) -> object:
    """What a superframe is, and what was done to it; None for any other frame."""
    asked = egress.frame.offload
    if asked is None or asked.segments == 1:
        return None
    version = 4 if asked.needs & (Capability.TSO4 | Capability.USO4) else 6
    segmented = len(egress.frame.form(egress.edit, egress.port.offload)) > 1
    return version, asked.csum_offset == 16, segmented, egress.edit is not None


def test_targets_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """An explanation that is not what happens is a finding."""
    monkeypatch.setattr(
        "tests.property.checks.explain", lambda switch, raw, port, now: switch.receive_raw(raw, port, now)
    )
    with pytest.raises(AssertionError, match="changes nothing"):
        raw_frame(b"\x01\x00" + FRAMES[0])


def test_the_command_line_knows_every_target() -> None:
    assert tuple(TARGETS) == run.TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_atheris_finds_nothing(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: pip install 'vswitch[fuzz]'")
    limits = ["-runs=100000", f"-max_total_time={SECONDS}", "-max_len=4096", "-rss_limit_mb=2048"]
    command = [sys.executable, "-m", "tests.fuzz.run", name, *limits, f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=SECONDS + 240)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Done" in done.stderr, "it ran to its end"
