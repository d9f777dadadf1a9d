"""The story of a well, from messages alone: why each image, what was said, what became of it, what it changed."""

from __future__ import annotations

import dataclasses
import json

import pytest

from phenoloop.core import Decider, Machine, NamedPolicy
from phenoloop.model import Answered, Autonomy, Decided, Limits, Measured, Message, Plan, RunStarted, Setup
from phenoloop.policies.hits import Hits
from phenoloop.policies.sweep import Sweep
from phenoloop.questions.hits import HitsQuestion
from phenoloop.studies.simulator import simulate
from phenoloop.watch.story import Story
from phenoloop.watch.story_text import story_lines
from phenoloop.watch.storyteller import tell_story
from tests.watch.builders import CONTROLS, STRONG, make_plan

REJECTED = ("B2", "0")


class Fields:
    """Fields whose readout follows the well; one of them is out of focus."""

    def measured(self, well: str, field: str) -> Measured:
        value = 1.0 + STRONG.get(well, 0.0) + 0.1 * (int(field) % 3 - 1) + 0.05 * (ord(well[0]) % 3)
        status, reason = ("qc_fail", "out of focus") if (well, field) == REJECTED else ("ok", "")
        readouts = {"vesicles": value, "cells": 50.0}
        return Measured(at_s=0, visit=0, field=field, status=status, reason=reason, readouts=readouts, objects=50)


def setup_of(plan: Plan) -> Setup:
    return Setup(
        wells=tuple(well.name for well in plan.wells),
        fields=tuple(len(well.fields) for well in plan.wells),
        controls=CONTROLS,
        readout="vesicles",
        fields_per_visit=2,
        properties=tuple(well.properties for well in plan.wells),
    )


def decider(plan: Plan, kind: str) -> Decider:
    setup = setup_of(plan)
    hits = NamedPolicy(kind="hits", parameters={}, policy=Hits(Hits.Params(fields_per_visit=2), setup))
    sweep = NamedPolicy(kind="sweep", parameters={}, policy=Sweep(Sweep.Params(fields_per_visit=2), setup))
    return Decider(hits if kind == "hits" else sweep, sweep, plan)


def run(plan: Plan, kind: str = "hits") -> tuple[Message, ...]:
    return simulate(plan, decider(plan, kind), Fields()).messages


def story(plan: Plan, messages: tuple[Message, ...], well: str, kind: str = "hits") -> Story:
    setup = setup_of(plan)
    params = HitsQuestion.Params(readout="vesicles", controls="treatment == 'vehicle'")
    return tell_story("a-run", well, messages, plan, setup, decider(plan, kind), HitsQuestion(params, setup))


def text(told: Story) -> str:
    return "\n".join("  " * line.indent + line.text for line in story_lines(told))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return dataclasses.replace(make_plan(), retries=1, batch=8, in_flight=16)


@pytest.fixture(scope="module")
def messages(plan: Plan) -> tuple[Message, ...]:
    return run(plan)


def test_every_visit_of_the_well_has_its_chapter(plan: Plan, messages: tuple[Message, ...]) -> None:
    for well in ("A1", "C4", "D6"):
        made = [one for m in messages if isinstance(m, Decided) for one in m.proposals if one.well == well]
        told = story(plan, messages, well)
        assert [chapter.visit for chapter in told.chapters] == [one.visit for one in made]
        assert [chapter.why for chapter in told.chapters] == [one.why.text for one in made]
        fields = [outcome.field for chapter in told.chapters for outcome in chapter.outcomes]
        assert fields == [name for one in made for name in one.fields]


def test_what_was_known_before_and_after(plan: Plan, messages: tuple[Message, ...]) -> None:
    told = story(plan, messages, "C4")
    first = told.chapters[0]
    assert first.before is not None
    assert first.after is not None
    assert (first.before.fields, first.before.rank) == (0, None)
    assert first.after.fields == len(first.outcomes)
    assert told.now is not None
    assert told.now.call == "hit"
    assert told.now.rank in (1, 2)
    for one, other in zip(told.chapters, told.chapters[1:], strict=False):
        assert one.after is not None
        assert other.before is not None
        assert other.before.fields <= one.after.fields or one.visit < other.visit


def test_a_rejected_field_and_its_replacement(plan: Plan) -> None:
    told = story(plan, run(plan, "sweep"), "B2", "sweep")
    chapter, rejected = next(
        (chapter, one) for chapter in told.chapters for one in chapter.outcomes if one.status == "qc_fail"
    )
    assert (rejected.field, rejected.reason) == ("0", "out of focus")
    later = next(one for one in told.chapters if one.visit == rejected.replaced_by)
    assert later.visit > chapter.visit
    assert later.rule == "replace a rejected field"
    assert (
        f"field 0: rejected; vesicles 7.4, cells 50; out of focus; looked at again, or replaced, in visit {later.visit}"
        in text(told)
    )


