"""A lab in Python: switches, guests and links as objects, which are described first, and do things once it is up.

    with Lab(Switch("s1"), Guest("a", switch="s1", address="10.0.0.1/24"), …) as lab:
        lab.guest("a").ping("10.0.0.2")

Its loop runs in a thread of its own meanwhile, so that the program may block; `async with` has it on the program's own.
"""

from __future__ import annotations

import copy
import itertools
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from vswitch.control.config import yaml
from vswitch.control.topology import parts
from vswitch.control.topology import reading as topology
from vswitch.lab import pinging
from vswitch.lab.awaitable import AsyncLab, bring_up
from vswitch.lab.parts import Guest, Link, Part, Switch, with_parts
from vswitch.lab.session import LabError, LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vswitch.lab.session import Session

PREFIX: Final = "lab"
"""Of names that nobody chose."""

_numbers = itertools.count()

P = TypeVar("P", Switch, Guest)


class Lab:
    """A topology that can be up: by `with`, by `async with`, or by `up` and `down`."""

    def __init__(self, *parts: Part, name: str | None = None, loops: bool = False) -> None:
        """name: of the lab, by default one that no other has.  loops: whether links between switches may make some."""
        self._data: dict[str, Any] = {"name": name or unique_name(), "switches": {}, "guests": {}, "links": []}
        if loops:
            self._data["loops"] = True
        self._parts: dict[str, Switch | Guest] = {}
        self._links: list[Link] = []
        self._thread: LoopThread | None = None
        self._up: AsyncLab | None = None
        self.changed: list[Callable[[], None]] = []
        """Called whenever it came up or is another now."""
        self.add(*parts)

    @classmethod
    def from_file(cls, path: str | Path, *, name: str | None = None) -> Self:
        """The lab of a file; name: another than the file says. Raises ConfigError."""
        return cls._of(parts.assemble(Path(path)), name, str(path))

    @classmethod
    def from_yaml(cls, text: str, *, name: str | None = None) -> Self:
        """The lab of a text as it stands in a file; a name may be missing. Raises ConfigError."""
        return cls._of(parts.expand(yaml.load(text)), name, "")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, name: str | None = None) -> Self:
        """The lab of the same as a mapping. Raises ConfigError."""
        return cls._of(parts.expand(yaml.Document(copy.deepcopy(dict(data)), {(): yaml.Mark(0, 0)}, [])), name, "")

    @classmethod
    def _of(cls, document: yaml.Document, name: str | None, file: str) -> Self:
        if isinstance(document.data, dict) and (name or "name" not in document.data):
            document.data["name"] = name or unique_name()
        lab = cls()
        lab._data = dict(topology.build(document, file).data)
        return lab

    def __repr__(self) -> str:
        """Whether it is up, too."""
        return f"<lab {self.name}, {'down' if self._up is None else 'up'}>"

    @property
    def name(self) -> str:
        """As `vswitch lab status` knows it."""
        return str(self._data["name"])

    @property
    def is_up(self) -> bool:
        """Whether it is."""
        return self._up is not None

    # Up and down

    def up(self) -> Self:
        """Make everything. Raises ConfigError, PlaceError, PortError, ConflictError or RunError, undone."""
        if self._up is not None:
            raise LabError(f"the lab {self.name} is up already")
        config = topology.validate(self._data)
        self._thread = LoopThread()
        try:
            self._bind(self._thread.do(bring_up(config)))
        except BaseException:
            self._thread.close()
            raise
        _up.add(self)
        self._tell()
        return self

    def down(self) -> None:
        """End and remove everything; nothing where it is down."""
        _up.discard(self)
        lab, thread = self._up, self._thread
        if lab is None or thread is None:
            return
        try:
            thread.do(lab.session.down())
        finally:
            self._bind(None)
            self._thread = None
            thread.close()

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()

    async def __aenter__(self) -> AsyncLab:
        if self._up is not None:
            raise LabError(f"the lab {self.name} is up already")
        lab = await bring_up(topology.validate(self._data))
        self._bind(lab)
        return lab

    async def __aexit__(self, *_: object) -> None:
        lab = self._up
        if lab is not None:
            await lab.session.down()
            self._bind(None)

    def _bind(self, lab: AsyncLab | None) -> None:
        self._up = lab
        for part in (*self._parts.values(), *self._links):
            part._session = lab.session if lab else None

    @property
    def session(self) -> Session:
        """What it is while it is up. Raises LabError where it is not."""
        if self._up is None:
            raise LabError(f"the lab {self.name} is not up: use `with`")
        return self._up.session

    # What it is made of

    def switch(self, name: str) -> Switch:
        """Raises LabError where there is none."""
        self.session.service(name)
        return self._part(Switch, name)

    def guest(self, name: str) -> Guest:
        """Raises LabError where there is none."""
        self.session.guest(name)
        return self._part(Guest, name)

    def _part(self, kind: type[P], name: str) -> P:
        part = self._parts.get(name)
        if not isinstance(part, kind):
            part = kind(name)
            part._session = self.session
            self._parts[name] = part
        return part

    def link(self, one: str, other: str) -> Link:
        """The link between two nodes; NODE:INTERFACE or SWITCH:PORT where there are several. Raises LabError."""
        link = Link(one, other)
        link._session = self.session
        link._places()
        return link

    @property
    def switches(self) -> list[Switch]:
        """All of them, those that are links between two guests left out."""
        config = self.session.config
        return [self.switch(name) for name in config.switches if name not in config.wires]

    @property
    def guests(self) -> list[Guest]:
        """All of them."""
        return [self.guest(name) for name in self.session.config.guests]

    def add(self, *new: Part) -> list[str]:
        """Put parts into the lab, up or not; what changed. Raises LabError, and if up, what `apply` raises."""
        changes = self._become(with_parts(self._data, new))
        for part in new:
            part._session = self._up.session if self._up else None
            if isinstance(part, Link):
                self._links.append(part)
            else:
                self._parts[part.name] = part
        return changes

    def apply(self, new: Mapping[str, Any] | str) -> list[str]:
        """Become another topology, YAML or a mapping, by difference; what changed. Its name stays.

        Raises ConfigError, and if up, ConflictError, PortError or RunError; it is as before then.
        """
        return self._become(dict(topology.renamed(new, self.name).data))

    def _become(self, data: dict[str, Any]) -> list[str]:
        data["name"] = self.name
        changes: list[str] = []
        if self._up is not None:
            changes = self.session.do(self._up.apply(data))
        self._data = data
        self._tell()
        return changes

    def _tell(self) -> None:
        for each in self.changed if self._up else ():
            each()

    def status(self) -> dict[str, Any]:
        """As `vswitch lab status --json` has it."""
        return self.session.ask(self.session.running.status)

    def ping_all(self, timeout: float = 2.0) -> pinging.Result:
        """From everyone to everyone; an answer may take `timeout` seconds. Raises PortError."""
        return pinging.ping_all(pinging.hosts(self.status(), None), timeout)


_up: set[Lab] = set()


def _end() -> None:
    """The program ends, and its labs with it."""
    for lab in list(_up):
        lab.down()


# atexit comes too late: no thread of an executor can be had any more (_python_exit() in CPython's concurrent/futures).
threading._register_atexit(_end)  # type: ignore[attr-defined]


def unique_name() -> str:
    """A name that no lab of this machine has: of the process, and a number."""
    return f"{PREFIX}{os.getpid()}x{next(_numbers)}"
