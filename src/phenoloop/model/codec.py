"""How a message becomes plain JSON values and comes back: read off the annotations, never written by hand."""

from __future__ import annotations

import dataclasses
import math
import operator
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from phenoloop.model import commands, messages, records
from phenoloop.model.messages import Command, Input, Message

Convert: TypeAlias = Callable[[Any], Any]
Decode: TypeAlias = Callable[[Any, str], Any]

MESSAGES: Final[Mapping[str, type[Message]]] = types.MappingProxyType(
    {
        name: found
        for room in (messages, records, commands)
        for name, found in vars(room).items()
        if isinstance(found, type) and issubclass(found, Message) and found not in (Message, Input, Command)
    }
)
"""Every message that can be written, by its name in a journal."""

_ENCODERS: Final[dict[type[Any], Convert]] = {}
_DECODERS: Final[dict[type[Any], Decode]] = {}


def to_dict(message: Message) -> dict[str, Any]:
    """Return a message as values that JSON can hold.

    ``type`` comes first, then every field in the order of its class, then ``wall``, which is left out while it is
    empty. Fields that hold their default are written too: a journal must not change its meaning when a default does.
    Numbers that are not finite become None, because JSON has no word for them; floats are otherwise exact.

    Parameters
    ----------
    message : Message
        Any message; its free mappings may hold str, bool, int, float, None, numpy scalars, lists, tuples, mappings.

    Raises
    ------
    TypeError
        If a value is not of the kind that the annotation promises, so that it could not be read back.
    """
    kind = type(message)
    plain: dict[str, Any] = {"type": kind.__name__}
    plain.update(_encoder(kind)(message))
    if "wall" in plain:
        wall = plain.pop("wall")
        if wall:
            plain["wall"] = wall
    return plain


def from_dict(plain: Mapping[str, Any]) -> Message:
    """Return the message that `to_dict` wrote.

    Strict: an unknown type, an unknown field, a missing field without default and a value of the wrong kind are
    errors. None in the place of a float is NaN.

    Raises
    ------
    ValueError
        With the dotted place of what is wrong, e.g. ``VisitEnded.frames[0].address.t: expected int, found 'x'``.
    """
    name = plain.get("type")
    kind = MESSAGES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"unknown type {name!r}; known: {', '.join(MESSAGES)}")
    fields = {key: value for key, value in plain.items() if key != "type"}
    decoded: Message = _decoder(kind)(fields, kind.__name__)
    return decoded


# -- to plain values ----------------------------------------------------------------------------------------------


def _encoder(kind: type[Any]) -> Convert:
    """Return the function that turns a dataclass into a dict; built once per class because it runs in the loop."""
    if found := _ENCODERS.get(kind):
        return found
    hints = typing.get_type_hints(kind)
    converters = tuple((field.name, _convert(hints[field.name])) for field in dataclasses.fields(kind))

    def encode(instance: Any) -> dict[str, Any]:
        plain = {}
        for name, convert in converters:
            try:
                plain[name] = convert(getattr(instance, name))
            except (TypeError, ValueError) as error:
                raise TypeError(f"{kind.__name__}.{name}: {error}") from error
        return plain

    _ENCODERS[kind] = encode
    return encode


def _convert(hint: Any) -> Convert:
    if simple := _SIMPLE.get(hint):
        return simple
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _encoder(typing.cast("type[Any]", hint))
    if origin is tuple:
        item = _convert(arguments[0])
        return lambda value: [item(entry) for entry in value]
    if origin is Mapping:
        item = _convert(arguments[1])
        return lambda value: {_text(key): item(entry) for key, entry in value.items()}
    if inner := _optional(arguments):
        item = _convert(inner)
        return lambda value: None if value is None else item(value)
    raise TypeError(f"a message cannot hold {hint}")


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"expected text, found {value!r}")


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _truth(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"expected true or false, found {value!r}")


def _free(value: Any) -> Any:
    """Return any JSON-ready value with tuples as lists, numpy scalars as Python's, and no NaN."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, np.generic):
        return _free(value.item())
    if isinstance(value, Mapping):
        return {_text(key): _free(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_free(entry) for entry in value]
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


_SIMPLE: Final[Mapping[Any, Convert]] = {
    str: _text,
    int: operator.index,
    float: _number,
    bool: _truth,
    Any: _free,
}


# -- and back -----------------------------------------------------------------------------------------------------


def _decoder(kind: type[Any]) -> Decode:
    """Return the function that builds a dataclass from a dict; built once per class."""
    if found := _DECODERS.get(kind):
        return found
    hints = typing.get_type_hints(kind)
    decoders = {field.name: _decode(hints[field.name]) for field in dataclasses.fields(kind)}
    required = frozenset(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )

    def decode(plain: Any, where: str) -> Any:
        if not isinstance(plain, Mapping):
            raise ValueError(f"{where}: expected an object, found {plain!r}")
        if unknown := plain.keys() - decoders.keys():
            raise ValueError(f"{where}: unknown field {min(unknown)!r}")
        if missing := required - plain.keys():
            raise ValueError(f"{where}: missing field {min(missing)!r}")
        return kind(**{name: decoders[name](value, f"{where}.{name}") for name, value in plain.items()})

    _DECODERS[kind] = decode
    return decode


def _decode(hint: Any) -> Decode:
    if hint in _ACCEPTED:
        accepted = _ACCEPTED[hint]

        def plain(value: Any, where: str) -> Any:
            # bool is an int to Python, and must not pass for one here.
            if type(value) not in accepted:
                raise ValueError(f"{where}: expected {hint.__name__}, found {value!r}")
            return value

        return plain
    if hint is float:
        return _decode_number
    if hint is Any:
        return lambda value, _: value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _decoder(typing.cast("type[Any]", hint))
    if origin is tuple:
        item = _decode(arguments[0])

        def items(value: Any, where: str) -> Any:
            if not isinstance(value, list):
                raise ValueError(f"{where}: expected a list, found {value!r}")
            return tuple(item(entry, f"{where}[{index}]") for index, entry in enumerate(value))

        return items
    if origin is Mapping:
        item = _decode(arguments[1])

        def pairs(value: Any, where: str) -> Any:
            if not isinstance(value, Mapping):
                raise ValueError(f"{where}: expected an object, found {value!r}")
            return {key: item(entry, f"{where}.{key}") for key, entry in value.items()}

        return pairs
    if inner := _optional(arguments):
        item = _decode(inner)
        return lambda value, where: None if value is None else item(value, where)
    raise TypeError(f"a message cannot hold {hint}")


def _decode_number(value: Any, where: str) -> float:
    if value is None:
        return math.nan
    if type(value) not in (float, int):
        raise ValueError(f"{where}: expected float, found {value!r}")
    return float(value)


_ACCEPTED: Final[Mapping[Any, tuple[type, ...]]] = {str: (str,), int: (int,), bool: (bool,)}


def _optional(arguments: tuple[Any, ...]) -> Any:
    """Return X of ``X | None``, or None when it is something else."""
    if len(arguments) == 2 and types.NoneType in arguments:
        return next(argument for argument in arguments if argument is not types.NoneType)
    return None
