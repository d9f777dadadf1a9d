"""Whether rejections depend on the group: valid with the well as the unit, and able to see a real dependence."""

from __future__ import annotations

import numpy as np
import pytest

from phenoloop.numerics.association import permutation_p

GROUPS = ["control"] * 8 + ["treated"] * 16


@pytest.mark.parametrize(
    ("groups", "hits", "trials"),
    [
        pytest.param(["a"] * 4, [1, 0, 2, 0], [4] * 4, id="one group"),
        pytest.param(["a", "b"], [0, 0], [4, 4], id="nothing happened"),
        pytest.param(["a", "b"], [4, 4], [4, 4], id="everything happened"),
        pytest.param(["a", "b"], [0, 0], [0, 0], id="nothing was tried"),
    ],
)
def test_nothing_to_compare(groups: list[str], hits: list[int], trials: list[int]) -> None:
    assert permutation_p(groups, hits, trials) is None


def test_a_real_dependence_is_seen() -> None:
    p = permutation_p(GROUPS, [0] * 8 + [2, 3] * 8, [6] * 24)
    assert p is not None
    assert p < 0.001


def test_wells_that_fail_as_a_whole_are_not_mistaken_for_a_dependence() -> None:
    """Whole wells fail by chance (a bubble): over fields, a chi-square test would be wrong in every second plate."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(60):
        bad = rng.random(24) < 0.15
        p = permutation_p(GROUPS, (bad * 6).tolist(), [6] * 24)
        if p is not None:
            found.append(p < 0.05)
    assert np.mean(found) <= 0.15  # 5 % expected; the 99.9 % point of 60 such plates is 15 %
