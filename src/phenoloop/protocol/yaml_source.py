"""Where in its file every key and value stands: YAML 1.2 text to plain data, with a line and a column for each path."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.tokens import ScalarToken

from phenoloop.errors import Problem, ProtocolError

Path = tuple[str | int, ...]
"""Keys and list indices from the root of the file."""

COMMA_TRAP: Final = "a comma inside { } ends the value: put the expression in quotes"
_MAX_NODES: Final = 20_000
_MAX_DEPTH: Final = 32
_TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key and its value begin; one-based.

    `offset` is how far the text of a value is from its beginning: 1 inside quotes, None where it begins a line later.
    """

    line: int
    column: int
    key_line: int
    key_column: int
    offset: int | None = 0


@dataclass(slots=True)
class Source:
    """A YAML file as plain data that remembers its places.

    Attributes
    ----------
    file : str
        Path as the user gave it.
    lines : list of str
        Its text.
    data : dict
        Plain values.
    places : dict of path to Place
        Every key and every item.
    """

    file: str
    lines: list[str]
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, Place] = field(default_factory=dict)

    def at(self, message: str, line: int | None, column: int | None = None, where: str = "") -> Problem:
        """Return a problem at a line and column of this file."""
        source = self.lines[line - 1] if line is not None and 0 < line <= len(self.lines) else ""
        return Problem(message, self.file, line, column, where, source)

    def problem(
        self, path: Sequence[str | int], message: str, *, key: bool = False, within: int | None = None
    ) -> Problem:
        """Return a problem at a path.

        Parameters
        ----------
        path : sequence of str or int
            Keys and indices; parts that are not in the file (a missing key, the tag of a union) are passed over.
        message : str
            What is wrong and the way out.
        key : bool
            Point at the key rather than at its value.
        within : int, optional
            Offset inside the text of the value, for an expression.
        """
        found = self.find(path)
        place = self.places.get(found)
        where = dotted(path)
        if place is None:  # the root: point at its first key
            place = next(iter(self.places.values()), Place(1, 1, 1, 1))
            key = True
        # What begins on a later line is a block; its key says better what is meant than its first line.
        if key or len(found) < len(path) or place.line > place.key_line:
            return self.at(message, place.key_line, place.key_column, where)
        inside = 0 if within is None or place.offset is None else place.offset + within
        return self.at(message, place.line, place.column + inside, where)

    def find(self, path: Sequence[str | int]) -> Path:
        """Return the longest part of `path` that stands in the file."""
        found: Path = ()
        for part in path:
            if (*found, part) in self.places:
                found = (*found, part)
        return found

    def has(self, *path: str | int) -> bool:
        """Return whether a path stands in the file."""
        return path in self.places


