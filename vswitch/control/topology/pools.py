"""Addresses from pools: each guest takes the next that nobody has, in the order of the file."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Network, ip_interface, ip_network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from ipaddress import IPv4Address, IPv6Address, IPv6Network


def deal(guests: Sequence[tuple[str, Any]], links: Sequence[tuple[Any, Any]], wrong: Any) -> None:
    """Give the guests that name a pool an address at their first link."""
    taken = set(_taken(links))
    left: dict[str, Iterator[IPv4Address | IPv6Address]] = {}
    empty: set[str] = set()
    first: dict[str, Any] = {}
    for link in links:
        for end in link:
            if end.node.guest:
                first.setdefault(end.name, end)
    for name, node in guests:
        pools = node.data.get("pool", ())
        for pool in pools if isinstance(pools, (list, tuple)) else (pools,):
            with suppress(ValueError):  # said already
                network = ip_network(text(pool))
                if name not in first:
                    wrong((*node.path, "pool"), f"{name} has no link, and so no interface for an address")
                    continue
                hosts = left.setdefault(str(network), _hosts(network))
                address = next((host for host in hosts if host not in taken), None)
                if address is None:
                    if str(network) not in empty:
                        wrong((*node.path, "pool"), f"the addresses of {network} are used up")
                    empty.add(str(network))
                    continue
                taken.add(address)
                _give(first[name], f"{address}/{network.prefixlen}")


def _give(end: Any, address: str) -> None:
    before = end.options.get("address", ())
    end.options["address"] = [*(before if isinstance(before, (list, tuple)) else (before,)), address]


def _hosts(network: IPv4Network | IPv6Network) -> Iterator[IPv4Address | IPv6Address]:
    """Those that a host may have: not the network's own, not IPv4's broadcast."""
    last = network.num_addresses - (1 if isinstance(network, IPv4Network) else 0)
    if network.num_addresses <= 2:
        yield from network
        return
    for number in range(1, last):
        yield network[number]


def _taken(links: Sequence[tuple[Any, Any]]) -> Iterator[IPv4Address | IPv6Address]:
    for link in links:
        for end in link:
            address = end.options.get("address", ())
            for each in address if isinstance(address, (list, tuple)) else (address,):
                with suppress(ValueError):
                    yield ip_interface(text(each)).ip


def text(value: object) -> str:
    """Raises ValueError where it is none: a number is no address here, though it is one to `ipaddress`."""
    if not isinstance(value, str):
        raise ValueError("not text")
    return value
