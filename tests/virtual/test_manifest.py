"""The manifest: what was recorded, or a sentence that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from phenoloop.microscope.virtual.recorded import Recorded
from phenoloop.microscope.virtual.recording import natural, same_well
from phenoloop.model import SpecimenInfo
from tests.virtual.builders import HEADER, picture, record, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two wells, two fields, two channels."""
    return record(tmp_path)


def describe(
    folder: Path, of: Sequence[str] = ("A1", "A2"), seen: Sequence[str] = ("DNA", "GFP"), **parameters: Any
) -> SpecimenInfo:
    return Recorded.describe({"manifest": "manifest.csv", **parameters}, of, seen, folder)


def test_describe(folder: Path) -> None:
    info = describe(folder)
    assert (info.height, info.width, info.bits, info.once) == (20, 30, 8, True)
    assert info.fields == {"A1": ("0", "1"), "A2": ("0", "1")}
    assert info.files == (str(folder.resolve() / "manifest.csv"),)


def test_fields_sort_as_people_count(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture())
    names = ["f10", "f2", "f1", "10", "9", "centre"]
    write(tmp_path, [f"a.tif,B3,{name},DNA" for name in names])
    assert describe(tmp_path, ["B3"], ["DNA"]).fields == {"B3": ("9", "10", "centre", "f1", "f2", "f10")}


def test_rows_without_well_and_further_columns_do_not_matter(folder: Path) -> None:
    text = (folder / "manifest.csv").read_text().splitlines()
    rows = [f'{line},"x, y",3' for line in text[1:]]
    rows += ["stills/none.tif,,,DNA,,", ",,,,,", ""]
    write(folder, rows, header=f"{HEADER},note,dose")
    (folder / "manifest.csv").write_bytes(b"\xef\xbb\xbf" + (folder / "manifest.csv").read_bytes())
    assert describe(folder).fields == {"A1": ("0", "1"), "A2": ("0", "1")}


