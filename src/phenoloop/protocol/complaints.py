"""What an error of validation means to whoever wrote the file: what stands there, what is needed, the way out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from phenoloop.errors import Problem
from phenoloop.protocol.model_keys import inner_home, keys_at, kinds_at
from phenoloop.protocol.names import nearest
from phenoloop.protocol.nested import PART
from phenoloop.protocol.yaml_source import COMMA_TRAP, Path, Source

_BLOCK: Final = frozenset({"model_type", "dict_type", "model_attributes_type"})
_LIST: Final = frozenset({"list_type", "tuple_type"})
_NEEDED: Final = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "text"}
_BOUNDS: Final = {
    "greater_than": ("gt", "is too little: it must be above"),
    "greater_than_equal": ("ge", "is too little: at least"),
    "less_than": ("lt", "is too much: it must be below"),
    "less_than_equal": ("le", "is too much: at most"),
}
_FORMS: Final = {PART: "a name has letters, digits, spaces, - and _, at most 40, and begins with a letter or digit"}
_MEASURE: Final = re.compile(r"\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*(\S+)\s*")


def complaint(
    model: type[BaseModel],
    detail: ErrorDetails,
    source: Source,
    prefix: Path,
    also: Sequence[str] = (),
    others: Sequence[ErrorDetails] = (),
) -> Problem:
    """Return one error of validation as a problem of the file.

    Parameters
    ----------
    model : type
        What the part was validated against.
    detail : ErrorDetails
        The error.
    source, prefix : Source, tuple
        The file, and where the part stands in it.
    also : sequence of str
        Keys that stand there and belong to another model.
    others : sequence of ErrorDetails
        Why the same value is none of the other forms that it could have.
    """
    loc: Path = (*prefix, *detail["loc"])
    found = source.find(loc)
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(model, detail, source, loc, also)
    if kind == "missing":
        here = f" in {'this item' if found and isinstance(found[-1], int) else found[-1]}" if found else ""
        if isinstance(loc[-1], int):
            return source.problem(found, f"the list is too short: item {loc[-1] + 1} is needed")
        return source.problem((*found, loc[-1]), f"the key {loc[-1]!r} is needed{here}", key=True)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_kind(source, found, context, kinds_at(model, detail["loc"]))
    if given is None:
        return source.problem(found, f"{found[-1] if found else 'this'!r} has no value", key=True)
    if kind in ("literal_error", "enum"):
        choices = [*_choices(context), *(_form(model, other) for other in others)]
        said = f"{given!r} is not understood{nearest(str(given), choices)} (one of {', '.join(choices)})"
        return source.problem(found, said)
    if kind in _BLOCK:
        return source.problem(found, _no_block(given, keys_at(model, detail["loc"])))
    return source.problem(found, _said(kind, detail["msg"], given, context, source.value(found)))


def _unknown_key(
    model: type[BaseModel], detail: ErrorDetails, source: Source, loc: Path, also: Sequence[str]
) -> Problem:
    word, found = str(loc[-1]), source.find(loc)
    if detail["input"] is None:
        return source.problem(found, f"unknown key {word!r}; if it is part of a value, {COMMA_TRAP}", key=True)
    known = [*(also if len(detail["loc"]) == 1 else ()), *keys_at(model, detail["loc"][:-1])]
    hint = nearest(word, known)
    if not hint and (home := inner_home(model, detail["loc"][:-1], word)) is not None:
        hint = f"; it is a key of `{home}`"
    listed = f" (keys: {', '.join(known)})" if known else ""
    return source.problem(found, f"unknown key {word!r}{hint}{listed}", key=True)


def _unknown_kind(source: Source, found: Path, context: Mapping[str, Any], choices: Sequence[str]) -> Problem:
    listed = f" (one of {', '.join(choices)})" if choices else ""
    if "tag" not in context:
        return source.problem(found, f"the key 'kind' is needed here{listed}", key=True)
    tag = str(context["tag"])
    return source.problem((*found, "kind"), f"unknown kind {tag!r}{nearest(tag, choices)}{listed}")


def _choices(context: Mapping[str, Any]) -> list[str]:
    words = str(context.get("expected", "")).replace(" or ", ", ")
    return [part.strip(" '") for part in words.split(",") if part.strip(" '")]


def _form(model: type[BaseModel], other: ErrorDetails) -> str:
    """Return another form that a value could have had."""
    kind = other["type"]
    if kind in _BLOCK:
        known = keys_at(model, other["loc"])
        return f"a block with the keys {', '.join(known)}" if known else "a block"
    return "a list" if kind in _LIST else _NEEDED.get(kind.partition("_")[0], "another form")


def _no_block(given: Any, known: Sequence[str]) -> str:
    said = f"{_short(given)} stands where a mapping of keys to values is needed"
    if isinstance(given, list):
        return f"{said}; leave out the '-' or the [ ]"
    if "kind" in known and isinstance(given, str):
        return f"{said}, such as {{kind: {given}}}"
    return f"{said} (keys: {', '.join(known)})" if known else said


def _said(kind: str, message: str, given: Any, context: Mapping[str, Any], written: Any) -> str:
    if kind in _LIST:
        like = f"[{given}]" if isinstance(given, str) else "[a, b]"
        return f"{_short(given)} stands where a list is needed, like {like}"
    if kind == "string_type":
        return f"{_short(given)} stands where text is needed; put it in quotes if it is meant as text"
    if kind == "too_short" and not given:
        return "nothing stands here; name at least one"
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern"))
        return f"{_short(given)} is not understood; {_FORMS.get(pattern, f'it must fit {pattern}')}"
    if kind in ("value_error", "assertion_error"):
        return message.split(", ", 1)[-1]
    if kind in _BOUNDS:
        name, said = _BOUNDS[kind]
        return f"{_short(written if _plain(written) else given)} {said} {_bound(context[name], given, written)}"
    if kind == "int_parsing_size":
        return f"{_short(written if _plain(written) else given)} is too large a number"
    if (needed := _NEEDED.get(kind.partition("_")[0])) is not None and kind.endswith(("_type", "_parsing", "_float")):
        return f"{_short(given)} stands where {needed} is needed"
    said = message[:1].lower() + message[1:] if message.startswith("Input ") else message
    return said.replace("input should", f"{_short(given)} should", 1)


def _bound(bound: Any, given: Any, written: Any) -> str:
    """Return a bound in the unit in which the value is written."""
    measure = _MEASURE.fullmatch(written) if isinstance(written, str) else None
    if measure is None or not bound:
        return f"{bound:g}"
    number, unit = float(measure[1]), measure[2]
    if unit == "%":
        return f"{bound * 100:g} %"
    return f"{bound * number / given:g} {unit}" if isinstance(given, int | float) and given else f"{bound:g}"


def _plain(given: Any) -> bool:
    return isinstance(given, str | int | float) and not isinstance(given, bool)


def _short(given: Any) -> str:
    if isinstance(given, bool):
        return str(given).lower()  # as it is written in the file
    text = repr(given) if isinstance(given, str | int | float) else f"a {type(given).__name__}"
    return {"a dict": "a mapping", "a list": "a list"}.get(text, text if len(text) <= 40 else text[:37] + "...")
