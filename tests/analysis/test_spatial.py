"""Random patterns are called random, whatever the window; clusters and grids are found; astropy agrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.stats import RipleysKEstimator
from numpy.typing import NDArray

from phenoloop.numerics.chance import grouped_patterns
from phenoloop.numerics.spatial import (
    clark_evans,
    describe,
    disk_in_rectangle,
    expected_nearest,
    local_ripley,
    nearest_distances,
    ripley_k,
    ripley_l,
)
from phenoloop.numerics.windows import Mask, Rectangle, Window

Points = NDArray[np.float64]
Y, X = np.mgrid[:120, :150]
CELL = ((Y - 60) / 50) ** 2 + ((X - 75) / 70) ** 2 <= 1
RING = CELL & (np.hypot(Y - 60, X - 60) > 20)
FIELD = Rectangle(300, 200)
RADII = np.array([5.0, 10.0, 20.0, 40.0])


def clusters(rng: np.random.Generator, window: Window, n: int, inside: Callable[[Points], NDArray[np.bool_]]) -> Points:
    """Three groups, 5 px wide."""
    centres, found = window.draw(rng, 3), np.zeros((0, 2))
    while len(found) < n:
        more = centres[rng.integers(3, size=n)] + rng.normal(0, 5, (n, 2))
        found = np.concatenate([found, more[inside(more)]])
    return found[:n]


def spread_out(rng: np.random.Generator, window: Window, n: int, apart: float) -> Points:
    """Random places, none nearer to another than `apart`."""
    found: list[Points] = []
    for place in window.draw(rng, 200 * n):
        if all(np.hypot(*(place - other)) >= apart for other in found):
            found.append(place)
        if len(found) == n:
            break
    return np.array(found)


def in_mask(mask: NDArray[np.bool_]) -> Callable[[Points], NDArray[np.bool_]]:
    def inside(points: Points) -> NDArray[np.bool_]:
        at = np.rint(points).astype(int)
        held = ((at >= 0) & (at < mask.shape)).all(axis=1)
        at = np.clip(at, 0, np.array(mask.shape) - 1)
        return held & mask[at[:, 0], at[:, 1]]

    return inside


@pytest.mark.parametrize("n", [3, 20, 300])
@pytest.mark.parametrize("shape", [(300.0, 200.0), (40.0, 900.0)], ids=["field", "strip"])
def test_k_is_astropys(n: int, shape: tuple[float, float]) -> None:
    window = Rectangle(*shape)
    points = window.draw(np.random.default_rng(n), n)
    radii = np.linspace(1, 30, 12)
    oracle = RipleysKEstimator(area=window.area, x_max=window.width, x_min=0, y_max=window.height, y_min=0)
    np.testing.assert_allclose(ripley_k(points, window, radii), oracle(points[:, ::-1], radii, mode="translation"))
    np.testing.assert_allclose(ripley_l(points, window, radii), oracle.Lfunction(points[:, ::-1], radii, "translation"))


def test_a_rectangle_is_a_mask_of_pixels() -> None:
    """The same points in the same window, given as a rectangle and as pixels (whose centres are half a pixel off)."""
    points = Rectangle(60, 90).draw(np.random.default_rng(0), 80)
    found = ripley_k(points - 0.5, Mask(np.ones((60, 90), np.bool_)), [3, 9, 20])
    np.testing.assert_allclose(found, ripley_k(points, Rectangle(60, 90), [3, 9, 20]), rtol=1e-9)


def test_the_shared_area_of_a_window_by_brute_force() -> None:
    mask = RING[::4, ::4]
    found = Mask(mask).covariance(np.array([0.0, 3, -7, 0, 500, 1.5]), np.array([0.0, -5, 2, 11, 0, 0]))
    framed = np.pad(mask, 40)

    def shared(dy: int, dx: int) -> int:
        return int((framed & np.roll(framed, (dy, dx), (0, 1))).sum())

    between = (shared(1, 0) + shared(2, 0)) / 2
    np.testing.assert_allclose(found, [mask.sum(), shared(3, -5), shared(-7, 2), shared(0, 11), 0, between], atol=1e-6)


def unbiased(ratios: NDArray[np.float64], expected: NDArray[np.float64] | float = 1.0) -> NDArray[np.bool_]:
    """Whether means over repetitions lie within 3.5 of their standard errors."""
    error = ratios.std(axis=0, ddof=1) / np.sqrt(len(ratios))
    print("mean", np.round(ratios.mean(axis=0), 4), "sd", np.round(ratios.std(axis=0, ddof=1), 4))
    return np.asarray(np.abs(ratios.mean(axis=0) - expected) < 3.5 * error)


@pytest.mark.parametrize("n", [10, 50, 200])
@pytest.mark.parametrize(
    "window",
    [
        pytest.param(FIELD, id="rectangle"),
        pytest.param(Mask(CELL), id="cell"),
        pytest.param(Mask(RING), id="cell-with-a-hole"),
    ],
)
def test_k_is_unbiased_on_a_thousand_random_patterns(window: Window, n: int) -> None:
    rng = np.random.default_rng(n)
    found = np.array([ripley_k(window.draw(rng, n), window, RADII) / (np.pi * RADII**2) for _ in range(1000)])
    assert unbiased(found).all()


@pytest.mark.parametrize("n", [10, 50, 200])
def test_clark_evans_is_unbiased_on_a_thousand_random_patterns(n: int) -> None:
    rng = np.random.default_rng(n)
    found = np.array([clark_evans(FIELD.draw(rng, n), FIELD) for _ in range(1000)])
    assert found[:, 0].mean() == pytest.approx(1, abs=0.01)  # Donnelly's formula is a fit
    assert found[:, 1].mean() == pytest.approx(0, abs=0.12)
    assert found[:, 1].std() == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("lattice", [False, True], ids=["anywhere", "pixels"])
def test_clark_evans_in_a_window_of_any_shape(lattice: bool) -> None:
    window, rng = Mask(RING, lattice=lattice), np.random.default_rng(7)
    found = np.array([clark_evans(window.draw(rng, 40), window) for _ in range(150)])
    # its own 199 simulations share one error, some 0.006, besides the 0.007 of the 150
    assert found[:, 0].mean() == pytest.approx(1, abs=0.03)
    assert found[:, 1].std() == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("window", [pytest.param(FIELD, id="rectangle"), pytest.param(Mask(RING), id="mask")])
def test_the_envelope_keeps_its_level(window: Window) -> None:
    rng = np.random.default_rng(3)
    found = [describe(window.draw(rng, 40), window, RADII, simulations=99) for _ in range(200)]
    called = np.mean([pattern.verdict != "random" for pattern in found if pattern])
    print("called at 5 %:", called)
    assert called < 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(
    ("window", "inside"),
    [
        pytest.param(FIELD, lambda p: ((p >= 0) & (p <= (300, 200))).all(axis=1), id="rectangle"),
        pytest.param(Mask(RING), in_mask(RING), id="mask"),
    ],
)
@pytest.mark.parametrize("kind", ["clustered", "regular"])
def test_patterns_are_told_apart(window: Window, inside: Any, kind: str) -> None:
    rng, right = np.random.default_rng(5), 0
    for _ in range(20):
        n = 40
        apart = 0.6 * np.sqrt(window.area / n)
        points = clusters(rng, window, n, inside) if kind == "clustered" else spread_out(rng, window, n, apart)
        found = describe(points, window, RADII, simulations=99)
        assert found is not None
        right += found.verdict == kind
        assert (found.clark_evans < 1) == (kind == "clustered")
    print("power", right / 20)
    assert right >= 18


def test_a_pattern_is_described_the_same_way_twice() -> None:
    points = FIELD.draw(np.random.default_rng(0), 30)
    one, other = (describe(points, FIELD, RADII) for _ in range(2))
    assert one is not None
    assert other is not None
    assert (one.p, one.clark_evans_z) == (other.p, other.clark_evans_z)
    assert np.array_equal(one.high, other.high)
    assert (one.low <= one.high).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_points_say_nothing(n: int) -> None:
    points = FIELD.draw(np.random.default_rng(0), n)
    assert describe(points, FIELD, RADII) is None
    assert np.isnan(clark_evans(points, FIELD)[0]) == (n < 2)
    assert np.isnan(ripley_k(points, FIELD, RADII)).all() == (n < 2)
    assert np.isinf(nearest_distances(points)).tolist() == [True] * n if n < 2 else True


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="no pixel"):
        Mask(np.zeros((5, 5), np.bool_))


def test_shares_of_k_make_up_k() -> None:
    points = FIELD.draw(np.random.default_rng(1), 60)
    whole = ripley_k(points, FIELD, [25.0])[0] / (np.pi * 25**2)
    assert local_ripley(points, FIELD, 25.0).mean() == pytest.approx(whole)


def test_donnellys_mean_of_a_large_field_is_that_of_the_plane() -> None:
    mean, error = expected_nearest(10_000, Rectangle(1e5, 1e5))
    assert mean == pytest.approx(0.5 * 1e3, rel=0.01)
    assert error == pytest.approx(0.26136 * 1e3 / 100, rel=0.03)  # Clark and Evans: 0.26136 / sqrt(n density)


def test_disks_at_the_border() -> None:
    window = Rectangle(100, 200)
    found = disk_in_rectangle([[50, 100], [0, 100], [0, 0], [100, 200], [50, 199]], window, 10)
    inner = 100 * np.arccos(0.1) - np.sqrt(99)  # the segment beyond one px
    whole = np.pi * 100
    np.testing.assert_allclose(found, [whole, whole / 2, whole / 4, whole / 4, whole - inner], rtol=1e-3)
    assert disk_in_rectangle([[50, 100]], window, 1e4)[0] == pytest.approx(100 * 200, rel=1e-2)


CELLS = (np.argwhere(CELL), np.argwhere(RING), np.argwhere(CELL[:60, :60]))
TERRITORY = (np.concatenate(CELLS), np.array([len(cell) for cell in CELLS]))


@pytest.mark.parametrize("per_cell", [6, 15, 40])
@pytest.mark.parametrize("apart", [0.0, 4.0], ids=["free", "apart"])
def test_random_groups_are_random_whatever_their_number(per_cell: int, apart: float) -> None:
    rng = np.random.default_rng(per_cell)
    sizes, effects, z = TERRITORY[1], [], []
    start = np.cumsum(sizes) - sizes
    for _ in range(60):
        group = np.repeat(np.arange(3), per_cell)
        points = np.zeros((group.size, 2), np.int64)
        for k in range(group.size):
            while True:
                points[k] = TERRITORY[0][start[group[k]] + rng.integers(sizes[group[k]])]
                mine = points[:k][group[:k] == group[k]]
                if not len(mine) or np.hypot(*(mine - points[k]).T).min() >= apart:
                    break
        found = grouped_patterns(points, group, TERRITORY, radius=15, apart=apart)
        effects.append([found.clustering, found.ripley])
        z.append([found.clustering_z, found.ripley_z])
    print("mean effect", np.mean(effects, axis=(0, 2)), "sd of z", np.std(z, axis=(0, 2)))
    error = np.std(effects, axis=(0, 2)) / np.sqrt(180)
    # the 39 simulations of each field are seeded alike, so their error does not average out
    assert (np.abs(np.mean(effects, axis=(0, 2))) < 3.5 * error * np.sqrt(1 + 60 / 39)).all()
    assert (np.std(z, axis=(0, 2)) < 1.4).all()


def test_groups_are_told_apart_and_do_not_see_one_another() -> None:
    rng = np.random.default_rng(0)
    packed = CELLS[0][rng.choice(len(CELLS[0]), 1)] + np.argwhere(np.ones((4, 5)))  # 20 neighbours in one place
    grid = np.argwhere(RING)[:: len(CELLS[1]) // 25]
    few = CELLS[2][rng.choice(len(CELLS[2]), 4)]
    points = np.concatenate([packed, grid, few])
    group = np.repeat([0, 1, 2], [len(packed), len(grid), len(few)])
    found = grouped_patterns(points, group, TERRITORY, radius=12)
    assert found.clustering[0] > 0.7
    assert found.clustering_z[0] > 5
    assert found.ripley[0] > 5
    assert found.clustering[1] < 0
    assert found.nearest[0] == 1
    assert np.isnan([found.clustering[2], found.nearest[2], found.ripley_z[2]]).all()
    only = grouped_patterns(packed, group[:20], TERRITORY, radius=12)
    assert only.nearest[0] == found.nearest[0]
