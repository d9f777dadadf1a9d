"""Profiles: medians per well, the scale of the controls, features that carry nothing left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from phenoloop.model import channel_features, feature_docs, features, object_features, spot_features
from phenoloop.numerics.profiles import (
    control_scale,
    judge_features,
    mean,
    median,
    median_variance,
    robust_z,
    select_features,
    summarise,
    well_medians,
)
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


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 9])
def test_median_and_mean_are_numpys(rows: int) -> None:
    values = RNG.normal(size=(rows, 40))
    values[RNG.random(values.shape) < 0.3] = np.nan
    values[0, :] = 1.0
    np.testing.assert_allclose(median(values), np.nanmedian(values, axis=0), rtol=1e-15)
    np.testing.assert_allclose(mean(values), np.nanmean(values, axis=0), rtol=1e-12, atol=1e-15)
    nothing = np.full((rows, 2), np.nan)
    assert np.isnan(median(nothing)).all()
    assert np.isnan(mean(nothing)).all()
    assert np.isnan(median(np.zeros((0, 2)))).all()


@pytest.mark.parametrize("fields", [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 25])
def test_the_variance_of_a_median_by_simulation(fields: int) -> None:
    drawn = np.median(np.random.default_rng(fields).normal(size=(200_000, fields)), axis=1)
    assert float(median_variance(np.array([fields]))[0]) == pytest.approx(drawn.var(), rel=0.04)


@pytest.mark.parametrize("wells", [2, 3, 4, 5, 6, 7, 8, 9, 12, 30])
def test_the_spread_of_few_controls_is_not_too_small_on_average(wells: int) -> None:
    """One field per well: nothing to take off. A plain MAD of three wells comes to two thirds on average."""
    values = np.random.default_rng(wells).normal(5, 2, (wells, 20_000))
    found = control_scale(values, np.arange(wells), np.ones(wells, np.bool_))
    assert found.between.mean() == pytest.approx(2, rel=0.03)
    plain = stats.median_abs_deviation(values, axis=0, scale="normal")
    ratio = found.between / plain
    assert ratio.max() == pytest.approx(ratio.min())
    np.testing.assert_allclose(found.middle, np.median(values, axis=0))
    assert not found.within.any()


def plate(seed: int, fields: list[int], *, between: float, features: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Wells that differ by `between`, their fields by 1; the index of the well of each field."""
    rng = np.random.default_rng(seed)
    which = np.repeat(np.arange(len(fields)), fields)
    wells = rng.normal(0, between, (len(fields), features))
    return wells[which] + rng.normal(size=(which.size, features)), which


@pytest.mark.parametrize("between", [pytest.param(0.0, id="fields-differ"), pytest.param(0.5, id="wells-differ-too")])
def test_a_well_of_one_field_looks_no_further_than_one_of_nine(between: float) -> None:
    fields = [4] * 24 + [1] * 24 + [9] * 24
    values, which = plate(11, fields, between=between)
    controls = np.arange(72) < 24
    found = control_scale(values, which, controls)
    medians, count = well_medians(values, which, 72)
    assert count.tolist() == fields
    away = found.z(medians, count)[24:]
    honest = [np.sqrt(np.median(part**2) / 0.4549) for part in (away[:24], away[24:])]  # 0.4549: median of chi2(1)
    assert honest == pytest.approx([1, 1], abs=0.12)
    on_one_scale = robust_z(medians, controls)[24:]
    naive = [np.sqrt(np.median(part**2) / 0.4549) for part in (on_one_scale[:24], on_one_scale[24:])]
    assert naive[0] > 1.25 * naive[1]
    assert naive[0] > 1.25


def test_what_only_treated_wells_have_is_seen_and_bounded() -> None:
    rows = np.zeros((96, 2))
    rows[95, 0] = 1e6
    rows[90:, 1] = 5
    found = control_scale(rows, np.arange(96), np.arange(96) < 16)
    z = found.z(rows, np.ones(96))
    assert z[95, 0] == pytest.approx(np.sqrt(96))
    assert z[95, 1] == pytest.approx(np.sqrt(96 / 6))
    assert not z[:90].any()


def test_a_feature_that_is_the_same_everywhere_or_unknown_has_no_scale() -> None:
    rows = np.column_stack([np.full(20, 0.1) * 3, RNG.normal(size=20), [np.nan] * 20])
    found = control_scale(rows, np.arange(20), np.arange(20) < 10).z(rows, np.ones(20))
    assert np.isnan(found[:, [0, 2]]).all()
    assert np.isfinite(found[:, 1]).all()


@pytest.mark.parametrize("controls", [0, 1])
def test_a_scale_needs_two_control_wells_with_fields(controls: int) -> None:
    with pytest.raises(ValueError, match="fewer than two control wells"):
        # the last well is a control without a field
        control_scale(np.ones((5, 1)), np.arange(5), np.array([k < controls or k == 5 for k in range(6)]))


def test_verdicts_say_why_and_name_the_twin() -> None:
    one = RNG.normal(size=300)
    table = np.column_stack([np.full(300, 4.0), one, np.full(300, np.nan), -3 * one + 7, RNG.normal(size=300)])
    verdicts = judge_features(table)
    assert [verdict.word for verdict in verdicts] == ["constant", "kept", "unknown", "alike", "kept"]
    assert verdicts[3].like == 1


def test_twins_are_those_of_numpys_correlation() -> None:
    mixed = RNG.normal(size=(60, 8)) @ RNG.normal(size=(8, 90)) + 0.3 * RNG.normal(size=(60, 90))
    correlation = np.abs(np.corrcoef(mixed, rowvar=False))
    kept: list[int] = []
    for k in range(90):
        if not kept or correlation[k, kept].max() <= 0.8:
            kept.append(k)
    assert 8 < len(kept) < 90
    assert select_features(mixed, alike=0.8).tolist() == kept


def test_the_page_of_the_docs_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == feature_docs.page(), (
        "run: python -m phenoloop.model.feature_docs > docs/features.md"
    )


def test_every_feature_is_described() -> None:
    listed = [*object_features.OBJECT, *channel_features.CHANNEL, *channel_features.PAIRS, *spot_features.SPOT]
    for feature in listed:
        assert all(feature), feature
        assert feature.family in features.FAMILIES
    for group in (object_features.OBJECT, channel_features.CHANNEL, channel_features.PAIRS, spot_features.SPOT):
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
