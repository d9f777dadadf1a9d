"""What is known of a plate's phenotypes: which fields agree, which wells lie furthest from all that is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.numerics.phenotype_fit import phenotype_space
from phenoloop.numerics.rounding import significant
from phenoloop.policies.coverage import Coverage
from phenoloop.policies.furthest import NOTHING, furthest
from tests.decisions.profiled import NAMES, moved, setup
from tests.decisions.test_novelty_policy import KINDS, MOVES


@pytest.mark.parametrize("seed", [525, 526, 527])
def test_a_clean_and_a_dirty_field_of_one_odd_well_do_not_agree(seed: int) -> None:
    """Both lie far out, and nearer to each other than to the controls; the middle between them is no phenotype."""
    rng = np.random.default_rng(seed)
    wells = np.repeat(np.arange(20), 3)
    space = phenotype_space(NAMES, 50 + rng.normal(size=(60, len(NAMES))), wells, np.arange(20) < 19)
    odd = 50 + np.array([KINDS["large"].get(name, 0.0) + KINDS["bright"].get(name, 0.0) for name in NAMES])
    debris = 2 * np.array([KINDS["dotted"].get(name, 0.0) + KINDS["grainy"].get(name, 0.0) for name in NAMES])
    coverage = Coverage(space, 20)
    for name, shown in (("0", odd), ("1", odd + debris)):
        coverage.add(19, name, (shown + rng.normal(size=len(NAMES))).tolist())
    places = space.points([odd, odd + debris])
    apart = space.distances(places[:, :1], places[:, 1], 1.0, 1.0)[0]
    assert apart < space.distances(places, space.home(), 1.0, 0.0).min()
    assert not coverage.agreed[19]
    coverage.add(19, "2", (odd + rng.normal(size=len(NAMES))).tolist())
    assert coverage.agreed[19]
    assert coverage.names(19) == ["0", "2", "1"]


def one_after_another(
    coverage: Coverage, possible: NDArray[np.bool_], under_way: list[int], most: int
) -> list[tuple[int, float]]:
    """What `furthest` must return: every distance worked out exactly, every time."""
    known, found = list(under_way), []
    left = set(np.flatnonzero(possible).tolist())
    while len(found) < most:
        away = {}
        for well in left:
            here, noise = coverage.points[:, [well]], float(coverage.noise[well])
            to_known = [
                coverage.space.distances(here, coverage.points[:, i], noise, float(coverage.noise[i]))[0] for i in known
            ]
            away[well] = min([coverage.distance[well], *(significant(float(value)) for value in to_known)])
        far = [well for well in left if away[well] > (coverage.space.alike or NOTHING)]
        if not far:
            break
        first = min(far, key=lambda well: (bool(coverage.undecided[well]), -away[well], well))
        found.append((first, away[first]))
        known.append(first)
        left.remove(first)
    return found


@pytest.mark.parametrize("seed", [901, 902, 903])
@pytest.mark.parametrize("controls", [pytest.param(8, id="alike"), pytest.param(3, id="alike-unknown")])
def test_what_was_compared_roughly_comes_out_as_exactly(seed: int, controls: int) -> None:
    rng = np.random.default_rng([seed, controls])
    plate = setup(controls=controls)
    level = moved(MOVES, plate, seed)
    level[60] = level[59]  # twins: the first of them comes first
    wells = np.concatenate([np.arange(96), rng.integers(0, 96, 60)])
    rows = level[wells] + rng.normal(size=(len(wells), len(NAMES)))
    rows[60] = rows[59]
    is_control = np.array([well in plate.controls for well in plate.wells])
    coverage = Coverage(phenotype_space(NAMES, rows, wells, is_control, strength=2.0), 96)
    coverage.add_all(wells.tolist(), [str(k) for k in range(len(wells))], rows)
    coverage.add_centre(5)
    possible = ~is_control & (rng.random(96) < 0.9)
    under_way = [7, 23]
    possible[under_way] = False
    for most in (1, 12):
        found = furthest(coverage, possible, under_way, most)
        assert [far[:2] for far in found] == one_after_another(coverage, possible, under_way, most)
        for place, far in enumerate(found):
            known = under_way + [one.well for one in found[:place]]
            assert far.beside in known if far.distance < coverage.distance[far.well] else far.beside is None
