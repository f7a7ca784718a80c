"""Impairments, in memory, with time stepped by hand: what each word does, and what none may do."""

from __future__ import annotations

import random
from itertools import pairwise
from math import ceil, inf, sqrt
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.frames import BROADCAST, A, B, raw
from tests.unit.impaired import Link
from vswitch.core.explain import explain
from vswitch.core.mirror import Mirror
from vswitch.core.offload import HEADER, Capability
from vswitch.core.port import BridgePort
from vswitch.core.verdict import Reason
from vswitch.stages.impairment.chance import Chances
from vswitch.stages.impairment.codel import Controller
from vswitch.stages.impairment.spec import Change, Codel, Copy, Every, Flap, Gilbert, Line, Share
from vswitch.stages.impairment.trace import Opportunities

if TYPE_CHECKING:
    from vswitch.stages.impairment.spec import Fate

BOTH = pytest.mark.parametrize("received", [False, True], ids=["out", "in"])
MANY = 100_000


def tcp_superframe(payload: int, size: int = 1448) -> bytes:
    """A TCP segment over IPv4 that stands for several, its checksum left to whoever sends it."""
    ip = bytes.fromhex("4500") + (40 + payload).to_bytes(2) + bytes.fromhex("000140004006 0000 0a000001 0a000002")
    header = bytes([1, 1]) + b"".join(n.to_bytes(2, "little") for n in (54, size, 34, 16))
    pseudo = (0x0A00 * 2 + 1 + 2 + 6 + 20 + payload) % 0xFFFF
    tcp = bytes.fromhex("03e807d0 00000001 00000001 5010 ffff") + pseudo.to_bytes(2) + bytes(2)
    addresses = bytes.fromhex((B + A).replace(":", ""))
    return header + addresses + b"\x08\x00" + ip + tcp + random.Random(payload).randbytes(payload)


@BOTH
def test_a_delay_is_exact_keeps_the_order_and_copies_what_it_holds(received: bool) -> None:
    link = Link(delay=0.01, received=received)
    sent = []
    for number in range(50):
        sent.append(link.now)
        assert link.send(number).held == (link.port("b"),)
        link.run(0.001)
    link.run(1.0)
    assert link.numbers() == list(range(50))
    assert link.delays(sent) == pytest.approx([0.01] * 50)
    assert not link.lost
    assert len(link.wire) == link.wire.octets == 0


def test_what_is_held_is_neither_a_drop_nor_kept_by_the_fast_path() -> None:
    link = Link(delay=0.01)
    verdict = link.send()
    assert (verdict.reason, verdict.lost, verdict.egress, verdict.cacheable) == (None, (), (), False)
    assert sum(link.port("a").counters.dropped.values()) == 0
    assert link.switch.receive_raw(raw(A, B), link.port("b"), link.now).cacheable, "the other way is not impaired"


def test_a_port_that_is_not_impaired_has_no_hook() -> None:
    link = Link(delay=0.01)
    link.set()
    link.run(0.0)
    assert not link.stage.active
    assert link.switch.stage_deadline() is None
    assert link.send().cacheable


def test_what_is_impaired_comes_in_late_and_is_learned_late() -> None:
    link = Link(delay=0.5, received=True)
    link.switch.fdb.flush()
    link.send()
    assert len(link.switch.fdb) == 0
    link.run(1.0)
    assert [row.port.name for row in link.switch.fdb.rows(link.now)] == ["b"]


def test_clearing_lets_go_what_is_held_in_order_before_what_comes_after() -> None:
    link = Link(delay=10.0, rate=10_000, queue_octets=1 << 20)
    for number in range(100):
        link.send(number)
    link.set()
    link.send(100)
    link.run(0.0)
    assert link.numbers() == list(range(101))
    assert not link.stage.active
    assert link.send(101).egress


def test_another_delay_from_now_on_does_not_change_the_order() -> None:
    link = Link(delay=1.0)
    for number in range(10):
        link.send(number)
    link.set(delay=0.001)
    for number in range(10, 20):
        link.send(number)
    link.run(0.5)
    assert not link.came, "none before those that came earlier"
    link.run(1.0)
    assert link.numbers() == list(range(20))


