"""What people write in a configuration, as types: durations, rates, shares, VLAN sets, names and addresses.

Each says in one sentence what it found and what it expected, and survives a round trip through JSON.
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from vswitch.core.mac import ZERO, format_mac, is_group, parse_mac
from vswitch.core.vlan import MAX_VID

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_MTU: Final = 65521
"""65535 less an Ethernet header: MAX_MTU of Linux drivers/net/tun.c."""

MOST: Final = 1e15
"""No quantity is larger, in its base unit: it stays exact in a float, and in what the kernel stores it in."""

_NUMBER = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([a-zµ%]*)", re.IGNORECASE)
_VLANS = re.compile(r"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?")
_LISTEN = re.compile(r"(?:([0-9.]*)|\[([0-9A-Fa-f:.]+)\]):([0-9]{1,5})")
_DURATIONS = {"": 1.0, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_RATES = {"": 1, "bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "tbit": 10**12}


def shown(value: object) -> str:
    """A value as it stands in a sentence for people: on one line and short, whatever it is."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "a list"
    if isinstance(value, int) and abs(value) > MOST:
        return "a huge number"
    text = repr(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _quantity(value: object, units: Mapping[str, float], kind: str) -> float:
    """A number with a unit, as one number."""
    number, unit = -1.0, ""
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST):
        number = float(value)
    elif isinstance(value, str) and (match := _NUMBER.fullmatch(value.strip())):
        number, unit = float(match[1]), match[2].lower()
    if unit not in units or not 0 <= number * units[unit] <= MOST:
        raise ValueError(f"{shown(value)} is not {kind}")
    return number * units[unit]


def parse_duration(value: object) -> float:
    """Seconds from `10ms`, `300s`, `5m` or a number of seconds. Raises ValueError."""
    return _quantity(value, _DURATIONS, "a duration such as 10ms, 300s or 5m")


def parse_rate(value: object) -> int:
    """Bits a second from `500kbit`, `10mbit`, `1gbit` or a number of bits a second. Raises ValueError."""
    return round(_quantity(value, _RATES, "a rate such as 500kbit, 10mbit or 1gbit"))


def parse_size(value: object) -> int:
    """Octets from `1500`, `64kB`, `1MiB` or a number. Raises ValueError."""
    return round(_quantity(value, _SIZES, "a size such as 1500, 64kB or 1MiB"))


def parse_share(value: object) -> float:
    """0 to 1 from `0.5%` or a number. Raises ValueError."""
    kind = "a share such as 0.5% or 0.005"
    share = _quantity(value, {"": 1.0, "%": 0.01}, kind)
    if share > 1:
        raise ValueError(f"{shown(value)} is not {kind}")
    return share


def parse_vlans(value: object) -> frozenset[int]:
    """VLAN IDs from `[10, 20-29]`, `10` or `20-29`. Raises ValueError."""
    items = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    vids: set[int] = set()
    for item in items:
        low, high = _range(item)
        if low > high:
            raise ValueError(f"the range {low}-{high} runs backwards")
        vids.update(range(low, high + 1))
    return frozenset(vids)


def parse_vid(value: object) -> int:
    """One VLAN ID. Raises ValueError."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not a VLAN from 1 to {MAX_VID}")
    if not 1 <= value <= MAX_VID:
        raise ValueError(f"VLAN {shown(value)} does not exist; VLANs go from 1 to {MAX_VID}")
    return value


def parse_whole(value: object) -> object:
    """Whatever is no boolean, which Python takes for a number. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError(f"found {shown(value)}, expected a whole number")
    return value


def _range(item: object) -> tuple[int, int]:
    """The first and the last VLAN of one item of a set."""
    if isinstance(item, int) and not isinstance(item, bool):
        return parse_vid(item), item
    match = _VLANS.fullmatch(item) if isinstance(item, str) else None
    if match is None:
        raise ValueError(f"{shown(item)} is not a VLAN or a range of VLANs such as 20-29")
    return parse_vid(match[1]), parse_vid(match[2] or match[1])


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
    """A name that the kernel takes for a network interface (dev_valid_name() in net/core/dev.c) and a terminal shows.

    Raises ValueError.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{shown(value)} is not an interface name")
    if value in (".", "..") or not value.isprintable() or re.search(r"[\s/:]", value):
        raise ValueError(f"{shown(value)} is not an interface name: no '/', ':', white space or control character")
    if len(value.encode()) > 15:
        raise ValueError(f"{shown(value)} has {len(value.encode())} characters; an interface name has 15 at most")
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
        raise ValueError(f"{shown(value)} is not a MAC address such as 52:54:00:a8:32:d7")
    mac = parse_mac(value[:60])
    if is_group(mac) or mac == ZERO:
        raise ValueError(f"{value} is no station's address: it is {'all zeros' if mac == ZERO else 'a group address'}")
    return format_mac(mac)


def parse_port_name(value: object) -> str:
    """The name of a port: 1 to 32 letters, digits and _ . : - after a letter or digit. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,31}", value):
        raise ValueError(f"{shown(value)} is no port name: 1 to 32 letters, digits and _ . : - after a letter or digit")
    return value


