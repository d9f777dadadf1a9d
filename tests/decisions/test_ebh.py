"""E-BH against its definition, by brute force over every number of rejections."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phenoloop.numerics.ebh import ebh, log_threshold


def brute_force(e_values: list[float], level: float) -> list[bool]:
    family = len(e_values)
    best = 0
    for k in range(1, family + 1):
        if sorted(e_values)[-k] >= family / (level * k):
            best = k
    return [best > 0 and e >= sorted(e_values)[-best] for e in e_values]


@pytest.mark.parametrize(
    ("e_values", "level", "expected"),
    [
        pytest.param([], 0.05, [], id="no wells"),
        pytest.param([19.9], 0.05, [False], id="one well, just too little"),
        pytest.param([20.0], 0.05, [True], id="one well, exactly enough"),
        pytest.param([0.0, 0.0], 0.05, [False, False], id="evidence of nothing"),
        pytest.param([39.0, 20.0], 0.05, [True, True], id="two carry each other"),
        pytest.param([39.0, 19.0], 0.05, [False, False], id="neither is enough alone"),
        pytest.param([1.0, 45.0, 1.0, 45.0], 0.05, [False, True, False, True], id="order is kept"),
        pytest.param([20.0, 20.0, 20.0], 0.05, [True, True, True], id="ties share their fate"),
    ],
)
def test_named_cases(e_values: list[float], level: float, expected: list[bool]) -> None:
    with np.errstate(divide="ignore"):
        assert ebh(np.log(np.array(e_values)), level).tolist() == expected


def test_equals_brute_force_on_random_families() -> None:
    rng = np.random.default_rng(3)
    sizes = set()
    for _ in range(400):
        e_values = np.exp(rng.normal(2, 2, size=rng.integers(1, 30)))
        expected = brute_force(e_values.tolist(), 0.1)
        assert ebh(np.log(e_values), 0.1).tolist() == expected
        sizes.add(sum(expected))
    assert len(sizes) > 8  # the draws cover none, few and many rejections


def test_threshold_falls_with_company() -> None:
    assert log_threshold(1, 40, 0.05) == pytest.approx(math.log(800))
    assert log_threshold(10, 40, 0.05) == pytest.approx(math.log(80))
