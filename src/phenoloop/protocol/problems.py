"""From what pydantic says to what a user reads: each error at its key in the file, with the nearest valid name."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from phenoloop.errors import Problem, ProtocolError
from phenoloop.protocol.names import nearest, nearest_word
from phenoloop.protocol.quantities import STRICT
from phenoloop.protocol.yaml_source import COMMA_TRAP, Path, Source

Model = TypeVar("Model", bound=BaseModel)
Part = TypeVar("Part")


class Problems:
    """Collects what is wrong, so that a user sees all of it at once."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, *problems: Problem) -> None:
        """Take in problems; one that was told already is not told twice."""
        self._found.extend(problem for problem in problems if problem not in self._found)

    def need(self, part: Part | None) -> Part:
        """Return a part without which nothing more can be checked; where it is missing, its problem is raised."""
        if part is None:
            self.stop()
            raise RuntimeError("a part of the protocol is missing and no problem was told")
        return part

    def stop(self) -> None:
        """Raise all of them, in the order of the files' lines, if there are any."""
        if self._found:
            files = list(dict.fromkeys(problem.file for problem in self._found))
            raise ProtocolError(*sorted(self._found, key=lambda one: (files.index(one.file), one.line or 0)))


def validate(
    model: type[Model],
    data: Mapping[str, Any],
    source: Source,
    problems: Problems,
    path: Path = (),
    also: Iterable[str] = (),
) -> Model | None:
    """Validate one part of a file against a model.

    Parameters
    ----------
    model : type
        A pydantic model.
    data : mapping
        The part, plain.
    source : Source
        The file, for places.
    problems : Problems
        Gets what is wrong.
    path : tuple
        Where the part stands in the file.
    also : iterable of str
        Keys that stand there and belong to another model.

    Returns
    -------
    BaseModel or None
        None if anything was wrong.
    """
    try:
        return model.model_validate(dict(data), context={STRICT: True})
    except ValidationError as error:
        details = error.errors(include_url=False)
        known = list(also)
        explained = {meant for detail in details if (meant := _meant(model, detail, known))}
        for detail in details:
            # A misspelt key is one mistake, not an unknown key and a missing one; nor is a list too short because what
            # stands in it is wrong.
            wrong_inside = detail["type"] == "too_short" and _has_inside(detail["loc"], details)
            if not wrong_inside and (detail["type"] != "missing" or detail["loc"] not in explained):
                problems.add(_problem(model, detail, source, path, known))
        return None


def _has_inside(loc: Path, details: Sequence[ErrorDetails]) -> bool:
    return any(len(one["loc"]) > len(loc) and one["loc"][: len(loc)] == loc for one in details)


def _meant(model: type[BaseModel], detail: ErrorDetails, also: Sequence[str]) -> Path | None:
    if detail["type"] != "extra_forbidden":
        return None
    near = nearest_word(str(detail["loc"][-1]), [*keys_at(model, detail["loc"][:-1]), *also])
    return None if near is None else (*detail["loc"][:-1], near)


def _problem(
    model: type[BaseModel], detail: ErrorDetails, source: Source, prefix: Path, also: Sequence[str]
) -> Problem:
    loc: Path = (*prefix, *detail["loc"])
    found = source.find(loc)
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        word = str(loc[-1])
        if given is None:
            return source.problem(found, f"unknown key {word!r}; if it is part of a value, {COMMA_TRAP}", key=True)
        known = [*(also if len(detail["loc"]) == 1 else ()), *keys_at(model, detail["loc"][:-1])]
        hint = nearest(word, known)
        listed = f" (keys: {', '.join(known)})" if known else ""
        return source.problem(found, f"unknown key {word!r}{hint}{listed}", key=True)
    if kind == "missing":
        here = f" in {'this item' if found and isinstance(found[-1], int) else found[-1]}" if found else ""
        return source.problem((*found, loc[-1]), f"the key {loc[-1]!r} is needed{here}", key=True)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_kind(source, found, context, kinds_at(model, detail["loc"]))
    if given is None:
        return source.problem(found, f"{found[-1] if found else 'this'!r} has no value", key=True)
    if kind in ("literal_error", "enum"):
        choices = _choices(context)
        return source.problem(
            found, f"{given!r} is not understood{nearest(str(given), choices)} (one of {', '.join(choices)})"
        )
    return source.problem(found, _said(kind, detail["msg"], given, context))


def _unknown_kind(source: Source, found: Path, context: Mapping[str, Any], choices: Sequence[str]) -> Problem:
    listed = f" (one of {', '.join(choices)})" if choices else ""
    if "tag" not in context:
        return source.problem(found, f"the key 'kind' is needed here{listed}", key=True)
    tag = str(context["tag"])
    return source.problem((*found, "kind"), f"unknown kind {tag!r}{nearest(tag, choices)}{listed}")


def _choices(context: Mapping[str, Any]) -> list[str]:
    words = str(context.get("expected", "")).replace(" or ", ", ")
    return [part.strip(" '") for part in words.split(",") if part.strip(" '")]


def _said(kind: str, message: str, given: Any, context: Mapping[str, Any]) -> str:
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{_short(given)} stands where a mapping of keys to values is needed"
    if kind in ("list_type", "tuple_type"):
        return f"{_short(given)} stands where a list is needed, like [a, b]"
    if kind == "string_type":
        return f"{_short(given)} stands where text is needed; put it in quotes if it is meant as text"
    if kind in ("value_error", "assertion_error"):
        return message.split(", ", 1)[-1]
    said = message.split(", unable to parse")[0]
    for name, bound in context.items():
        if name in ("gt", "ge", "lt", "le") and isinstance(given, str) and given.rstrip().endswith("%"):
            said = said.replace(f"{bound:g}", f"{bound * 100:g} %")
    said = said[:1].lower() + said[1:] if said.startswith("Input ") else said
    return said.replace("input should", f"{_short(given)} should", 1)


def _short(given: Any) -> str:
    text = repr(given) if isinstance(given, str | int | float | bool) else f"a {type(given).__name__}"
    return {"a dict": "a mapping", "a list": "a list"}.get(text, text if len(text) <= 40 else text[:37] + "...")


def keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the keys that are known at a place of a model; tags of unions in `loc` narrow the choice."""
    return list(dict.fromkeys(key for one in _models_at(model, loc) for key in keys(one)))


def kinds_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the kinds a block may have at a place of a model."""
    return list(dict.fromkeys(str(kind) for one in _models_at(model, loc) for kind in _kinds(one)))


def _models_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    here: list[type[BaseModel]] = [model]
    for part in loc:
        if isinstance(part, int):
            continue
        inner = [found for one in here for found in _field_models(one, part)]
        here = inner or [one for one in here if part in _kinds(one)] or here
    return here


def keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model as a file writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _field_models(model: type[BaseModel], key: str) -> list[type[BaseModel]]:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return list(models_in(field.annotation))
    return []


def models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    """Return the models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_in(part)


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("kind")
    return typing.get_args(field.annotation) if field is not None else ()
