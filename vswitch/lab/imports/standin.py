"""Runs a Python file of Mininet's without Mininet: takes note of hosts, switches and links, and does nothing else.

Called as `python -I standin.py FILE ANSWER [TOPOLOGY]`; it stands alone, and imports nothing of this project.
"""

from __future__ import annotations

import json
import runpy
import sys
from types import ModuleType
from typing import Any

MADE: list[Network] = []
"""Networks and topologies, in the order in which they were made."""


class Nothing:
    """Takes any call and has any attribute, to no effect."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Whatever it is given."""

    def __call__(self, *_: Any, **__: Any) -> Nothing:
        """Nothing again."""
        return self

    def __getattr__(self, name: str) -> Nothing:
        """Nothing again."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __iter__(self) -> Any:
        """No elements."""
        return iter(())

    def __bool__(self) -> bool:
        """It is false."""
        return False

    def __str__(self) -> str:
        """It says nothing."""
        return ""


class Name(str):
    """The name of a node, which a script may call as it would the node."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """What it would do to the node."""
        if name == "name":
            return str(self)
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()


class Network:
    """A topology, or a network that a script builds node by node."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As mininet.topo.Topo: `build` gets what is given."""
        self.hosts_: list[tuple[str, dict[str, Any]]] = []
        self.switches_: list[tuple[str, dict[str, Any]]] = []
        self.links_: list[tuple[str, str, dict[str, Any]]] = []
        self.controllers_ = self.nats_ = 0
        self.base = ""
        self.hopts = dict(options.pop("hopts", None) or {})
        self.sopts = dict(options.pop("sopts", None) or {})
        self.lopts = dict(options.pop("lopts", None) or {})
        MADE.append(self)
        self.build(*arguments, **options)

    def build(self, *_: Any, **__: Any) -> None:
        """What a topology is made of; subclasses say it."""

    def addHost(self, name: str, *_: Any, **options: Any) -> Name:  # noqa: N802
        """A host."""
        self.hosts_.append((str(name), {**self.hopts, **options}))
        return Name(name)

    def addSwitch(self, name: str, *_: Any, **options: Any) -> Name:  # noqa: N802
        """A switch."""
        self.switches_.append((str(name), {**self.sopts, **options}))
        return Name(name)

    def addNode(self, name: str, *_: Any, **options: Any) -> Name:  # noqa: N802
        """A host, or what it says that it is."""
        return self.addSwitch(name, **options) if options.get("isSwitch") else self.addHost(name, **options)

    def addController(self, *_: Any, **__: Any) -> Nothing:  # noqa: N802
        """There is none here."""
        self.controllers_ += 1
        return Nothing()

    def addLink(self, one: Any, other: Any, *ports: Any, **options: Any) -> Nothing:  # noqa: N802, ARG002
        """A link, with what it says of both ends, and in `params1` and `params2` of each."""
        given = {**self.lopts, **options}
        for number in "12":
            end = dict(given.pop(f"params{number}", None) or {})
            end |= {key: given.pop(key + number) for key in ("intfName", "addr") if given.get(key + number)}
            if end:
                given[f"params{number}"] = end
        self.links_.append((str(one), str(other), given))
        return Nothing()

    def addNAT(self, *_: Any, **__: Any) -> Nothing:  # noqa: N802
        """There is no way out."""
        self.nats_ += 1
        return Nothing()

    def hosts(self, sort: bool = True) -> list[Name]:
        """Their names."""
        names = [Name(name) for name, _ in self.hosts_]
        return sorted(names) if sort else names

    def switches(self, sort: bool = True) -> list[Name]:
        """Their names."""
        names = [Name(name) for name, _ in self.switches_]
        return sorted(names) if sort else names

    def __getattr__(self, name: str) -> Any:
        """Whatever else Mininet could do."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()


class Mininet(Network):
    """A network: that of a topology, or its own."""

    def __init__(self, topo: Any = None, **options: Any) -> None:
        """As mininet.net.Mininet."""
        super().__init__()
        self.base = str(options.get("ipBase") or "")
        if isinstance(topo, Network):
            self.hosts_, self.switches_, self.links_ = topo.hosts_, topo.switches_, topo.links_

    @property
    def hosts(self) -> list[Name]:  # type: ignore[override]
        """Here they are a list."""
        return [Name(name) for name, _ in self.hosts_]

    @property
    def switches(self) -> list[Name]:  # type: ignore[override]
        """Here they are a list."""
        return [Name(name) for name, _ in self.switches_]

    def get(self, *names: Any) -> Any:
        """Nodes by name."""
        return Name(names[0]) if len(names) == 1 else [Name(name) for name in names]

    getNodeByName = get  # noqa: N815
    __getitem__ = get


class SingleSwitchTopo(Network):
    """k hosts at one switch."""

    def build(self, k: int = 2, **_: Any) -> None:
        """h1 … hk at s1."""
        switch = self.addSwitch("s1")
        for number in range(1, k + 1):
            self.addLink(self.addHost(f"h{number}"), switch)


class LinearTopo(Network):
    """k switches in a row, with n hosts each."""

    def build(self, k: int = 2, n: int = 1, **_: Any) -> None:
        """h1 at s1, h2 at s2 …; with n > 1: h1s1, h2s1 …"""
        last = None
        for number in range(1, k + 1):
            switch = self.addSwitch(f"s{number}")
            for host in range(1, n + 1):
                self.addLink(self.addHost(f"h{number}" if n == 1 else f"h{host}s{number}"), switch)
            if last is not None:
                self.addLink(switch, last)
            last = switch


class TreeTopo(Network):
    """A tree of switches with hosts as its leaves."""

    def build(self, depth: int = 1, fanout: int = 2, **_: Any) -> None:
        """Numbered from the root on, depth first."""
        self._hosts = self._switches = 0
        self._grow(depth, fanout)

    def _grow(self, depth: int, fanout: int) -> Name:
        if depth == 0:
            self._hosts += 1
            return self.addHost(f"h{self._hosts}")
        self._switches += 1
        switch = self.addSwitch(f"s{self._switches}")
        for _ in range(fanout):
            self.addLink(switch, self._grow(depth - 1, fanout))
        return switch


class Anything(ModuleType):
    """A module that has every name."""

    def __getattr__(self, name: str) -> Any:
        """A class that does nothing."""
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Nothing,), {})


def irange(start: int, end: int) -> list[int]:
    """Both included, as mininet.util has it."""
    return list(range(start, end + 1))


def install() -> None:
    """Have the names under which scripts import Mininet."""
    known: dict[str, dict[str, Any]] = {
        "mininet": {},
        "mininet.topo": {
            "Topo": Network, "SingleSwitchTopo": SingleSwitchTopo, "SingleSwitchReversedTopo": SingleSwitchTopo,
            "LinearTopo": LinearTopo,
        },
        "mininet.topolib": {"TreeTopo": TreeTopo},
        "mininet.net": {"Mininet": Mininet},
        "mininet.util": {"irange": irange},
        **{f"mininet.{name}": {} for name in ("cli", "clean", "link", "log", "moduledeps", "node", "nodelib", "term")},
    }  # fmt: skip
    for name, contents in known.items():
        module = Anything(name)
        module.__path__ = []
        vars(module).update(contents)
        sys.modules[name] = module
    for name in list(known)[1:]:
        setattr(sys.modules["mininet"], name.partition(".")[2], sys.modules[name])


def choose(names: dict[str, Any], which: str) -> tuple[str, Network]:
    """The topology that is meant, and its name. Ends the program with a sentence where that is not clear."""
    topologies = names.get("topos")
    if isinstance(topologies, dict) and topologies:
        name = which or (next(iter(topologies)) if len(topologies) == 1 else "")
        if name not in topologies:
            sys.exit(f"it has the topologies {', '.join(map(str, topologies))}; say which with --topology")
        return str(name), topologies[name]()
    if MADE:
        return "", MADE[-1]
    classes = [each for each in names.values() if isinstance(each, type) and issubclass(each, Network)]
    own = [each for each in classes if each.__module__ == names.get("__name__")]
    if len(own) != 1 and not which:
        sys.exit("it makes no network, and has no `topos`")
    for each in own:
        if which in ("", each.__name__):
            return each.__name__, each()
    sys.exit(f"it has no topology {which}")


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """What of it can be said in JSON; of all else that it is there."""
    return {key: _plain(value) for key, value in options.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, type):
        return value.__name__
    return value if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__


def main(file: str, answer: str, which: str = "") -> None:
    """Run the file: as a module first, and as a program if that made nothing."""
    install()
    sys.argv = [file]
    sys.path.insert(0, file.rpartition("/")[0])
    names = runpy.run_path(file, run_name="vswitch_import")
    if not MADE and not names.get("topos") and not which:
        names = runpy.run_path(file, run_name="__main__")
    name, network = choose(names, which)
    with open(answer, "w", encoding="utf-8") as out:
        json.dump(
            {
                "name": name, "base": network.base, "controllers": network.controllers_,
                "nats": network.nats_,
                "hosts": [(host, plain(options)) for host, options in network.hosts_],
                "switches": [(switch, plain(options)) for switch, options in network.switches_],
                "links": [(one, other, plain(options)) for one, other, options in network.links_],
            },
            out,
        )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
