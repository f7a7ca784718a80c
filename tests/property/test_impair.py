"""Impairments of any kind under any traffic: what none of them may ever do."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.impaired import Link
from vswitch.core.offload import PLAIN
from vswitch.stages.impairment.damage import damaged
from vswitch.stages.impairment.spec import Change, Codel, Every, Flap, Gilbert, Share

shares = st.builds(Share, st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))
chance = st.floats(0, 1)
losses = st.one_of(st.none(), shares, st.builds(Every, st.integers(1, 5)), st.builds(Gilbert, chance, chance, chance))
kept_in_order = {
    "delay": st.floats(0, 0.5),
    "jitter": st.floats(0, 0.5),
    "correlation": chance,
    "loss": losses,
    "duplicate": st.one_of(st.none(), shares),
    "rate": st.sampled_from([0, 1, 64_000, 10_000_000]),
    "burst": st.sampled_from([0, 1, 3000]),
    "trace": st.sampled_from([None, None, (0.0, 0.001, 0.001, 0.05), (3.0,)]),
    "queue": st.sampled_from([0.0, 0.01, 1.0]),
    "queue_octets": st.sampled_from([0, 1, 5000]),
    "codel": st.one_of(st.none(), st.builds(Codel, st.sampled_from([0.001, 0.05]), st.sampled_from([0.01, 0.1]))),
    "flap": st.sampled_from([None, Flap(1.0, 0.5)]),
    "mtu": st.sampled_from([0, 100]),
    "limit": st.sampled_from([1 << 16, 1 << 20]),
    "schedule": st.sampled_from([(), (Change(0.5, 1.0, {"rate": 0, "delay": 0.0}),), (Change(0.2, 0.3, {"rate": 1}),)]),
}
lines = st.fixed_dictionaries({}, optional=kept_in_order)
steps = st.lists(st.tuples(st.floats(0, 0.2), st.integers(60, 1500)), max_size=60)


def play(link: Link, traffic: list[tuple[float, int]], late: float = 0.0) -> None:
    for number, (pause, size) in enumerate(traffic):
        link.send(number, size)
        assert link.wire.octets <= link.wire.line.limit
        link.run(pause, late=late)


def told(seed: int, line: dict[str, Any], traffic: list[tuple[float, int]]) -> list[object]:
    link = Link(seed=seed, **line)
    fates: list[object] = []
    link.wire.witness = fates.append
    play(link, traffic)
    return [*fates, *link.came, *link.lost]


@settings(max_examples=150, deadline=None)
@given(lines, steps, st.integers(0, 5), st.sampled_from([0.0, 0.003, 0.7]), st.booleans())
def test_order_memory_and_time(line: dict[str, Any], traffic: Any, seed: int, late: float, received: bool) -> None:
    link = Link(seed=seed, received=received, **(line or {"delay": 0.0}))
    play(link, traffic, late)
    numbers = link.numbers()
    assert numbers == sorted(numbers), "nothing overtakes"
    times = [time for time, _ in link.came]
    assert times == sorted(times)
    figures = link.wire.figures
    assert figures.offered == len(traffic)
    assert figures.passed + len(link.wire) + len(link.lost) == len(traffic) + figures.duplicated
    link.set()
    link.run(0.0)
    assert link.numbers() == sorted(link.numbers())
    assert len(link.came) + len(link.lost) == len(traffic) + figures.duplicated, "what was held arrives"
    assert not link.stage.active


@settings(max_examples=60, deadline=None)
@given(lines, steps, st.integers(0, 5))
def test_a_run_can_be_played_again(line: dict[str, Any], traffic: Any, seed: int) -> None:
    line = {**line, "corrupt": Share(0.3), "reorder": Share(0.3)}
    assert told(seed, line, traffic) == told(seed, line, traffic)


packets = st.builds(
    lambda kind, rest: (bytes(12) + kind + rest).ljust(60, b"\0"),
    st.sampled_from([bytes.fromhex(each) for each in ("08004500", "080046", "86dd60", "8100000108004500", "8100", "")]),
    st.binary(max_size=120),
)


@given(packets, st.lists(st.integers(0, 1 << 32), max_size=3), st.booleans())
def test_any_octets_can_be_damaged(octets: bytes, flips: list[int], mend: bool) -> None:
    after = damaged(PLAIN + octets, flips, mend=mend)
    assert len(after) == len(PLAIN + octets)
    assert after[: len(PLAIN) + 14] == PLAIN + octets[:14]