def test_absolute_and_windows_paths(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    tifffile.imwrite(tmp_path / "sub" / "b.tif", picture())
    write(tmp_path, [f"{folder / 'A01_0_DNA.tif'},A1,0,DNA", "sub\\b.tif,A1,1,DNA"])
    assert describe(tmp_path, ["A1"], ["DNA"]).fields == {"A1": ("0", "1")}


ROWS = [
    f"A0{well}_{field}_{channel}.tif,A0{well},{field},{channel}"
    for well in "12"
    for field in "01"
    for channel in ("DNA", "GFP")
]


@pytest.mark.parametrize(
    ("header", "rows", "asked", "message"),
    [
        pytest.param(
            "file,well,feild,channel",
            ROWS,
            {},
            "no column 'field'; rename 'feild'. Its columns: file",
            id="column misspelt",
        ),
        pytest.param("file,well,channel", ["a.tif,A1,DNA"], {}, "no column 'field'; add it", id="column missing"),
        pytest.param(HEADER.replace(",", ";"), [], {}, "columns must be separated by commas", id="semicolons"),
        pytest.param(f"{HEADER},channel", [], {}, "the column 'channel' is there twice", id="column twice"),
        pytest.param("", [], {}, "is empty; its first line must be file,well,field,channel", id="empty file"),
        pytest.param(HEADER, [], {}, "no line names a file and its well", id="no rows"),
        pytest.param(HEADER, ["a.tif,A1,0"], {}, "line 2: 3 cells, but the header has 4", id="cell missing"),
        pytest.param(
            HEADER, [ROWS[0], "a.tif,A1,0,x,y"], {}, "line 3: 5 cells, but the header has 4", id="cell too many"
        ),
        pytest.param(HEADER, [",A1,0,DNA"], {}, "line 2: the column 'file' is empty", id="no file"),
        pytest.param(HEADER, ["a.tif,A1,,DNA"], {}, "line 2: the column 'field' is empty", id="no field"),
        pytest.param(HEADER, ["a.tif,A1,0,"], {}, "line 2: the column 'channel' is empty", id="no channel"),
        pytest.param(HEADER, ['"a.tif,A1,0,DNA'], {}, "cannot be read as CSV", id="open quote"),
        pytest.param(
            HEADER,
            [*ROWS, "x.tif,A1,0,DNA"],
            {},
            "line 10: well A1, field 0, channel DNA is there already on line 2",
            id="twice",
        ),
        pytest.param(
            HEADER,
            ROWS,
            {"wells": ["A1", "A3"]},
            "well A3 was not recorded; recorded: A1, A2. Leave it out of plate.wells, or map it",
            id="well",
        ),
        pytest.param(
            HEADER,
            ROWS,
            {"channels": ["DNA", "GFPs"]},
            r"channel 'GFPs' was not recorded; did you mean 'GFP'\? .*map it: simulation.channels: {GFPs",
            id="channel",
        ),
        pytest.param(
            HEADER, ROWS, {"map": {"A1": "A2"}}, "A1 and A2 would both show well A2", id="one well shown twice"
        ),
        pytest.param(
            HEADER,
            ROWS[:3] + ROWS[4:],
            {},
            "well A1, field 1 has no channel 'GFP'; add its file",
            id="channel of one field",
        ),
        pytest.param(
            HEADER, [*ROWS, "none.tif,A1,2,DNA", "none.tif,A1,2,GFP"], {}, "none.tif: there is no such file", id="file"
        ),
        pytest.param(HEADER, ROWS, {"wells": []}, "at least one well", id="no well"),
    ],
)
def test_refused_with_the_way_out(
    folder: Path, header: str, rows: list[str], asked: dict[str, Any], message: str
) -> None:
    write(folder, rows, header=header)
    if not header:
        (folder / "manifest.csv").write_text("\n")
    with pytest.raises(ValueError, match=message):
        describe(
            folder, asked.get("wells", ["A1", "A2"]), asked.get("channels", ["DNA", "GFP"]), wells=asked.get("map", {})
        )


def test_a_missing_manifest_and_a_wrong_encoding(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no manifest .*other.csv; correct simulation.manifest"):
        describe(folder, manifest="other.csv")
    (folder / "manifest.csv").write_bytes(f"{HEADER}\nä.tif,A1,0,DNA\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"cannot be read as CSV .* save it as CSV in UTF-8"):
        describe(folder)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(picture((20, 31)), id="another shape"),
        pytest.param(picture((20, 30), np.uint16), id="another depth"),
    ],
)
def test_files_must_agree(folder: Path, odd: NDArray[Any]) -> None:
    tifffile.imwrite(folder / "A02_1_GFP.tif", odd)
    with pytest.raises(ValueError, match=r"A02_1_GFP.tif: .* but .*A01_0_DNA.tif has 30 x 20 of uint8; one run needs"):
        describe(folder)
    assert describe(folder, ["A1"]).width == 30  # files that are not used do not matter


@pytest.mark.parametrize(
    ("written", "name"),
    [("O01", "O1"), ("o1", "O1"), (" A12 ", "A12"), ("AA007", "AA7"), ("W0002", "W2"), ("P-1", "P-1"), ("A0", "A0")],
)
def test_one_spelling_for_a_well(written: str, name: str) -> None:
    assert same_well(written) == name


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_sort_by_size(numbers: list[int]) -> None:
    assert sorted(map(str, numbers), key=natural) == [str(number) for number in sorted(numbers)]
    assert sorted((f"f{n}a" for n in numbers), key=natural) == [f"f{number}a" for number in sorted(numbers)]


@given(st.lists(st.text(max_size=8)))
def test_the_order_of_any_names_does_not_depend_on_how_they_came(names: list[str]) -> None:
    backwards = names[::-1]
    backwards.sort(key=natural)
    assert backwards == sorted(names, key=natural)
