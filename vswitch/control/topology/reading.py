"""Reading a topology: from a file and those that it includes, a text or JSON, with every mistake at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vswitch.control.config import yaml
from vswitch.control.config.reading import ConfigError
from vswitch.control.topology import parts
from vswitch.control.topology.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vswitch.control.topology.layout import LabConfig


def read(path: Path) -> LabConfig:
    """The topology in a file and those that it includes. Raises ConfigError."""
    return build(parts.assemble(path), str(path))


def load(text: str, file: str = "") -> LabConfig:
    """The topology in a text. Raises ConfigError with every mistake, each with its line."""
    return build(parts.expand(yaml.load(text)), file)


def validate(data: object) -> LabConfig:
    """The topology in data that came as JSON. Raises ConfigError with every mistake."""
    return build(parts.expand(yaml.Document(data, {(): yaml.Mark(0, 0)}, [])), "")


def renamed(data: Mapping[str, Any] | str, name: str) -> LabConfig:
    """The topology in a text or a mapping, under another name than it may have. Raises ConfigError."""
    document = yaml.load(data) if isinstance(data, str) else yaml.Document(dict(data), {(): yaml.Mark(0, 0)}, [])
    if isinstance(document.data, dict):
        document.data["name"] = name
    return build(parts.expand(document), "")


def build(document: yaml.Document, file: str) -> LabConfig:
    """The topology in a document whose parts are put together. Raises ConfigError with every mistake."""
    mistakes = list(document.mistakes)

    def wrong(path: yaml.Path, message: str) -> None:
        mistakes.append(yaml.Mistake(document.mark(path), path, message))

    if not isinstance(document.data, dict):
        if not mistakes:
            wrong((), "a topology is a mapping with at least `name:`, `switches:` and `guests:`")
        raise ConfigError.of(mistakes, file)
    if "ports" in document.data and not document.data.keys() & {"switches", "guests", "links", "include"}:
        wrong(("ports",), "this is one switch, not a topology: use `vswitch check`, `run` and so on")
        raise ConfigError.of(mistakes, file)
    builder = Builder(document.data, wrong)
    lab = builder.build()
    if mistakes or lab is None:
        raise ConfigError.of(mistakes, file)
    return lab
