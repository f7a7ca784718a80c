"""What a topology is: models of what people write for guests, links and the lab as a whole."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model, model_validator

from vswitch.control.config.schema import BridgeOptions, TopLevel, schemas
from vswitch.units import (
    Addresses,
    InterfaceName,
    MacAddress,
    Mtu,
    NamespaceName,
    Rate,
    Whole,
    shown,
)

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
"""Of a lab, a switch or a guest."""

_SYSCTL = re.compile(r"[A-Za-z0-9_]+([./][A-Za-z0-9_:@-]+)+")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def parse_route(value: object) -> str:
    """Where a route leads: `default`, or a network such as 10.2.0.0/16. Raises ValueError."""
    if value == "default":
        return "default"
    with suppress(ValueError):
        if isinstance(value, str) and "/" in value:
            return str(ip_network(value))
    raise ValueError(f"{shown(value)} is not `default` or a network such as 10.2.0.0/16")


def parse_via(value: object) -> str:
    """By whom: the address of a router, or an interface. Raises ValueError."""
    if isinstance(value, str) and re.fullmatch(r"[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]*", value):
        with suppress(ValueError):
            return str(ip_address(value))
    elif isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,14}", value):
        return value
    raise ValueError(f"{shown(value)} is neither the address of a router nor an interface such as eth0")


def parse_network(value: object) -> str:
    """A network whose addresses are dealt out. Raises ValueError."""
    with suppress(ValueError):
        if isinstance(value, str) and "/" in value:
            return str(ip_network(value))
    raise ValueError(f"{shown(value)} is not a network such as 10.0.0.0/16 or fd00::/64")


def parse_sysctl(value: object) -> str:
    """The name of a setting of the guest's network. Raises ValueError."""
    if isinstance(value, str) and _SYSCTL.fullmatch(value) and value.startswith(("net.", "net/")):
        return value
    raise ValueError(f"{shown(value)} is not a setting of a network such as net.ipv4.ip_forward")


def parse_setting(value: object) -> str:
    """What a setting, or a variable, is to be. Raises ValueError."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (str, int, float)) and "\0" not in str(value):
        return str(value)
    raise ValueError(f"{shown(value)} is neither a number nor text")


def parse_command(value: object) -> str:
    """A line for the shell. Raises ValueError."""
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return value
    raise ValueError(f"{shown(value)} is not a command such as `python3 -m http.server 80`")


def _several(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else [value]


def _text(*examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": list(examples)})


def _list(*examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": ["array", "string"], "items": {"type": "string"}, "examples": list(examples)})


_Setting = Annotated[str, BeforeValidator(parse_setting), WithJsonSchema({"type": ["string", "number", "boolean"]})]
_Commands = Annotated[
    tuple[Annotated[str, BeforeValidator(parse_command)], ...],
    BeforeValidator(_several),
    _list("python3 -m http.server 80"),
]
_Network = Annotated[str, BeforeValidator(parse_network)]


class MachineOptions(_Model):
    """A virtual machine; paths are relative to the file."""

    kernel: str | None = Field(None, min_length=1, description="a Linux kernel to boot")
    initrd: str | None = Field(None, min_length=1, description="its initial file system")
    append: str = Field("", description="its command line")
    image: str | None = Field(None, min_length=1, description="a disk; what is written to it is lost with the machine")
    persistent: bool = Field(False, description="whether what is written to the disk stays")
    memory: Whole = Field(256, ge=16, le=1 << 20, description="MiB")
    cpus: Whole = Field(1, ge=1, le=255, description="processors")
    accel: str = Field("kvm:tcg", pattern=r"^[a-z:]{1,40}$", description="what QEMU runs it by, the best first")
    model: str = Field("virtio", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="the card: virtio, e1000, rtl8139 …")
    card: str = Field("", pattern=r"^[A-Za-z0-9_.,=-]{0,200}$", description="more properties of the card")
    program: str = Field("qemu-system-x86_64", min_length=1, description="which QEMU")
    arguments: tuple[str, ...] = Field((), description="whatever else it is to be given")

    @model_validator(mode="after")
    def _can_be_called(self) -> MachineOptions:
        words = (self.kernel, self.initrd, self.append, self.image, self.program, *self.arguments)
        if any(word and "\0" in word for word in words):
            raise ValueError("a character 0 is in one of its words, which no program can be given")
        return self


class GuestOptions(_Model):
    """What a guest is, wherever it is plugged in."""

    switch: str | None = Field(None, description="the switch that it is plugged into; s[1-9] deals a range out")
    pool: Annotated[tuple[_Network, ...], BeforeValidator(_several), _list("10.0.0.0/16")] = Field(
        (), description="networks in which it takes the next free address"
    )
    netns: NamespaceName | None = Field(None, description="the name of its namespace; by default LAB-GUEST")
    routes: dict[Annotated[str, BeforeValidator(parse_route)], Annotated[str, BeforeValidator(parse_via)]] = Field(
        {}, description="by whom what is reached, such as default: 10.0.0.254"
    )
    sysctls: dict[Annotated[str, BeforeValidator(parse_sysctl)], _Setting] = Field(
        {}, description="settings of its network, such as net.ipv4.ip_forward: 1"
    )
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], _Setting] = Field(
        {}, description="variables of its commands"
    )
    setup: _Commands = Field((), description="commands that are waited for, and have to succeed, before `run`")
    run: _Commands = Field((), description="commands that run as long as the lab does; what they say is in its log")
    qemu: MachineOptions | None = Field(None, description="a virtual machine instead of a namespace")


class WireOptions(BridgeOptions):  # type: ignore[misc, valid-type]
    """What an end of a link may have: options of the switch's port, and of the interface that is plugged in there."""

    address: Addresses = Field((), description="addresses of the guest's interface, with prefix length")
    mac: MacAddress | None = Field(None, description="its MAC address; by default one that it always has")
    mtu: Mtu | None = Field(None, description="octets of payload in a frame")
    speed: Rate | None = Field(None, description="what the guest sees as the link's speed")
    offload: bool | None = Field(None, description="whether superframes and partial checksums pass")


