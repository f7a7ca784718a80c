"""The part of a configuration that says where sFlow goes, and what goes there."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

from vswitch.observe.sflow import MOST_OVERHEAD
from vswitch.units import Duration, HostAddress, Whole, shown

PORT: Final = 6343
"""Where collectors listen: sflow in the registry of IANA."""

MOST: Final = 8
"""Collectors of one switch."""

_PLACE: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?")
_NAME: Final = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


class Collector(NamedTuple):
    """Where datagrams go: an address or a name, and a UDP port."""

    host: str
    port: int

    @property
    def named(self) -> bool:
        """Whether the host has to be looked up."""
        return ":" not in self.host and not re.fullmatch(r"[0-9.]+", self.host)

    def __str__(self) -> str:
        """As it is written, with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_collector(value: object) -> Collector:
    """`10.0.0.9`, `collector.example:6343`, `fd00::9`, `[fd00::9]:6343`. Raises ValueError."""
    if isinstance(value, Collector):
        return value
    if isinstance(value, str) and len(value) <= 300:
        bare = value.count(":") > 1 and "[" not in value
        match = _PLACE.fullmatch(f"[{value}]" if bare else value)
        if match is not None and 1 <= int(match[3] or PORT) <= 65535 and (host := _host(match[1], match[2])):
            return Collector(host, int(match[3] or PORT))
    raise ValueError(
        f"{shown(value)} is not a collector such as 10.0.0.9, collector.example:{PORT} or [fd00::9]:{PORT}"
    )


def _host(bracketed: str | None, plain: str | None) -> str | None:
    """What stands for a host, in its usual form; None where it cannot."""
    try:
        if bracketed:
            return str(IPv6Address(bracketed))
        if plain and re.fullmatch(r"[0-9.]+", plain):
            return str(IPv4Address(plain))
    except ValueError:
        return None
    return plain if plain and _NAME.fullmatch(plain) else None


def parse_collectors(value: object) -> tuple[Collector, ...]:
    """One collector, or a list of them. Raises ValueError."""
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    collectors = tuple(map(parse_collector, items))
    if not 1 <= len(collectors) <= MOST:
        raise ValueError(f"found {len(collectors)} collectors, expected 1 to {MOST}")
    for number, collector in enumerate(collectors):
        if collector in collectors[:number]:
            raise ValueError(f"{collector} is there twice")
    return collectors


_ANY_NUMBER: Final = {"type": ["array", "string"], "examples": ["10.0.0.9", ["10.0.0.9", f"[fd00::9]:{PORT}"]]}

Collectors = Annotated[
    Any,
    BeforeValidator(parse_collectors),
    PlainSerializer(lambda collectors: [str(collector) for collector in collectors]),
    WithJsonSchema({**_ANY_NUMBER, "items": {"type": "string"}, "minItems": 1, "maxItems": MOST}),
]


class SflowConfig(BaseModel):
    """sFlow: samples of what comes in, and the counters of the ports."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    collector: Collectors = Field(description=f"who gets it: HOST or HOST:PORT ({PORT} by default), or a list of these")
    sampling: Whole = Field(1000, ge=0, le=1 << 30, description="one frame in so many is sampled; 0: none")
    polling: Duration = Field(20.0, description="how often the counters of each port are sent: 1s to 24h; 0: never")
    agent: HostAddress | None = Field(
        None, description="the address that the switch goes by; left out: the one that reaches the first collector"
    )
    header: Whole = Field(128, ge=14, le=1024, description="octets of a sampled frame that are sent, at most")
    datagram: Whole = Field(1400, ge=512, le=9000, description="octets of a datagram, at most")

    @model_validator(mode="after")
    def _possible(self) -> SflowConfig:
        if self.polling and not 1 <= self.polling <= 86400:
            raise ValueError(f"found a polling of {self.polling:g} s, expected 1s to 24h, or 0 for none")
        if self.header + MOST_OVERHEAD > self.datagram:
            room = self.datagram - MOST_OVERHEAD
            raise ValueError(f"a datagram of {self.datagram} octets has room for a header of {room}, not {self.header}")
        return self

    def dump(self) -> dict[str, Any]:
        """As a configuration would say it, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)
