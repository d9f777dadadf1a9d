"""Sphering against scipy and against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from phenoloop.numerics.held_out import distance, held_out, varying
from phenoloop.numerics.profiles import control_scale
from phenoloop.numerics.whitening import best_shrinkage, sphering


def correlated(rows: int, features: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(features, features)) * rng.uniform(0.5, 3, features)
    return rng.normal(size=(rows, features)) @ mix + rng.uniform(-5, 5, features)


def test_without_shrinkage_it_is_zca_cor_by_scipy() -> None:
    """W = P^(-1/2) V^(-1/2), Kessy et al. 2018, table 1."""
    rows = correlated(400, 7, seed=21)
    found = sphering(rows, shrinkage=0.0)
    sd = rows.std(axis=0, ddof=1)
    root = linalg.inv(linalg.sqrtm(np.corrcoef(rows, rowvar=False)).real)
    np.testing.assert_allclose(found.turn.T, root @ np.diag(1 / sd), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(np.cov(found(rows), rowvar=False), np.eye(7), atol=1e-9)
    np.testing.assert_allclose(found(rows).mean(axis=0), 0, atol=1e-12)


def test_each_feature_stays_most_like_itself() -> None:
    rows = correlated(300, 6, seed=22)
    turned = sphering(rows, shrinkage=0.0)(rows)
    across = np.corrcoef(rows, turned, rowvar=False)[:6, 6:]
    assert (np.abs(across).argmax(axis=1) == np.arange(6)).all()
    # of all whitenings it has the largest sum of correlations with the features it comes from
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    other = np.corrcoef(rows, turned @ turn, rowvar=False)[:6, 6:]
    assert np.trace(across) > np.trace(other)


def test_whole_shrinkage_only_scales() -> None:
    rows = correlated(30, 5, seed=23)
    np.testing.assert_allclose(sphering(rows, shrinkage=1.0).turn, np.diag(1 / rows.std(axis=0, ddof=1)), atol=1e-12)


def test_the_best_shrinkage_is_that_of_its_formula() -> None:
    """Schäfer and Strimmer 2005, by loops over pairs and rows."""
    rows = correlated(9, 5, seed=24)
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    n, above, below = 9, 0.0, 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                w = scaled[:, i] * scaled[:, j]
                above += n / (n - 1) ** 3 * float(((w - w.mean()) ** 2).sum())
                below += (n / (n - 1) * float(w.mean())) ** 2
    assert best_shrinkage(scaled) == pytest.approx(above / below)
    assert sphering(rows).shrinkage == pytest.approx(above / below)


def test_shrinkage_falls_with_the_number_of_controls() -> None:
    found = [sphering(correlated(rows, 20, seed=25)).shrinkage for rows in (5, 20, 80, 2000)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.05


@pytest.mark.parametrize("seed", [31, 32, 33])
def test_fewer_controls_than_features_blow_nothing_up(seed: int) -> None:
    """Controls that were not used come out on the scale of 1, not of 1e6, in every feature."""
    rows = correlated(1016, 60, seed)
    new = sphering(rows[:16])(rows[16:])
    assert np.sqrt((new**2).mean()) < 3
    wild = sphering(rows[:16], shrinkage=0.0)(rows[16:])
    assert np.sqrt((wild**2).mean()) > 100


def test_unknown_is_the_middle_of_the_controls() -> None:
    rows = correlated(40, 4, seed=26)
    found = sphering(rows)
    np.testing.assert_allclose(found([[np.nan] * 4]), 0, atol=1e-15)
    known, gap = found([found.middle + 1]), np.array([*(found.middle + 1)[:3], np.nan])
    assert np.abs(known - found([gap])).max() > 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param(np.ones((1, 3)), "fewer than two", id="one-control"),
        pytest.param(np.ones((5, 3)), "constant in the controls", id="constant"),
    ],
)
def test_what_cannot_be_sphered_is_refused(rows: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sphering(rows)


@pytest.mark.parametrize("sphere", [False, True])
def test_a_control_held_out_is_what_a_new_well_like_the_controls_comes_to(sphere: bool) -> None:
    """Twelve controls of 40 features: those that made the scale look near, those held out as near as new ones."""
    held, new, made = [], [], []
    for seed in range(60, 66):
        rows = correlated(1012, 40, seed)
        controls = np.arange(1012) < 12
        scale = control_scale(rows, np.arange(1012), controls)
        z = scale.z(rows, np.ones(1012))
        if sphere:
            z = sphering(z[:12])(z)
        made += distance(z[:12]).tolist()
        new += distance(z[12:]).tolist()
        held += held_out(rows, np.arange(1012), controls, sphere=sphere)
    assert np.median(held) == pytest.approx(np.median(new), rel=0.2)
    assert np.median(made) < (0.8 if sphere else 1.0) * np.median(new)


def test_distance_and_what_varies() -> None:
    rows = np.array([[3.0, 4.0, np.nan], [3.0, np.nan, np.nan], [3.0, 0.0, np.nan]])
    np.testing.assert_allclose(distance(rows), [np.sqrt(12.5), 3, np.sqrt(4.5)])
    assert varying(rows).tolist() == [False, True, False]
    assert distance([[np.nan]]).tolist() == [0]
    assert held_out(np.ones((2, 1)), [0, 1], [True, True]) == []
