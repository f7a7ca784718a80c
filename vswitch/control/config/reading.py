"""Reading a configuration: from a file, a text or JSON, with every mistake at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from pydantic import BaseModel, ValidationError

from vswitch.control.config import yaml
from vswitch.control.config.impairpaths import anchor
from vswitch.control.config.mirrorcheck import check_mirrors, no_port
from vswitch.control.config.ranges import spread
from vswitch.control.config.schema import BridgeOptions, PortConfig, SwitchConfig, TopLevel
from vswitch.control.metrics.credentials import CredentialsError, server_context
from vswitch.core.vlan import DEFAULT_VID
from vswitch.ports import ATTACHMENTS
from vswitch.units import parse_port_name, parse_station, parse_vid, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vswitch.control.config.yaml import Document

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake. Line and column are 0 where there is no file."""

    line: int
    column: int
    key: str
    message: str
    file: str = ""

    def text(self) -> str:
        """`file:line: key: what is wrong`."""
        where = f"{self.file}:{self.line}: " if self.file else ""
        return f"{where}{self.key}: {self.message}" if self.key else f"{where}{self.message}"

    def as_json(self) -> dict[str, Any]:
        """For a script."""
        return {"file": self.file, "line": self.line, "column": self.column, "key": self.key, "message": self.message}


MOST_WORDS: Final = 400

_TOPOLOGY: Final = frozenset(("switches", "guests", "links"))
"""Keys that no switch has: those of `control.lab`."""


class ConfigError(Exception):
    """All that is wrong with a configuration, in the order of its lines."""

    def __init__(self, problems: list[Problem]) -> None:
        """At least one."""
        super().__init__("\n".join(problem.text() for problem in problems))
        self.problems = problems

    @classmethod
    def of(cls, mistakes: list[yaml.Mistake], file: str) -> Self:
        """Mistakes as problems; several in one place that say the same are one."""
        problems = {
            Problem(mark.line, mark.column, _plain(".".join(map(str, path))), _plain(message), mark.file or file)
            for mark, path, message in mistakes
        }
        return cls(sorted(problems))


def read(path: Path, *, files: bool = False) -> SwitchConfig:
    """The configuration in a file. Raises ConfigError. files: those that it names have to be right, too."""
    document = yaml.load(read_text(path))
    anchor(document.data, path.parent)
    return _build(document, str(path), files=files)