def dotted(path: Sequence[str | int]) -> str:
    """Return ``imaging.channels[1].exposure``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(text: str, file: str, *, what: str = "protocol") -> Source:
    """Parse the text of a YAML 1.2 file that holds one mapping.

    Parameters
    ----------
    text : str
        Content of the file.
    file : str
        Path to name in messages.
    what : str
        Noun for messages.

    Raises
    ------
    ProtocolError
        For bad syntax, duplicate keys, tabs, an empty file, or anything but a mapping; with line and column.
    """
    source = Source(file, text.splitlines())
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        raise ProtocolError(_open_quote(source, text) or _syntax_problem(source, error)) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ProtocolError(
            source.at(f"the character {error.character!r} has no place in a text file", line)
        ) from error
    except (YAMLError, RecursionError) as error:
        raise ProtocolError(source.at(f"this cannot be read as YAML: {error}", 1)) from error
    if node is None or (isinstance(node, MappingNode) and not node.value):
        raise ProtocolError(source.at(f"the {what} is empty", 1, 1))
    if not isinstance(node, MappingNode):
        raise ProtocolError(source.at(f"a {what} is a mapping of keys to values, like 'name: my-run'", 1, 1))
    source.data = _Builder(source).mapping(node, ())
    return source


def _syntax_problem(source: Source, error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = min(mark.line + 1, max(len(source.lines), 1)) if mark else None
    column = mark.column + 1 if mark else None
    said = str(error.problem or error)
    context = str(error.context or "")
    if "\\t" in said:
        said = "a tab; YAML is indented by spaces"
    elif "quoted scalar" in context:
        start = error.context_mark
        line, column = (start.line + 1, start.column + 1) if start else (line, column)
        said = "a quote is opened here and never closed"
    elif "mapping values are not allowed" in said:
        said = "a second ':' in one value; put the value in quotes, or begin a new line"
    elif "flow mapping" in context and "expected ',' or '}'" in said:
        said += "; inside { } put text that holds , [ ] { } or ': ' in quotes"
    elif "flow" in context and error.context_mark is not None and ("<" in said or "':'" in said):
        start = error.context_mark
        line, column = start.line + 1, start.column + 1
        said = "a bracket is opened here and not closed, or holds text that needs quotes"
    elif "<block end>" in said:
        said = "this line is not indented like the lines it belongs to"
    elif "another document" in said:
        said = "a second document begins here; a file holds one"
    elif "cannot start any token" in said:
        said += "; put the value in quotes"
    return source.at(said, line, column)


def _open_quote(source: Source, text: str) -> Problem | None:
    """Return the problem of a quote that swallowed the lines after it, found from the tokens before the error."""
    try:
        for token in YAML(typ="safe", pure=True).scan(text):
            if (
                isinstance(token, ScalarToken)
                and token.style in ("'", '"')
                and token.start_mark.line != token.end_mark.line
            ):
                start = token.start_mark
                said = f"the quote that is opened here is not closed before line {token.end_mark.line + 1}"
                return source.at(said, start.line + 1, start.column + 1)
    except MarkedYAMLError:
        return None  # the scanner stops where the reader did
    return None


class _Builder:
    """Nodes to plain values; scalars by the YAML 1.2 core schema, dates stay text."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen = 0

    def _fail(self, node: Node, message: str, where: str = "") -> ProtocolError:
        mark = node.start_mark
        return ProtocolError(self._source.at(message, mark.line + 1, mark.column + 1, where))

    def value(self, node: Node, path: Path) -> Any:
        self._seen += 1
        if self._seen > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise self._fail(node, "the file is nested too deeply, or its anchors repeat too much", dotted(path[:3]))
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            return self._sequence(node, path)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        raise self._fail(node, "this has no place in such a file", dotted(path))

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        self._plain_tag(node, "map", path)
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, value_node, path, flow=bool(node.flow_style))
            inner = (*path, key)
            if key in found:
                raise self._fail(
                    key_node, f"the key {key!r} stands here twice; the first is in line {lines[key]}", dotted(inner)
                )
            lines[key] = key_node.start_mark.line + 1
            self._remember(inner, value_node, key_node)
            found[key] = self.value(value_node, inner)
        return found

    def _key(self, key_node: Node, value_node: Node, path: Path, *, flow: bool) -> str:
        if isinstance(value_node, ScalarNode) and value_node.value == "" and value_node.style is None:
            # `{x: clip(a, 0, 10)}` is x: "clip(a", 0: null, "10)": null. No colon follows such a key.
            mark = key_node.end_mark
            after = self._source.lines[mark.line][mark.column :].lstrip() if mark.line < len(self._source.lines) else ""
            if flow and not after.startswith(":"):
                raise self._fail(key_node, COMMA_TRAP, dotted(path))
            said = f"the key {key_node.value!r} has no value; give one or take the key out"
            if not flow:
                said += ", and indent what belongs under it"
            raise self._fail(key_node, said, dotted(path))
        if not isinstance(key_node, ScalarNode):
            raise self._fail(key_node, "a key is a word", dotted(path))
        if key_node.tag == f"{_TAG}merge":
            raise self._fail(key_node, "merge keys (<<) are not understood; write the keys out", dotted(path))
        return str(key_node.value)

    def _sequence(self, node: SequenceNode, path: Path) -> list[Any]:
        self._plain_tag(node, "seq", path)
        found = []
        for index, item in enumerate(node.value):
            inner = (*path, index)
            self._remember(inner, item, item)
            found.append(self.value(item, inner))
        return found

    def _remember(self, path: Path, node: Node, key: Node) -> None:
        start, key_start = node.start_mark, key.start_mark
        self._source.places[path] = Place(
            line=start.line + 1,
            column=start.column + 1,
            key_line=key_start.line + 1,
            key_column=key_start.column + 1,
            offset={"'": 1, '"': 1, "|": None, ">": None}.get(str(getattr(node, "style", "")), 0),
        )

    def _plain_tag(self, node: Node, kind: str, path: Path) -> None:
        if node.tag != f"{_TAG}{kind}":
            raise self._fail(node, f"the tag {node.tag!r} is not understood; leave it out", dotted(path))

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        kind, text = str(node.tag).removeprefix(_TAG), str(node.value)
        if kind in ("str", "timestamp"):
            return text
        if kind == "null":
            return None
        if kind == "bool":
            if text.lower() not in ("true", "false"):
                raise self._fail(node, f"{text!r} is no truth value of YAML 1.2; write true or false", dotted(path))
            return text.lower() == "true"
        if kind == "int":
            return _integer(text)
        if kind == "float":
            return _real(text)
        raise self._fail(node, f"the tag {node.tag!r} is not understood; leave it out", dotted(path))


def _integer(text: str) -> int:
    return int(text.replace("_", ""), 0) if re.match(r"[-+]?0[xob]", text) else int(text.replace("_", ""), 10)


def _real(text: str) -> float:
    word = text.lower().replace("_", "")
    if word.lstrip("+-") == ".inf":
        return -math.inf if word.startswith("-") else math.inf
    return math.nan if word == ".nan" else float(word)
