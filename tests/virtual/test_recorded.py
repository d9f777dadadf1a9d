"""The recorded specimen: the file's own pixels or an error, never a picture of another place."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from phenoloop.microscope.virtual import recorded
from phenoloop.microscope.virtual.recorded import Recorded
from phenoloop.model import ChannelPlan, FieldPlace, FrameAddress, Plan, ProfilePlan, WellPlan
from phenoloop.plugins import Registry
from phenoloop.ports import View
from tests.virtual.builders import HEADER, look, picture, plate, record, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two wells, two fields, two channels."""
    return record(tmp_path)


PLAN = plate([0, 1], fields=("0", "1"))


def open_(folder: Path, plan: Plan = PLAN, **parameters: Any) -> Recorded:
    specimen = Registry(discover=False).load("specimens", "recorded")
    assert specimen is Recorded
    return Recorded({"manifest": str(folder / "manifest.csv"), **parameters}, plan)


# -- what is given back ------------------------------------------------------------------------------------------------


def test_every_frame_is_its_file(folder: Path) -> None:
    specimen = open_(folder)
    views = [look(PLAN, well, field, channel) for well in ("A1", "A2") for field in "01" for channel in ("DNA", "GFP")]
    with ThreadPoolExecutor(4) as pool:
        frames = list(pool.map(specimen.render, views * 5))
    for view, frame in zip(views * 5, frames, strict=True):
        address = view.address
        assert address is not None
        file = folder / f"{address.well[0]}0{address.well[1]}_{address.field}_{address.channel}.tif"
        np.testing.assert_array_equal(frame, tifffile.imread(file))
        assert frame.dtype == np.uint8
    assert specimen.shape() == (20, 30)
    assert specimen.bit_depth() == 8


def test_the_callers_changes_do_not_reach_the_next_caller(folder: Path) -> None:
    specimen = open_(folder)
    first = specimen.render(look(PLAN, "A1", "0"))
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(specimen.render(look(PLAN, "A1", "0")), kept)


def test_memory_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "KEPT_BYTES", 3 * 20 * 30)
    specimen = open_(folder)
    for _ in range(2):
        for well in ("A1", "A2"):
            for field in "01":
                for channel in ("DNA", "GFP"):
                    specimen.render(look(PLAN, well, field, channel))
    assert sum(kept.nbytes for kept in specimen._kept.values()) <= 3 * 20 * 30


def test_wells_and_channels_can_be_renamed(folder: Path) -> None:
    plan = plate([0, 1], fields=("0", "1"), presets={"nuclei": "DAPI"})
    specimen = open_(folder, plan, wells={"A1": "A2", "A02": "a01"}, channels={"nuclei": "DNA"})
    np.testing.assert_array_equal(
        specimen.render(look(plan, "A1", "1", "nuclei")), tifffile.imread(folder / "A02_1_DNA.tif")
    )
    np.testing.assert_array_equal(
        specimen.render(look(plan, "A2", "0", "nuclei")), tifffile.imread(folder / "A01_0_DNA.tif")
    )


def test_a_time_series_of_stacks_is_picked_by_time_and_plane(tmp_path: Path) -> None:
    rows, files = [], {}
    for time in ("10", "9", "0.5"):
        for z in ("-1", "0", "10", "2"):
            file = f"t{time}z{z}.tif"
            files[time, z] = picture(dtype=np.uint16, seed=len(rows))
            tifffile.imwrite(tmp_path / file, files[time, z])
            rows.append(f"{file},A1,0,DNA,{time},{z}")
    write(tmp_path, rows, header=f"{HEADER},time,z")
    plan = plate([0], fields=("0",), presets={"DNA": "DAPI"}, planes=4)
    specimen = open_(tmp_path, plan)
    assert specimen.bit_depth() == 16
    assert not Recorded.describe({"manifest": "manifest.csv"}, ["A1"], ["DNA"], tmp_path).once
    for t, time in enumerate(("0.5", "9", "10")):
        for z, plane in enumerate(("-1", "0", "2", "10")):
            np.testing.assert_array_equal(specimen.render(look(plan, "A1", "0", t=t, z=z)), files[time, plane])
    np.testing.assert_array_equal(specimen.render(look(plan, "A1", "0", frame=False)), files["0.5", "-1"])
    with pytest.raises(RuntimeError, match="recorded 3 times, there is no time point 3"):
        specimen.render(look(plan, "A1", "0", t=3))
    with pytest.raises(RuntimeError, match="recorded in 4 planes of DNA, there is no plane 4"):
        specimen.render(look(plan, "A1", "0", z=4))


def test_seconds_order_the_frames_where_there_is_no_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((4, 4), ord(name), np.uint8))
    write(tmp_path, ["a.tif,A1,0,DNA,,300", "b.tif,A1,0,DNA,,60"], header=f"{HEADER},time,time_s")
    plan = plate([0], fields=("0",), presets={"DNA": "DAPI"})
    assert open_(tmp_path, plan).render(look(plan, "A1", "0", t=0))[0, 0] == ord("b")


def test_a_static_field_looks_the_same_each_time(folder: Path) -> None:
    specimen = open_(folder)
    np.testing.assert_array_equal(
        specimen.render(look(PLAN, "A1", "0")), specimen.render(look(PLAN, "A1", "0", t=4, at_s=1e4))
    )


