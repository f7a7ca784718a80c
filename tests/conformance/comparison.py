"""The same frames through our switch and another one, and nothing different about them that has no name."""

from __future__ import annotations

import os
from collections import Counter, deque
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Protocol

from tests.conformance.frames import batches
from tests.conformance.ours import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.conformance.frames import Sent
    from tests.conformance.ours import Egress, Ours

    Relay = Callable[[Sent], Egress]

SEED = int(os.environ.get("VSWITCH_CONFORMANCE_SEED", "8021"))
SCALE = float(os.environ.get("VSWITCH_CONFORMANCE_SCALE", "1"))
"""How many times the usual number of frames: more for a soak."""

_REMEMBERED = 5000
_FATES = ("left by no port", "left by one port", "left by several ports")


class Other(Protocol):
    """Another switch, between the same guests."""

    def exchange(self, batch: Sequence[Sent]) -> list[Egress]:
        """Send the frames, in order, all into one port; what left for each."""


@dataclass(frozen=True)
class Difference:
    """Something that another switch does otherwise, said so exactly that what it does can be foretold.

    applies: whether it can show in this frame.  theirs: what the other one does with it, in terms of `relay`, which
    lets a frame of our choice into ours: as the other one takes it for another frame, changes octets, or drops it.
    """

    name: str
    why: str
    applies: Callable[[Sent], bool]
    theirs: Callable[[Sent, Relay], Egress]


def compare(ours: Ours, other: Other, differences: Sequence[Difference], *, count: int) -> None:
    """Send `count` random frames through both, and print how often each difference and each fate was seen.

    Fails where the two part, and where a difference was never seen, or a fate hardly ever.
    """
    seen: Counter[str] = Counter()
    past: deque[Sent] = deque(maxlen=_REMEMBERED)
    for batch in batches(SEED, int(count * SCALE), ours.ports):
        for sent, got in zip(batch, other.exchange(batch), strict=True):
            applying = [difference for difference in differences if difference.applies(sent)]
            expected = _foretell(ours, sent, applying, seen) if applying else ours.relay(sent)
            assert got == expected, _report(sent, expected, got, applying, past)
            past.append(sent)
            seen[_FATES[min(len(got), 2)]] += 1
    never = [difference.name for difference in differences if not seen[difference.name]]
    assert not never, f"seed {SEED}: these differences never showed: {', '.join(never)}"
    print(f"seed {SEED}:", *(f"{name}: {count}" for name, count in sorted(seen.items())), sep="\n  ")
    assert min(seen[fate] for fate in _FATES) > seen.total() / 50, f"seed {SEED}: too much of one kind: {seen}"


def _foretell(ours: Ours, sent: Sent, applying: Sequence[Difference], seen: Counter[str]) -> Egress:
    """What the other switch does with the frame. A difference shows if the outcome would be another without it.

    What `explain` foresees, and what then becomes of the frame, has to be the same, too.
    """
    foreseen = _foresee(ours, sent, applying)
    for difference in applying:
        if _foresee(ours, sent, [each for each in applying if each is not difference]) != foreseen:
            seen[difference.name] += 1
    expected = _chain(applying, ours.relay)(sent)
    assert Outcome(expected, ours.places(sent)) == foreseen, f"explain foresaw {foreseen} of {sent!r}"
    return expected


def _foresee(ours: Ours, sent: Sent, applying: Sequence[Difference]) -> Outcome:
    """The outcome, changing nothing."""
    places = ours.places(sent)

    def relay(frame: Sent) -> Egress:
        nonlocal places
        egress, heard = ours.foresee(frame)
        if frame.source == sent.source:
            places = heard
        return egress

    egress = _chain(applying, relay)(sent)
    return Outcome(egress, places)


def _chain(applying: Sequence[Difference], relay: Relay) -> Relay:
    """The first difference is the outermost; one that does not apply any more to an altered frame stands aside."""
    return reduce(_wrap, reversed(applying), relay)


def _wrap(relay: Relay, difference: Difference) -> Relay:
    return lambda sent: difference.theirs(sent, relay) if difference.applies(sent) else relay(sent)


def _report(sent: Sent, expected: Egress, got: Egress, applying: Sequence[Difference], past: Sequence[Sent]) -> str:
    """All that one needs to send it again: the frame, and who was heard where before."""
    stations = {sent.source, sent.destination}
    before = [frame for frame in past if frame.source in stations][-8:]
    lines = [
        f"seed {SEED}, frame {len(past)} of the last {_REMEMBERED}: {sent!r}",
        f"destination {sent.destination.hex(':')} source {sent.source.hex(':')} tag {sent.tpid:#06x} {sent.tci:#06x}",
        f"differences that apply: {', '.join(difference.name for difference in applying) or 'none'}",
        *(f"expected at port {port}: {octets.hex()}" for port, octets in expected),
        *(f"got at port {port}: {octets.hex()}" for port, octets in got),
        "heard before, of its source and destination:",
        *(f"  {frame!r}" for frame in before),
    ]
    return "\n".join(lines)
