"""Plates of others, from `simulation: {kind: recorded, plate: ...}` to `compare` and `run`; the docs' own protocol."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop import api
from phenoloop.api.resolved import Resolved
from phenoloop.errors import ProtocolError, UsageError
from phenoloop.model import VisitEnded
from phenoloop.storage.images import RunImages
from phenoloop.storage.journal import read
from tests.virtual.foreign import by_hand, by_ome_zarr_py

pytestmark = pytest.mark.mm

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "protocols" / "recorded"
CHANNELS = ("DNA", "GFP")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known beforehand."""
    monkeypatch.setenv("PHENOLOOP_CACHE", str(tmp_path / "cache"))


def documented() -> str:
    """The protocol that the docs show."""
    text = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- foreign plate -->\n```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def pictures() -> dict[str, dict[str, NDArray[np.uint16]]]:
    """The example plate, as a writer of plates takes it: channels stacked."""
    images: dict[str, dict[str, list[NDArray[np.uint16]]]] = {}
    with (RECORDED / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in sorted(csv.DictReader(stream), key=lambda row: CHANNELS.index(row["channel"])):
            picture = cv2.imread(str(RECORDED / row["file"]), cv2.IMREAD_UNCHANGED)
            assert picture is not None
            field = images.setdefault(f"{row['well'][0]}/{row['well'][1:]}", {}).setdefault(row["field"], [])
            field.append(np.asarray(picture))
    return {well: {name: np.stack(one) for name, one in fields.items()} for well, fields in images.items()}


def protocol(folder: Path, text: str | None = None) -> Path:
    shutil.copy(RECORDED / "map.csv", folder / "map.csv")
    path = folder / "last-screen.yaml"
    path.write_text(documented() if text is None else text, encoding="utf-8")
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_foreign_plate_gives_what_its_pictures_give(version: str, tmp_path: Path) -> None:
    by_ome_zarr_py(tmp_path / "screen.ome.zarr", version, pictures())
    path = protocol(tmp_path)
    found = api.compare(path, policies=["hits", "sweep"], seeds=2, out=tmp_path / "a").result
    assert "12 fields of 6 wells, drawn without replacement" in found["world"]
    assert [one["fields_per_well"] for one in found["grids"]] == [1, 2]
    text = re.sub(r"plate: screen.*\n.*channels:.*\n", f"manifest: {RECORDED / 'manifest.csv'}\n", documented())
    listed = api.compare(protocol(tmp_path, text), policies=["hits", "sweep"], seeds=2, out=tmp_path / "b").result
    assert found == {**listed, "subject": found["subject"]}


def test_a_foreign_plate_plays_through_the_real_loop(tmp_path: Path) -> None:
    its = pictures()
    by_ome_zarr_py(tmp_path / "screen.ome.zarr", "0.5", its)
    result = api.run(protocol(tmp_path), out=tmp_path / "run")
    assert (result.exit_code, result.report["frames"], result.report["missing"]) == (0, 24, 0)
    folder = result.folder
    resolved = Resolved.from_json(folder.resolved.read_bytes(), "resolved.json")
    images = RunImages(folder.images_folder, resolved.plan)
    seen = 0
    for message in read(folder.journal).messages:
        for frame in message.frames if isinstance(message, VisitEnded) else ():
            address = frame.address
            source = its[f"{address.well[0]}/{address.well[1:]}"][address.field][CHANNELS.index(address.channel)]
            np.testing.assert_array_equal(images.read(address), source)
            seen += 1
    assert seen == 24


def test_wells_may_differ_in_their_fields_and_pixels_are_as_large_as_the_plate_says(tmp_path: Path) -> None:
    its = pictures()
    del its["B/2"]["0"]
    by_hand(tmp_path / "screen.ome.zarr", "0.5", its, pixel=(0.65, 0.65))
    text = re.sub(r"  channels: {DNA.*\n|  pixel_size.*\n", "", documented())
    path = protocol(tmp_path, text)
    plan = api.check(path).loaded.plan
    assert [(well.name, [one.name for one in well.fields]) for well in plan.wells][:2] == [
        ("B2", ["1"]),
        ("B3", ["0", "1"]),
    ]
    assert plan.profiles["main"].pixel_size_um == 0.65
    found = api.compare(path, policies=["sweep"], seeds=1, out=tmp_path / "a").result
    assert found["rows"][-1]["cost"]["frames"]["mean"] == 22


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param(
            "screen.ome.zarr", r"is a plate: .*simulation: {kind: recorded, plate: screen.ome.zarr}", id="plate"
        ),
        pytest.param(
            "manifest.csv", r"is a manifest: .*simulation: {kind: recorded, manifest: manifest", id="manifest"
        ),
    ],
)
def test_images_alone_ask_no_question(name: str, words: str, tmp_path: Path) -> None:
    by_hand(tmp_path / "screen.ome.zarr", "0.4", pictures())
    shutil.copy(RECORDED / "manifest.csv", tmp_path)
    with pytest.raises(UsageError, match=words):
        api.compare(tmp_path / name, out=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_fields_as_recorded_need_a_recorded_plate(tmp_path: Path) -> None:
    text = re.sub(r"  kind: recorded\n(  .*\n){3}", "  kind: synthetic\n", documented())
    with pytest.raises(ProtocolError, match="only a recorded plate knows its fields; ask for a grid"):
        api.check(protocol(tmp_path, text))


@pytest.mark.real_data
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_real_plate_row_of_another_program(version: str, data_folder: Path, tmp_path: Path) -> None:
    """BBBC016 as a foreign plate: the responding wells come first, from all fields and from one of each well."""
    import tifffile

    source = data_folder / "bbbc016"
    images: dict[str, dict[str, list[NDArray[np.uint8]]]] = {}
    with (source / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in sorted(csv.DictReader(stream), key=lambda row: row["channel"]):
            well = images.setdefault(f"{row['row']}/{row['col']}", {})
            well.setdefault(row["field"], []).append(tifffile.imread(source / row["file"]))
    plates = {well: {name: np.stack(one) for name, one in fields.items()} for well, fields in images.items()}
    by_ome_zarr_py(tmp_path / "screen.ome.zarr", version, plates)
    text = documented().replace("96-well, wells: [B2:B4, C2:C4]", "384-well, wells: [O1:O24]")
    path = protocol(tmp_path, text)
    shutil.copy(source / "platemap.csv", tmp_path / "map.csv")
    found = api.compare(path, policies=["sweep"], seeds=3, out=tmp_path / "out").result
    assert "48 fields of 24 wells" in found["world"]
    one, both = found["grids"]
    assert both["score"]["mean"] == pytest.approx(1.0)
    assert 0.5 < one["score"]["mean"] < 1.0