def parse_namespace(value: object) -> str:
    """A network namespace: `NAME` of `ip netns`, `pid:N`, or an absolute path. Raises ValueError."""
    if isinstance(value, str) and value.isprintable() and len(value) <= 255:
        named = re.fullmatch(r"pid:[0-9]{1,10}", value) or not re.search(r"[/:\s]", value)
        if value.startswith("/") or (named and value not in ("", ".", "..")):
            return value
    raise ValueError(f"{shown(value)} is not a namespace: a name, pid:1234, or an absolute path")


def parse_socket_path(value: object) -> str:
    """The absolute path of a Unix socket, which has room for 107 octets (unix(7)). Raises ValueError."""
    if isinstance(value, str) and value.isprintable() and value.startswith("/") and not value.endswith("/"):
        if len(value.encode()) <= 107:
            return value
        raise ValueError(f"{shown(value)} has {len(value.encode())} octets; the path of a socket has 107 at most")
    raise ValueError(f"{shown(value)} is not the absolute path of a socket")


def parse_file_path(value: object) -> str:
    """The absolute path of a file, which is the same for whoever starts the switch wherever. Raises ValueError."""
    if isinstance(value, str) and value.isprintable() and value.startswith("/") and not value.endswith("/"):
        return value
    raise ValueError(f"{shown(value)} is not the absolute path of a file")


def parse_address(value: object) -> IPv4Interface | IPv6Interface:
    """An IP address with its prefix length, as an interface has it. Raises ValueError."""
    if isinstance(value, (IPv4Interface, IPv6Interface)):
        return value
    with suppress(ValueError):
        if isinstance(value, str) and "/" in value and "%" not in value:
            return ip_interface(value)
    raise ValueError(f"{shown(value)} is not an address with prefix length such as 10.0.0.1/24 or fd00::1/64")


def parse_host_address(value: object) -> IPv4Address | IPv6Address:
    """The IP address of one host. Raises ValueError."""
    if isinstance(value, (IPv4Address, IPv6Address)):
        return value
    with suppress(ValueError):
        address = ip_address(value) if isinstance(value, str) and "%" not in value else None
        if address is not None and not (address.is_multicast or address.is_unspecified):
            return address
    raise ValueError(f"{shown(value)} is not the IP address of a host such as 10.0.0.9 or fd00::9")


class ListenAddress(NamedTuple):
    """Where a server listens; an empty host is every address of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written, with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(value: object) -> ListenAddress:
    """An address to listen on: `127.0.0.1:9475`, `[::1]:9475`, or `:9475` for all there are. Raises ValueError."""
    if isinstance(value, ListenAddress):
        return value
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if match and 1 <= int(match[3]) <= 65535:
        with suppress(ValueError):
            host = IPv6Address(match[2]) if match[2] else IPv4Address(match[1]) if match[1] else ""
            return ListenAddress(str(host), int(match[3]))
    raise ValueError(f"{shown(value)} is not an address to listen on such as 127.0.0.1:9475 (ports go from 1 to 65535)")


def parse_descriptor(value: object) -> int | str:
    """An open descriptor by its number, or by its name, which is like that of a port. Raises ValueError."""
    if (isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value)) or (
        isinstance(value, float) and value.is_integer()
    ):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31:
        return value
    with suppress(ValueError):
        return parse_port_name(value)
    raise ValueError(f"found {shown(value)}, expected the number of an open descriptor or the name of one")


def is_loopback(address: ListenAddress) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ip_address(address.host).is_loopback
    except ValueError:
        return False


Endpoint = str | ListenAddress
"""Where two programs of one machine meet: the path of a Unix socket, or a loopback address with port."""


def parse_endpoint(value: object) -> Endpoint:
    """`/run/vm1.sock` or `127.0.0.1:5555`: nobody but this machine's own programs may come by it. Raises ValueError."""
    if isinstance(value, ListenAddress) or (isinstance(value, str) and value.startswith("/")):
        return value if isinstance(value, ListenAddress) else parse_socket_path(value)
    with suppress(ValueError):
        address: ListenAddress = parse_listen(value)
        if address.host and ip_address(address.host).is_loopback:
            return address
    raise ValueError(f"{shown(value)} is neither the absolute path of a socket nor a loopback address with port")


