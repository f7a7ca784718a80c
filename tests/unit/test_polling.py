"""Busy polling: when it begins, when it ends, and that it is given up where it is in vain."""

from __future__ import annotations

import pytest

from vswitch.polling import ASLEEP, VAIN, BusyPoll

WINDOW = 50e-6
ROUND = 2e-6


class Loop:
    """A loop that goes round as long as it is told to."""

    def __init__(self, window: float = WINDOW) -> None:
        self.poll = BusyPoll(window)
        self.now = 0.0

    def traffic(self) -> None:
        self.poll.traffic(self.now)

    def rounds(self, most: int = 1000, took: float = ROUND) -> int:
        """Go round until the loop sleeps; how many times."""
        for count in range(most):
            if not self.poll.polling:
                return count
            self.now += took
            self.poll.go_on(self.now)
        return most

    def frame_every(self, seconds: float) -> int:
        """One frame, after which the loop goes round and then sleeps until the next is due; how many rounds."""
        self.traffic()
        due = self.now + seconds
        count = self.rounds(int(seconds / ROUND))
        self.now = max(self.now, due)
        return count


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_it_polls_for_the_window_after_the_last_frame(loop: Loop) -> None:
    loop.traffic()
    assert loop.rounds(10) == 10
    loop.traffic()
    assert loop.rounds() == pytest.approx(WINDOW / ROUND, abs=1)
    assert not loop.poll.polling


def test_one_poll_at_a_time(loop: Loop) -> None:
    assert loop.poll.traffic(0.0)
    assert not loop.poll.traffic(1e-6)


def test_no_window_no_poll() -> None:
    loop = Loop(0.0)
    assert not loop.poll.traffic(0.0)
    assert not loop.poll.polling


def test_what_is_in_vain_is_given_up(loop: Loop) -> None:
    polled = [loop.frame_every(0.001) for _ in range(VAIN + 5)]
    assert all(count > ASLEEP for count in polled[:VAIN])
    assert polled[VAIN:] == [ASLEEP] * 5


def test_an_answer_that_waits_already_is_no_reason_to_poll(loop: Loop) -> None:
    """A guest's kernel answers while the question is written: the loop would have met the answer without sleeping."""
    for _ in range(VAIN + 1):
        loop.traffic()
        loop.rounds(1)
        loop.frame_every(0.001)
    loop.traffic()
    loop.rounds(1)
    assert loop.frame_every(0.001) == ASLEEP


def test_it_is_taken_up_again_once_it_would_have_paid(loop: Loop) -> None:
    for _ in range(VAIN + 1):
        loop.frame_every(0.001)
    assert loop.frame_every(30e-6) == ASLEEP
    assert loop.frame_every(0.001) > ASLEEP


def test_it_stays_where_it_pays(loop: Loop) -> None:
    for _ in range(10 * VAIN):
        loop.frame_every(20e-6)
    assert loop.frame_every(0.001) > ASLEEP


def test_whoever_else_wants_the_core_has_it(loop: Loop) -> None:
    loop.traffic()
    assert loop.rounds(took=25e-6) == ASLEEP
