"""YAML with positions: plain data, and for every key and value the line it stands on.

YAML 1.2's idea of a plain scalar, so that `52:54:00:11:22:33` is text and not a number of base 60, and only true and
false (and on and off, for switches) are booleans. Tags construct nothing; aliases cannot grow without bound.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import yaml

MOST_TEXT: Final = 8 * 1024 * 1024
MOST_NODES: Final = 500_000
MOST_DEPTH: Final = 50

Path = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final = {"": None, "~": None, "null": None, "true": True, "on": True, "false": False, "off": False}


class Mark(NamedTuple):
    """A place in a text; both count from one. file: empty for the one that is read, a name for one that it includes."""

    line: int
    column: int
    file: str = ""


class Mistake(NamedTuple):
    """Something that is wrong with the text itself, or a key that stands twice."""

    mark: Mark
    path: Path
    message: str


class Document(NamedTuple):
    """Data, where each part of it stands (a key's place, by the path to its value), and what is wrong."""

    data: Any
    marks: dict[Path, Mark]
    mistakes: list[Mistake]

    def mark(self, path: Path) -> Mark:
        """Where this part stands, or what is nearest around it."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, Mark(1, 1))


def load(text: str) -> Document:
    """Parse a text. Never raises: mistakes are in the document, whose data is then what could be read."""
    document = Document(None, {}, [])
    if len(text) > MOST_TEXT:
        return document._replace(mistakes=[Mistake(Mark(1, 1), (), f"the text is longer than {MOST_TEXT} characters")])
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        return document._replace(mistakes=[_syntax(error, text)])
    if node is None:
        return document
    builder = _Builder(document)
    try:
        return document._replace(data=builder.build(node, ()))
    except _TooMuchError as error:
        document.mistakes.append(Mistake(_mark(error.node), (), str(error)))
        return document


def _syntax(error: Exception, text: str) -> Mistake:
    """What keeps the text from being YAML, and where, as far as the parser knows."""
    mark, what = Mark(1, 1), str(error).partition("\n")[0]
    if isinstance(error, yaml.MarkedYAMLError):
        what = ", ".join(part for part in (error.context, error.problem) if part)
        if at := error.problem_mark or error.context_mark:
            mark = Mark(at.line + 1, at.column + 1)
    elif isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        what = f"the character U+{ord(text[error.position]):04X} cannot stand here"
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
    elif isinstance(error, RecursionError):
        what = "nested too deep"
    elif isinstance(error, OverflowError):
        what = "an escape names a character that does not exist"
    return Mistake(mark, (), f"not YAML: {what}")


class _TooMuchError(Exception):
    def __init__(self, node: yaml.Node, what: str) -> None:
        super().__init__(what)
        self.node = node


class _Builder:
    """Makes data of nodes, and notes where each part stands."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        if self._count > MOST_NODES or len(path) > MOST_DEPTH:
            raise _TooMuchError(node, "too many values, or nested too deep")
        self._document.marks.setdefault(path, _mark(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged += self._merged(value_node, path)
                continue
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self._wrong(key_node, path, "a key has to be plain text")
                continue
            here = (*path, key)
            if key in data:
                first = self._document.marks[here].line
                self._wrong(key_node, here, f"this key stands here for the second time; the first is on line {first}")
                continue
            self._document.marks[here] = _mark(key_node)
            data[key] = self.build(value_node, here)
        for source in merged:
            data = {**source, **data}
        return data

    def _merged(self, node: yaml.Node, path: Path) -> list[dict[str, Any]]:
        """What `<<:` brings in; the keys of the mapping itself go before."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        built = [self.build(source, (*path, "<<")) for source in sources]
        if all(isinstance(source, dict) for source in built):
            return built
        self._wrong(node, path, "<<: takes a mapping")
        return []

    def _wrong(self, node: yaml.Node, path: Path, message: str) -> None:
        self._document.mistakes.append(Mistake(_mark(node), path, message))


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if isinstance(node, yaml.ScalarNode) and node.style is not None:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