def test_changing_one_port_leaves_the_fates_of_another_alone() -> None:
    fates = []
    for disturbed in (False, True):
        link = Link(loss=Share(0.3), delay=0.001)
        told: list[object] = []
        link.wire.witness = told.append
        for number in range(200):
            link.send(number)
            if disturbed and number == 100:
                link.switch.add_port(BridgePort("c"))
                link.switch.set_port_state(link.port("c"), up=False)
        fates.append(told)
    assert fates[0] == fates[1]


def test_a_port_that_goes_down_or_away_takes_what_is_held_for_it_along() -> None:
    link = Link(delay=0.01)
    link.send()
    link.switch.set_port_state(link.port("b"), up=False)
    link.run(1.0)
    assert link.lost == [Reason.PORT_DOWN]
    link.switch.set_port_state(link.port("b"), up=True)
    link.send()
    link.switch.remove_port("b")
    assert link.switch.stage_deadline() is None


# Chances


def within_three_sigma(found: int, share: float, of: int = MANY) -> bool:
    return abs(found - share * of) <= 3 * sqrt(of * share * (1 - share))


def test_shares_are_met_within_three_sigma() -> None:
    share = 0.01
    link = Link(loss=Share(share), duplicate=Share(share), corrupt=Share(share), seed=4)
    for _ in range(MANY):
        link.send()
        if len(link.wire) > 1000:
            link.run(0.0)
    link.run(0.0)
    figures = link.wire.figures
    assert figures.offered == MANY
    # of a frame that is lost and comes twice one copy is left, as in netem_enqueue()
    assert within_three_sigma(figures.lost, share * (1 - share))
    assert within_three_sigma(figures.duplicated, share * (1 - share))
    assert within_three_sigma(figures.corrupted, share)
    assert len(link.came) == MANY - figures.lost + figures.duplicated
    assert link.lost == [Reason.IMPAIRED] * figures.lost
    assert link.port("b").counters.dropped[Reason.IMPAIRED] == figures.lost


@pytest.mark.parametrize("share", [0.001, 0.3])
def test_other_shares_too(share: float) -> None:
    chance = Share(share)
    lost, twice = met(Line(loss=chance)), met(Line(duplicate=chance))
    early, bad = met(Line(reorder=chance)), met(Line(corrupt=chance))
    assert within_three_sigma(lost.count(()), share)
    assert within_three_sigma(sum(len(fate) == 2 for fate in twice), share)
    assert within_three_sigma(sum(fate[0].early for fate in early), share)
    assert within_three_sigma(sum(bool(fate[0].flips) for fate in bad), share)


def met(line: Line, seed: int = 9, count: int = MANY) -> list[Fate]:
    """The fates of so many frames."""
    chances = Chances(random.Random(seed))
    return [chances.fate(line) for _ in range(count)]


def test_between_two_reordered_frames_is_the_gap() -> None:
    early = [number for number, (copy,) in enumerate(met(Line(delay=0.1, reorder=Share(0.25), gap=5))) if copy.early]
    assert all(later - number >= 5 for number, later in pairwise(early))
    assert len(early) == pytest.approx(MANY / (4 + 1 / 0.25), rel=0.02)


def test_reordered_frames_leave_before_others() -> None:
    link = Link(delay=0.01, reorder=Share(0.25), seed=2)
    for number in range(200):
        link.send(number)
        link.run(0.001)
    link.run(1.0)
    assert sorted(link.numbers()) == list(range(200)) != link.numbers()
    late = [number for number in link.numbers() if number not in early_of(link.numbers())]
    assert late == sorted(late)


def early_of(numbers: list[int]) -> set[int]:
    """Those before which a later one came."""
    return {number for at, number in enumerate(numbers) if any(other < number for other in numbers[at + 1 :])}


def test_bursts_are_those_of_the_model() -> None:
    model = Gilbert(p=0.01, r=0.2, bad=0.9, good=0.001)
    passed = [bool(fate) for fate in met(Line(loss=model), count=4 * MANY)]
    bad = model.p / (model.p + model.r)
    expected = bad * model.bad + (1 - bad) * model.good
    assert passed.count(False) / len(passed) == pytest.approx(expected, rel=0.05)
    follow = [later for first, later in pairwise(passed) if not first]
    assert follow.count(False) / len(follow) == pytest.approx(0.7, abs=0.03), "a loss is seldom alone"


