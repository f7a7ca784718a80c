"""An impairment in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.stages.impairment.spec import Every, Gilbert
from vswitch.stages.impairment.wire import concerns

if TYPE_CHECKING:
    from vswitch.core.frame import Frame
    from vswitch.stages.impairment.spec import Line, Loss
    from vswitch.stages.impairment.wire import Wire


def foretold(wire: Wire, frame: Frame, now: float) -> str:
    """What the wire would do to this frame, drawing no chance."""
    line = wire.at(now)
    if not concerns(line, frame):
        return "the impairment is for other frames"
    return "; ".join(_parts(line)) or "the impairment does nothing now"


def _parts(line: Line) -> list[str]:
    parts = []
    if line.replay:
        parts.append(f"its fate is the next of {len(line.replay)} that were recorded")
    if line.loss and not line.replay:
        parts.append(_loss(line.loss))
    for share, word in ((line.duplicate, "duplicated"), (line.corrupt, "corrupted"), (line.reorder, "sent ahead")):
        if share and not line.replay:
            parts.append(f"{word} with a chance of {percent(share.share)}")
    if line.rate or line.trace:
        parts.append(f"behind what waits for {_rate(line)}")
    if line.delay or line.jitter:
        spread = f" give or take {duration(line.jitter)}" if line.jitter else ""
        parts.append(f"delayed by {duration(line.delay)}{spread}")
    return parts


def _loss(loss: Loss) -> str:
    if isinstance(loss, Every):
        return f"lost if it is number {loss.n} since the last one that was"
    if isinstance(loss, Gilbert):
        return f"lost with a chance of {percent(loss.good)}, or {percent(loss.bad)} in a burst"
    return f"lost with a chance of {percent(loss.share)}"


def _rate(line: Line) -> str:
    return "the trace's rate" if line.trace else f"a rate of {rate(line.rate)}"


def duration(seconds: float) -> str:
    """`10ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.6g}{unit}"
    return f"{seconds * 1e6:.6g}us"


def percent(share: float) -> str:
    """`0.5%`."""
    return f"{share * 100:.6g}%"


def rate(bits: float) -> str:
    """`50mbit`."""
    for unit, size in (("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)):
        if bits >= size:
            return f"{bits / size:.6g}{unit}"
    return f"{bits:.6g}bit"
