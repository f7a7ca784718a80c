"""What a configuration is: models, and the JSON Schema made of them.

A port's schema is put together from what the attachments and the stages say of their own options, so that a new one
of either needs no line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model, model_validator

from vswitch.control.config.collectors import SflowConfig
from vswitch.control.config.impairment import DirectionConfig, ImpairConfig
from vswitch.control.metrics.credentials import is_hash
from vswitch.control.page.token import HostNames, Token, TokenFile
from vswitch.control.place import control_socket
from vswitch.core.fdb import DEFAULT_AGEING, DEFAULT_LIMIT
from vswitch.core.mirror import Mirror
from vswitch.core.port import PortSettings
from vswitch.core.vlan import DEFAULT_VID, PortVlan
from vswitch.polling import DEFAULT_WINDOW
from vswitch.ports import ATTACHMENTS, Options
from vswitch.stages import STAGES
from vswitch.stages.impair import OPTION
from vswitch.units import (
    Duration,
    FilePath,
    Listen,
    ListenAddress,
    MacAddress,
    PortName,
    PortNames,
    SocketPath,
    Vid,
    VlanSet,
    Whole,
    is_loopback,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STAGE_OPTIONS = {stage.option.name: stage.option for stage in STAGES if stage.option}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _password_hash(value: object) -> str:
    if isinstance(value, str) and is_hash(value):
        return value
    raise ValueError("this is not the hash of a password; `vswitch password` makes one")


PasswordHash = Annotated[str, BeforeValidator(_password_hash), WithJsonSchema({"type": "string"})]
UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class VlanOptions(_Model):
    """The VLANs of a port."""

    access: Vid | None = Field(None, description="the one VLAN of a port whose guest knows nothing of VLANs")
    trunk: VlanSet | None = Field(None, description="the VLANs that pass tagged")
    native: Vid | None = Field(None, description="the VLAN of a trunk that passes untagged")

    @property
    def named(self) -> bool:
        """Whether any VLAN is."""
        return not (self.access is None and self.trunk is None and self.native is None)

    def vlan(self) -> PortVlan:
        """As the rules want it; a port that names no VLAN is access VLAN 1."""
        if self.trunk is None and self.native is None:
            return PortVlan.access(self.access or DEFAULT_VID)
        return PortVlan.trunk(self.trunk or (), self.native)


_stage_fields: Any = {
    name: (option.type, Field(option.default, description=option.description)) for name, option in STAGE_OPTIONS.items()
}
_stage_fields[OPTION] = (ImpairConfig | None, Field(None, description="what its link does to frames"))
BridgeOptions = create_model("BridgeOptions", __base__=VlanOptions, **_stage_fields)
"""What any port may have, whatever it is attached to: VLANs, and the options of stages."""


@dataclass(frozen=True)
class PortConfig:
    """A port: what it is attached to, and how it takes part in the switch."""

    kind: str
    options: Options
    bridge: VlanOptions

    def settings(self) -> PortSettings:
        """As the rules want it."""
        options = {name: getattr(self.bridge, name) for name in STAGE_OPTIONS}
        impair = self.impair
        if impair is not None:
            options[OPTION] = impair.impairment()
        return PortSettings(self.bridge.vlan(), options)

    @property
    def impair(self) -> Any:
        """Its `ImpairConfig`, if it has one."""
        return getattr(self.bridge, OPTION)

    def dump(self) -> dict[str, Any]:
        """As a configuration would say it, what it is attached to first, defaults left out."""
        own = self.options.model_dump(mode="json", exclude_defaults=True)
        return {
            self.kind: own.pop(self.kind),
            **own,
            **self.bridge.model_dump(mode="json", exclude_defaults=True),
        }


class StaticEntry(_Model):
    """A station that is tied to a port."""

    mac: MacAddress
    port: PortName
    vlan: Vid = DEFAULT_VID


class FdbConfig(_Model):
    """The filtering database."""

    limit: Whole = Field(DEFAULT_LIMIT, ge=1, le=10_000_000, description="stations, learned and static together")
    static: tuple[StaticEntry, ...] = Field((), description="stations that are tied to a port")


class MirrorConfig(_Model):
    """A mirror: what it watches, and where the copies go."""

    ports: PortNames | None = Field(None, description="the ports to watch; left out: every port")
    vlans: VlanSet | None = Field(None, description="the VLANs to watch; left out: every VLAN")
    direction: Literal["in", "out", "both"] = Field(
        "both", description="what comes from the guests (in), what goes to them (out), or both"
    )
    to: PortName = Field(description="the port that the copies leave by; it takes no part in the switch otherwise")

    @model_validator(mode="after")
    def _watches(self) -> MirrorConfig:
        if not self.ports and not self.vlans:
            raise ValueError("a mirror watches `ports`, `vlans`, or both: those ports in those VLANs")
        return self

    def dump(self) -> dict[str, Any]:
        """As a configuration would say it, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def mirror(self, name: str) -> Mirror:
        """As the rules want it."""
        ports = frozenset(self.ports) if self.ports else None
        received, sent = self.direction != "out", self.direction != "in"
        return Mirror(name, ports, self.vlans or None, received, sent, self.to)


class TlsConfig(_Model):
    """Files in PEM, which are read at the start and again at SIGHUP."""

    certificate: FilePath = Field(description="the certificate, and those it is signed by")
    key: FilePath = Field(description="its private key, not encrypted")