def test_every_nth_frame_is_lost() -> None:
    assert [number for number, fate in enumerate(met(Line(loss=Every(7)), count=50), 1) if not fate] == [
        7, 14, 21, 28, 35, 42, 49,
    ]  # fmt: skip


def test_correlated_losses_follow_each_other_as_netem_s_do() -> None:
    passed = [bool(fate) for fate in met(Line(loss=Share(0.3, correlation=0.5)))]
    follow = [later for first, later in pairwise(passed) if not first]
    assert follow.count(False) / len(follow) > passed.count(False) / len(passed) + 0.2


def test_the_same_seed_gives_the_same_fates_and_another_one_others() -> None:
    line: dict[str, Any] = {
        "loss": Share(0.1, 0.3), "duplicate": Share(0.1), "corrupt": Share(0.1), "jitter": 0.01, "delay": 0.1,
        "reorder": Share(0.1),
    }  # fmt: skip
    runs = []
    for seed in (7, 7, 8):
        link = Link(seed=seed, **line)
        told: list[object] = []
        link.wire.witness = told.append
        for number in range(2000):
            link.send(number)
            link.run(0.001)
        runs.append((told, link.came))
    assert runs[0] == runs[1] != runs[2]


def test_recorded_fates_are_met_again() -> None:
    recorded = ((Copy(0.5),), (), (Copy(0.1), Copy(0.2, flips=(3,))))
    link = Link(replay=recorded)
    for number in range(6):
        link.send(number)
    link.run(0.05)
    assert link.lost == [Reason.IMPAIRED] * 2
    link.run(1.0)
    assert len(link.came) == 6
    assert link.numbers()[0] == 0
    assert link.wire.figures.corrupted == 2


def test_jitter_stays_within_what_was_asked_and_does_not_reorder() -> None:
    link = Link(delay=0.01, jitter=0.005, seed=3)
    sent = []
    for number in range(5000):
        sent.append(link.now)
        link.send(number)
        link.run(0.02)
    assert link.numbers() == list(range(5000))
    delays = link.delays(sent)
    assert min(delays) >= 0.005 - 1e-9
    assert max(delays) <= 0.015 + 1e-9
    assert sum(delays) / len(delays) == pytest.approx(0.01, abs=3 * 0.005 / sqrt(3 * 5000))
    for number in range(5000):
        link.send(number)
        link.run(0.0001)
    link.run(1.0)
    assert link.numbers()[5000:] == list(range(5000)), "close together, too"


def test_jitter_may_reorder_where_that_is_asked_for() -> None:
    link = Link(delay=0.01, jitter=0.005, overtake=True)
    for number in range(100):
        link.send(number)
        link.run(0.0001)
    link.run(1.0)
    assert sorted(link.numbers()) == list(range(100)) != link.numbers()


# The rate and its queue


def test_a_rate_spaces_frames_and_drops_what_does_not_fit_the_queue() -> None:
    link = Link(rate=8_000_000, queue_octets=10_000)
    for number in range(50):
        link.send(number, 1000)
    link.run(1.0)
    # one is on its way, ten wait
    assert link.numbers() == list(range(11))
    assert [time - 1000.0 for time, _ in link.came] == pytest.approx([0.001 * n for n in range(1, 12)])
    assert link.lost == [Reason.QUEUE_FULL] * 39
    assert link.wire.figures.full == 39


def test_a_queue_of_a_time_holds_what_the_rate_sends_in_that_time() -> None:
    link = Link(rate=8_000_000, queue=0.05)
    for number in range(100):
        link.send(number, 1000)
    assert len(link.wire) == 51


def test_a_burst_passes_at_once_after_a_pause_and_the_rate_holds_on_the_whole() -> None:
    link = Link(rate=8_000_000, burst=10_000, queue=1.0)
    link.run(1.0)
    begin = link.now
    for number in range(100):
        link.send(number, 1000)
    link.run(1.0)
    times = [time - begin for time, _ in link.came]
    assert times[:10] == pytest.approx([0.0] * 10, abs=1e-9)
    assert times[-1] == pytest.approx(0.09)


