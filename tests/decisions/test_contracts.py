"""The contracts themselves: a plug-in that breaks a rule is found out, and the rule is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from phenoloop.model import Answer, Context, FieldReadout, Proposal, Setup, Stop, Visit, VisitResult, WellAnswer, Why
from phenoloop.policies.sweep import Sweep
from phenoloop.testing import assert_policy, assert_question


class Wrapped:
    """A sound policy, to be spoilt in one point."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.sound = Sweep(Sweep.Params(), setup)
        self.asked = 0

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        return self.sound.ask(k, context)

    def tell(self, visit: Visit, result: VisitResult) -> None:
        self.sound.tell(visit, result)

    def report(self) -> Mapping[str, Any]:
        return self.sound.report()


def wish(well: str, fields: int = 1, score: float = 1.0, text: str = "because") -> Proposal:
    return Proposal(well=well, fields=fields, score=score, why=Why(rule="rule", text=text))


class Remembers(Wrapped):
    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        self.asked += 1
        return super().ask(k, context)


class Greedy(Wrapped):
    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        return super().ask(k + 1, context)


class Elsewhere(Wrapped):
    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        return [wish("P24")]


class Unbounded(Wrapped):
    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        return [wish("A1", fields=99)]


class Nan(Wrapped):
    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        return [wish("A1", score=float("nan"))]


class Silent(Wrapped):
    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        return [wish("A1", text="")]


class Unprintable(Wrapped):
    def report(self) -> Mapping[str, Any]:
        return {"wells": {"A1"}}


class Gambler(Wrapped):
    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        left = [well for well, fields in context.fields_left.items() if fields]
        return [wish(left[id(self) % len(left)])] if left else Stop(reason="done")


class StopsWithoutReason(Wrapped):
    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        return Stop(reason="")


@pytest.mark.parametrize(
    ("policy", "error", "rule"),
    [
        pytest.param(Remembers, AssertionError, "ask changed the policy", id="state in ask"),
        pytest.param(Greedy, AssertionError, "proposals for k=", id="more than asked for"),
        pytest.param(Elsewhere, AssertionError, "not a selected well", id="a well of another plate"),
        pytest.param(Unbounded, AssertionError, "99 fields of A1", id="more fields than are left"),
        pytest.param(Nan, AssertionError, "score nan", id="a score that is no number"),
        pytest.param(Silent, AssertionError, "needs a sentence", id="no reason"),
        pytest.param(Unprintable, TypeError, "JSON", id="a report that is no JSON"),
        pytest.param(Gambler, AssertionError, "its twin differs", id="chance of its own"),
        pytest.param(StopsWithoutReason, AssertionError, "must give its reason", id="a silent stop"),
    ],
)
def test_broken_policies_are_found(policy: type[Wrapped], error: type[Exception], rule: str) -> None:
    with pytest.raises(error, match=rule):
        assert_policy(policy)


def test_the_sound_one_passes() -> None:
    assert_policy(Wrapped)


class Question:
    """Calls nothing; spoilt below."""

    call: str | None = None

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def summary(self, fields: Sequence[FieldReadout]) -> Mapping[str, object]:
        return {}

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        said = WellAnswer(call=self.call, evidence=None, rank=None, interval=None)
        return Answer(wells=dict.fromkeys(self.setup.wells, said), summary=self.summary(fields), notes=())


class Rash(Question):
    call = "hit"


class Orderly(Question):
    def summary(self, fields: Sequence[FieldReadout]) -> Mapping[str, object]:
        return {"first": fields[0].well if fields else None}


class Forgetful(Question):
    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        return Answer(wells={}, summary={}, notes=())


@pytest.mark.parametrize(
    ("question", "rule"),
    [
        pytest.param(Rash, "called without any data", id="calls on no data"),
        pytest.param(Orderly, "order of the fields", id="depends on the order"),
        pytest.param(Forgetful, "names every selected well", id="leaves wells out"),
    ],
)
def test_broken_questions_are_found(question: type[Question], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        assert_question(question)


def test_the_question_that_claims_nothing_passes() -> None:
    assert_question(Question)
