"""A network as Mininet has it: hosts, switches and links with their parameters, and what becomes of them here."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

from vswitch.lab.imports.draft import Draft, identifier
from vswitch.units import parse_address, parse_duration, parse_station

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASE: Final = "10.0.0.0/8"
"""Where hosts get their addresses from, unless something else is said (mininet/net.py)."""

_OF_HOSTS: Final = frozenset(("ip", "mac", "defaultRoute"))
_OF_LINKS: Final = frozenset(("bw", "delay", "jitter", "loss", "max_queue_size"))
_OF_ENDS: Final = frozenset(("ip", "addr", "intfName"))
_KINDS: Final = (None, "Host", "Node", "CPULimitedHost")
"""Classes of hosts that do nothing to them of their own."""
_QUIET: Final = frozenset(
    ("isSwitch", "isHost", "cls", "dpid", "failMode", "protocols", "stp", "batch", "datapath", "use_htb", "use_hfsc",
     "use_tbf", "enable_ecn", "enable_red", "node1", "node2", "port1", "port2", "inNamespace", "controllers", "number",
     "hostname", "nodeNum", "sched", "switchType", "switchIP", "dpctl", "netflow", "sflow", "switchNum")
)  # fmt: skip
"""What says how Mininet makes a node or a link, and nothing of the network that comes of it."""

_FRAME: Final = 1514
"""Octets of the packets that Mininet counts queues in, at most."""

UNFIT: Final = (ValueError, TypeError, AttributeError, IndexError, OverflowError)
"""What `draw` raises for parameters of other kinds than Mininet's are."""


def draw(
    name: str,
    hosts: Iterable[tuple[str, Mapping[str, Any]]],
    switches: Iterable[tuple[str, Mapping[str, Any]]],
    links: Iterable[tuple[str, str, Mapping[str, Any]]],
    base: str = BASE,
) -> Draft:
    """A topology of these; parameters are those of Mininet's addHost, addSwitch and addLink.

    Raises what is in UNFIT.
    """
    draft = Draft(name)
    names: dict[str, str] = {}
    for switch, options in switches:
        names[switch] = identifier(switch)
        draft.switches[names[switch]] = {}
        _leftover(draft, switch, options, frozenset())
    ends: dict[str, dict[str, Any]] = {}
    for number, (host, options) in enumerate(hosts, 1):
        names[host] = identifier(host)
        draft.guests[names[host]], ends[names[host]] = _host(draft, host, options, number, base)
    for one, other, options in links:
        if one not in names or other not in names:
            draft.remark(f"the link from {one} to {other} has an end that is neither host nor switch")
            continue
        _link(draft, names[one], names[other], options, ends)
    for host, end in ends.items():
        if end:
            draft.remark(f"{host} is not linked to anything, and has no address")
    return draft


def _host(
    draft: Draft, host: str, options: Mapping[str, Any], number: int, base: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A guest, and what its first interface is to have."""
    guest: dict[str, Any] = {}
    end: dict[str, Any] = {}
    network = ip_network(str(base), strict=False)
    given = options.get("ip") or f"{network[number]}/{network.prefixlen}"
    try:
        end["address"] = str(parse_address(given if "/" in str(given) else f"{given}/{network.prefixlen}"))
        if options.get("mac"):
            end["mac"] = parse_station(options["mac"])
    except ValueError as error:
        draft.remark(f"{host}: {error}")
    route = str(options.get("defaultRoute") or "").split()
    if route:
        guest["routes"] = {"default": route[-1]}
    if options.get("cls") not in _KINDS:
        draft.remark(f"{host}: what its class {options['cls']} does to it is not done")
    _leftover(draft, host, options, _OF_HOSTS)
    return guest, end


def _link(draft: Draft, one: str, other: str, options: Mapping[str, Any], ends: dict[str, dict[str, Any]]) -> None:
    """What an end sends has the parameters of the link, and those of this end (mininet/link.py)."""
    where = f"the link from {one} to {other}"
    common = {key: value for key, value in options.items() if key not in ("params1", "params2")}
    _leftover(draft, where, common, _OF_LINKS)
    made, sends = [], []
    for node, key in ((one, "params1"), (other, "params2")):
        own = options.get(key) or {}
        _leftover(draft, where, own, _OF_LINKS | _OF_ENDS)
        sends.append(_impairment(draft, where, {**common, **own}))
        end: dict[str, Any] = {"node": node}
        if node in draft.guests:
            end |= {**ends[node], **_interface(draft, node, own)}
            ends[node] = {}
        made.append(end)
    for end, says, hears in zip(made, sends, sends[::-1], strict=True):
        guest = end["node"] in draft.guests
        if (one in draft.guests) != (other in draft.guests):  # the port behind a guest sees both directions
            both = {"in": says, "out": hears} if guest else {}
        else:
            both = {"out": hears if guest else says}
        if impair := {key: value for key, value in both.items() if value}:
            end["impair"] = impair
    draft.link(*made)


def _interface(draft: Draft, node: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """What an end says of a host's interface."""
    end: dict[str, Any] = {}
    try:
        if own.get("ip"):
            end["address"] = str(parse_address(own["ip"]))
        if own.get("addr"):
            end["mac"] = parse_station(own["addr"])
    except ValueError as error:
        draft.remark(f"{node}: {error}")
    if own.get("intfName") and (name := draft.interface(node, str(own["intfName"]))):
        end["interface"] = name
    return end


def _impairment(draft: Draft, where: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What tc-tbf, tc-htb and tc-netem would do there (mininet/link.py), in words of an impairment."""
    found: dict[str, Any] = {}
    for key in ("delay", "jitter"):
        if options.get(key):
            try:
                parse_duration(options[key])
                found[key] = options[key]
            except ValueError:
                draft.remark(f"{where}: {key} {options[key]!r} is no duration such as 5ms")
    for key, name, unit in (("loss", "loss", "%"), ("bw", "rate", "mbit")):
        if options.get(key):
            try:
                found[name] = f"{float(options[key]):g}{unit}"
            except (TypeError, ValueError):
                draft.remark(f"{where}: {key} {options[key]!r} is no number")
    if options.get("max_queue_size") and "rate" in found:
        found["queue"] = f"{int(options['max_queue_size']) * _FRAME // 1000 + 1}kB"
        draft.remark(f"{where}: a queue is counted in octets: {options['max_queue_size']} packets of full size")
    return found


def _leftover(draft: Draft, where: str, options: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in options:
        if key not in known | _QUIET and options[key] not in (None, "", [], {}, False):
            draft.remark(f"{where}: `{key}` has no counterpart")
    if options.get("controllers"):
        draft.remark("no controllers: every switch learns by itself, as Mininet's with its default controller")
