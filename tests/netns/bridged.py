"""A host that uses a kernel bridge: a namespace with the bridge and its address, and guests behind veth pairs."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute

from tests.running import unique, until
from vswitch.lab.guest import Guest
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Iterator

VOLATILE = re.compile(r"TIMER|N_GROUPS|INET6_FLAGS|STATS|CACHEINFO|OPERSTATE|CARRIER|PROMISCUITY|ALLMULTI")


class BridgedHost:
    """10.87.0.254 and fd87::fe on `br`; guest n, behind `v<n>`, has 10.87.0.<n> and fd87::<n>."""

    def __init__(self, guests: int = 3) -> None:
        self.name = unique("h")
        self.host = netns.make(self.name, lambda _: None)
        self.guests = [f"{self.name}g{n}" for n in range(1, guests + 1)]
        with self.route() as route:
            route.link("add", ifname="br", kind="bridge", br_ageing_time=6000)
            self.set("br", state="up")
            self._address(route, "br", 254)
        for number, guest in enumerate(self.guests, 1):
            self.plug(number, guest)

    def plug(self, number: int, guest: str) -> None:
        """A guest with a cable to the bridge."""
        far = netns.make(guest, lambda _: None)
        with self.route() as route:
            peer = {"ifname": "eth0", "net_ns_fd": far.fd}
            route.link("add", ifname=f"v{number}", kind="veth", peer=peer)
        self.set(f"v{number}", master=self.index("br"), state="up")
        with netns.inside(far), IPRoute() as route:
            route.link("set", index=route.link_lookup(ifname="eth0")[0], state="up")
            self._address(route, "eth0", number)
        far.close()

    @contextlib.contextmanager
    def route(self) -> Iterator[IPRoute]:
        """Netlink of the host."""
        with netns.inside(self.host), IPRoute() as route:
            yield route

    def index(self, interface: str) -> int:
        """Of an interface of the host."""
        with self.route() as route:
            return int(route.link_lookup(ifname=interface)[0])

    def set(self, interface: str, **attributes: Any) -> None:
        """Change an interface of the host."""
        with self.route() as route:
            route.link("set", index=route.link_lookup(ifname=interface)[0], **attributes)

    def set_port(self, interface: str, **attributes: Any) -> None:
        """Change an interface as a port of the bridge."""
        with self.route() as route:
            route.brport("set", index=route.link_lookup(ifname=interface)[0], **attributes)

    def pin(self, interface: str, mac: str, *, sticky: bool = False) -> None:
        """Tie a station to an interface of the host, as `bridge fdb add … master static` does."""
        with self.route() as route:
            index = route.link_lookup(ifname=interface)[0]
            route.fdb("replace", ifindex=index, lladdr=mac, state=0x40, flags=0x44 if sticky else 4)

    def learned_behind(self, index: int) -> list[str]:
        """Addresses that the bridge learned at one of its ports."""
        with self.route() as route:
            return [each.get("lladdr") for each in route.fdb("dump", ifindex=index) if not each["state"] & 0xC0]

    def guest_mac(self, number: int) -> str:
        """The address of guest n."""
        place = netns.find(self.guests[number - 1])
        assert place is not None
        with netns.inside(place), IPRoute() as route:
            mac = str(route.get_links(ifname="eth0")[0].get("address"))
        place.close()
        return mac

    def guest(self, number: int) -> Guest:
        """Guest n."""
        return Guest(self.guests[number - 1])

    def ping(self, number: int, to: int) -> bool:
        """Whether guest n reaches that address, by IPv4 and IPv6, within a few tries."""
        return all(
            any(self.guest(number).ping(address) is not None for _ in range(5))
            for address in (f"10.87.0.{to}", f"fd87::{to:x}")
        )

    def ping_from_host(self, to: int) -> bool:
        """Whether the host reaches guest n at once."""
        return Guest(self.name).ping(f"10.87.0.{to}") is not None

    def mac(self) -> str:
        """The host's own address on the bridge, which it takes from its ports."""
        with self.route() as route:
            return str(route.get_links(ifname="br")[0].get("address"))

    def settings(self) -> dict[str, str]:
        """Everything that can be set of the bridge and its ports, and its static entries."""
        with self.route() as route:
            found = {
                f"{dump} {link.get('ifname')} {key}": value
                for dump, links in (("link", route.get_links()), ("vlans", route.get_vlans()))
                for link in links
                for key, value in _stable(link["attrs"])
            }
            names = {link["index"]: link.get("ifname") for link in route.get_links()}
            for entry in route.fdb("dump"):
                if entry["state"] & 0xC0:
                    found[f"static {entry.get('lladdr')} {names.get(entry['ifindex'])}"] = str(entry["state"])
        return found

    def settles_as(self, before: dict[str, str]) -> None:
        """Wait for the kernel's own part of the way back, and say what differs where it does not get there."""
        with contextlib.suppress(AssertionError):
            until(lambda: self.settings() == before, "the bridge to be as it was")
        assert self.settings() == before

    def close(self) -> None:
        """All of it goes."""
        for name in (*self.guests, self.name):
            netns.remove(name)
        self.host.close()

    def _address(self, route: IPRoute, interface: str, number: int) -> None:
        index = route.link_lookup(ifname=interface)[0]
        route.addr("add", index=index, address=f"10.87.0.{number}", prefixlen=24)
        route.addr("add", index=index, address=f"fd87::{number:x}", prefixlen=64, flags=2)  # IFA_F_NODAD


def _stable(attributes: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Attributes by their paths, without what changes by itself."""
    for position, (name, value, *_) in enumerate(attributes):
        if VOLATILE.search(name):
            continue
        if isinstance(value, dict) and "attrs" in value:
            yield from _stable(value["attrs"], f"{path}{name} ")
        else:
            yield f"{path}{name} {position}", str(value)
