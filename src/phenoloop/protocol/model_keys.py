"""Which keys and kinds a model knows at a place: what a message lists, and where it looks for the nearest word."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, Tag


def keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the keys that are known at a place of a model; tags of unions in `loc` narrow the choice."""
    return list(dict.fromkeys(key for one in _models_at(model, loc) for key in keys(one)))


def kinds_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Return the kinds a block may have at a place of a model."""
    return list(dict.fromkeys(str(kind) for one in _models_at(model, loc) for kind in _kinds(one)))


def _models_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    here: list[type[BaseModel]] = [model]
    outer, key = here, ""
    for part in loc:
        if isinstance(part, int):
            continue
        if part.startswith("<"):  # the tag of one form of several
            here = [found for one in outer for found in _field_models(one, key, part)] or here
            continue
        outer, key = here, part
        inner = [found for one in here for found in _field_models(one, part)]
        here = inner or [one for one in here if part in _kinds(one)] or here
    return here


def keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model as a file writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _field_models(model: type[BaseModel], key: str, tag: str = "") -> list[type[BaseModel]]:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return list(_tagged(field.annotation, tag) if tag else models_in(field.annotation))
    return []


def _tagged(annotation: Any, tag: str) -> Iterable[type[BaseModel]]:
    marks = getattr(annotation, "__metadata__", ())
    if any(isinstance(mark, Tag) and mark.tag == tag for mark in marks):
        yield from models_in(annotation)
        return
    for part in typing.get_args(annotation):
        yield from _tagged(part, tag)


def models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    """Return the models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_in(part)


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("kind")
    return typing.get_args(field.annotation) if field is not None else ()


def inner_home(model: type[BaseModel], loc: Sequence[str | int], key: str) -> str | None:
    """Return the key, at a place of a model, of the block that knows `key`; None where none does."""
    for one in _models_at(model, loc):
        for name, field in one.model_fields.items():
            if any(key in keys(inner) for inner in models_in(field.annotation)):
                return field.alias or name
    return None