def test_superframes_have_the_rate_of_their_segments() -> None:
    for rate in (20_000_000, 2_000_000_000):
        link = Link(rate=rate, queue=1.0)
        begin, octets = link.now, 0
        for _ in range(30):
            verdict = link.send(octets=tcp_superframe(44 * 1448))
            assert verdict.held
            octets += 44 * (1448 + 54)
        link.run(10.0)
        assert not link.lost
        assert link.came[-1][0] - begin == pytest.approx(octets * 8 / rate, rel=0.001)


def test_superframes_are_delayed_whole_and_cut_only_where_each_segment_has_a_fate() -> None:
    frame = tcp_superframe(40 * 1000, 1000)
    for line, count in (({"delay": 0.01}, 1), ({"loss": Every(10)}, 36), ({"rate": 10_000_000, "queue": 1.0}, 40)):
        link = Link(**line)
        link.send(octets=frame)
        link.run(1.0)
        assert len(link.came) == count
        assert link.port("b").counters.dropped[Reason.IMPAIRED] == (4 if "loss" in line else 0)
    assert link.wire.figures.offered == 40


def test_codel_keeps_the_wait_near_its_target_where_a_tail_drop_does_not() -> None:
    waits = {}
    for codel in (None, Codel(0.005, 0.1)):
        link = Link(rate=8_000_000, queue=0.5, codel=codel)
        for number in range(6000):  # 1.25 times the rate, steadily
            link.send(number, 1000)
            link.run(0.0008)
        waits[codel] = link.wire.figures.mean or 0.0
        assert len(link.numbers()) == len(set(link.numbers()))
        assert link.numbers() == sorted(link.numbers())
    assert waits[None] > 0.4
    assert waits[Codel(0.005, 0.1)] < waits[None]
    assert set(link.lost) == {Reason.QUEUE_FULL}


def test_a_trace_gives_the_times_at_which_frames_pass_and_begins_anew() -> None:
    link = Link(trace=(0.001, 0.002, 0.010), queue_octets=100_000)
    for number in range(4):
        link.send(number, 1514)
    link.send(4, 764)  # half an opportunity
    link.send(5, 764)
    link.run(1.0)
    times = [round(time - 1000.0, 6) for time, _ in link.came]
    assert times == [0.001, 0.002, 0.010, 0.011, 0.012, 0.012]
    link.run(0.0005)
    link.send(6, 60)
    link.run(1.0)
    # what passed unused is gone
    assert link.came[-1][0] - 1000.0 == pytest.approx(1.001 + 0.0, abs=0.0011)


def test_a_long_trace_costs_a_frame_no_more_in_its_later_rounds() -> None:
    class Counted(list[float]):
        reads = 0

        def __getitem__(self, at: Any) -> Any:
            Counted.reads += 1
            return super().__getitem__(at)

    trace = Counted(number / 1000 for number in range(1, 60_001))
    for came in (59.5, 60.0, 60.0005, 119.9995, 600.25):
        Counted.reads = 0
        assert Opportunities(1000.0).next(trace, 1000.0 + came) == pytest.approx(1000.0 + ceil(came * 1000) / 1000)
        assert Counted.reads < 100


def test_memory_is_bounded_by_the_limit_whatever_comes() -> None:
    link = Link(delay=1000.0, limit=1 << 20)
    for number in range(3000):
        link.send(number, 60 + number % 1400)
        assert link.wire.octets <= 1 << 20
    assert link.lost
    assert set(link.lost) == {Reason.QUEUE_FULL}
    assert len(link.wire) + len(link.lost) == 3000
    link.run(2000.0)
    assert link.wire.octets == len(link.wire) == 0


# What is certain


def test_an_mtu_and_a_flap_lose_frames_for_certain() -> None:
    link = Link(mtu=1400)
    assert link.send(size=1414).held
    assert not link.send(size=1415).held
    assert link.lost == [Reason.OVERSIZE]
    link = Link(flap=Flap(every=10.0, down=1.0))
    for _ in range(100):
        link.send()
        link.run(0.2)
    assert len(link.lost) == 10


