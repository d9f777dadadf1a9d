"""OME-Zarr plates of other programs: their own pixels, or a sentence that says what is wrong with them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from phenoloop.microscope.virtual.recorded import Recorded
from phenoloop.model import SpecimenInfo
from tests.virtual.builders import look, picture, plate
from tests.virtual.foreign import PIXEL, by_hand, by_ome_zarr_py, edit

WELLS = ("A1", "A2")
Images = dict[str, dict[str, NDArray[Any]]]


def images(shape: tuple[int, ...] = (2, 20, 30), dtype: Any = np.uint16) -> Images:
    """Two wells with two fields each."""
    wells = enumerate(("A/1", "A/2"))
    return {well: {name: picture(shape, dtype, seed=10 * k + j) for j, name in enumerate("01")} for k, well in wells}


def describe(
    folder: Path, of: tuple[str, ...] = WELLS, seen: tuple[str, ...] = ("DNA", "GFP"), **keys: Any
) -> SpecimenInfo:
    return Recorded.describe({"plate": str(folder), **keys}, of, seen, folder.parent)


def open_(folder: Path, fields: tuple[str, ...] = ("0", "1"), planes: int = 1, **keys: Any) -> tuple[Recorded, Any]:
    plan = plate([0, 1], fields=fields, planes=planes)
    return Recorded({"plate": str(folder), **keys}, plan), plan


# -- what is given back ------------------------------------------------------------------------------------------------

UNNAMED = {"channels": {"DNA": "0", "GFP": "1"}, "pixel_size": PIXEL}


@pytest.mark.parametrize(
    ("write", "keys"),
    [
        pytest.param(lambda folder, its: by_ome_zarr_py(folder, "0.4", its), UNNAMED, id="ome-zarr-py, 0.4"),
        pytest.param(lambda folder, its: by_ome_zarr_py(folder, "0.5", its), UNNAMED, id="ome-zarr-py, 0.5"),
        pytest.param(lambda folder, its: by_hand(folder, "0.4", its), {}, id="zarr, 0.4"),
        pytest.param(lambda folder, its: by_hand(folder, "0.5", its), {}, id="zarr, 0.5"),
        pytest.param(lambda folder, its: by_hand(folder, "0.4", its, chunks=(1, 7, 9)), {}, id="0.4, small chunks"),
        pytest.param(
            lambda folder, its: by_hand(folder, "0.5", its, chunks=(1, 5, 10), shards=(2, 20, 30)), {}, id="0.5, shards"
        ),
        pytest.param(
            lambda folder, its: by_hand(folder, "0.4", its, unit="nanometer", pixel=(650.0, 650.0)), {}, id="nanometres"
        ),
        pytest.param(
            lambda folder, its: by_hand(folder, "0.5", its, channels=("x", "x")),
            UNNAMED,
            id="labels that are not unique",
        ),
    ],
)
def test_every_frame_is_the_stored_plane(
    write: Callable[[Path, Images], Path], keys: Mapping[str, Any], tmp_path: Path
) -> None:
    its = images()
    folder = write(tmp_path / "plate.ome.zarr", its)
    info = describe(folder, **keys)
    assert (info.height, info.width, info.bits, info.once) == (20, 30, 16, True)
    assert info.fields == {"A1": ("0", "1"), "A2": ("0", "1")}
    assert info.pixel_um == pytest.approx(PIXEL)
    assert len(info.files) == 1
    assert Path(info.files[0]).is_relative_to(folder.resolve())
    specimen, plan = open_(folder, **keys)
    for well, fields in its.items():
        for field, image in fields.items():
            for c, channel in enumerate(("DNA", "GFP")):
                frame = specimen.render(look(plan, well.replace("/", ""), field, channel))
                np.testing.assert_array_equal(frame, image[c])
                assert frame.dtype == np.uint16


def test_big_endian_counts_come_as_the_machine_has_them(tmp_path: Path) -> None:
    its = {well: {name: one.astype(">u2") for name, one in fields.items()} for well, fields in images().items()}
    specimen, plan = open_(by_hand(tmp_path / "p.zarr", "0.4", its))
    frame = specimen.render(look(plan, "A1", "0"))
    assert frame.dtype == np.uint16
    np.testing.assert_array_equal(frame, its["A/1"]["0"][0])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_time_and_planes_have_their_axes(version: str, tmp_path: Path) -> None:
    its = images((3, 2, 4, 20, 30))
    folder = by_hand(tmp_path / "p.zarr", version, its, axes="tczyx")
    assert not describe(folder).once
    specimen, plan = open_(folder, planes=4)
    for t, c, z in np.ndindex(3, 2, 4):
        frame = specimen.render(look(plan, "A2", "1", ("DNA", "GFP")[c], t=t, z=z))
        np.testing.assert_array_equal(frame, its["A/2"]["1"][t, c, z])


def test_an_image_without_an_axis_of_channels_has_one(tmp_path: Path) -> None:
    its = images((20, 30), np.uint8)
    folder = by_hand(tmp_path / "p.zarr", "0.5", its, axes="yx", channels=("DNA",))
    assert describe(folder, seen=("DNA",)).bits == 8
    plan = plate([0, 1], fields=("0", "1"), presets={"DNA": "DAPI"})
    specimen = Recorded({"plate": str(folder)}, plan)
    np.testing.assert_array_equal(specimen.render(look(plan, "A2", "0")), its["A/2"]["0"])


def test_dark_chunks_that_were_left_out_are_dark(tmp_path: Path) -> None:
    dark = {well: {"0": np.zeros((2, 20, 30), np.uint16)} for well in ("A/1", "A/2")}
    specimen, plan = open_(by_hand(tmp_path / "p.zarr", "0.4", dark), fields=("0",))
    assert not specimen.render(look(plan, "A1", "0")).any()


def test_one_of_several_acquisitions_is_chosen(tmp_path: Path) -> None:
    """Field 0 was taken in the first and field 1 in the second."""
    listed = {"images": [{"path": "0", "acquisition": 1}, {"path": "1", "acquisition": 7}]}
    plates = {"acquisitions": [{"id": 1}, {"id": 7}]}
    folder = by_hand(tmp_path / "p.zarr", "0.4", images(), plate=plates, well=listed)
    assert describe(folder, acquisition=7).fields == {"A1": ("1",), "A2": ("1",)}
    with pytest.raises(ValueError, match=r"acquisitions \(1, 7\); choose one: simulation: {acquisition"):
        describe(folder)
    with pytest.raises(ValueError, match="has no acquisition 2"):
        describe(folder, acquisition=2)


def test_what_the_protocol_says_of_the_pixels_stands(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "p.zarr", "0.5", images())
    assert describe(folder, pixel_size=0.5).pixel_um == 0.5


def test_wells_with_other_numbers_of_fields(tmp_path: Path) -> None:
    its = images()
    del its["A/2"]["0"]
    assert describe(by_hand(tmp_path / "p.zarr", "0.5", its)).fields == {"A1": ("0", "1"), "A2": ("1",)}


def test_a_changed_image_is_noticed(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "p.zarr", "0.5", images())
    before = open_(folder)[0].stamps()
    assert {Path(path).name for path in before} >= {"zarr.json"}
    changed = images()
    changed["A/1"]["0"] = picture((2, 20, 30), np.uint16, seed=99)
    shutil.rmtree(folder)
    by_hand(folder, "0.5", changed)
    assert open_(folder)[0].stamps() != before


# -- what is refused ---------------------------------------------------------------------------------------------------


def odd(change: Callable[[Images], None], **keys: Any) -> Callable[[Path, str], Path]:
    """A plate of which something is changed before it is written."""

    def write(folder: Path, version: str) -> Path:
        its = images()
        change(its)
        return by_hand(folder, version, its, **keys)

    return write


def replaced(image: NDArray[Any]) -> Callable[[Images], None]:
    return lambda its: its["A/2"].update({"1": image})


def nothing(its: Images) -> None:
    """Nothing is changed."""


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("write", "keys", "message"),
    [
        pytest.param(
            odd(nothing),
            {"of": ("A1", "A3")},
            "well A3 was not recorded; recorded: A1, A2. Leave it out of",
            id="well",
        ),
        pytest.param(
            odd(lambda its: its["A/2"].clear()),
            {},
            "well A2 holds no field; leave it out of plate.wells",
            id="well without fields",
        ),
        pytest.param(
            odd(nothing),
            {"seen": ("DNA", "GFPs")},
            r"channel 'GFPs' was not recorded; did you mean 'GFP'\? .*simulation.channels: {GFPs",
            id="channel",
        ),
        pytest.param(
            odd(nothing, channels=("", "")),
            {},
            r"channel 'DNA' was not recorded; recorded: 0, 1",
            id="channels without a name",
        ),
        pytest.param(odd(nothing, said="0.3"), {}, "is OME-Zarr 0.3, and 0.4 and 0.5 can be read", id="older version"),
        pytest.param(odd(nothing, said="0.9"), {}, "is OME-Zarr 0.9, and 0.4 and 0.5 can be read", id="newer version"),
        pytest.param(
            odd(replaced(picture((2, 21, 30), np.uint16))),
            {},
            "30 x 21 pixels of uint16, but .* has 30 x 20",
            id="size",
        ),
        pytest.param(
            odd(replaced(picture((2, 20, 30), np.uint8))), {}, "30 x 20 pixels of uint8, but .* has 30 x 20", id="depth"
        ),
        pytest.param(
            odd(replaced(np.zeros((2, 20, 30), np.float32))),
            {},
            "not counts of a camera; save it as 8 or 16",
            id="float",
        ),
        pytest.param(odd(nothing, unit=None), {}, r"gives no unit of length .*simulation: {pixel_size", id="no unit"),
        pytest.param(odd(nothing, unit="pixel"), {}, "gives lengths in 'pixel'", id="unit that is no length"),
        pytest.param(odd(nothing, pixel=(0.65, 0.5)), {}, "pixels are 0.5 x 0.65 um, not square", id="oblong pixels"),
        pytest.param(odd(nothing, axes="xyc"), {}, "its axes are x, y, c; t, c, z, y, x can", id="axes"),
        pytest.param(odd(nothing, axes="yx"), {}, "has 3 axes, .*its image names 2", id="wrong number of axes"),
    ],
)
def test_refused_with_the_way_out(
    write: Callable[[Path, str], Path], keys: dict[str, Any], message: str, version: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        describe(write(tmp_path / "p.zarr", version), **keys)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda f: shutil.rmtree(f), "there is no OME-Zarr plate .*; correct simulation.plate", id="nothing"
        ),
        pytest.param(lambda f: shutil.rmtree(f / "A/2"), "lists well A2, but .* is not there; copy", id="well gone"),
        pytest.param(lambda f: shutil.rmtree(f / "A/2/1"), "lists this image, but it is not there", id="image gone"),
        pytest.param(lambda f: shutil.rmtree(f / "A/2/1/0"), "there is no Zarr array; bring it back", id="array gone"),
        pytest.param(lambda f: (f / ".zattrs").write_text("{"), "is no metadata of OME-Zarr", id="no JSON"),
        pytest.param(
            lambda f: (f / "A/1/0/0/.zarray").write_text("[]"), "is no header of a Zarr array", id="no header"
        ),
        pytest.param(
            lambda f: edit(f / ".zattrs", lambda said: said["plate"].pop("wells")), "has no list 'wells'", id="no wells"
        ),
        pytest.param(
            lambda f: edit(f / ".zattrs", lambda said: said.pop("plate")), "a Zarr group without a plate", id="no plate"
        ),
        pytest.param(
            lambda f: edit(f / "A/2/1/.zattrs", lambda said: said["multiscales"][0].pop("axes")),
            "its axes are not named",
            id="no axes",
        ),
        pytest.param(
            lambda f: edit(
                f / "A/2/1/.zattrs",
                lambda said: said["multiscales"][0]["datasets"][0].update(
                    coordinateTransformations=[{"type": "scale", "scale": [1, 0.3, 0.3]}]
                ),
            ),
            r"a pixel is 0.3 um there, and 0.65 um in .*leave the others out",
            id="another size of a pixel",
        ),
    ],
)
def test_a_damaged_plate_is_refused(damage: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "p.zarr", "0.4", images())
    damage(folder)
    with pytest.raises(ValueError, match=message):
        describe(folder)


@pytest.mark.parametrize(
    ("inside", "words"), [("A/1", "is a well, not a plate"), ("A/1/0", "is a single image, not a")]
)
def test_a_part_of_a_plate_is_none(inside: str, words: str, tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "p.zarr", "0.5", images())
    with pytest.raises(ValueError, match=words):
        describe(folder / inside)


def test_what_is_not_used_may_be_damaged(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "p.zarr", "0.4", images())
    shutil.rmtree(folder / "A/2")
    assert describe(folder, of=("A1",)).width == 30


def test_a_chunk_that_cannot_be_decoded_is_an_error(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "p.zarr", "0.4", images())
    for chunk in (folder / "A/1/0/0").rglob("0.0.0"):
        chunk.write_bytes(b"no chunk")
    specimen, plan = open_(folder)
    with pytest.raises(RuntimeError, match="cannot be read as Zarr"):
        specimen.render(look(plan, "A1", "0"))


@pytest.mark.parametrize("keys", [{}, {"manifest": "m.csv", "plate": "p.zarr"}])
def test_either_a_manifest_or_a_plate(keys: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"either a `manifest` .* or a `plate`"):
        Recorded.Params(**keys)
