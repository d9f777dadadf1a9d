"""Cells follow the plate map: Hill curves, and noise between wells, fields and cells as large as asked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.model import Plan
from tests.virtual.builders import VESICLES, look, plate

PLAN = plate()


def many(count: int, dose: float = 0.0, **changes: Any) -> Plan:
    return plate([dose] * count, **changes)


@pytest.mark.parametrize(
    ("quantity", "curve", "key"),
    [
        pytest.param("vesicles", {"emax": 6}, "vesicles", id="vesicles"),
        pytest.param("vesicles", {"emax": -3, "baseline": 4}, "vesicles", id="fewer vesicles"),
        pytest.param("intensity", {"emax": 2, "hill": 2}, "intensity", id="intensity"),
        pytest.param("nc_ratio", {"emax": 1.5, "baseline": 0.5}, "nc_ratio", id="ratio"),
    ],
)
def test_cells_follow_the_curve(quantity: str, curve: dict[str, float], key: str) -> None:
    for dose in (0.0, 0.5, 1.0, 30.0):
        plan = many(24, dose)
        specimen = Synthetic({"phenotype": {quantity: {"along": "dose", **curve}}, "well_sd": 0.0}, plan)
        power = dose ** curve.get("hill", 1.0)
        baseline = curve.get("baseline", 1.0)
        level = baseline + curve["emax"] * power / (1 + power)
        assert specimen.well_effect("A1", quantity) == pytest.approx(level)
        seen = [specimen.truth(look(plan, f"A{k}", field))[key].mean() for k in range(1, 25) for field in "02"]
        assert np.mean(seen) == pytest.approx(level, abs=4 * np.std(seen) / math.sqrt(len(seen)))


def test_survival_thins_the_cells() -> None:
    plan = many(30, 1.0)
    dying = Synthetic({"phenotype": {"survival": {"along": "dose", "emax": -0.8}}, "well_sd": 0.0}, plan)
    healthy = Synthetic({}, plan)
    counts = [
        np.mean([len(specimen.truth(look(plan, f"A{k}"))["centres"]) for k in range(1, 31)])
        for specimen in (dying, healthy)
    ]
    assert counts[0] / counts[1] == pytest.approx(0.6, abs=0.05)


def test_pictures_follow_the_levels() -> None:
    curves = {"intensity": {"along": "dose", "emax": 2}, "nc_ratio": {"along": "dose", "emax": 2}}
    plan = plate([0, 1000])
    specimen = Synthetic({"phenotype": curves, "background": 0.0, "illumination": 0.0}, plan)
    total, ratio = {}, {}
    for well in ("A1", "A2"):
        whole = [specimen.light(look(plan, well, field, config="Rhodamine")).sum() for field in "012"]
        cells = [len(specimen.truth(look(plan, well, field))["centres"]) for field in "012"]
        total[well] = sum(whole) / sum(cells)
        reporter, stain = (specimen.light(look(plan, well, config=config)) for config in ("Cy5", "DAPI"))
        nuclear = stain > 8
        beside = ndimage.binary_dilation(nuclear, iterations=9) & ~ndimage.binary_dilation(nuclear, iterations=4)
        ratio[well] = reporter[nuclear].mean() / reporter[beside].mean()
    assert total["A2"] / total["A1"] == pytest.approx(3, rel=0.2)
    assert ratio["A1"] < 0.8 < 1.8 < ratio["A2"]


@pytest.mark.parametrize(
    ("setting", "spread"),
    [
        pytest.param("well_sd", 0.2, id="between wells"),
        pytest.param("field_sd", 0.2, id="between fields"),
        pytest.param("cell_sd", 0.3, id="between cells"),
    ],
)
def test_noise_between_wells_fields_and_cells_is_as_asked(setting: str, spread: float) -> None:
    plan = many(120)
    quiet = {"well_sd": 0.0, "field_sd": 0.0, "cell_sd": 0.0}
    specimen = Synthetic({**quiet, setting: spread}, plan)
    # Off the lattice on which the noise between fields is drawn, as fields are.
    views = [look(plan, f"A{k}", x_um=plan.well(f"A{k}").x_um + 19 * k, y_um=11.0 * k) for k in range(1, 121)]
    levels = [specimen.truth(view)["intensity"] for view in views]
    between = np.std([np.log(cells).mean() for cells in levels])
    within = np.mean([np.log(cells).std() for cells in levels])
    expected = {"well_sd": (spread, 0.0), "cell_sd": (spread / math.sqrt(60), spread)}
    if setting == "field_sd":
        assert between == pytest.approx(spread, rel=0.25)
        assert within < spread
        return
    assert between == pytest.approx(expected[setting][0], rel=0.2)
    assert within == pytest.approx(expected[setting][1], rel=0.1, abs=1e-9)


def test_replicates_scatter_around_the_curve() -> None:
    plan = many(200, 1.0)
    specimen = Synthetic({"phenotype": VESICLES, "well_sd": 0.1}, plan)
    levels = [specimen.well_level(f"A{k}") for k in range(1, 201)]
    assert np.mean(levels) == pytest.approx(4.0, rel=0.03)
    assert np.std(levels) == pytest.approx(0.4, rel=0.2)


@pytest.mark.parametrize(
    ("curve", "smallest", "change", "hits"),
    [
        pytest.param({"emax": 6, "hill": 1.2}, 1.0, "up", "A4 A5 A6 A7 A8", id="up"),
        pytest.param({"emax": 6, "hill": 1.2}, 3.0, "up", "A5 A6 A7 A8", id="up, half the effect"),
        pytest.param({"emax": 6}, 0.0, "up", "A3 A4 A5 A6 A7 A8", id="any effect"),
        pytest.param({"emax": 6}, 1.0, "down", "", id="none down"),
        pytest.param({"emax": -3, "baseline": 3}, 1.0, "down", "A5 A6 A7 A8", id="down"),
        pytest.param({"emax": -3, "baseline": 3}, 1.0, "both", "A5 A6 A7 A8", id="both"),
        pytest.param({"emax": 0}, 0.0, "both", "", id="no effect is no hit"),
    ],
)
def test_true_hits(curve: dict[str, float], smallest: float, change: str, hits: str) -> None:
    specimen = Synthetic({"phenotype": {"vesicles": {"along": "dose", **curve}}}, PLAN)
    assert specimen.true_hits(smallest, change=change) == set(hits.split())


@given(
    doses=st.lists(st.floats(0, 1e300), min_size=2, max_size=6),
    emax=st.floats(-50, 50),
    ec50=st.floats(1e-9, 1e9),
    steepness=st.floats(0.1, 20),
)
@settings(max_examples=60, deadline=None)
def test_the_curve_is_monotone_and_bounded(doses: list[float], emax: float, ec50: float, steepness: float) -> None:
    doses = sorted(doses)
    curve = {"along": "dose", "baseline": 2.0, "emax": emax, "ec50": ec50, "hill": steepness}
    specimen = Synthetic({"phenotype": {"intensity": curve}, "width": 16, "height": 16}, plate(doses))
    levels = [specimen.well_effect(f"A{k + 1}", "intensity") for k in range(len(doses))]
    low, high = sorted((2.0, max(0.0, 2.0 + emax)))
    assert all(low - 1e-9 <= level <= high + 1e-9 for level in levels)
    assert levels == sorted(levels, reverse=emax < 0)


@pytest.mark.parametrize("dose", [None, "", 0, 0.0, float("nan")], ids=["none", "text", "zero", "zero float", "nan"])
def test_a_missing_dose_is_the_baseline(dose: Any) -> None:
    specimen = Synthetic({"phenotype": {"vesicles": {"along": "dose", "emax": 6, "baseline": 2}}}, plate([dose, 1e9]))
    assert specimen.well_effect("A1") == 2
    assert specimen.well_effect("A2") == pytest.approx(8)


@pytest.mark.parametrize(
    ("quantity", "larger", "longer"),
    [pytest.param("size", 1.3, 1.0, id="size"), pytest.param("elongation", 1.0, 1.5, id="elongation")],
)
def test_nuclei_follow_their_curves(quantity: str, larger: float, longer: float) -> None:
    curve = {"along": "dose", "emax": larger * longer - 1, "ec50": 1e-4}
    plan = plate([0, 1])
    specimen = Synthetic({"phenotype": {quantity: curve}, "well_sd": 0.0}, plan)
    untreated, treated = (
        np.concatenate([specimen.truth(look(plan, well, field))["half_axes"] for field in "012"])
        for well in ("A1", "A2")
    )

    def grown(of: Any) -> float:
        return float(of(treated).mean() / of(untreated).mean())

    assert grown(lambda axes: np.sqrt(axes.prod(axis=1))) == pytest.approx(larger, rel=0.04)
    assert grown(lambda axes: axes[:, 0] / axes[:, 1]) == pytest.approx(longer, rel=0.04)


@pytest.mark.parametrize("quantity", ["size", "stain", "elongation"])
def test_what_nothing_moves_stays_exact(quantity: str) -> None:
    still = Synthetic({"well_sd": 0.3}, PLAN)
    assert {still.well_level(well.name, quantity) for well in PLAN.wells} == {1.0}
    moved = Synthetic({"well_sd": 0.3, "phenotype": {quantity: {"along": "dose", "emax": 0.2}}}, PLAN)
    levels = {moved.well_level(well.name, quantity) for well in PLAN.wells}
    assert len(levels) == len(PLAN.wells)