def read_text(path: Path) -> str:
    """What a file says. Raises ConfigError."""
    try:
        with path.open("rb") as file:  # a device such as /dev/zero has no end
            return file.read(4 * yaml.MOST_TEXT + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError([Problem(0, 0, "", f"cannot read {path}: {reason}")]) from error


def load(text: str, file: str = "", *, files: bool = False) -> SwitchConfig:
    """The configuration in a text. Raises ConfigError with every mistake, each with its line."""
    return _build(yaml.load(text), file, files=files)


def validate(data: object) -> SwitchConfig:
    """The configuration in data that came as JSON. Raises ConfigError with every mistake."""
    return _build(yaml.Document(data, {(): yaml.Mark(0, 0)}, []), "")


def _build(document: Document, file: str, *, files: bool = False) -> SwitchConfig:
    document = spread(document)
    mistakes = list(document.mistakes)
    data = document.data

    def wrong(path: yaml.Path, message: str) -> None:
        mistakes.append(yaml.Mistake(document.mark(path), path, message))

    if not isinstance(data, dict):
        if not mistakes:
            wrong((), "a configuration is a mapping with at least `name:` and `ports:`")
        raise ConfigError.of(mistakes, file)
    if _TOPOLOGY & set(map(str, data)) and "ports" not in data:
        wrong((), "this is a topology of several switches, not a switch: use `vswitch lab check`, `lab up` and so on")
        raise ConfigError.of(mistakes, file)
    ports = build_ports(data.get("ports"), wrong)
    top = build_model(
        TopLevel, {key: value for key, value in data.items() if key != "ports"}, (), wrong, known=["ports"]
    )
    for path, message in cross_checks(data):
        wrong(path, message)
    if files and top is not None:
        for path, message in _files(top):
            wrong(path, message)
    if mistakes or top is None:
        raise ConfigError.of(mistakes, file)
    return SwitchConfig(top, ports)


def build_ports(data: object, wrong: Any) -> dict[str, PortConfig]:
    if not isinstance(data, dict):
        found = "nothing" if data is None else shown(data)
        wrong(("ports",), f"found {found}, expected a mapping of port names to ports")
        return {}
    ports: dict[str, PortConfig] = {}
    for name, options in data.items():
        try:
            parse_port_name(name)
        except ValueError as error:
            wrong(("ports", name), str(error))
        port = build_port(options, ("ports", name), wrong)
        if port is not None:
            ports[name] = port
    return ports


def build_port(data: object, path: yaml.Path, wrong: Any) -> PortConfig | None:
    """One port; None where something is wrong with it."""
    if not isinstance(data, dict):
        wrong(path, f"found {shown(data)}, expected a mapping such as {{tap: web0}}")
        return None
    kinds = [kind for kind in ATTACHMENTS if kind in data]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        wrong(path, f"a port has exactly one attachment ({', '.join(ATTACHMENTS)}); found {found}")
    models = [ATTACHMENTS[kind].options_type for kind in kinds] or [port.options_type for port in ATTACHMENTS.values()]
    own = {field for model in models for field in model.model_fields}
    bridge_data = {key: value for key, value in data.items() if key not in own}
    bridge = build_model(BridgeOptions, bridge_data, path, wrong, known=sorted(own))
    if data.get("access") is not None and (data.get("trunk") is not None or data.get("native") is not None):
        wrong((*path, "access"), "a port is either access or trunk: leave out access, or trunk and native")
    options = None
    for kind in kinds:
        model = ATTACHMENTS[kind].options_type
        mine = {key: value for key, value in data.items() if key in model.model_fields}
        options = build_model(model, mine, path, wrong, known=[])
    return PortConfig(kinds[0], options, bridge) if len(kinds) == 1 and options and bridge else None


def build_model(model: type[Any], data: dict[str, Any], path: yaml.Path, wrong: Any, known: list[str]) -> Any:
    """An instance of a model; None, with every mistake told, where the data does not fit it."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            keys = [*_siblings(model, fault["loc"]), *(known if len(fault["loc"]) == 1 else [])]
            wrong((*path, *_place(data, fault)), _sentence(fault, keys))
        return None


def _place(data: Any, fault: Any) -> Iterator[str | int]:
    """Where in the data something is wrong, without what pydantic puts into a path by itself: branches of unions."""
    for part in fault["loc"]:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and part in range(len(data))):
            data = data[part]
            yield part
    if fault["type"] == "missing":
        yield fault["loc"][-1]


def _siblings(model: type[BaseModel], where: tuple[int | str, ...]) -> list[str]:
    """The keys that the place has at which something is wrong."""
    current: Any = model
    for part in where[:-1]:
        field = current.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            current = next((arg for arg in (field.annotation, *getattr(field.annotation, "__args__", ()))
                            if isinstance(arg, type) and issubclass(arg, BaseModel)), current)  # fmt: skip
    return list(current.model_fields)


def _sentence(fault: Any, known: list[str]) -> str:
    """What was found and what was expected, for people."""
    kind, context = fault["type"], fault.get("ctx", {})
    found = shown(fault.get("input"))
    if kind == "extra_forbidden":
        return _unknown(str(fault["loc"][-1]), known)
    if kind == "missing":
        return "this key is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']:.15g}" if "ge" in context else f"at most {context['le']:.15g}"
        return f"found {found}, expected {bound}"
    if kind == "literal_error":
        return f"found {found}, expected {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"found {found}, expected {_PATTERNS.get(fault['loc'][-1], 'another form')}"
    return f"found {found}, expected {_KINDS[kind]}" if kind in _KINDS else f"found {found}: {fault['msg']}"


def _unknown(key: str, known: list[str]) -> str:
    """A key that is none, and the one that may be meant."""
    near = difflib.get_close_matches(key[:100], known, 1, 0.6)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; the keys here are {', '.join(known)}"


_PATTERNS: dict[object, str] = {
    "name": "a name of 1 to 32 letters, digits, _ and - after a letter or digit",
    "[key]": "a name of 1 to 64 letters, digits, ., _, @ and - after a letter or digit",
}
_KINDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "finite_number": "a whole number",
    "invalid_key": "a key that is text",
    "string_type": "text",
    "string_unicode": "text without lone surrogates",
    "string_too_long": "something shorter",
    "string_too_short": "something longer",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}


def _plain(text: str) -> str:
    """On one line, without what a terminal would obey, and not endless: the text may quote anything."""
    plain = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:MOST_WORDS])
    return plain if len(text) <= MOST_WORDS else f"{plain}…"


def cross_checks(data: dict[str, Any]) -> Iterator[tuple[yaml.Path, str]]:
    """What only the whole file shows. It works on raw data, so that it speaks though something else is wrong too."""
    ports = data.get("ports")
    if not isinstance(ports, dict):
        return
    yield from _devices(ports)
    yield from _same_value(ports, "mac")
    yield from check_mirrors(data, ports)
    fdb = data.get("fdb")
    static = fdb.get("static") if isinstance(fdb, dict) else None
    if isinstance(static, list):
        yield from _static(static, ports)


def _files(top: TopLevel) -> Iterator[tuple[yaml.Path, str]]:
    """What is wrong with the files that a configuration names."""
    tls = top.metrics.tls if top.metrics else None
    if tls is not None:
        try:
            server_context(tls.certificate, tls.key)
        except CredentialsError as error:
            yield ("metrics", "tls", error.key), str(error)


def _devices(ports: dict[str, Any]) -> Iterator[tuple[yaml.Path, str]]:
    """The same device twice."""
    seen: dict[object, str] = {}
    for name, port in ports.items():
        for kind in ATTACHMENTS if isinstance(port, dict) else ():
            device = _device(kind, port)
            if device is None:
                continue
            if device in seen:
                yield ("ports", name, kind), f"{port[kind]} is the device of port {seen[device]} already"
            seen.setdefault(device, name)


def _device(kind: str, port: dict[str, Any]) -> object:
    """What a port would be attached to, whatever is wrong with its other options; None where that cannot be told."""
    model = ATTACHMENTS[kind].options_type
    named = {key: port[key] for key in (kind, *model.identity) if key in port and key in model.model_fields}
    try:
        return model.model_validate(named).device()
    except ValidationError:
        return None


def _same_value(ports: dict[str, Any], key: str) -> Iterator[tuple[yaml.Path, str]]:
    seen: dict[str, str] = {}
    for name, port in ports.items():
        value = port.get(key) if isinstance(port, dict) else None
        same = _parsed(parse_station, value)
        if same is not None:
            if same in seen:
                yield ("ports", name, key), f"{value} is the address of port {seen[same]} already"
            seen.setdefault(same, name)


def _parsed(parse: Callable[[object], T], value: object) -> T | None:
    """None for what another check finds wrong."""
    try:
        return parse(value)
    except ValueError:
        return None


def _static(static: list[Any], ports: dict[str, Any]) -> Iterator[tuple[yaml.Path, str]]:
    """Entries of unknown ports, and two for one station."""
    seen: set[tuple[str | None, int | None]] = set()
    for index, entry in enumerate(static):
        if not isinstance(entry, dict):
            continue
        path: yaml.Path = ("fdb", "static", index)
        port, mac = entry.get("port"), entry.get("mac")
        if isinstance(port, str) and port not in ports:
            yield (*path, "port"), no_port(port, ports)
        station = _parsed(parse_station, mac), _parsed(parse_vid, entry.get("vlan", DEFAULT_VID))
        if None in station:
            continue
        if station in seen:
            yield (*path, "mac"), f"{mac} has a static entry in VLAN {station[1]} already"
        seen.add(station)
