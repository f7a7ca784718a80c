"""The impairment of a port, as a configuration says it and as the stage wants it."""

from __future__ import annotations

import random
import re
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    create_model,
    model_serializer,
    model_validator,
)

from vswitch.control.config import impairfiles
from vswitch.control.config.presets import PRESETS, nearest_preset, over_preset
from vswitch.observe import bpf
from vswitch.stages.impairment.spec import (
    DEFAULT_LIMIT,
    Change,
    Codel,
    Every,
    Flap,
    Gilbert,
    Impairment,
    Line,
    Share,
)
from vswitch.units import Duration, Rate, Size, VlanSet, Whole, parse_duration, parse_share, parse_size, shown
from vswitch.units import Share as ShareOf

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.stages.impairment.spec import Loss

MOST_CHANGES: Final = 1000
_TIMED: Final = re.compile(r"at\s")
_ENTRY: Final = re.compile(r"at\s+(\S+)\s*:\s*(.+?)(?:\s+for\s+(\S+))?")


def _or(short: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """What a schema says of a field that may be written shorter, as this says."""
    return lambda schema: schema["anyOf"].insert(0, short)


def _or_words(schema: dict[str, Any]) -> None:
    """The same, of a schedule and its entries, which may be text, or text by its time."""
    timed = {"type": "object", "patternProperties": {r"^at\s": {"type": "string"}}, "additionalProperties": False}
    many = {"type": "array", "items": {"anyOf": [{"type": "string"}, timed, schema.pop("items")]}}
    del schema["type"]
    schema["anyOf"] = [many, {"type": "string"}, timed]


_SHARE: Final = _or(TypeAdapter(ShareOf).json_schema())


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _as_share(value: object) -> object:
    """`1%` stands for `{share: 1%}`."""
    return value if value is None or isinstance(value, (dict, BaseModel)) else {"share": parse_share(value)}


def _as_mapping(value: object) -> object:
    """`true` stands for `{}`, `false` for nothing."""
    return {} if value is True else None if value is False else value


def parse_entry(value: object) -> object:
    """`at 10s: loss 100%, delay 20ms for 2s` as a mapping; `down` stands for `loss 100%`. Raises ValueError."""
    if isinstance(value, dict) and len(value) == 1 and _TIMED.match(str(next(iter(value)))):
        ((when, what),) = value.items()  # `- at 10s: down`, without quotes, is a mapping to YAML
        value = f"{when}: {what}"
    if not isinstance(value, str):
        return value
    match = _ENTRY.fullmatch(value.strip()[:1000])
    if match is None:
        raise ValueError(f"{shown(value)} is no entry of a schedule such as 'at 10s: loss 100% for 2s'")
    entry: dict[str, Any] = {"at": match[1]}
    for part in match[2].split(","):
        words = part.split()
        if words == ["down"]:
            words = ["loss", "100%"]
        if len(words) != 2:
            raise ValueError(f"{shown(part.strip())} is not what to change and to what, such as 'loss 100%'")
        entry[words[0]] = words[1]
    return entry if match[3] is None else {**entry, "for": match[3]}


def _as_entries(value: object) -> object:
    """Entries of a schedule: a list of them, text with `;` between them, or a mapping of times to what holds then."""
    if isinstance(value, str):
        return value.split(";")
    if isinstance(value, dict) and value and all(_TIMED.match(str(key)) for key in value):
        return [{key: what} for key, what in value.items()]
    return value


def parse_queue(value: object) -> str:
    """How long frames may wait, or how many octets: as it was written. Raises ValueError."""
    for parse in (parse_duration, parse_size):
        try:
            parse(value)
        except ValueError:
            continue
        return str(value)
    raise ValueError(f"{shown(value)} is neither a duration such as 100ms nor a size such as 64kB")


def parse_file(value: object) -> object:
    """A path, made absolute, so that it means the same to the switch as to whoever says it."""
    if isinstance(value, str) and "/" in value and value.isprintable():
        return str(Path(value).absolute())
    return value


class ChanceConfig(_Model):
    """A share of the frames, and how much each frame's chance depends on that of the one before."""

    share: ShareOf = Field(description="the share of the frames")
    correlation: ShareOf = Field(0.0, description="how much the chance of a frame depends on that of the one before")

    def chance(self) -> Share | None:
        """As the stage wants it."""
        return Share(self.share, self.correlation) if self.share else None


class GilbertConfig(_Model):
    """Losses in bursts: the Gilbert-Elliott model, with the letters of tc-netem's `gemodel`."""

    p: ShareOf = Field(description="the chance, before each frame, that a burst begins")
    r: ShareOf | None = Field(None, description="the chance that it ends; left out: 1 - p")
    bad: ShareOf = Field(1.0, description="the share that is lost in a burst (1-h)")
    good: ShareOf = Field(0.0, description="the share that is lost otherwise (1-k)")


class LossConfig(_Model):
    """Which frames are lost: a share of them, bursts, or every n-th."""

    share: ShareOf | None = Field(None, description="the share of the frames")
    correlation: ShareOf = Field(0.0, description="how much the chance of a frame depends on that of the one before")
    gilbert: GilbertConfig | None = Field(None, description="bursts instead")
    every: Whole | None = Field(None, ge=1, le=1_000_000_000, description="every n-th frame instead")

    @model_validator(mode="after")
    def _one(self) -> LossConfig:
        if sum(value is not None for value in (self.share, self.gilbert, self.every)) != 1:
            raise ValueError("loss is one of `share`, `gilbert` and `every`")
        return self

    def loss(self) -> Loss | None:
        """As the stage wants it."""
        if self.gilbert is not None:
            model = self.gilbert
            return Gilbert(model.p, 1 - model.p if model.r is None else model.r, model.bad, model.good)
        if self.every is not None:
            return Every(self.every)
        return Share(self.share, self.correlation) if self.share else None


class ReorderConfig(ChanceConfig):
    """The share of the frames that leaves at once, before those that are delayed."""

    gap: Whole = Field(1, ge=1, le=1_000_000, description="of so many frames one at most")


class CorruptConfig(ChanceConfig):
    """The share of the frames in which bits are turned."""

    bits: Whole = Field(1, ge=1, le=1000, description="how many bits")
    checksums: Literal["keep", "fix"] = Field(
        "keep", description="fix: those of IP, TCP and UDP then fit, so that nobody below the application notices"
    )


class CodelConfig(_Model):
    """The queue drops early when frames wait too long (RFC 8289)."""

    target: Duration = Field(0.005, gt=0, le=10, description="how long frames may wait")
    interval: Duration = Field(0.1, gt=0, le=10, description="for how long more than that is borne")


class FlapConfig(_Model):
    """A link that goes down again and again."""

    every: Duration = Field(gt=0, le=1e6, description="the period")
    down: Duration = Field(gt=0, le=1e6, description="how long, at the end of each period, nothing passes")

    @model_validator(mode="after")
    def _fits(self) -> FlapConfig:
        if self.down > self.every:
            raise ValueError("`down` is longer than `every`")
        return self


class Changing(_Model):
    """What an impairment does, as far as that may change in the course of time."""

    delay: Duration = Field(0.0, le=3600, description="how long a frame is on its way")
    jitter: Duration = Field(0.0, le=3600, description="by how much that varies")
    correlation: ShareOf = Field(0.0, description="how much the jitter of a frame depends on that of the one before")
    loss: Annotated[LossConfig | None, BeforeValidator(_as_share)] = Field(
        None,
        description="the frames that are lost: 1%, or {share, correlation}, {gilbert} or {every}",
        json_schema_extra=_SHARE,
    )
    duplicate: Annotated[ChanceConfig | None, BeforeValidator(_as_share)] = Field(
        None,
        description="the share of frames that comes twice: 1%, or {share, correlation}",
        json_schema_extra=_SHARE,
    )
    reorder: Annotated[ReorderConfig | None, BeforeValidator(_as_share)] = Field(
        None,
        description="the share of frames that leaves without delay: 1%, or {share, correlation, gap}",
        json_schema_extra=_SHARE,
    )
    corrupt: Annotated[CorruptConfig | None, BeforeValidator(_as_share)] = Field(
        None,
        description="the share of frames with bits turned: 1%, or {share, correlation, bits, checksums}",
        json_schema_extra=_SHARE,
    )
    rate: Rate = Field(0, description="bits a second that pass, Ethernet header included; 0: as many as come")
    mtu: Whole = Field(0, ge=0, le=65535, description="longer frames are lost; 0: none are")

    def values(self) -> dict[str, Any]:
        """Fields of a `Line`: those alone that were said."""
        said = self.model_fields_set
        plain = ("delay", "jitter", "correlation", "rate", "mtu")
        values: dict[str, Any] = {name: getattr(self, name) for name in plain if name in said}
        if "loss" in said:
            values["loss"] = self.loss.loss() if self.loss else None
        for name in ("duplicate", "reorder", "corrupt"):
            if name in said:
                chance: ChanceConfig | None = getattr(self, name)
                values[name] = chance.chance() if chance else None
        if self.reorder:
            values["gap"] = self.reorder.gap
        if self.corrupt:
            values |= {"bits": self.corrupt.bits, "mend": self.corrupt.checksums == "fix"}
        return values


_entry_fields: Any = {
    "at": (Duration, Field(le=1e6, description="when, counted from the moment that the impairment was set")),
    "for": (Duration | None, Field(None, le=1e6, description="for how long; left out: for good")),
}
ScheduleEntry = create_model("ScheduleEntry", __base__=Changing, **_entry_fields)
"""At some time, for some time, something else holds."""


_Entry = Annotated[ScheduleEntry, BeforeValidator(parse_entry)]  # type: ignore[valid-type]


def _change(entry: Any) -> Change:
    lasts = getattr(entry, "for")
    return Change(entry.at, inf if lasts is None else entry.at + lasts, entry.values())


class DirectionConfig(Changing):
    """One direction: `in` is what comes from the guest, `out` what goes to it."""

    distribution: Annotated[str, BeforeValidator(parse_file)] = Field(
        "uniform", description="of the jitter: uniform, normal, pareto, paretonormal, or a file in the form of tc-netem"
    )
    overtake: bool = Field(False, description="whether jitter may change the order of frames, as tc-netem's does")
    burst: Size = Field(0, le=1 << 30, description="octets that may pass faster than the rate after a pause")
    trace: Annotated[str | None, BeforeValidator(parse_file)] = Field(
        None, description="a file that gives the rate, in the form of Mahimahi"
    )
    queue: Annotated[str, BeforeValidator(parse_queue)] = Field(
        "100ms", description="how long frames may wait for the rate (100ms), or how many octets (64kB)"
    )
    codel: Annotated[CodelConfig | None, BeforeValidator(_as_mapping)] = Field(
        None,
        description="whether the queue drops early: true, or {target, interval}",
        json_schema_extra=_or({"type": "boolean"}),
    )
    flap: FlapConfig | None = Field(None, description="a link that goes down again and again")
    schedule: Annotated[tuple[_Entry, ...], BeforeValidator(_as_entries)] = Field(
        (),
        max_length=MOST_CHANGES,
        description="what holds at other times: `at 10s: loss 100% for 2s`",
        json_schema_extra=_or_words,
    )
    vlan: VlanSet | None = Field(None, description="the VLANs that are concerned; left out: all")
    filter: str = Field("", description="the frames that are concerned, as pcap-filter(7) says it; left out: all")
    limit: Size = Field(
        DEFAULT_LIMIT, ge=1 << 16, le=1 << 34, description="memory for frames that wait or are on their way"
    )
    replay: Annotated[str | None, BeforeValidator(parse_file)] = Field(
        None, description="a file of fates that `vswitch impair record` wrote"
    )

    _line: Line = PrivateAttr()

    @model_validator(mode="after")
    def _understood(self) -> DirectionConfig:
        if self.rate and self.trace:
            raise ValueError("the rate is said by `rate` or by `trace`, not by both")
        self._line = self._made()
        return self

    def line(self) -> Line:
        """As the stage wants it."""
        return self._line

    def _made(self) -> Line:
        values = self.values()
        try:
            values["queue"] = parse_duration(self.queue)
        except ValueError:
            values["queue_octets"] = parse_size(self.queue)
        return Line(
            **values,
            distribution=impairfiles.distribution(self.distribution),
            overtake=self.overtake,
            burst=self.burst,
            trace=impairfiles.trace(self.trace) if self.trace else None,
            codel=Codel(self.codel.target, self.codel.interval) if self.codel else None,
            flap=Flap(self.flap.every, self.flap.down) if self.flap else None,
            vlans=self.vlan or None,
            filter=self.filter,
            matches=bpf.compiled(self.filter) if self.filter else None,
            limit=self.limit,
            schedule=tuple(_change(entry) for entry in self.schedule),
            replay=impairfiles.fates(self.replay) if self.replay else None,
        )

    def dump(self) -> dict[str, Any]:
        """As a configuration says it."""
        return self.model_dump(mode="json", exclude_unset=True)


class _Impairment(_Model):
    preset: str | None = Field(
        None,
        description=f"where nothing else is said, as in a preset: {', '.join(PRESETS)}",
        json_schema_extra={"enum": [*PRESETS, None]},
    )
    seed: Whole = Field(0, ge=0, lt=1 << 63, description="the same seed and traffic give every frame the same fate")

    _made: dict[str, DirectionConfig] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _of_preset(self) -> _Impairment:
        if self.preset is not None and self.preset not in PRESETS:
            near = nearest_preset(self.preset)
            hint = f"; did you mean {near}?" if near else ""
            raise ValueError(f"there is no preset {shown(self.preset)}; the presets are {', '.join(PRESETS)}{hint}")
        for name in ("in", "out"):
            said: DirectionConfig | None = getattr(self, name)
            whole = said
            if self.preset is not None:
                own = said.dump() if said else {}
                whole = DirectionConfig.model_validate(over_preset(self.preset, name, own))
            if whole is not None:
                self._made[name] = whole
        return self

    def direction(self, name: str) -> DirectionConfig | None:
        """What is done in one direction, `in` or `out`, the preset included."""
        return self._made.get(name)

    def impairment(self) -> Impairment:
        """As the stage wants it."""
        received, sent = (config.line() if (config := self._made.get(name)) else None for name in ("in", "out"))
        return Impairment(self.seed, random.Random, received, sent)

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        said = {name: getattr(self, name) for name in ("preset", "seed") if name in self.model_fields_set}
        directions = {name: config.dump() for name in ("in", "out") if (config := getattr(self, name)) is not None}
        return {**{name: value for name, value in said.items() if value is not None}, **directions}


_directions: Any = {
    "in": (DirectionConfig | None, Field(None, description="what comes from the guest")),
    "out": (DirectionConfig | None, Field(None, description="what goes to the guest")),
}
ImpairConfig = create_model("Impairment", __base__=_Impairment, **_directions)
"""The impairment of a port."""