class EndOptions(WireOptions):
    """One end of a link."""

    node: str = Field(description="a switch or a guest, or GUEST:INTERFACE")
    interface: InterfaceName | None = Field(None, description="the guest's interface; by default the next eth0, eth1 …")


class LabOptions(_Model):
    """The lab as a whole, its switches, guests and links left out."""

    name: str = Field(pattern=f"^{NAME}$", description="the lab's name")
    loops: bool = Field(False, description="whether links between switches may make loops")


def lab_schema() -> dict[str, Any]:
    """The JSON Schema of a topology, for editors."""
    template = "#/$defs/{model}"
    guest = create_model("Guest", __base__=(GuestOptions, WireOptions)).model_json_schema(ref_template=template)
    end = EndOptions.model_json_schema(ref_template=template)
    top = TopLevel.model_json_schema(ref_template=template)
    whole = LabOptions.model_json_schema(ref_template=template)
    count = {"type": "integer", "minimum": 1, "description": "so many of them; {n} is the number of each"}
    switch = {key: value for key, value in top["properties"].items() if key not in ("name", "control")}
    ports = schemas(template)["Configuration"]["properties"]["ports"]
    guest["properties"]["count"] = count
    definitions: dict[str, Any] = {}
    wire = WireOptions.model_json_schema(ref_template=template)
    for part in (guest, end, wire, top, whole, *ports["additionalProperties"]["anyOf"]):
        definitions |= part.pop("$defs", {})
    ends = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"anyOf": [{"type": "string"}, end]}}
    many = {"type": "object", "properties": {"ends": ends, "count": count, **wire["properties"]},
            "required": ["ends"], "additionalProperties": False}  # fmt: skip
    whole["properties"] |= {
        "include": {"type": ["string", "array"], "items": {"type": "string"},
                    "description": "files whose switches, guests and links belong here, relative to this one"},
        "switches": {"type": "object", "additionalProperties": {"anyOf": [{"type": "null"}, {
            "type": "object", "properties": {**switch, "ports": ports, "count": count},
            "additionalProperties": False}]}},
        "guests": {"type": "object", "additionalProperties": {"anyOf": [guest, {"type": "null"}]}},
        "links": {"type": "array", "items": {"anyOf": [ends, many]}},
    }  # fmt: skip
    whole |= {"title": "Topology", "patternProperties": {"^x-": {}}, "$defs": definitions,
              "$schema": "https://json-schema.org/draft/2020-12/schema"}  # fmt: skip
    return whole
