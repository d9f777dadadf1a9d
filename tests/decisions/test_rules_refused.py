"""Rules that are refused when a protocol is loaded: each mistake at its place, and nothing hostile gets in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model import (
    Limits,
    Setup,
)
from phenoloop.policies.templates import compile_template
from phenoloop.protocol.expression_syntax import ExpressionError
from tests.decisions.hostile import COSTLY, EXPRESSIONS, TEXTS
from tests.decisions.plates import READOUT
from tests.decisions.ruled import FIRST, PLATE, rule, rules


def problems(*given_rules: Mapping[str, Any], plate: Setup = PLATE, **params: Any) -> list[tuple[str, int | None, str]]:
    with pytest.raises(ProtocolError) as found:
        rules(*given_rules, plate=plate, **params)
    return [(one.where, one.column, one.message) for one in found.value.problems]


ONE = {"image": {"fields": 1}}
TWO = {"image": {"fields": 2}}


@pytest.mark.parametrize(
    ("given_rules", "where", "said"),
    [
        pytest.param([rule("a", "n_field < 1", ONE)], "0.when", "did you mean 'n_fields'?", id="unknown name"),
        pytest.param([rule("a", "signal > 1", ONE)], "0.when", "no 'signal'", id="a field's name about wells"),
        pytest.param([rule("a", "n_fields", ONE)], "0.when", "this is a number", id="no condition"),
        pytest.param([rule("a", "treatment > 1", ONE)], "0.when", "words", id="a word compared with a number"),
        pytest.param([rule("a", "n_fields > 6", ONE)], "0.when", "never true (n_fields is 0 to 6)", id="never"),
        pytest.param([rule("a", "missing_share <= 1", ONE)], "0.when", "always true", id="always"),
        pytest.param([rule("a", "mean_signal > 9", ONE)], "0.when", "never true", id="never, by the declared range"),
        pytest.param([rule("a", "treatment == 'drugs'", ONE)], "0.when", "never true", id="a word that no well has"),
        pytest.param(
            [rule("a", "mean_signal > 3", ONE, clear="mean_signal > 2")], "0.clear", "hold at once", id="no gap"
        ),
        pytest.param(
            [rule("a", "mean_signal > 3", ONE, clear="n_fields > 8")], "0.clear", "never go off", id="never cleared"
        ),
        pytest.param(
            [rule("a", "n_fields < 2", ONE), rule("b", "n_fields < 1", TWO)], "1.when", "let one exclude", id="at odds"
        ),
        pytest.param(
            [rule("a", "mean_signal > 3", ONE, clear="mean_signal < 2"), rule("b", "mean_signal < 2.5", TWO)],
            "1.when",
            "where n_fields is 1 to 6",
            id="at odds while one is held on",
        ),
        pytest.param(
            [rule("a", "n_fields < 2", ONE), rule("b", "n_fields < 4", {"leave": "well"})],
            "1.when",
            "never images",
            id="always left",
        ),
        pytest.param([FIRST, FIRST], "1.name", "two rules are called 'first'", id="twice the name"),
        pytest.param([rule("confirm", "n_fields < 1", ONE)], "0.name", "a word of phenoloop's own", id="reserved"),
        pytest.param(
            [rule("a", "n_fields < 1", {"image": {"profile": "closup"}})],
            "0.do.image.profile",
            "did you mean 'closeup'?",
            id="profile",
        ),
        pytest.param([{**FIRST, "because": "{n_feld}"}], "0.because", "did you mean 'n_fields'?", id="name in because"),
        pytest.param(
            [rule("a", "plate_fields > 3", {"stop": "at {at_s:s}"})], "0.do.stop", "is no form", id="form in a stop"
        ),
    ],
)
def test_refused(given_rules: list[Mapping[str, Any]], where: str, said: str) -> None:
    found = problems(*given_rules, ranges={READOUT: (0, 8)})
    assert [one[0] for one in found] == [f"policy.rules.{where}"]
    assert said in found[0][2]


@pytest.mark.parametrize(
    "given_rules",
    [
        pytest.param([rule("a", "n_fields < 2", ONE), rule("b", "n_fields >= 2", TWO)], id="one after the other"),
        pytest.param([rule("a", "n_fields < 2", ONE), rule("b", "sd_signal > 1", TWO)], id="known later"),
        pytest.param(
            [rule("a", "z_signal > 0.1 * at_s", ONE), rule("b", "z_signal <= 0.1 * at_s", TWO)], id="two that vary"
        ),
        pytest.param([rule("a", "well == 'A1'", ONE), rule("b", "well in ['A2', 'A3']", TWO)], id="other wells"),
        pytest.param([rule("a", "n_fields < 2", ONE), rule("b", "n_fields < 3", ONE)], id="the same wish"),
        pytest.param([FIRST, rule("dark", "mean_signal < 0", {"leave": "well"})], id="left when it is known"),
        pytest.param(
            [rule("a", "n_fields < 2", ONE), rule("b", "signal > 2", {"image": {}}, level="field")], id="other levels"
        ),
    ],
)
def test_not_at_odds(given_rules: list[Mapping[str, Any]]) -> None:
    rules(*given_rules)


def test_a_rule_without_any_budget_is_refused() -> None:
    found = problems(FIRST, plate=replace(PLATE, limits=Limits()))
    assert [one[0] for one in found] == ["policy.rules.0"]
    assert "nothing bounds what 'first' may spend" in found[0][2]
    rules({**FIRST, "limits": {"fields": 9}}, plate=replace(PLATE, limits=Limits()))


def test_rules_of_which_none_begins_are_refused() -> None:
    with pytest.raises(ProtocolError, match="no rule is on before anything was seen"):
        rules(rule("a", "mean_signal > 1", ONE)).try_alone()
    rules(FIRST).try_alone()


@pytest.mark.parametrize("source", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_hostile_expressions_are_refused(source: str) -> None:
    ((where, column, said),) = problems({**FIRST, "when": source})
    assert where == "policy.rules.0.when"
    assert column is not None
    assert 1 <= column <= len(source) + 1
    assert len(said) < 400


def test_there_are_forty_of_them() -> None:
    assert len(EXPRESSIONS) >= 40
    assert len(set(EXPRESSIONS.values())) == len(EXPRESSIONS)


def test_a_costly_one_is_read_all_the_same() -> None:
    rules({**FIRST, "when": COSTLY})


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_hostile_reasons_are_refused(text: str) -> None:
    ((where, column, _),) = problems({**FIRST, "because": text})
    assert where == "policy.rules.0.because"
    assert column is not None
    assert 1 <= column <= len(text) + 1


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("plain", "plain", id="nothing to fill"),
        pytest.param("{a} and {b}", "0.3333 and word", id="names"),
        pytest.param("{a:.1f}, {a:.0%}, {a:.2e}", "0.3, 33%, 3.33e-01", id="forms"),
        pytest.param("{{{a:.1g}}}", "{0.3}", id="braces"),
        pytest.param("{none}", "unknown", id="not known"),
        pytest.param("", "", id="empty"),
    ],
)
def test_templates(source: str, text: str) -> None:
    kinds = {"a": "number", "b": "text", "none": "number"}
    assert compile_template(source, kinds).fill({"a": 1 / 3, "b": "word", "none": None}) == text


def test_a_template_points_at_the_mistake() -> None:
    with pytest.raises(ExpressionError) as found:
        compile_template("ab {nam}", {"name": "number"})
    assert (found.value.at, "did you mean 'name'" in found.value.message) == (4, True)
