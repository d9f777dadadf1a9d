"""CellProfiler's names from the real cp_measure, where it is installed; a sentence that helps where it is not."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.errors import PluginError
from phenoloop.measure import Analysis
from phenoloop.measure.cp_measure import CellProfiler
from phenoloop.measure.features import object_table
from phenoloop.model import features
from tests.analysis.test_families import PLAN, blobs, cells

needs_cp_measure = pytest.mark.skipif(
    find_spec("cp_measure") is None, reason="cp_measure is not installed (pip install 'phenoloop[profile]')"
)


def channels(labels: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    return {name: rng.poisson(light, labels.shape).astype(np.uint16) for name, light in (("DNA", 90), ("GFP", 200))}


@needs_cp_measure
def test_it_agrees_with_ours_where_the_definitions_do() -> None:
    labels = blobs()
    images = channels(labels)
    theirs = CellProfiler().measure(labels, images)
    ours = object_table(labels, images, families=features.FAMILIES)
    pairs = {
        "AreaShape_Area": ours["area"],
        "AreaShape_EquivalentDiameter": ours["equivalent_diameter"],
        "AreaShape_MajorAxisLength": ours["major_axis"],
        "DNA.Intensity_MeanIntensity": ours["DNA.mean"] / 65535,
        "GFP.Intensity_MaxIntensity": ours["GFP.max"] / 65535,
        "GFP.Intensity_MassDisplacement": ours["GFP.mass_displacement"],
        "DNA.Correlation_Pearson_GFP": ours["DNA.pearson_GFP"],
    }
    for name, expected in pairs.items():
        np.testing.assert_allclose(theirs[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(theirs["AreaShape_Solidity"], ours["solidity"], atol=0.05)
    np.testing.assert_allclose(theirs["AreaShape_MaxFeretDiameter"], ours["feret"], atol=2)
    assert len(theirs) > 400
    assert all(column.shape == (labels.max(),) for column in theirs.values())


@needs_cp_measure
# of an object of one pixel there is no correlation, and numpy says so
@pytest.mark.filterwarnings("ignore:Degrees of freedom:RuntimeWarning")
def test_no_object_and_the_smallest_object() -> None:
    none = np.zeros((20, 20), np.int32)
    one = none.copy()
    one[5, 5] = 1
    tables = [CellProfiler().measure(labels, channels(labels)) for labels in (none, one)]
    assert list(tables[0]) == list(tables[1])
    assert {column.size for column in tables[0].values()} == {0}
    assert not any(np.isinf(column).any() for column in tables[1].values())


@needs_cp_measure
def test_it_is_measured_when_the_plan_names_it() -> None:
    table = Analysis(replace(PLAN, families=(features.CELLPROFILER,))).measure(cells(0)).objects
    assert table["GFP.Texture_Contrast_3_00_256"].shape == table["label"].shape
    assert np.isfinite(table["AreaShape_Solidity"]).all()
    np.testing.assert_allclose(table["AreaShape_Area"], table["area"])


def test_without_the_package_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "cp_measure"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cp_measure", None)
    with pytest.raises(PluginError, match=r"pip install 'phenoloop\[profile\]'"):
        Analysis(replace(PLAN, families=(features.CELLPROFILER,)))