def test_a_schedule_holds_from_time_to_time() -> None:
    link = Link(delay=0.001, schedule=(Change(1.0, 2.0, {"loss": Share(1.0)}), Change(3.0, inf, {"delay": 0.5})))
    sent = []
    for number in range(50):
        verdict = link.send(number)
        sent += [(number, link.now - 1000.0)] if verdict.held else []
        link.run(0.1)
    link.run(1.0)
    assert [number for number, _ in sent] == [*range(10), *range(20, 50)]
    delays = [time - 1000.0 - then for (time, _), (_, then) in zip(link.came, sent, strict=True)]
    assert delays == pytest.approx([0.001] * 20 + [0.5] * 20)


def test_only_the_vlans_and_frames_that_are_named_are_concerned() -> None:
    link = Link(loss=Share(1.0), matches=lambda frame: frame[17] == 1, filter="one")
    assert [link.send(number).lost == () for number in (0, 1, 2)] == [True, False, True]
    assert not link.send(0).cacheable, "another frame of the flow may be concerned"
    link = Link(loss=Share(1.0), vlans=frozenset((2,)))
    assert not link.send(0).lost


# What others see of it


def test_explaining_says_what_would_happen_and_draws_no_chance() -> None:
    link = Link(delay=0.01, loss=Share(0.1), rate=1_000_000)
    same = Link(delay=0.01, loss=Share(0.1), rate=1_000_000)
    told: list[list[object]] = [[], []]
    for each, into in ((link, told[0]), (same, told[1])):
        each.wire.witness = into.append
    for _ in range(100):
        (step,) = explain(link.switch, raw(B, A), link.port("a"), link.now).ports
        assert "lost with a chance of 10%" in step.saw
        assert "a rate of 1mbit" in step.saw
        assert "delayed by 10ms" in step.saw
        link.send()
        same.send()
    assert told[0] == told[1]
    down = Link(received=True, flap=Flap(1.0, 1.0))
    assert explain(down.switch, raw(A, B), down.port("b"), down.now).reason is Reason.IMPAIRED


@BOTH
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"loss": Share(1.0)}, Reason.IMPAIRED),
        ({"loss": Every(1)}, Reason.IMPAIRED),
        ({"loss": Share(0.99)}, None),
        ({"loss": Every(2)}, None),
        ({"mtu": 10}, Reason.OVERSIZE),
        ({"mtu": 10, "vlans": frozenset((2,))}, None),
        ({"loss": Share(1.0), "vlans": frozenset((2,))}, None),
        ({"flap": Flap(1.0, 1.0), "vlans": frozenset((2,))}, None),
    ],
)
def test_explaining_is_sure_of_what_is(received: bool, line: dict[str, Any], reason: Reason | None) -> None:
    link = Link(received=received, **line)
    octets, port = (raw(A, B), link.port("b")) if received else (raw(B, A), link.port("a"))
    explanation = explain(link.switch, octets, port, link.now)
    assert reason in (explanation.reason, *(why for _, why in explanation.lost))
    assert (reason is None) == bool(explanation.egress)


@BOTH
def test_mirrors_copy_what_comes_in_as_it_comes_and_what_leaves_as_it_leaves(received: bool) -> None:
    link = Link(delay=0.01, received=received)
    link.switch.add_port(BridgePort("span", offload=Capability.ALL))
    link.switch.set_mirrors([Mirror("m", frozenset("ab"), None, True, True, "span")])
    verdict = link.send()
    link.now += 0.01
    copies = [len(verdict.mirrored), *(len(each.verdict.mirrored) for each in link.switch.release(link.now))]
    assert copies == [1, 1], "once as it came, once as it left"


def test_a_flood_to_an_impaired_port_reaches_the_others_at_once() -> None:
    link = Link(delay=0.01)
    link.switch.add_port(BridgePort("c"))
    verdict = link.switch.receive_raw(raw(BROADCAST, A), link.port("a"), link.now)
    assert [egress.port.name for egress in verdict.egress] == ["c"]
    assert verdict.held == (link.port("b"),)
    link.run(1.0)
    assert len(link.came) == 1


