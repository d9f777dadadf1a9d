"""``policy: precise`` for groups of wells: the well is the unit, so replicate wells come before more fields of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model import Pending, Proposal, Setup, Stop
from phenoloop.policies.precise import Precise
from phenoloop.questions.mean import MeanQuestion
from phenoloop.testing import assert_policy
from tests.decisions.plates import CONTROLS, READOUT, WELLS, context, draw, readouts, setup, told


def grouped(by: str = "treatment") -> Setup:
    return dataclasses.replace(setup(), by=by)


def tell(policy: Precise, counts: Mapping[str, int], seed: int = 1, well_sd: float = 0.3) -> None:
    values = draw(seed, {}, well_sd=well_sd)
    for well, n in counts.items():
        row = values[WELLS.index(well)]
        policy.tell(*told(well, {str(f): float(row[f]) for f in range(n)}))


def proposals(answer: Sequence[Proposal] | Stop) -> list[Proposal]:
    assert not isinstance(answer, Stop), answer
    return list(answer)


@pytest.mark.parametrize("params", [{"half_width": 0.6}, {"relative": 0.3, "fields_per_visit": 2}], ids=str)
def test_contract(params: dict[str, float]) -> None:
    assert_policy(lambda given: Precise(Precise.Params.model_validate({**params, "by": "treatment"}), given))


def test_every_look_goes_to_a_well_not_yet_imaged_while_there_is_one() -> None:
    policy = Precise(Precise.Params(half_width=0.2), grouped())
    assert len({p.well for p in proposals(policy.ask(24, context()))}) == 24
    tell(policy, dict.fromkeys([*CONTROLS[:4], WELLS[1], WELLS[2], WELLS[4]], 2))
    seen = {*CONTROLS[:4], WELLS[1], WELLS[2], WELLS[4]}
    asked = proposals(policy.ask(10, context(left=dict.fromkeys(seen, 4))))
    assert not seen & {p.well for p in asked}
    assert {p.why.rule for p in asked} == {"widest group"}


def test_the_groups_of_the_question_are_used_and_the_policy_may_name_others() -> None:
    rows = tuple({"treatment": "drug", "batch": str(i % 2)} for i in range(len(WELLS)))
    plate = dataclasses.replace(setup(), by="treatment", properties=rows)
    assert set(Precise(Precise.Params(half_width=1), plate).report()["groups"]) == {"drug"}
    assert set(Precise(Precise.Params(half_width=1, by="batch"), plate).report()["groups"]) == {"0", "1"}
    assert "groups" not in Precise(Precise.Params(half_width=1), setup()).report()


def test_pending_counts_and_the_second_field_of_a_well_comes_last() -> None:
    policy = Precise(Precise.Params(half_width=0.05), grouped())
    tell(policy, dict.fromkeys(WELLS[:20], 1), well_sd=0.0)
    pending = [Pending(visit=90 + i, well=well, fields=1) for i, well in enumerate(WELLS[20:])]
    left = dict.fromkeys(WELLS, 5)
    asked = proposals(policy.ask(24, context(left=left, pending=pending)))
    for group in (CONTROLS, [well for well in WELLS if well not in CONTROLS]):
        fields = [p.why.numbers["fields"] for p in asked if p.well in group]
        assert fields
        assert fields[0] == 1.0
        assert fields == sorted(fields)


def test_stops_when_the_groups_are_narrow_and_when_wells_differ_too_much() -> None:
    narrow = Precise(Precise.Params(half_width=5.0), grouped())
    tell(narrow, dict.fromkeys(WELLS, 2))
    assert narrow.ask(4, context()) == Stop(reason="the interval of every group is as narrow as asked for")
    hopeless = Precise(Precise.Params(half_width=0.05), grouped())
    tell(hopeless, dict.fromkeys(WELLS, 5), well_sd=20.0)
    said = hopeless.ask(4, context(left=dict.fromkeys(WELLS, 1)))
    assert isinstance(said, Stop)
    assert "more replicate wells" in said.reason


def test_unknown_column_is_named() -> None:
    with pytest.raises(ProtocolError, match=r"policy\.by.*no column 'tratment'.*treatment"):
        Precise(Precise.Params(half_width=1, by="tratment"), setup())


def test_replicate_wells_first_needs_fewer_images() -> None:
    """Wells as spread as fields: the same images as one field in many wells make a narrower group than in few wells."""
    spread = np.mean([_half(seed, dict.fromkeys(CONTROLS, 1)) for seed in range(40)])
    piled = np.mean([_half(seed, dict.fromkeys(CONTROLS[:2], 4)) for seed in range(40)])
    assert spread < 0.5 * piled


def _half(seed: int, counts: Mapping[str, int]) -> float:
    values = draw(seed, {}, well_sd=1.0)
    question = MeanQuestion(MeanQuestion.Params(readout=READOUT, by="treatment"), setup())
    groups = question.answer(readouts(values, [counts.get(well, 0) for well in WELLS])).summary["groups"]
    assert isinstance(groups, dict)
    return float(groups["vehicle"]["high"] - groups["vehicle"]["low"]) / 2