class MetricsConfig(_Model):
    """The Prometheus exporter."""

    listen: Listen = Field(description="address and port, such as 127.0.0.1:9475")
    tls: TlsConfig | None = Field(None, description="serve by https")
    basic_auth: dict[UserName, PasswordHash] = Field({}, description="who may ask: users, by `vswitch password`")
    insecure: bool = Field(False, description="whether others than this machine may be answered in the clear")

    @property
    def url(self) -> str:
        """Where they are."""
        return f"http{'s' if self.tls else ''}://{self.listen}/metrics"

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> MetricsConfig:
        if not (self.tls or self.insecure or is_loopback(self.listen)):
            raise ValueError(
                f"{self.listen} is open to other machines: add `tls`, or `insecure: true` to serve them in the clear"
            )
        return self


class PageConfig(_Model):
    """The live page."""

    listen: Listen = Field(description="address and port, such as 127.0.0.1:9476")
    token: Token | None = Field(None, description="whoever has it may do all that the control socket can", repr=False)
    token_file: TokenFile | None = Field(None, description="a file with the token, in place of `token`")
    hosts: HostNames = Field((), description="names that browsers call it by, besides localhost and its address")

    @property
    def private(self) -> bool:
        """Whether nobody but this machine's own programs can reach it."""
        return bool(self.listen.host) and ip_address(self.listen.host).is_loopback

    @property
    def url(self) -> str:
        """Where a browser of this machine finds it."""
        anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
        return f"http://{ListenAddress(anywhere.get(self.listen.host, self.listen.host), self.listen.port)}/"

    @model_validator(mode="after")
    def _guarded(self) -> PageConfig:
        if self.token is not None and self.token_file is not None:
            raise ValueError("a page has `token` or `token_file`, not both")
        if not self.private and self.token is None and self.token_file is None:
            raise ValueError(
                f"others can reach {self.listen}: add a `token_file` (or `token`), without which they see nothing, or "
                f"listen on 127.0.0.1:{self.listen.port}"
            )
        return self


class TopLevel(_Model):
    """All but the ports."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$", description="the switch's name")
    ageing: Duration = Field(DEFAULT_AGEING, ge=10, le=1_000_000, description="how long an unheard station is known")
    busy_poll: Duration = Field(
        DEFAULT_WINDOW, ge=0, le=0.01, description="how long to ask for more frames before sleeping; 0: not at all"
    )
    vlan_filtering: bool | None = Field(None, description="whether VLANs count; left out: if any port names one")
    fdb: FdbConfig = Field(default_factory=lambda: FdbConfig.model_validate({}))
    mirrors: dict[PortName, MirrorConfig] = Field({}, description="mirrors by name")
    metrics: MetricsConfig | None = None
    sflow: SflowConfig | None = None
    page: PageConfig | None = None
    control: SocketPath | None = Field(None, description="the control socket's path")


@dataclass(frozen=True)
class SwitchConfig:
    """A whole configuration, known to be right."""

    top: TopLevel
    ports: Mapping[str, PortConfig]

    @property
    def name(self) -> str:
        """The switch's name."""
        return self.top.name

    @property
    def ageing(self) -> float:
        """Seconds."""
        return self.top.ageing

    @property
    def busy_poll(self) -> float:
        """Seconds."""
        return self.top.busy_poll

    @property
    def fdb(self) -> FdbConfig:
        """The filtering database."""
        return self.top.fdb

    @property
    def mirrors(self) -> dict[str, MirrorConfig]:
        """Mirrors by name."""
        return self.top.mirrors

    @property
    def metrics(self) -> MetricsConfig | None:
        """The exporter, if there is to be one."""
        return self.top.metrics

    @property
    def sflow(self) -> SflowConfig | None:
        """The export of samples and counters, if there is to be one."""
        return self.top.sflow

    @property
    def page(self) -> PageConfig | None:
        """The live page, if there is to be one."""
        return self.top.page

    @property
    def vlan_aware(self) -> bool:
        """Whether VLANs count: as said, or else if any port names one."""
        if self.top.vlan_filtering is not None:
            return self.top.vlan_filtering
        return any(port.bridge.named for port in self.ports.values())

    @property
    def control_path(self) -> Path:
        """Where the control socket is."""
        return Path(self.top.control) if self.top.control else control_socket(self.name)

    def dump(self) -> dict[str, Any]:
        """As JSON that `validate` takes again."""
        data = self.top.model_dump(mode="json", exclude_none=True)
        data["ports"] = {name: port.dump() for name, port in self.ports.items()}
        return data


def schemas(template: str = "#/$defs/{model}") -> dict[str, dict[str, Any]]:
    """JSON Schemas of a whole configuration and of its parts, by their names."""
    ports: list[dict[str, Any]] = []
    parts: dict[str, Any] = {}
    for kind, port in ATTACHMENTS.items():
        model = create_model(f"{kind.capitalize()}Port", __base__=(port.options_type, BridgeOptions))
        ports.append(model.model_json_schema(ref_template=template))
        parts |= ports[-1].pop("$defs", {})
    whole = TopLevel.model_json_schema(ref_template=template)
    whole["title"] = "Configuration"
    whole["properties"]["ports"] = {"type": "object", "additionalProperties": {"anyOf": ports}}
    whole["required"] = ["name", "ports"]
    whole["$defs"] = {**whole.get("$defs", {}), **parts}
    return {
        "Configuration": whole,
        "Port": {"title": "Port", "anyOf": ports, "$defs": parts},
        "StaticEntry": StaticEntry.model_json_schema(ref_template=template),
        "Mirror": MirrorConfig.model_json_schema(ref_template=template),
        "Direction": DirectionConfig.model_json_schema(ref_template=template),
    }