def test_corruption_turns_bits_and_can_mend_the_checksums() -> None:
    link = Link(corrupt=Share(1.0), bits=1)
    sent = raw(B, A, payload=bytes(100))[HEADER:]
    link.send(octets=raw(B, A, payload=bytes(100)))
    link.run(0.0)
    ((_, frame),) = link.came
    assert sum((x ^ y).bit_count() for x, y in zip(sent, frame, strict=True)) == 1
    assert frame[:14] == sent[:14]
    link.set(corrupt=Share(1.0), bits=3, mend=True)
    for number in range(1, 30):
        link.came.clear()
        link.send(octets=tcp_superframe(number * 40, 1448))
        link.run(0.0)
        ((_, frame),) = link.came
        if frame[14] == 0x45 and frame[23] == 6:  # it is still such a packet
            assert sums_up(frame[14:34])
            pseudo = frame[26:34] + b"\0\6" + (len(frame) - 34).to_bytes(2)
            fits = int.from_bytes(frame[16:18]) == len(frame) - 14 and not frame[20] & 0x3F and not frame[21]
            assert not fits or sums_up(pseudo + frame[34:])


def sums_up(octets: bytes) -> bool:
    """RFC 1071: the sum, checksum included, is all ones."""
    return int.from_bytes(octets + bytes(len(octets) % 2)) % 0xFFFF == 0


def test_a_datagram_behind_more_tags_than_a_checksum_can_be_behind_is_corrupted_as_any() -> None:
    """A virtio-net header says in 16 bits where a checksum begins."""
    ip = bytes.fromhex("45000028 00000000 4011 0000 0a000001 0a000002")
    tags = bytes.fromhex("81000001") * 16_384 + bytes.fromhex("0800")
    octets = raw(A, B)[: HEADER + 12] + tags + ip + bytes.fromhex("00010002001400ff") + bytes(22)
    link = Link(received=True, corrupt=Share(1.0), mend=True)
    link.port("a").mtu = link.port("b").mtu = 1 << 17
    link.send(octets=octets)
    link.run(1.0)
    assert [len(frame) for _, frame in link.came] == [len(octets) - HEADER]


def test_codel_drops_at_the_times_of_its_control_law() -> None:
    controller, codel = Controller(), Codel(0.005, 0.1)
    drops = [time for time in range(1000) if controller.head(codel, 0.02, 10_000, 10 + time / 1000)]
    # an interval above the target, then an interval by the root of the count, RFC 8289 clause 5.3
    assert drops[:5] == pytest.approx([100, 200, 271, 329, 379], abs=1)
    assert not controller.head(codel, 0.001, 10_000, 11.0)
    assert not controller.head(codel, 0.02, 1514, 11.5), "one frame that is left is none too many"
    assert not any(controller.head(codel, 0.02, 10_000, 11.6 + time / 1000) for time in range(100))
    assert controller.head(codel, 0.02, 10_000, 11.7)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"loss": Every(5)}, "as it came; lost if it is number 5 since the last one that was"),
        ({"loss": Gilbert(0.1, 0.2, 0.9, 0.001)}, "as it came; lost with a chance of 0.1%, or 90% in a burst"),
        ({"duplicate": Share(0.5)}, "as it came; duplicated with a chance of 50%"),
        ({"reorder": Share(0.25), "delay": 2.0}, "as it came; sent ahead with a chance of 25%; delayed by 2s"),
        ({"trace": (1.0,)}, "as it came; behind what waits for the trace's rate"),
        ({"rate": 1_500_000_000}, "as it came; behind what waits for a rate of 1.5gbit"),
        ({"rate": 100}, "as it came; behind what waits for a rate of 100bit"),
        ({"delay": 0.001, "jitter": 0.00025}, "as it came; delayed by 1ms give or take 250us"),
        ({"replay": ((),), "loss": Share(1.0)}, "as it came; its fate is the next of 1 that were recorded"),
        ({"mtu": 9000}, "as it came; the impairment does nothing now"),
        ({"vlans": frozenset((5,)), "loss": Share(1.0)}, "as it came; the impairment is for other frames"),
    ],
)
def test_what_is_foretold_in_words(line: dict[str, Any], words: str) -> None:
    link = Link(**line)
    (step,) = explain(link.switch, raw(B, A), link.port("a"), link.now).ports
    assert step.saw == words
    (there,) = (
        step for step in explain(link.switch, raw(A, B), link.port("b"), link.now).steps if step.rule == "impair"
    )
    assert there.saw == "nothing is done to what comes in by port b"
