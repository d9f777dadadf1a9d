"""Means, bands, curves and the grid that would just have done."""

from __future__ import annotations

import pytest

from phenoloop.studies.quality import Calls, Quality, Width
from phenoloop.studies.simulator import Spent
from phenoloop.studies.study import Look, Record
from phenoloop.studies.summary import band, curve, row, sized, times_less

CALLS = Calls(frozenset(), frozenset())


def record(*looks: tuple[int, float | None], seed: int = 1) -> Record:
    """Looks as (frames, score); a frame takes six seconds and a tenth of a second of light."""
    found = tuple(Look(spent=Spent(frames=n, seconds=6.0 * n, light_s=0.1 * n), score=score) for n, score in looks)
    return Record(seed=seed, looks=found, exit="completed", reason="enough")


def test_a_band_is_a_t_interval() -> None:
    # Three values of mean 2 and standard deviation 1: 4.3027 / sqrt(3) to either side.
    found = band([1.0, 2.0, 3.0])
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert band([5.0]).low is None


def test_a_band_does_not_reach_beyond_what_values_can_be() -> None:
    found = band([0.8, 1.0, 1.0], (0.0, 1.0))
    assert found.high == 1.0
    assert found.low == pytest.approx(0.9333 - 0.2869, abs=1e-4)


@pytest.mark.parametrize(
    ("quality", "score", "depth"),
    [
        pytest.param(CALLS, 0.8, 2, id="higher is better"),
        pytest.param(CALLS, 0.99, None, id="no grid is as good"),
        pytest.param(Width(), 0.6, 1, id="lower is better"),
    ],
)
def test_the_smallest_grid_that_does(quality: Quality, score: float, depth: int | None) -> None:
    grids = {
        1: [record((10, 0.5)), record((10, 0.6))],
        2: [record((20, 0.8)), record((20, 0.9))],
        3: [record((30, 0.95))],
    }
    assert sized(band([score, score]), grids, quality) == depth


def test_times_less_is_plate_by_plate() -> None:
    found = times_less([record((10, 1.0)), record((20, 1.0))], [record((40, 1.0)), record((40, 1.0))])
    # Geometric: 4 times and 2 times.
    assert found["frames"].mean == pytest.approx(8**0.5)
    assert found["minutes"].mean == pytest.approx(8**0.5)
    assert found["frames"].low is not None
    assert found["frames"].low > 0


def test_a_curve_begins_where_every_plate_has_a_number() -> None:
    found = curve([record((0, None), (10, 0.2), (40, 1.0)), record((20, 0.4), (30, 0.6))], "frames", CALLS)
    at, mean = found["at"], found["mean"]
    assert at[0] == pytest.approx(20, abs=1)
    assert mean[0] == pytest.approx(0.3)
    assert mean[-1] == pytest.approx(0.8)  # a run that has ended keeps its last answer


def test_a_plate_without_an_answer_leaves_no_score() -> None:
    assert row("x", "policy", [record((5, None)), record((5, 1.0))], CALLS).score is None


def test_a_plate_with_nothing_to_find_does_not_count_as_nothing_found() -> None:
    def found(share: float | None) -> Record:
        beside = {} if share is None else {"top-k recall": share}
        look = Look(spent=Spent(frames=5, seconds=30.0, light_s=0.5), score=1.0, beside=beside)
        return Record(seed=1, looks=(look,), exit="completed", reason="enough")

    beside = row("x", "policy", [found(1.0), found(None), found(0.5)], CALLS).beside
    assert beside["top-k recall"].mean == pytest.approx(0.75)
