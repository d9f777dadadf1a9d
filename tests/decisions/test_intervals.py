"""Intervals: the coverage they claim, seeded, and the constant behind the confidence sequence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import lambertw, stdtrit

from phenoloop.numerics.intervals import _mixture, anytime_half_width, fixed_half_width


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.05 / 384])
def test_mixture_is_the_lower_branch_of_lambert_w(alpha: float) -> None:
    expected = -lambertw(-(alpha**2) / np.e, k=-1).real - 1
    assert _mixture(alpha) == pytest.approx(expected, rel=1e-12)


def _misses(n_wells: int, fields: int, width: str, plates: int) -> tuple[float, float]:
    """Return how often the true mean was outside at the last look, and at any look."""
    rng = np.random.default_rng(11)
    last = ever = 0
    for _ in range(plates):
        x = rng.normal(size=(n_wells, fields))
        outside = False
        for n in range(2, fields + 1):
            seen = x[:, :n]
            freedom = n_wells * (n - 1)
            sd = float(np.sqrt(((seen - seen.mean(axis=1, keepdims=True)) ** 2).sum() / freedom))
            half = (fixed_half_width if width == "fixed" else anytime_half_width)(sd, freedom, np.array([n]), 0.95)
            outside = bool(abs(seen[0].mean()) > half[0])
            ever += outside
            if outside and width == "anytime":
                break
        last += outside
    return last / plates, ever / plates


def test_fixed_interval_covers_when_looked_at_once() -> None:
    miss, _ = _misses(n_wells=3, fields=6, width="fixed", plates=3000)
    assert miss == pytest.approx(0.05, abs=0.013)


def test_anytime_interval_covers_at_all_looks_at_once() -> None:
    _, ever = _misses(n_wells=1, fields=40, width="anytime", plates=1500)
    assert 0.002 < ever <= 0.05


def test_fixed_interval_does_not_survive_peeking() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(800, 40))
    n = np.arange(1, 41)
    mean = x.cumsum(axis=1) / n
    sd = np.sqrt(np.maximum((x**2).cumsum(axis=1) / n - mean**2, 1e-12) * n / np.maximum(n - 1, 1))
    half = stdtrit(np.maximum(n - 1, 1), 0.975) * sd / np.sqrt(n)
    assert (np.abs(mean) > half)[:, 2:].any(axis=1).mean() > 0.15


@pytest.mark.parametrize(
    ("freedom", "n", "finite"),
    [
        pytest.param(1, 2, False, id="two fields of one well exclude nothing"),
        pytest.param(40, 1, True, id="one field, spread known from other wells"),
        pytest.param(5, 6, True, id="six fields of one well"),
    ],
)
def test_too_few_data_give_an_infinite_band(freedom: int, n: int, finite: bool) -> None:
    half = anytime_half_width(1.0, freedom, np.array([float(n)]), 0.95)[0]
    assert np.isfinite(half) == finite


def test_anytime_is_wider_by_the_known_factor() -> None:
    ratio = anytime_half_width(1.0, 1e6, np.array([5.0]), 0.95) / fixed_half_width(1.0, 1e6, np.array([5.0]), 0.95)
    assert 1.5 < ratio[0] < 1.7
