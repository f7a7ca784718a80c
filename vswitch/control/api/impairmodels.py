"""What the API says of impairments: what was asked for, and beside it what was achieved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from vswitch.stages.impair import Impair
from vswitch.stages.impairment.spec import Every, Gilbert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.control.config.impairment import DirectionConfig
    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch
    from vswitch.stages.impairment.spec import Loss
    from vswitch.stages.impairment.wire import Wire


class Asked(BaseModel):
    """What was asked for, of what is measured: seconds, shares of 1, bits a second (0: no limit).

    loss: what its model comes to in the long run.
    """

    model_config = ConfigDict(extra="forbid")

    delay: float
    jitter: float
    loss: float
    duplicate: float
    reorder: float
    corrupt: float
    rate: int

    @classmethod
    def of(cls, wire: Wire, now: float) -> Self:
        """By now; what is asked for may change in the course of time."""
        line = wire.at(now)
        shares: dict[str, Any] = {name: share.share if (share := getattr(line, name)) else 0.0 for name in _SHARES}
        rate, loss = _rate(line.rate, line.trace), _expected(line.loss)
        return cls.model_construct(delay=line.delay, jitter=line.jitter, loss=loss, rate=rate, **shares)


class Achieved(BaseModel):
    """What came of it since it was set; frames and bytes as on the wire.

    frames: that came.  lost: by chance, a flap or a schedule.  queue_full: for want of room.  passed, bytes: that left.
    held, held_bytes: that wait or are on their way.  loss, duplicate: shares of what came.
    delay_mean, delay_p99: seconds, of the last 1024 frames that left.  rate: bits a second, in the last second.
    delay_buckets: how many frames had a delay of up to each of BOUNDS of `stages.impairment.figures`, and above.
    """

    model_config = ConfigDict(extra="forbid")

    frames: int
    passed: int
    bytes: int
    lost: int
    queue_full: int
    duplicated: int
    reordered: int
    corrupted: int
    held: int
    held_bytes: int
    loss: float
    duplicate: float
    delay_mean: float | None
    delay_p99: float | None
    delay_sum: float
    delay_buckets: list[int]
    rate: float

    @classmethod
    def of(cls, wire: Wire, now: float) -> Self:
        """By now."""
        figures, share = wire.figures, max(1, wire.figures.offered)
        return cls.model_construct(
            frames=figures.offered,
            passed=figures.passed,
            bytes=figures.passed_octets,
            lost=figures.lost,
            queue_full=figures.full,
            duplicated=figures.duplicated,
            reordered=figures.reordered,
            corrupted=figures.corrupted,
            held=len(wire),
            held_bytes=wire.octets,
            loss=figures.lost / share,
            duplicate=figures.duplicated / share,
            delay_mean=figures.mean,
            delay_p99=figures.p99,
            delay_sum=figures.delay_sum,
            delay_buckets=list(figures.buckets),
            rate=figures.rate(now),
        )


class DirectionRow(BaseModel):
    """One direction of a port: its configuration, and the figures."""

    model_config = ConfigDict(extra="forbid")

    config: dict[str, Any]
    asked: Asked
    achieved: Achieved

    @classmethod
    def of(cls, config: DirectionConfig, wire: Wire, now: float) -> Self:
        """By now."""
        return cls.model_construct(config=config.dump(), asked=Asked.of(wire, now), achieved=Achieved.of(wire, now))


class PortImpairment(BaseModel):
    """The impairment of a port."""

    model_config = ConfigDict(extra="forbid")

    preset: str | None
    seed: int
    directions: dict[Literal["in", "out"], DirectionRow]


_SHARES = ("duplicate", "reorder", "corrupt")


def impairment_of(switch: Switch, port: BridgePort, config: Any, now: float) -> PortImpairment | None:
    """Of a port with this `ImpairConfig`; None where it has none."""
    if config is None or not any(isinstance(stage, Impair) for stage in switch.stages):
        return None
    directions: dict[Literal["in", "out"], DirectionRow] = {
        name: DirectionRow.of(direction, wire, now) for name, direction, wire in impaired(switch, port, config)
    }
    return PortImpairment.model_construct(preset=config.preset, seed=config.seed, directions=directions)


def impaired(
    switch: Switch, port: BridgePort, config: Any
) -> Iterator[tuple[Literal["in", "out"], DirectionConfig, Wire]]:
    """The directions of a port with this `ImpairConfig` or None that are impaired."""
    stage = next((stage for stage in switch.stages if isinstance(stage, Impair)), None)
    if config is None or stage is None:
        return
    for name in _DIRECTIONS:
        direction, wire = config.direction(name), stage.wire(port, sent=name == "out")
        if direction is not None and wire is not None:
            yield name, direction, wire


_DIRECTIONS: tuple[Literal["in", "out"], ...] = ("in", "out")


def _expected(loss: Loss | None) -> float:
    if loss is None:
        return 0.0
    if isinstance(loss, Every):
        return 1 / loss.n
    if isinstance(loss, Gilbert):
        bad = loss.p / (loss.p + loss.r) if loss.p else 0.0
        return bad * loss.bad + (1 - bad) * loss.good
    return loss.share


def _rate(rate: int, trace: Any) -> int:
    return round(12_000 * len(trace) / trace[-1]) if trace else rate