def test_a_denial_is_told_with_the_words_of_the_guard(plan: Plan) -> None:
    tight = dataclasses.replace(plan, limits=Limits(frames=200, share_per_well=0.02))
    told = story(tight, run(tight, "sweep"), "C4", "sweep")
    denied = [chapter for chapter in told.chapters if not chapter.taken]
    assert denied
    assert all(chapter.outcomes == () or chapter.after is None for chapter in denied)
    assert f"denied: {denied[0].verdict}" in text(told)


@pytest.mark.parametrize(
    ("answer", "told_of"),
    [
        pytest.param("go", "field 0: under way", id="approved, and the journal ends there"),
        pytest.param("skip", "denied: vetoed by a person at the terminal", id="vetoed"),
    ],
)
def test_what_a_person_said(plan: Plan, answer: str, told_of: str) -> None:
    asking = dataclasses.replace(plan, autonomy=Autonomy(level="confirm"))
    machine = Machine(asking, decider(asking, "sweep"))
    started = RunStarted(at_s=0.0)
    messages: list[Message] = [started, *machine.handle(started)]
    said = Answered(at_s=0.0, decision=1, answer=answer, by="a person at the terminal", judged=True)
    messages += [said, *machine.handle(said)]
    told = story(asking, tuple(messages), "A1", "sweep")
    assert told.chapters[0].person == f"{answer}, said a person at the terminal"
    assert told_of in text(told)


def test_many_visits_for_one_reason_are_told_as_one(plan: Plan) -> None:
    one_by_one = dataclasses.replace(plan, retries=0, limits=Limits())
    setup = dataclasses.replace(setup_of(plan), fields_per_visit=1)
    sweep = NamedPolicy(kind="sweep", parameters={}, policy=Sweep(Sweep.Params(fields_per_visit=1), setup))
    messages = simulate(one_by_one, Decider(sweep, sweep, one_by_one), Fields()).messages
    fresh = NamedPolicy(kind="sweep", parameters={}, policy=Sweep(Sweep.Params(fields_per_visit=1), setup))
    told = tell_story("a-run", "D6", messages, one_by_one, setup, Decider(fresh, fresh, one_by_one), None)
    assert len(told.chapters) == 9
    assert "(7 visits, decisions" in text(told)


def test_a_well_that_nobody_asked_for(plan: Plan) -> None:
    told = story(plan, (), "D6")
    assert told.chapters == ()
    assert text(told).endswith("No image of it was taken, and no policy asked for one.")


def test_a_well_without_an_image_is_told_why_the_run_ended(plan: Plan, messages: tuple[Message, ...]) -> None:
    told = dataclasses.replace(story(plan, messages, "C4"), chapters=(), ended="the budget is used up")
    assert "No image of it was taken, and no policy asked for one. The run ended: the budget is used up." in text(told)


def test_a_mean_is_told_with_the_fields_behind_it_and_with_what_it_claims(
    plan: Plan, messages: tuple[Message, ...]
) -> None:
    """Images that only confirm have no part in it; they say how large the effect is."""
    told = story(plan, messages, "C4")
    assert told.now is not None
    looks = {True: 0, False: 0}
    for chapter in told.chapters:
        looks[chapter.rule == "confirm"] += sum(one.status == "ok" for one in chapter.outcomes)
    assert min(looks.values()) > 0
    assert told.now.fields == looks[False]
    assert f"from {looks[True]} fields that had no part in the call" in told.now.said
    assert "Intervals: 95 %, unit of replication: field, valid however often one looks." in text(told)


def test_a_look_at_few_objects_says_so(plan: Plan, messages: tuple[Message, ...]) -> None:
    told = story(plan, messages, "A1")
    first = told.chapters[0]
    one = dataclasses.replace(first.outcomes[0], status="ok", objects=3)
    few = dataclasses.replace(first, outcomes=(one, *first.outcomes[1:]))
    assert "from 3 objects only" in text(dataclasses.replace(told, chapters=(few,)))
    assert "objects only" not in text(told)


def test_it_is_json(plan: Plan, messages: tuple[Message, ...]) -> None:
    told = json.loads(json.dumps(story(plan, messages, "A1").to_json(), allow_nan=False))
    assert told["schema"] == "phenoloop.story/1"
    assert told["chapters"][0]["outcomes"][0]["readouts"]["cells"] == 50.0
