from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenoloop import model as module
from phenoloop.model import Decided, Measured, Message, RunStarted, StoredFrame, VisitEnded
from phenoloop.model.codec import MESSAGES, from_dict, to_dict
from tests.storage.builders import acquire, address, ended

TEXT = st.text(max_size=8)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
FREE = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SIMPLE: Mapping[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(),
    float: FINITE,
    bool: st.booleans(),
    Any: FREE,
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation, found out here independently of the codec."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return st.builds(
            typing.cast("type[Any]", hint),
            **{field.name: values(hints[field.name]) for field in dataclasses.fields(hint)},
        )
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(TEXT, values(arguments[1]), max_size=3)
    if origin is types.UnionType:
        return st.one_of([st.none() if argument is types.NoneType else values(argument) for argument in arguments])
    raise AssertionError(f"the test does not know {hint}")


def test_every_message_of_the_model_can_be_written() -> None:
    assert set(MESSAGES) | {"Message", "Input", "Command"} == {
        name for name, found in vars(module).items() if isinstance(found, type) and issubclass(found, Message)
    }


@pytest.mark.parametrize("kind", [pytest.param(kind, id=name) for name, kind in MESSAGES.items()])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_round_trip_is_exact(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(values(kind))
    text = json.dumps(to_dict(message), allow_nan=False)
    again = from_dict(json.loads(text))
    assert again == message
    assert getattr(again, "wall", {}) == getattr(message, "wall", {})
    assert json.dumps(to_dict(again)) == text


def test_an_empty_wall_is_not_written_and_a_default_is() -> None:
    plain = to_dict(RunStarted(at_s=0.0))
    assert plain == {"type": "RunStarted", "at_s": 0.0, "plan_hash": ""}
    assert list(to_dict(RunStarted(at_s=0.0, wall={"ms": 1.0})))[-1] == "wall"


def test_mappings_keep_their_order() -> None:
    message = Measured(at_s=1.0, visit=1, field="0", readouts={"z": 1.0, "a": 2.0, "m": None})
    assert list(to_dict(message)["readouts"]) == ["z", "a", "m"]
    assert list(typing.cast("Measured", from_dict(to_dict(message))).readouts) == ["z", "a", "m"]


@pytest.mark.parametrize(
    "value", [pytest.param(math.nan, id="nan"), pytest.param(math.inf, id="inf"), pytest.param(-math.inf, id="-inf")]
)
def test_no_number_is_written_as_null_and_read_as_unknown(value: float) -> None:
    frame = StoredFrame(address=address(), exposure_ms=value, x_um=0.0, y_um=0.0, z_um=value, at_s=0.0)
    message = VisitEnded(at_s=0.0, visit=1, frames=(frame,), light_s={"0": value}, wall={"ms": [value]})
    plain = json.loads(json.dumps(to_dict(message), allow_nan=False))
    assert plain["frames"][0]["exposure_ms"] is None
    assert plain["wall"] == {"ms": [None]}
    again = typing.cast("VisitEnded", from_dict(plain))
    assert math.isnan(again.frames[0].exposure_ms)
    assert again.frames[0].z_um is None
    assert math.isnan(again.light_s["0"])


def test_numpy_values_become_plain_ones() -> None:
    message = Decided(
        decision=np.int64(3),  # type: ignore[arg-type]
        at_s=np.float64(0.1),
        policy="hits",
        parameters={"k": np.int32(4), "share": np.float32(0.5), "on": np.bool_(True), "order": (1, 2)},
        asked=2,
    )
    assert json.loads(json.dumps(to_dict(message))) == {
        "type": "Decided",
        "decision": 3,
        "at_s": 0.1,
        "policy": "hits",
        "parameters": {"k": 4, "share": 0.5, "on": True, "order": [1, 2]},
        "asked": 2,
        "told": 0,
        "proposals": [],
        "stop": "",
        "error": "",
        "shadow": None,
    }


def _changed(**changes: Any) -> dict[str, Any]:
    return to_dict(ended(acquire(1, "A1", ("0", 0, 0)))) | changes


def _first_frame(**changes: Any) -> dict[str, Any]:
    plain = to_dict(ended(acquire(1, "A1", ("0", 0, 0))))
    plain["frames"][0]["address"] |= changes
    return plain


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        pytest.param(_changed(type="VisitEndet"), "unknown type 'VisitEndet'", id="unknown type"),
        pytest.param(_changed(type=None), "unknown type None", id="no type"),
        pytest.param(_changed(type=["x"]), "unknown type", id="type is a list"),
        pytest.param(_changed(type="Message"), "unknown type", id="abstract type"),
        pytest.param(_changed(visits=1), "VisitEnded: unknown field 'visits'", id="unknown field"),
        pytest.param({"type": "VisitEnded", "at_s": 1.0}, "VisitEnded: missing field 'visit'", id="missing field"),
        pytest.param(_changed(visit=1.0), "VisitEnded.visit: expected int", id="float for int"),
        pytest.param(_changed(visit=True), "VisitEnded.visit: expected int", id="bool for int"),
        pytest.param(_changed(at_s="1"), "VisitEnded.at_s: expected float", id="text for float"),
        pytest.param(_changed(at_s=False), "VisitEnded.at_s: expected float", id="bool for float"),
        pytest.param(_changed(frames={}), "VisitEnded.frames: expected a list", id="object for list"),
        pytest.param(_changed(light_s=[]), "VisitEnded.light_s: expected an object", id="list for object"),
        pytest.param(_changed(light_s={"0": "x"}), "VisitEnded.light_s.0: expected float", id="value of a mapping"),
        pytest.param(_changed(frames=[3]), "VisitEnded.frames[0]: expected an object", id="number for object"),
        pytest.param(_first_frame(t="0"), "VisitEnded.frames[0].address.t: expected int", id="deep"),
        pytest.param(_first_frame(T=0), "VisitEnded.frames[0].address: unknown field 'T'", id="deep unknown field"),
    ],
)
def test_what_was_not_written_here_is_refused_with_its_place(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^" + message.replace("[", r"\[").replace("]", r"\]")):
        from_dict(plain)


@pytest.mark.parametrize(
    ("message", "place"),
    [
        pytest.param(RunStarted(at_s=0.0, plan_hash=typing.cast("str", 7)), "RunStarted.plan_hash", id="int for text"),
        pytest.param(VisitEnded(at_s=0.0, visit=typing.cast("int", 1.5)), "VisitEnded.visit", id="float for int"),
        pytest.param(RunStarted(at_s=0.0, wall={"when": object()}), "RunStarted.wall", id="object"),
        pytest.param(RunStarted(at_s=0.0, wall={"data": b"x"}), "RunStarted.wall", id="bytes"),
        pytest.param(RunStarted(at_s=0.0, wall=typing.cast("Any", {1: 2})), "RunStarted.wall", id="key is no text"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(message: Message, place: str) -> None:
    with pytest.raises(TypeError, match=place):
        to_dict(message)
