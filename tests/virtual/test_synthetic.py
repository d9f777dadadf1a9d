"""The synthetic specimen is a pure function of the view, and refuses what it cannot show."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.plugins import Registry
from phenoloop.protocol.quantities import STRICT
from tests.virtual.builders import VESICLES, look, plate

PLAN = plate()
SPECIMEN = Synthetic({"phenotype": VESICLES}, PLAN)


def test_same_view_same_pixels_in_any_order_on_any_thread() -> None:
    views = [look(PLAN, f"A{k}", field, channel) for k in (1, 5) for field in "012" for channel in ("DNA", "GFP")]
    first = [SPECIMEN.render(view) for view in views]
    other = Synthetic({"phenotype": VESICLES}, PLAN)
    with ThreadPoolExecutor(4) as pool:
        second = list(pool.map(other.render, reversed(views)))
    for picture, again in zip(first, reversed(second), strict=True):
        np.testing.assert_array_equal(picture, again)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({"t": 1}, False, id="another time point has noise of its own"),
        pytest.param({"z": 1}, False, id="another plane too"),
        pytest.param({"visit": 7}, True, id="the number of the visit does not matter"),
        pytest.param({"at_s": 900.0}, True, id="cells that do not move look the same later"),
        pytest.param({"channel": "other"}, True, id="the preset shows, not the name of the channel"),
        pytest.param({"salt": 3}, True, id="a frame is told apart by its address only"),
        pytest.param({"config": "FITC"}, False, id="a wrong preset shows"),
        pytest.param({"x_um": 9.0}, False, id="a wrong place shows"),
        pytest.param({"exposure_ms": 21.0}, False, id="a wrong exposure shows"),
    ],
)
def test_what_the_pixels_depend_on(change: dict[str, Any], same: bool) -> None:
    planned = look(PLAN, "A5", "1")
    changed = look(PLAN, "A5", "1", **{name: value for name, value in change.items() if name != "channel"})
    if "channel" in change:
        changed = type(planned)(**{**{k: getattr(planned, k) for k in planned.__slots__}, **change})
    assert np.array_equal(SPECIMEN.render(planned), SPECIMEN.render(changed)) is same


def test_looks_that_are_no_frame_differ_by_their_salt_in_noise_only() -> None:
    views = [look(PLAN, frame=False, salt=salt) for salt in (1, 2, 1)]
    first, second, again = (SPECIMEN.render(view) for view in views)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(SPECIMEN.light(views[0]), SPECIMEN.light(views[1]))


def test_another_seed_is_another_plate() -> None:
    other = Synthetic({"phenotype": VESICLES}, plate(seed=2))
    assert not np.array_equal(SPECIMEN.light(look(PLAN)), other.light(look(PLAN)))


@given(across=st.integers(-180, 180), down=st.integers(-180, 180), well=st.sampled_from(["A1", "A4", "A8"]))
@settings(max_examples=15, deadline=None)
def test_overlapping_fields_see_the_same_cells(across: int, down: int, well: str) -> None:
    flat = Synthetic({"phenotype": VESICLES, "illumination": 0.0}, PLAN)
    here = look(PLAN, well, channel="GFP")
    there = look(PLAN, well, channel="GFP", x_um=here.x_um + 0.5 * across, y_um=here.y_um - 0.5 * down)
    first, second = flat.light(here), flat.light(there)
    height, width = flat.shape()
    common = first[max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)]
    same = second[max(0, -down) : height + min(0, -down), max(0, -across) : width + min(0, -across)]
    # Cells are pasted to a thirty-second of a pixel, so two frames agree to a small part of their contrast.
    assert np.abs(common - same).max() < 0.06 * common.max()
    assert np.abs(common - same).mean() < 0.002 * common.max()
    ours = {tuple(np.round(centre - (down, across), 3)) for centre in flat.truth(here)["centres"]}
    theirs = {tuple(np.round(centre, 3)) for centre in flat.truth(there)["centres"]}
    both = {c for c in ours if 0 <= c[0] <= height - 1 and 0 <= c[1] <= width - 1}
    assert both <= theirs


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "doses", "message"),
    [
        pytest.param(
            {"phenotype": {"vesicles": {"along": "dosis", "emax": 6}}},
            [1],
            r"phenotype.vesicles: the plate map has no column 'dosis'; did you mean 'dose'\? Its columns: dose",
            id="unknown column",
        ),
        pytest.param(
            {"phenotype": VESICLES}, ["high"], "column 'dose' .* holds 'high' in well A1, which is no number", id="text"
        ),
        pytest.param({"phenotype": VESICLES}, [True], "holds True in well A1, which is no number", id="yes or no"),
        pytest.param({"phenotype": VESICLES}, [-2.0], "dose of well A1 in column 'dose' is -2; .* logarithm", id="log"),
        pytest.param({"cells_per_field": 500}, [1], r"500 cells do not fit .* room for 118; ask for fewer", id="crowd"),
    ],
)
def test_refused_with_the_way_out(parameters: dict[str, Any], doses: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Synthetic(parameters, plate(doses))


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"cels_per_field": 60}, id="misspelt key"),
        pytest.param({"phenotype": {"vesicle": {"along": "dose", "emax": 6}}}, id="misspelt quantity"),
        pytest.param({"phenotype": {"vesicles": {"along": "dose", "emax": 6, "ec50": 0}}}, id="no half effect"),
        pytest.param({"channels": {"DAPI": "nucleus"}}, id="misspelt structure"),
        pytest.param({"blur": "3 %"}, id="wrong unit"),
        pytest.param({"illumination": "150 %"}, id="more than all light"),
    ],
)
def test_parameters_are_strict(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Synthetic.Params.model_validate(parameters)


def test_an_objective_without_pixel_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a view needs a pixel size, not 0 um"):
        SPECIMEN.render(look(PLAN, pixel_size_um=0.0))


def test_few_enough_cells_fit_at_any_magnification() -> None:
    plan = plate(pixel_size_um=0.1)
    assert 0 < len(Synthetic({}, plan).truth(look(plan))["centres"]) < 20


def test_describe_and_shape() -> None:
    parameters = {"phenotype": VESICLES, "width": 320, "height": 200}
    info = Synthetic.describe(parameters, ["A1"], ["DNA"], Path())
    specimen = Registry(discover=False).load("specimens", "synthetic")(parameters, PLAN)
    picture = specimen.render(look(PLAN))
    assert (info.height, info.width) == specimen.shape() == picture.shape == (200, 320)
    assert info.bits == specimen.bit_depth() == 8 * picture.dtype.itemsize == 16
    assert info.fields is None
    assert not info.once


def test_parameters_of_a_file_survive_json() -> None:
    written = {
        "phenotype": {"vesicles": {"along": "dose", "emax": 6, "ec50": 1.0, "hill": 1.2}},
        "illumination": "20 %",
        "blur": "400 nm",
        "motion_period": "1 h",
        "well_diameter": "3 mm",
    }
    params = Synthetic.Params.model_validate(written, context={STRICT: True})
    assert (params.illumination, params.blur, params.motion_period, params.well_diameter) == (0.2, 0.4, 3600, 3000)
    again = json.loads(json.dumps(params.model_dump(mode="json")))
    assert Synthetic.Params.model_validate(again) == params
    np.testing.assert_array_equal(
        Synthetic(again, PLAN).render(look(PLAN)), Synthetic(written, PLAN).render(look(PLAN))
    )
    assert "phenotype" in Synthetic.Params.model_json_schema()["properties"]
