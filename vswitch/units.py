"""What people write in a configuration, as types: durations, rates, shares, VLAN sets, names and addresses.

Each says in one sentence what it found and what it expected, and survives a round trip through JSON.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from vswitch.core.mac import ZERO, format_mac, is_group, parse_mac
from vswitch.core.vlan import MAX_VID

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zµ%]*)", re.IGNORECASE)
_DURATIONS = {"": 1.0, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_RATES = {"": 1, "bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "tbit": 10**12}


def _quantity(value: object, units: Mapping[str, float], kind: str) -> float:
    """A number with a unit, as one number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number, unit = float(value), ""
    elif isinstance(value, str) and (match := _NUMBER.fullmatch(value.strip())):
        number, unit = float(match[1]), match[2].lower()
    else:
        raise ValueError(f"{value!r} is not {kind}")
    if unit not in units or not 0 <= number < 1e15:
        raise ValueError(f"{value!r} is not {kind}")
    return number * units[unit]


def parse_duration(value: object) -> float:
    """Seconds from `10ms`, `300s`, `5m` or a number of seconds. Raises ValueError."""
    return _quantity(value, _DURATIONS, "a duration such as 10ms, 300s or 5m")


def parse_rate(value: object) -> int:
    """Bits a second from `500kbit`, `10mbit`, `1gbit` or a number of bits a second. Raises ValueError."""
    return round(_quantity(value, _RATES, "a rate such as 500kbit, 10mbit or 1gbit"))


def parse_share(value: object) -> float:
    """0 to 1 from `0.5%` or a number. Raises ValueError."""
    kind = "a share such as 0.5% or 0.005"
    share = _quantity(value, {"": 1.0, "%": 0.01}, kind)
    if share > 1:
        raise ValueError(f"{value!r} is not {kind}")
    return share


def parse_vlans(value: object) -> frozenset[int]:
    """VLAN IDs from `[10, 20-29]`, `10` or `20-29`. Raises ValueError."""
    items = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    vids: set[int] = set()
    for item in items:
        first, _, last = str(item).replace(" ", "").partition("-")
        if isinstance(item, bool) or not (first.isdecimal() and (last or first).isdecimal()):
            raise ValueError(f"{item!r} is not a VLAN or a range of VLANs such as 20-29")
        low, high = _vid(first), _vid(last or first)
        if low > high:
            raise ValueError(f"the range {item} runs backwards")
        vids.update(range(low, high + 1))
    return frozenset(vids)


def parse_vid(value: object) -> int:
    """One VLAN ID. Raises ValueError."""
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and value.isdecimal())):
        raise ValueError(f"{value!r} is not a VLAN from 1 to {MAX_VID}")
    return _vid(str(value))


def _vid(text: str) -> int:
    if len(text) > 4 or not 1 <= int(text) <= MAX_VID:
        raise ValueError(f"VLAN {text} does not exist; VLANs go from 1 to {MAX_VID}")
    return int(text)


def vlan_ranges(vids: frozenset[int]) -> list[int | str]:
    """VLAN IDs as people write them: runs of three and more as `20-29`."""
    runs: list[list[int]] = []
    for vid in sorted(vids):
        if runs and vid == runs[-1][-1] + 1:
            runs[-1].append(vid)
        else:
            runs.append([vid])
    short: list[int | str] = []
    for run in runs:
        short += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else run
    return short


def parse_interface_name(value: object) -> str:
    """A name that the kernel takes for a network interface (dev_valid_name() in net/core/dev.c). Raises ValueError."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not an interface name")
    if len(value.encode()) > 15:
        raise ValueError(f"{value!r} has {len(value.encode())} characters; an interface name has 15 at most")
    if value in (".", "..") or re.search(r"[\s/:\0]", value):
        raise ValueError(f"{value!r} is not an interface name: no '/', ':' or white space")
    return value


def parse_interface_pattern(value: object) -> str:
    """An interface name, or a pattern with one `%d` for the first free number. Raises ValueError."""
    name = parse_interface_name(value)
    if name.count("%") and (name.count("%") > 1 or "%d" not in name):
        raise ValueError(f"{name!r} is neither an interface name nor a pattern with one %d, such as vnet%d")
    return name


def parse_station(value: object) -> str:
    """The MAC address of one station, in lower case with colons. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a MAC address such as 52:54:00:a8:32:d7")
    mac = parse_mac(value)
    if is_group(mac) or mac == ZERO:
        raise ValueError(f"{value} is no station's address: it is {'all zeros' if mac == ZERO else 'a group address'}")
    return format_mac(mac)


def parse_port_name(value: object) -> str:
    """The name of a port: 1 to 32 letters, digits and _ . : - after a letter or digit. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,31}", value):
        raise ValueError(f"{value!r} is no port name: 1 to 32 letters, digits and _ . : - after a letter or digit")
    return value


def parse_address(value: object) -> IPv4Interface | IPv6Interface:
    """An IP address with its prefix length, as an interface has it. Raises ValueError."""
    if isinstance(value, (IPv4Interface, IPv6Interface)):
        return value
    try:
        if isinstance(value, str):
            return ip_interface(value)
    except ValueError:
        pass
    raise ValueError(f"{value!r} is not an address with prefix length such as 10.0.0.1/24 or fd00::1/64")


class ListenAddress(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written, with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(value: object) -> ListenAddress:
    """An address to listen on: `127.0.0.1:9475` or `[::1]:9475`. Raises ValueError."""
    if isinstance(value, ListenAddress):
        return value
    if isinstance(value, str):
        host, colon, port = value.rpartition(":")
        try:
            address = ip_address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            colon = ""
        if colon and port.isdecimal() and 1 <= int(port) <= 65535:
            return ListenAddress(str(address), int(port))
    raise ValueError(f"{value!r} is not an address to listen on such as 127.0.0.1:9475 (ports go from 1 to 65535)")


def _strings(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else [value]


def _schema(kind: str, example: object) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, "examples": [example]})


Duration = Annotated[float, BeforeValidator(parse_duration), _schema("string", "300s")]
Rate = Annotated[int, BeforeValidator(parse_rate), _schema("string", "10mbit")]
Share = Annotated[float, BeforeValidator(parse_share), _schema("string", "0.5%")]
Vid = Annotated[int, BeforeValidator(parse_vid), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_VID})]
VlanSet = Annotated[
    frozenset[int], BeforeValidator(parse_vlans), PlainSerializer(vlan_ranges), _schema("array", [10, "20-29"])
]
InterfaceName = Annotated[str, BeforeValidator(parse_interface_name), _schema("string", "eth1")]
InterfacePattern = Annotated[str, BeforeValidator(parse_interface_pattern), _schema("string", "vnet%d")]
MacAddress = Annotated[str, BeforeValidator(parse_station), _schema("string", "52:54:00:a8:32:d7")]
PortName = Annotated[str, BeforeValidator(parse_port_name), _schema("string", "web")]
Listen = Annotated[Any, BeforeValidator(parse_listen), PlainSerializer(str), _schema("string", "127.0.0.1:9475")]
Addresses = Annotated[
    tuple[Annotated[Any, BeforeValidator(parse_address), PlainSerializer(str)], ...],
    BeforeValidator(_strings),
    _schema("array", "10.0.0.1/24"),
]
