"""The fixed grid against its definition: all visits of all wells, sorted, of which the next ones are proposed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenoloop.policies.sweep import Sweep
from tests.decisions.plates import CONTROLS, WELLS, context, setup


@pytest.mark.parametrize("order", ["plate", "random"])
@pytest.mark.parametrize("passes", ["rounds", "wells"])
@settings(max_examples=40, deadline=None)
@given(
    fields=st.lists(st.integers(0, 7), min_size=len(WELLS), max_size=len(WELLS)),
    used=st.lists(st.integers(0, 7), min_size=len(WELLS), max_size=len(WELLS)),
    per_visit=st.integers(1, 4),
    k=st.integers(1, 60),
)
def test_the_next_visits_are_the_first_of_all_that_are_left(
    order: str, passes: str, fields: list[int], used: list[int], per_visit: int, k: int
) -> None:
    plate = replace(setup(), fields=tuple(fields), controls=CONTROLS)
    policy = Sweep(Sweep.Params(order=order, passes=passes, fields_per_visit=per_visit), plate)  # type: ignore[arg-type]
    left = {well: max(0, total - gone) for well, total, gone in zip(WELLS, fields, used, strict=True)}
    if not any(left.values()):
        return
    answer = policy.ask(k, context(left=left))
    assert isinstance(answer, list)

    # The order of the wells is what a plate of one field each is taken in.
    flat = Sweep(Sweep.Params(order=order), replace(setup(), seed=plate.seed))  # type: ignore[arg-type]
    first = flat.ask(len(WELLS), context(left=dict.fromkeys(WELLS, 1)))
    assert isinstance(first, list)
    place = {one.well: i for i, one in enumerate(first)}
    visits = [
        ((fields[i] - left[well] + ahead) // per_visit, place[well], well, min(per_visit, left[well] - ahead))
        for i, well in enumerate(WELLS)
        for ahead in range(0, left[well], per_visit)
    ]
    visits.sort(key=lambda one: one[:2] if passes == "rounds" else (one[1], one[0]))
    assert [(one.well, one.fields) for one in answer] == [(well, count) for _, _, well, count in visits[:k]]
    following = visits[k][2] if len(visits) > k else None
    assert {one.why.instead for one in answer} == {following}
    scores = [one.score for one in answer]
    assert scores == sorted(scores, reverse=True)
