"""Which events are covered, by looks written by hand; and the fixed rates they are held against."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from phenoloop.api.filmed import rates
from phenoloop.model import FieldReadout
from phenoloop.studies.baselines import FieldGrids, FixedRates
from phenoloop.studies.coverage import Coverage, CoverageJudge, TrueEvent
from phenoloop.studies.simulator import Spent

EVENT = TrueEvent(well="A1", field="0", start_s=100.0, end_s=160.0)
COVERAGE = Coverage(20.0)


def looks(times: Sequence[float | None], well: str = "A1", field: str = "0") -> list[FieldReadout]:
    return [FieldReadout(well=well, field=field, visit=n, readouts={}, at_s=at_s) for n, at_s in enumerate(times)]


@pytest.mark.parametrize(
    ("times", "share"),
    [
        pytest.param([105, 125, 145], 1.0, id="every 20 s"),
        pytest.param([130], 1.0, id="one look in the middle: gaps of 30 s"),
        pytest.param([145, 125, 105], 1.0, id="in any order"),
        pytest.param([125], 0.0, id="35 s to its end"),
        pytest.param([99, 161], 0.0, id="before and after"),
        pytest.param([131, 150], 0.0, id="31 s from its beginning"),
        pytest.param([None, 130], 1.0, id="a look without a time"),
        pytest.param([], 0.0, id="never"),
    ],
)
def test_an_event_is_covered_where_no_gap_is_too_long(times: list[float | None], share: float) -> None:
    assert COVERAGE.of([EVENT], looks(times)) == share


def test_looks_at_another_field_cover_nothing() -> None:
    elsewhere = [*looks([110, 130, 150], field="1"), *looks([110, 130, 150], well="A2")]
    assert COVERAGE.of([EVENT], elsewhere) == 0.0
    other = TrueEvent(well="A2", field="0", start_s=100.0, end_s=160.0)
    assert COVERAGE.of([EVENT, other], elsewhere) == 0.5


def test_where_nothing_happens_all_is_covered() -> None:
    assert COVERAGE.of([], looks([1.0])) == 1.0


def test_the_judge_keeps_one_look_for_each_state_of_things() -> None:
    judge = CoverageJudge(COVERAGE, [EVENT])
    for frames, times in ((1, [110.0]), (2, [110.0, 130.0]), (2, [110.0, 130.0, 150.0])):
        judge.look(Spent(frames=frames), looks(times))
    assert [(look.spent.frames, look.score) for look in judge.looks] == [(1, 0.0), (2, 1.0)]


def test_rates_go_from_the_slow_one_to_the_fast_one() -> None:
    assert rates(20.0, 180.0) == [180.0, 160.0, 80.0, 40.0, 28.0, 20.0]
    assert rates(60.0, 60.0) == [60.0]


def test_what_baselines_are_called() -> None:
    grids, fixed = FieldGrids(), FixedRates({21: 180.0, 129: 28.0})
    assert (grids.words(1), grids.words(2)) == ("1 field of every well", "2 fields of every well")
    assert grids.habit([1, 6, 2]) == (6, "all fields of every well (6)")
    assert fixed.words(129) == "every field every 28 s"
    assert fixed.habit([129, 21]) == (21, "every field every 3 min, the slow rate")
