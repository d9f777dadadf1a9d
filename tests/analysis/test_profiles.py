"""Profiles: medians per well, the scale of the controls, features that carry nothing left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phenoloop.model import feature_docs, features
from phenoloop.numerics.profiles import robust_z, select_features, summarise
from phenoloop.storage.tables import write_objects

RNG = np.random.default_rng(0)


def test_medians_per_group_leave_the_unknown_out() -> None:
    values = [[1, np.nan], [5, np.nan], [3, 7], [100, 8], [np.nan, 10]]
    names, medians = summarise(values, ["B2", "B2", "B2", "A1", "A1"])
    assert names.tolist() == ["A1", "B2"]
    np.testing.assert_array_equal(medians, [[100, 9], [3, 7]])
    one = summarise([[1.0, np.nan]], ["A1"])[1]
    np.testing.assert_array_equal(one, [[1, np.nan]])


def test_controls_have_median_0_and_spread_1() -> None:
    values = RNG.normal([100, -3, 1e6], [10, 0.1, 5e4], (501, 3))
    controls = np.arange(501) < 400
    found = robust_z(values, controls)
    np.testing.assert_allclose(np.median(found[controls], axis=0), 0, atol=0.01)
    np.testing.assert_allclose(1.4826 * np.median(np.abs(found[controls]), axis=0), 1, rtol=0.01)
    np.testing.assert_allclose(robust_z(values * 7 + 3, controls), found, rtol=1e-6)


def test_a_feature_that_is_constant_in_the_controls_has_no_scale() -> None:
    values = np.column_stack([np.full(20, 0.1) * 3, RNG.normal(size=20), [np.nan] * 20])
    values[15:, 0] = 9
    found = robust_z(values, np.arange(20) < 15)
    assert np.isnan(found[:, [0, 2]]).all()
    assert np.isfinite(found[:, 1]).all()


def test_an_outlier_among_the_controls_does_not_widen_the_scale() -> None:
    values = RNG.normal(size=(100, 1))
    spoiled = values.copy()
    spoiled[0] = 1e6
    controls = np.ones(100, np.bool_)
    np.testing.assert_allclose(robust_z(spoiled, controls)[1:], robust_z(values, controls)[1:], atol=0.15)


def test_no_controls_no_profile() -> None:
    with pytest.raises(ValueError, match="no row is a control"):
        robust_z([[1.0]], [False])


def test_features_that_say_nothing_new_are_dropped() -> None:
    one, two = RNG.normal(size=(2, 300))
    noisy = one + 0.01 * RNG.normal(size=300)
    gaps = np.where(np.arange(300) % 4 == 0, np.nan, two)
    few_gaps = np.where(np.arange(300) % 40 == 0, np.nan, two)
    table = np.column_stack([one, np.full(300, 4.0), -noisy, gaps, few_gaps, one + 2 * RNG.normal(size=300)])
    assert select_features(table).tolist() == [0, 4, 5]
    assert select_features(np.zeros((0, 3))).tolist() == []
    assert select_features(np.full((5, 2), np.nan)).tolist() == []


def test_the_page_of_the_docs_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == feature_docs.page(), (
        "run: python -m phenoloop.model.feature_docs > docs/features.md"
    )


def test_every_feature_is_described() -> None:
    listed = [*features.OBJECT, *features.CHANNEL, *features.PAIRS, *features.SPOT]
    for feature in listed:
        assert all(feature), feature
        assert feature.family in features.FAMILIES
    for group in (features.OBJECT, features.CHANNEL, features.PAIRS, features.SPOT):
        assert len({feature.name for feature in group}) == len(group)


def test_the_code_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe of the page, on parts as a run leaves them."""
    rng = np.random.default_rng(0)
    for visit, well in enumerate(("A1", "A2", "A3", "B1", "B2", "B3"), 1):
        table = {
            "label": np.arange(1, 31, dtype=np.int32),
            "x": rng.uniform(0, 512, 30),
            "y": rng.uniform(0, 512, 30),
            "area": rng.normal(200, 20, 30),
            "area_um2": np.full(30, 1.0),
            "GFP.mean": rng.normal(300 if well < "B" else 500, 20, 30),
        }
        write_objects(tmp_path / "objects" / "main", visit, well, "1", table)
    monkeypatch.chdir(tmp_path)
    code = feature_docs.page().split("```python\n")[1].split("```")[0]
    found: dict[str, object] = {"controls": ["A1", "A2", "A3"]}
    exec(compile(code, "docs/features.md", "exec"), found)
    names, profile, kept = found["names"], np.asarray(found["profile"]), np.asarray(found["kept"])
    assert names == ["area", "area_um2", "GFP.mean"]
    assert kept.tolist() == [0, 2]
    assert (profile[3:, 2] > 5).all()