# -- a wrong state is an error -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"x_um": 300.0}, r"stage stands at \(300.00, 100.00\) um, but field 0 of well A1 lies at", id="x"),
        pytest.param({"y_um": 100.3}, "the stage stands at", id="more than half a pixel"),
        pytest.param({"x_um": float("nan")}, "the stage stands at", id="no number"),
        pytest.param(
            {"config": "FITC"}, "preset 'FITC' is in the light path, but channel DNA needs 'DAPI'", id="preset"
        ),
        pytest.param({"config": ""}, "preset '' is in the light path", id="no preset"),
    ],
)
def test_a_wrong_state_is_an_error(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        open_(folder).render(look(PLAN, "A1", "0", **change))


def test_half_a_pixel_is_no_error(folder: Path) -> None:
    planned = look(PLAN, "A1", "0")
    near = look(PLAN, "A1", "0", x_um=planned.x_um + 0.25, y_um=planned.y_um - 0.25)
    specimen = open_(folder)
    np.testing.assert_array_equal(specimen.render(near), specimen.render(planned))


def test_a_look_without_address_shows_what_is_under_the_lens(folder: Path) -> None:
    specimen = open_(folder)
    for well in ("A1", "A2"):
        for channel in ("DNA", "GFP"):
            frame = specimen.render(look(PLAN, well, "1", channel, frame=False))
            np.testing.assert_array_equal(frame, tifffile.imread(folder / f"A0{well[1]}_1_{channel}.tif"))
    with pytest.raises(RuntimeError, match="nothing was recorded where the stage stands"):
        specimen.render(look(PLAN, "A1", "1", frame=False, x_um=40.0))
    with pytest.raises(RuntimeError, match="no channel of the protocol has the preset 'Cy5'"):
        specimen.render(look(PLAN, "A1", "1", frame=False, config="Cy5"))


def test_a_file_that_changed_or_went_away_is_an_error(folder: Path) -> None:
    specimen = open_(folder)
    tifffile.imwrite(folder / "A01_0_DNA.tif", picture((21, 30)))
    with pytest.raises(RuntimeError, match=r"A01_0_DNA.tif: 30 x 21 pixels of uint8, not 30 x 20 of uint8"):
        specimen.render(look(PLAN, "A1", "0"))
    (folder / "A01_1_DNA.tif").unlink()
    with pytest.raises(RuntimeError, match="there is no such file"):
        specimen.render(look(PLAN, "A1", "1"))


# -- real images -------------------------------------------------------------------------------------------------------


def recorded_plan(wells: Sequence[str], fields: Sequence[str], presets: dict[str, str]) -> Plan:
    return Plan(
        name="t",
        seed=1,
        plate_rows=16,
        plate_columns=24,
        wells=tuple(
            WellPlan(
                name=well,
                row=0,
                column=k,
                x_um=4500.0 * k,
                y_um=0.0,
                fields=tuple(
                    FieldPlace(name=field, x_um=4500.0 * k + 300 * j, y_um=0.0) for j, field in enumerate(fields)
                ),
                choice=tuple(range(len(fields))),
            )
            for k, well in enumerate(wells)
        ),
        profiles={
            "main": ProfilePlan(
                name="main",
                channels=tuple(
                    ChannelPlan(name=name, group="Channel", config=config, exposure_ms=10)
                    for name, config in presets.items()
                ),
                pixel_size_um=0.5,
            )
        },
    )


@pytest.mark.real_data
def test_a_real_plate_row(data_folder: Path) -> None:
    folder = data_folder / "bbbc016"
    wells = [f"O{k}" for k in range(1, 25)]
    parameters = {"manifest": str(folder / "manifest.csv"), "channels": {"GFP": "GFP_barrestin"}}
    info = Recorded.describe(parameters, wells, ["DNA", "GFP"], folder)
    assert (info.height, info.width, info.bits, info.once) == (512, 512, 8, True)
    assert info.fields == dict.fromkeys(wells, ("0", "1"))
    plan = recorded_plan(wells, ["0", "1"], {"DNA": "DAPI", "GFP": "FITC"})
    specimen = Recorded(parameters, plan)
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 96
    for row in rows:
        channel = {"DNA": "DNA", "GFP_barrestin": "GFP"}[row["channel"]]
        frame = specimen.render(look(plan, f"O{int(row['well'][1:])}", row["field"], channel))
        np.testing.assert_array_equal(frame, tifffile.imread(folder / row["file"]))


@pytest.mark.real_data
def test_a_real_movie(data_folder: Path) -> None:
    folder = data_folder / "mitocheck"
    parameters = {"manifest": str(folder / "manifest.csv"), "wells": {"A1": "W0002"}, "channels": {"H2B": "H2B-GFP"}}
    info = Recorded.describe(parameters, ["A1"], ["H2B"], folder)
    assert (info.height, info.width, info.bits, info.once, info.fields) == (190, 211, 8, False, {"A1": ("P001",)})
    plan = recorded_plan(["A1"], ["P001"], {"H2B": "FITC"})
    specimen = Recorded(parameters, plan)
    for t in range(30):
        file = folder / "images" / f"EMBO_2012_Group3--empty--empty--W0002--P001--T{t:05}--Z000--C.tif"
        address = FrameAddress(visit=1, profile="main", well="A1", field="P001", channel="H2B", t=t, z=0, image=0, c=0)
        view = View(
            address=address,
            x_um=0.0,
            y_um=0.0,
            z_um=0.0,
            config="FITC",
            channel="H2B",
            exposure_ms=10,
            pixel_size_um=0.5,
            at_s=300.0 * t,
        )
        np.testing.assert_array_equal(specimen.render(view), tifffile.imread(file))
