"""A real plate row through the whole stack: ranks the responding wells, and every stored pixel is the file's."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tifffile

from phenoloop import api
from phenoloop.api.resolved import Resolved
from phenoloop.model import VisitEnded
from phenoloop.storage.images import RunImages
from phenoloop.storage.journal import read

pytestmark = [pytest.mark.mm, pytest.mark.real_data]

RESPONDING = ("O01", "O05", "O06", "O07", "O08", "O09")
PROTOCOL = Path(__file__).with_name("bbbc016.yaml")
CHANNELS = {"DNA": "DNA", "GFP": "GFP_barrestin"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_rows(path: Path, table: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)


def place(well: str) -> str:
    """``O01`` as the plate writes it: ``O1``."""
    return f"{well[0]}{int(well[1:])}"


def renamed_protocol(folder: Path, data: Path, names: Mapping[str, str]) -> Path:
    """The protocol over the same files, with every well called by another name."""
    source = data / "bbbc016"
    manifest = rows(source / "manifest.csv")
    for row in manifest:
        row["well"] = names[row["well"]]
        row["file"] = str(source / row["file"])
    write_rows(folder / "manifest.csv", manifest)
    plate = [row | {"well": names[row["well"]]} for row in rows(source / "platemap.csv")]
    write_rows(folder / "platemap.csv", plate)
    text = PROTOCOL.read_text(encoding="utf-8")
    text = text.replace("../../../shared/data/bbbc016/", "")
    wells = ", ".join(sorted({row["well"] for row in manifest}))
    path = folder / "bbbc016.yaml"
    path.write_text(text.replace("wells: [O1:O24]", f"wells: [{wells}]"), encoding="utf-8")
    return path


WELLS = [f"O{i:02}" for i in range(1, 25)]
PLACES = [f"{row}{column}" for row in "CFM" for column in range(3, 11)]
NAMES = {
    "as recorded": {well: well for well in WELLS},
    "shuffled in the row": dict(zip(WELLS, random.Random(4).sample(WELLS, 24), strict=True)),
    "elsewhere on the plate": dict(zip(WELLS, random.Random(5).sample(PLACES, 24), strict=True)),
}


@pytest.fixture(scope="module", params=list(NAMES), ids=str)
def run(
    request: pytest.FixtureRequest, data_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[api.RunResult, dict[str, str]]:
    folder = tmp_path_factory.mktemp("bbbc016")
    names = NAMES[request.param]
    return api.run(renamed_protocol(folder, data_folder, names), out=folder / "run"), names


def test_the_responding_wells_rank_above_all_others(run: tuple[api.RunResult, dict[str, str]]) -> None:
    result, names = run
    report = result.report
    assert (result.exit_code, report["frames"], report["lost_frames"], report["missing"]) == (0, 96, 0, 0)
    responding = {place(names[well]) for well in RESPONDING}
    assert {well["well"] for well in report["wells"] if well["rank"] <= 6} == responding
    means = {well["well"]: well["readouts"]["vesicles"]["mean"] for well in report["wells"]}
    lowest = min(means[well] for well in responding)
    highest = max(mean for well, mean in means.items() if well not in responding)
    assert lowest >= 1.5 * highest


def test_three_vehicle_wells_are_ranked_only(run: tuple[api.RunResult, dict[str, str]]) -> None:
    report = run[0].report
    assert all(well["call"] is None and well["evidence"] is None for well in report["wells"])
    assert any("three control wells are too few to call hits" in note for note in report["notes"])


def test_every_stored_image_is_its_source_file(run: tuple[api.RunResult, dict[str, str]], data_folder: Path) -> None:
    result, names = run
    folder = result.folder
    resolved = Resolved.from_json(folder.resolved.read_bytes(), "resolved.json")
    images = RunImages(folder.images_folder, resolved.plan)
    sources = {
        (place(names[row["well"]]), row["field"], row["channel"]): data_folder / "bbbc016" / row["file"]
        for row in rows(data_folder / "bbbc016" / "manifest.csv")
    }
    seen = set()
    for message in read(folder.journal).messages:
        if not isinstance(message, VisitEnded):
            continue
        for frame in message.frames:
            address = frame.address
            key = (address.well, address.field, CHANNELS[address.channel])
            stored = images.read(address)
            assert stored is not None
            source = tifffile.imread(sources[key])
            assert stored.dtype == source.dtype
            assert (stored == source).all(), key
            seen.add(key)
    assert seen == set(sources)
    table = pq.read_table(folder.frames)
    assert table.num_rows == 96
    assert all(table["stored"].to_pylist())
