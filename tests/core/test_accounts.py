"""What must add up in any history: proposals and their ends, what the microscope did and what the ledger says.

The histories are those of `test_histories`: faults, people, pauses, stops, shadows, policies that propose anything.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from phenoloop.model import Acquire, Decided, ExposuresSet, Measured, MeasurementFailed, RunEnded, VisitEnded
from tests.core.test_histories import HISTORY, Patient, world_of

TOLD = {"ok", "qc_fail", "missing", "late"}


def found(world: Patient, kind: type[Any]) -> list[Any]:
    return [message for message in world.log if isinstance(message, kind)]


@settings(deadline=None)
@given(history=HISTORY)
def test_every_proposal_ends_as_a_visit_or_as_a_denial_with_a_sentence(history: dict[str, Any]) -> None:
    world = world_of(history)
    sent = {message.visit.number: message.visit for message in found(world, Acquire)}
    made = [(decided.decision, proposal) for decided in found(world, Decided) for proposal in decided.proposals]
    accepted = {proposal.visit: (decision, proposal) for decision, proposal in made if proposal.visit > 0}
    assert accepted.keys() == sent.keys()
    assert list(sent) == list(range(1, len(sent) + 1)), "visits are numbered without gaps"
    for number, (decision, proposal) in accepted.items():
        visit = sent[number]
        assert proposal.verdict == "accepted"
        assert (visit.decision, visit.well, visit.profile) == (decision, proposal.well, proposal.profile)
        assert tuple(place.field for place in visit.fields) == proposal.fields != ()
    denied = [proposal for _, proposal in made if proposal.visit < 0]
    assert all(proposal.verdict not in ("", "accepted") for proposal in denied)
    told = [(r.well, r.profile, r.fields[0].reason) for r in world.machine.told if r.visit < 0]
    assert told == [(proposal.well, proposal.profile, proposal.verdict) for proposal in denied], "each is told once"


@settings(deadline=None)
@given(history=HISTORY)
def test_no_visit_and_no_image_is_lost_without_a_word(history: dict[str, Any]) -> None:
    world = world_of(history)
    sent = [message.visit for message in found(world, Acquire)]
    ended = {message.visit: message for message in found(world, VisitEnded)}
    over = [message.exit for message in found(world, RunEnded)]
    if over:
        assert sorted(ended) == [visit.number for visit in sent], "every visit ends, whatever people and faults did"
    for visit in sent:
        if end := ended.get(visit.number):
            kept = [frame.address for frame in (*end.frames, *end.missing)]
            assert sorted(kept, key=repr) == sorted(visit.frames(), key=repr), "each frame is stored, or missing"
    results = Counter((m.visit, m.field) for m in found(world, Measured | MeasurementFailed) if _counts(m))
    assert max(results.values(), default=1) == 1
    told = {result.visit: result for result in world.machine.told if result.visit > 0}
    assert list(told) == sorted(told), "in the order of the visits"
    for number, result in told.items():
        assert [field.field for field in result.fields] == [place.field for place in sent[number - 1].fields]
        assert {field.status for field in result.fields} <= TOLD
        assert all(field.reason for field in result.fields if field.status == "missing")
    if over in (["completed"], ["budget"]):
        assert len(told) == len(sent)


def _counts(result: Measured | MeasurementFailed) -> bool:
    return isinstance(result, Measured) or result.kind == "failed"


@settings(deadline=None)
@given(history=HISTORY)
def test_the_ledger_is_the_sum_of_what_was_exposed(history: dict[str, Any]) -> None:
    world = world_of(history)
    plan, ledger = world.machine.plan, world.machine.ledger
    ended = found(world, VisitEnded)
    exposed = sum(len(end.frames) + sum(gap.exposed for gap in end.missing) for end in ended)
    light_s = sum(sum(end.light_s.values()) for end in ended)
    assert plan.limits.frames is not None
    assert exposed <= plan.limits.frames
    if world.machine.untold:
        assert ledger.frames >= exposed, "what is not told is held back"
        return
    assert ledger.frames == exposed == sum(ledger.frames_in.values())
    assert ledger.disk_bytes == exposed * plan.frame_bytes
    visits = {message.visit.number: message.visit for message in found(world, Acquire)}
    times = Counter((visits[end.visit].well, field) for end in ended for field, light in end.light_s.items() if light)
    for well in plan.wells:
        for place in well.fields:
            assert ledger.visits_of(well.name, place.name) == times[well.name, place.name]
    metered_s = sum(sum(one.values()) for met in found(world, ExposuresSet) for one in met.light_s.values())
    assert sum(ledger.light.of_field.values()) == pytest.approx(light_s + metered_s, abs=1e-9)
