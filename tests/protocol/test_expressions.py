"""The expression language: what it computes, what is unknown, and all that it refuses."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phenoloop.protocol.expression_syntax import MAX_DEPTH, MAX_LENGTH, parse
from phenoloop.protocol.expressions import ExpressionError, compile_readout, compile_well, object_names

NAMES = object_names(["DNA", "GFP"], ["vesicles"])
COLUMNS = {
    "area": np.array([10.0, 20.0, 30.0, 40.0]),
    "vesicles.count": np.array([0, 1, 5, 2]),
    "vesicles.area": np.array([np.nan, 4.0, 6.0, 5.0]),
    "DNA.mean": np.array([1.0, 2.0, np.nan, 101.0]),
    "edge": np.array([1.0, 0.0, 0.0, 1.0]),
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param("count()", 4, id="objects"),
        pytest.param("count(area > 15)", 3, id="objects that"),
        pytest.param("count(vesicles.area > 4)", 2, id="unknown is not counted"),
        pytest.param("mean(vesicles.count)", 2, id="mean"),
        pytest.param("mean(vesicles.area)", 5, id="mean of the known"),
        pytest.param("mean(vesicles.count, area > 15)", 8 / 3, id="mean where"),
        pytest.param("mean(area, vesicles.area > 0)", 30, id="where unknown is left out"),
        pytest.param("median(area)", 25, id="median"),
        pytest.param("sum(vesicles.count)", 8, id="sum"),
        pytest.param("sum(area, area > 1000)", 0, id="sum of nothing"),
        pytest.param("mean(area, area > 1000)", None, id="mean of nothing"),
        pytest.param("fraction(area > 15)", 0.75, id="fraction"),
        pytest.param("fraction(vesicles.area > 4)", 2 / 3, id="fraction of the known"),
        pytest.param("fraction(area > 15, edge == 0)", 1, id="fraction where"),
        pytest.param("quantile(area, 0.5)", 25, id="quantile"),
        pytest.param("quantile(area, 1, edge == 0)", 30, id="quantile where"),
        pytest.param("min(area) + max(area)", 50, id="extremes"),
        pytest.param("min(area, edge == 0)", 20, id="smallest where"),
        pytest.param("mean(max(area, 25))", (25 + 25 + 30 + 40) / 4, id="larger of two"),
        pytest.param("min(count(), 3)", 3, id="smaller of two field numbers"),
        pytest.param("mean(clip(area, 15, 35))", 25, id="clip"),
        pytest.param("mean(abs(area - 25))", 10, id="abs"),
        pytest.param("max(log10(area))", math.log10(40), id="log10"),
        pytest.param(
            "mean(log(area - 10))", (math.log(10) + math.log(20) + math.log(30)) / 3, id="log of 0 is unknown"
        ),
        pytest.param("mean(sqrt(0 - area))", None, id="root of a negative is unknown"),
        pytest.param("mean(area) / count(area > 99)", None, id="division by zero is unknown"),
        pytest.param("count() % 3", 1, id="remainder"),
        pytest.param("-2 * (1 + 2) - -1", -5, id="signs"),
        pytest.param("2 - 3 - 4", -5, id="left to right"),
        pytest.param("count(z(DNA.mean) > 4)", 1, id="robust z finds the rare one"),
        pytest.param("count(10 < area <= 30)", 2, id="chained comparison"),
        pytest.param("count(not area > 15 or edge == 1)", 2, id="logic"),
        pytest.param("count(area in [10, 40])", 2, id="membership"),
        pytest.param("count(area not in (10, 40))", 2, id="no membership"),
        pytest.param("fraction(area > mean(area))", 0.5, id="aggregate inside an aggregate"),
        pytest.param("sum(area) / sum(vesicles.count)", 12.5, id="ratio of sums"),
    ],
)
def test_readout(source: str, value: float | None) -> None:
    found = compile_readout(source, NAMES).evaluate(COLUMNS, 4)
    assert found == (value if value is None else pytest.approx(value, rel=1e-12))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param("count()", 0.0, id="count"),
        pytest.param("sum(area)", 0.0, id="sum"),
        pytest.param("mean(area)", None, id="mean"),
        pytest.param("fraction(area > 1)", None, id="fraction"),
        pytest.param("median(z(area))", None, id="z"),
        pytest.param("max(area)", None, id="max"),
    ],
)
def test_readout_of_an_empty_field(source: str, value: float | None) -> None:
    assert compile_readout(source, NAMES).evaluate({"area": np.array([])}, 0) == value


def test_readout_knows_what_it_looks_at() -> None:
    readout = compile_readout("mean(vesicles.count, area > 3) / mean(area)", NAMES)
    assert readout.names_used == ("vesicles.count", "area")
    assert not readout.uses_count
    assert compile_readout("1 + count(area > 3)", NAMES).uses_count
    assert pickle.loads(pickle.dumps(readout)).evaluate(COLUMNS, 4) == readout.evaluate(COLUMNS, 4)
    with pytest.raises(KeyError):
        readout.evaluate({"area": np.array([1.0])}, 1)


MAP = {"treatment": "text", "dose": "number"}


@pytest.mark.parametrize(
    ("source", "treatment", "dose", "holds"),
    [
        pytest.param("treatment == 'vehicle'", "vehicle", 1, True, id="equal"),
        pytest.param("treatment != 'vehicle'", "vehicle", 1, False, id="not equal"),
        pytest.param("treatment == 'vehicle'", None, 1, None, id="empty word is unknown"),
        pytest.param("treatment != 'vehicle'", None, 1, None, id="empty word is not different either"),
        pytest.param("treatment in ['a', 'b']", "b", 1, True, id="one of"),
        pytest.param("treatment not in ['a', 'b']", None, 1, None, id="empty word in a list"),
        pytest.param("dose > 1", "a", None, None, id="empty number is unknown"),
        pytest.param("dose > 1 or treatment == 'a'", "a", None, True, id="true wins over unknown"),
        pytest.param("dose > 1 and treatment == 'b'", "a", None, False, id="false wins over unknown"),
        pytest.param("not dose > 1", "a", None, None, id="not unknown"),
        pytest.param("0.1 <= dose < 10", "a", 0.1, True, id="range"),
        pytest.param("log10(dose) > 0", "a", 0, None, id="log of zero"),
        pytest.param("min(dose, 3) == 3", "a", 9, True, id="min of two"),
        pytest.param("1 < 2", "a", 1, True, id="constant"),
    ],
)
def test_well_condition(source: str, treatment: str | None, dose: float | None, holds: bool | None) -> None:
    assert compile_well(source, MAP).evaluate({"treatment": treatment, "dose": dose}) is holds


TRUTH = {True: "dose > 0", False: "dose < 0", None: "gap > 0"}


def kleene(operator: str, left: bool | None, right: bool | None) -> bool | None:
    known = {left, right}
    decided = operator == "or"
    if decided in known:
        return decided
    return None if None in known else not decided


conditions = st.recursive(
    st.sampled_from([(TRUTH[value], value) for value in (True, False, None)]),
    lambda inner: st.one_of(
        inner.map(lambda one: (f"not ({one[0]})", None if one[1] is None else not one[1])),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda three: (f"({three[0][0]}) {three[1]} ({three[2][0]})", kleene(three[1], three[0][1], three[2][1]))
        ),
    ),
    max_leaves=6,
)


@given(conditions)
def test_three_valued_logic_is_kleenes(condition: tuple[str, bool | None]) -> None:
    source, value = condition
    compiled = compile_well(source, {"dose": "number", "gap": "number"})
    assert compiled.evaluate({"dose": 1.0, "gap": None}) is value


@given(
    st.lists(st.one_of(st.floats(allow_nan=True, allow_infinity=False, width=32), st.just(math.nan)), max_size=12),
    st.sampled_from(
        [
            "mean(area)",
            "median(area)",
            "max(area)",
            "fraction(area > 0)",
            "sum(z(area))",
            "quantile(area, 0.3)",
            "mean(1 / area)",
        ]
    ),
)
def test_a_readout_is_finite_or_unknown_and_never_raises(values: list[float], source: str) -> None:
    found = compile_readout(source, NAMES).evaluate({"area": np.array(values)}, len(values))
    assert found is None or math.isfinite(found)


@pytest.mark.parametrize(
    ("source", "at", "said"),
    [
        pytest.param("mean(vesicles.cuont)", 5, "did you mean 'count'", id="feature"),
        pytest.param("mean(GPF.mean)", 5, "did you mean 'GFP'", id="channel"),
        pytest.param("mean(aera)", 5, "did you mean 'area'", id="shape feature"),
        pytest.param("mean(DNA)", 5, "write DNA.<feature>", id="channel alone"),
        pytest.param("maen(area)", 0, "did you mean 'mean'", id="function"),
        pytest.param("mean", 0, "mean is a function", id="function alone"),
        pytest.param("area", 0, "one number per object", id="no aggregate"),
        pytest.param("area > 1", 0, "write fraction(...)", id="condition"),
        pytest.param("mean(1)", 5, "per object", id="aggregate of a constant"),
        pytest.param("mean(mean(area))", 5, "per object", id="mean of a mean"),
        pytest.param("fraction(area)", 9, "needs a condition", id="fraction of numbers"),
        pytest.param("mean(area > 1)", 5, "needs a number", id="mean of a condition"),
        pytest.param(
            "mean(area, edge)", 11, "the second argument of mean() needs a condition", id="number for a condition"
        ),
        pytest.param("count(area)", 6, "needs a condition", id="count of numbers"),
        pytest.param("quantile(area, 90)", 0, "from 0 to 1", id="quantile in percent"),
        pytest.param("quantile(area)", 0, "write quantile(value, q)", id="quantile without q"),
        pytest.param("clip(mean(area), 1)", 0, "3 arguments", id="clip of two"),
        pytest.param("mean(area) = 1", 11, "write ==", id="assignment"),
        pytest.param("mean(area) && 1", 11, "write 'and'", id="C and"),
        pytest.param("mean(area) and 1", 0, "'and' works on conditions", id="and of numbers"),
        pytest.param("not mean(area)", 4, "'not' works on conditions", id="not of a number"),
        pytest.param("mean(area) + 'x'", 13, "quoted word has no place", id="word in a readout"),
        pytest.param("mean(area", 9, "the expression ends here", id="not closed"),
        pytest.param("mean(area) 2", 11, "expected an operator", id="no operator"),
        pytest.param("  ", 0, "empty", id="blank"),
    ],
)
def test_readout_error_says_where_and_the_way_out(source: str, at: int, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_readout(source, NAMES)
    assert said in caught.value.message
    assert caught.value.at == at


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("treatment == vehicle", "Words are put in quotes", id="no quotes"),
        pytest.param("treatmnt == 'a'", "did you mean 'treatment'", id="column"),
        pytest.param("dose == 'a'", "the column 'dose' holds numbers", id="number against word"),
        pytest.param("treatment > 'a'", "== , != and in only", id="order of words"),
        pytest.param("dose in ['a']", "a number is compared with a text", id="word in a list of numbers"),
        pytest.param("treatment + 'a' == 'b'", "'+' works on numbers", id="sum of words"),
        pytest.param("dose", "a condition is needed", id="no condition"),
        pytest.param("mean(dose) > 1", "over objects", id="aggregate"),
        pytest.param("(dose > 1) == (dose > 2)", "cannot be compared", id="comparison of comparisons"),
    ],
)
def test_well_error_says_the_way_out(source: str, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_well(source, MAP)
    assert said in caught.value.message


HOSTILE = [
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "open('/etc/hostname').read()",
    "eval('1')",
    "exec('import os')",
    "9**9**9",
    "1 << 10 ** 9",
    "[0] * 10 ** 9",
    "'a' * 10 ** 9",
    "(lambda: 1)()",
    "[x for x in (1, 2)]",
    "{1: 2}",
    "area if 1 else 2",
    "area := 1",
    "f'{area}'",
    "area.__class__",
    "mean.__globals__",
    "vesicles.count.real",
    "mean(*area)",
    "mean(**area)",
    "mean(x=area)",
    "area[0]",
    "area; count()",
    "count()\nimport os",
    "import os",
    "while 1: 1",
    "yield 1",
    "await x",
    "print(1)",
    "globals()",
    "getattr(area, 'x')",
    "'%s' % area",
    "'\\x41'",
    '"""a"""',
    "area @ area",
    "~area",
    "area and",
    "1e999",
    "0x41",
    "1_000",
    "area is area",
    "count(\u0430rea > 1)",
    "\uff4d\uff45\uff41\uff4e(area)",
    "(" * 400,
    "-" * 450 + "1",
    "not " * 120 + "area > 1",
    "1" + "+1" * 240,
    "mean(" * 60 + "area" + ")" * 60,
    "9" * 490,
    "a" * 10_000_000,
    "count(area in [" + "1," * 230 + "1])",
]


@pytest.mark.parametrize("source", HOSTILE, ids=[f"{n:02d} {source[:24]!r}" for n, source in enumerate(HOSTILE)])
@pytest.mark.parametrize(
    "compiler",
    [
        pytest.param(lambda source: compile_readout(source, NAMES), id="readout"),
        pytest.param(lambda source: compile_well(source, {"area": "number", "treatment": "text"}), id="well"),
    ],
)
def test_hostile_expression_is_refused(source: str, compiler: Callable[[str], object]) -> None:
    with pytest.raises(ExpressionError):
        compiler(source)


def test_the_caps_leave_room_for_honest_expressions() -> None:
    assert parse("(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1))
    assert parse("1 + " * 50 + "1")
    with pytest.raises(ExpressionError, match="500 are allowed"):
        parse("1" + " " * MAX_LENGTH)