def _strings(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else [value]


def _schema(kind: str | list[str], *examples: object, **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, "examples": list(examples), **more})


def _quantities(units: Mapping[str, float], *examples: object) -> WithJsonSchema:
    """Text with a unit, in any case, or a number; `{n}` stands for that of a member of a range."""
    words = "|".join("".join(f"[{c}{c.upper()}]" if c.isascii() else c for c in unit) for unit in units if unit)
    pattern = rf"^\s*[0-9]+(\.[0-9]+)?\s*({words})?\s*$|{_PLACEHOLDER}"
    return _schema(["string", "number"], *examples, pattern=pattern, minimum=0)


_PLACEHOLDER: Final = r"\{n\}"
_SHARE: Final = rf"^\s*0*(100(\.0+)?|[0-9]{{1,2}}(\.[0-9]+)?)\s*%\s*$|^\s*0*(1(\.0+)?|0(\.[0-9]+)?)\s*$|{_PLACEHOLDER}"
_ADDRESS: Final = rf"^[0-9A-Fa-f:.]+/[0-9.]+$|{_PLACEHOLDER}"
_MANY_VLANS: Final = ["array", "integer", "string"]

Whole = Annotated[int, BeforeValidator(parse_whole)]
Mtu = Annotated[int, BeforeValidator(parse_whole), Field(ge=68, le=MOST_MTU)]
Duration = Annotated[float, BeforeValidator(parse_duration), _quantities(_DURATIONS, "300s", 300)]
Rate = Annotated[int, BeforeValidator(parse_rate), _quantities(_RATES, "10mbit", 10_000_000)]
Size = Annotated[int, BeforeValidator(parse_size), _quantities(_SIZES, "64kB", 65536)]
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    _schema(["string", "number"], "0.5%", 0.005, pattern=_SHARE, minimum=0, maximum=1),
]
Vid = Annotated[int, BeforeValidator(parse_vid), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_VID})]
VlanSet = Annotated[
    frozenset[int],
    BeforeValidator(parse_vlans),
    PlainSerializer(vlan_ranges),
    _schema(_MANY_VLANS, [10, "20-29"], 10, "20-29", items={"type": ["integer", "string"]}),
]
InterfaceName = Annotated[str, BeforeValidator(parse_interface_name), _schema("string", "eth1")]
InterfacePattern = Annotated[str, BeforeValidator(parse_interface_pattern), _schema("string", "web0", "vnet%d")]
MacAddress = Annotated[str, BeforeValidator(parse_station), _schema("string", "52:54:00:a8:32:d7")]
Descriptor = Annotated[int | str, BeforeValidator(parse_descriptor), _schema(["integer", "string"], 27, "vm1")]
PortName = Annotated[str, BeforeValidator(parse_port_name), _schema("string", "web")]
PortNames = Annotated[
    tuple[PortName, ...],
    BeforeValidator(_strings),
    _schema(["array", "string"], ["web", "db"], "web", items={"type": "string"}),
]
NamespaceName = Annotated[str, BeforeValidator(parse_namespace), _schema("string", "web")]
SocketPath = Annotated[str, BeforeValidator(parse_socket_path), _schema("string", "/run/vswitch/lab0.sock")]
FilePath = Annotated[str, BeforeValidator(parse_file_path), _schema("string", "/etc/vswitch/metrics.pem")]
Place = Annotated[
    Any,
    BeforeValidator(parse_endpoint),
    PlainSerializer(str),
    _schema("string", "/run/vswitch/vm1.sock", "127.0.0.1:5555"),
]
Listen = Annotated[
    Any, BeforeValidator(parse_listen), PlainSerializer(str), _schema("string", "127.0.0.1:9475", "[::1]:9475")
]
HostAddress = Annotated[
    Any, BeforeValidator(parse_host_address), PlainSerializer(str), _schema("string", "10.0.0.9", "fd00::9")
]
Addresses = Annotated[
    tuple[Annotated[Any, BeforeValidator(parse_address), PlainSerializer(str)], ...],
    BeforeValidator(_strings),
    _schema(
        ["array", "string"],
        ["10.0.0.1/24", "fd00::1/64"],
        "10.0.0.1/24",
        items={"type": "string", "pattern": _ADDRESS},
        pattern=_ADDRESS,
    ),
]
