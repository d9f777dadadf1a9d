"""YAML 1.2 text to plain values, by the core schema; each value keeps its place in the file."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from phenoloop.errors import ProtocolError
from phenoloop.protocol.yaml_source import COMMA_TRAP, Path, Place, Source, dotted
from phenoloop.protocol.yaml_syntax import open_quote, syntax_problem

_MAX_NODES: Final = 20_000
_MAX_DEPTH: Final = 32
_MAX_DIGITS: Final = 300
"""Python refuses to read some thousand digits; no number here needs more than these."""
_TAG: Final = "tag:yaml.org,2002:"


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
        raise ProtocolError(open_quote(source, text) or syntax_problem(source, error)) from error
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
            if len(text) > _MAX_DIGITS:
                raise self._fail(node, f"a number of {len(text)} digits is not understood", dotted(path))
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
