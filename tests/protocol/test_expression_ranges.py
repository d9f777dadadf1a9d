"""Where a condition can be true: proofs on named cases, and never a wrong proof on random ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenoloop.protocol.expression_ranges import MAX_BOXES, always, cases, never, together
from phenoloop.protocol.expression_spans import Range, span
from phenoloop.protocol.expressions import compile_table

RANGES = {
    "n": Range(0, 6, whole=True),
    "x": Range(-5, 5),
    "free": Range(),
    "sd": Range(0, math.inf, needs=(("n", 2.0),)),
    "treatment": Range(words=("vehicle", "drug")),
}
KINDS = {name: "number" if one.words is None else "text" for name, one in RANGES.items()}


def tree(source: str) -> Any:
    return compile_table(source, KINDS, "a test").tree


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        pytest.param("n < 3", "", id="may be either"),
        pytest.param("n < 0", "never", id="below the least"),
        pytest.param("n >= 0", "always", id="from the least on"),
        pytest.param("n > 6", "never", id="above the greatest"),
        pytest.param("n > 3 and n < 4", "never", id="between two whole numbers"),
        pytest.param("x > 3 and x < 4", "", id="between two numbers"),
        pytest.param("x > 3 and x <= 3", "never", id="open against closed"),
        pytest.param("x > 3 or x <= 3", "always", id="one or the other"),
        pytest.param("not x > 9", "always", id="negation"),
        pytest.param("0 <= n <= 6", "always", id="chain"),
        pytest.param("n in [7, 8]", "never", id="no member"),
        pytest.param("n not in [7, 8]", "always", id="not a member"),
        pytest.param("abs(x) > 5", "never", id="abs"),
        pytest.param("abs(x) > 2 and abs(x) <= 2", "never", id="the same expression twice"),
        pytest.param("x * x < -25.5", "never", id="product"),
        pytest.param("x / n > 1", "", id="a divisor that may be 0"),
        pytest.param("clip(x, 0, 1) > 1", "never", id="clip"),
        pytest.param("min(x, 2) > 2", "never", id="min"),
        pytest.param("sqrt(n) > 2.5", "never", id="root"),
        pytest.param("log10(n) > 1", "never", id="logarithm"),
        pytest.param("n % 3 > 3", "never", id="remainder"),
        pytest.param("free > 0.1 * x and free <= 0.1 * x", "never", id="two that vary"),
        pytest.param("free > x and x > free", "never", id="two that vary, turned round"),
        pytest.param("x > free and n > 6", "never", id="a part is never"),
        pytest.param("sd > 1 and n < 2", "never", id="not known there"),
        pytest.param("sd > 1 or n < 2", "", id="known or few"),
        pytest.param("treatment == 'vehicle' and treatment == 'drug'", "never", id="two words"),
        pytest.param("treatment == 'other'", "never", id="a word that is not there"),
        pytest.param("treatment in ['vehicle', 'drug']", "always", id="every word"),
        pytest.param("treatment != 'vehicle' and treatment != 'drug'", "never", id="no word"),
        pytest.param("1 < 2", "always", id="constant"),
        pytest.param("x < x", "never", id="itself"),
    ],
)
def test_proofs(source: str, finding: str) -> None:
    parsed = tree(source)
    found = ["never"] * never(parsed, RANGES) + ["always"] * always(parsed, RANGES)
    assert " ".join(found) == finding


def test_two_conditions_at_once() -> None:
    few = cases(tree("n < 3 or x > 2"), RANGES, True)
    assert not together(few, tree("n > 4 and x < 1"))
    assert together(few, tree("n > 4 and x > 1"))
    assert not together(few, tree("n < 9 or x > 0"), False)


def test_very_many_alternatives_are_given_up_not_counted() -> None:
    many = tree(" and ".join(f"(free != {i} or x != {i})" for i in range(14)))
    assert 0 < len(cases(many, RANGES, True)) <= MAX_BOXES
    assert 0 < len(cases(many, RANGES, False)) <= MAX_BOXES


_NUMBERS = st.recursive(
    st.sampled_from(["n", "x", "free", "0", "1", "2.5", "6"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/%"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(["abs", "sqrt", "log", "-"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
    ),
    max_leaves=4,
)
_PAIRS = st.tuples(_NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _NUMBERS)
_CONDITIONS = st.recursive(
    _PAIRS.map(" ".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda one: f"not ({one})"),
    ),
    max_leaves=4,
)
_POINTS = st.tuples(
    st.integers(0, 6),
    st.one_of(st.integers(-5, 5), st.floats(-5, 5)),
    st.one_of(st.integers(-3, 3), st.floats(-1e6, 1e6)),
)


@settings(max_examples=400, deadline=None)
@given(first=_CONDITIONS, second=_CONDITIONS, point=_POINTS)
def test_what_happens_was_never_ruled_out(first: str, second: str, point: tuple[float, float, float]) -> None:
    columns = {name: np.array([float(value)]) for name, value in zip(("n", "x", "free"), point, strict=True)}
    said = []
    for source in (first, second):
        condition = compile_table(source, KINDS, "a test")
        value = float(condition.evaluate(columns, 1)[0])
        assert not (value == 1 and never(condition.tree, RANGES))
        assert not (value == 0 and always(condition.tree, RANGES))
        said.append((condition.tree, value))
    if all(value == value for _, value in said):
        (one, truth), (other, its_truth) = said
        assert together(cases(one, RANGES, truth == 1), other, its_truth == 1)


def test_span() -> None:
    assert span(tree("x * 2 - n > 0").operands[0], RANGES) == (-16, 10)
