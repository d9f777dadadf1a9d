"""The space of phenotypes: blocks weigh alike, far values are clipped, controls lie within what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from phenoloop.numerics.feature_blocks import block_of, block_weights
from phenoloop.numerics.phenotype_fit import phenotype_space
from phenoloop.numerics.phenotype_space import clipped
from tests.decisions.profiled import NAMES


@pytest.mark.parametrize(
    ("name", "block"),
    [
        pytest.param("area", "shape", id="bare"),
        pytest.param("GFP.contrast_3", "texture of GFP", id="of a channel"),
        pytest.param("GFP.pearson_DNA", "colocalisation of GFP", id="of two channels"),
        pytest.param("vesicles.count", "spots of vesicles", id="of spots"),
        pytest.param("Texture_Contrast_DNA_3_00_256", "Texture", id="CellProfiler's"),
    ],
)
def test_blocks(name: str, block: str) -> None:
    assert block_of(name) == block


def test_a_block_of_many_features_weighs_as_much_as_one_of_few() -> None:
    weights = block_weights(NAMES)
    per_block: dict[str, float] = {}
    for name, weight in zip(NAMES, weights.tolist(), strict=True):
        per_block[block_of(name)] = per_block.get(block_of(name), 0.0) + weight
    assert set(np.round(list(per_block.values()), 12)) == {round(1 / len(per_block), 12)}


def test_clipping_keeps_order_and_sign() -> None:
    z = np.array([-200.0, -20.0, -5.0, -1.0, 0.0, 4.0, 6.0, 50.0])
    shown = clipped(z)
    assert (np.diff(shown) > 0).all()
    np.testing.assert_array_equal(shown[np.abs(z) <= 5], z[np.abs(z) <= 5])
    assert abs(shown[0]) < 25


def test_controls_lie_within_alike_as_often_as_asked_for() -> None:
    """Over plates: the share of fresh control-like wells within the 90 % quantile of sixteen held-out controls."""
    inside = []
    for seed in range(700, 730):
        rng = np.random.default_rng(seed)
        wells = np.repeat(np.arange(26), 3)
        level = rng.normal(0, 0.5, (26, len(NAMES)))
        rows = 10 + level[wells] + rng.normal(size=(len(wells), len(NAMES)))
        controls = np.arange(26) < 16
        space = phenotype_space(NAMES, rows, wells, controls, level=0.9)
        assert space.alike is not None
        fresh = np.sort(space.distances(space.points(rows), space.home(), 1.0, 1 / 16).reshape(26, 3), axis=1)[16:, 1]
        inside.append(float((fresh <= space.alike).mean()))
    assert 0.84 < np.mean(inside) < 0.97
