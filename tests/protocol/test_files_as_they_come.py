"""Files as other programs write them and people mistype them: line ends, separators, absurd numbers, long lines.

Each is either read as it was meant, or refused with its place; none ends in an error of ours.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from phenoloop.errors import Problem, ProtocolError
from phenoloop.plugins import Registry
from phenoloop.protocol import load, load_text
from phenoloop.protocol.platemap import read_plate_map
from tests.protocol.test_broken_protocols import GOOD, MAP


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(discover=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "map.csv").write_text(MAP, encoding="utf-8")
    return tmp_path


TABLE = "well,treatment,dose\nA1,vehicle,0\nA2,agonist,0.5\n"


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(TABLE, id="as it stands"),
        pytest.param(TABLE.replace("\n", "\r\n"), id="lines of Windows"),
        pytest.param(TABLE.replace("\n", "\r"), id="lines of an old Macintosh"),
        pytest.param("\ufeff" + TABLE, id="with a byte order mark"),
        pytest.param(TABLE.replace(",", "\t"), id="tabs, as pasted from a spreadsheet"),
        pytest.param(TABLE.replace(",", ";"), id="semicolons"),
        pytest.param(TABLE.replace(",", ";").replace(".", ","), id="semicolons and decimal commas"),
        pytest.param(TABLE.replace(",", " , "), id="spaces around"),
        pytest.param(TABLE.rstrip() + "\n\n\n", id="empty lines at the end"),
    ],
)
def test_a_plate_map_of_any_program(written: str, tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_bytes(written.encode("utf-8"))
    table = read_plate_map(path)
    assert table.columns == {"treatment": "text", "dose": "number"}
    assert table.rows == {"A1": {"treatment": "vehicle", "dose": 0}, "A2": {"treatment": "agonist", "dose": 0.5}}


def test_names_with_an_underscore_are_no_numbers(tmp_path: Path) -> None:
    """Python reads 1_1 as 11: two compounds would become one."""
    path = tmp_path / "map.csv"
    path.write_text("well,compound\nA1,1_1\nA2,11\n", encoding="utf-8")
    assert read_plate_map(path).rows == {"A1": {"compound": "1_1"}, "A2": {"compound": "11"}}


def test_a_cell_without_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text(f"well,treatment\nA1,{'x' * 200_000}\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match="cannot be read as a table"):
        read_plate_map(path)


@pytest.mark.parametrize(
    ("good", "bad", "where", "said"),
    [
        pytest.param("frames: 400", "frames: true", "limits.frames", "true stands where a number", id="truth"),
        pytest.param("rows: 2", "rows: true", "plate.fields.rows", "true stands where a number", id="truth in a union"),
        pytest.param(
            "wells_per_batch: 4", "wells_per_batch: true", "policy.wells_per_batch", "true stands", id="of a plug-in"
        ),
        pytest.param("seed: 1", f"seed: {'9' * 5000}", "seed", "a number of 5000 digits", id="digits without end"),
        pytest.param("20 ms}", "1e9999999999 ms}", "imaging.channels[0].exposure", "is not an exposure", id="exponent"),
        pytest.param(
            "20 ms}",
            "1e99999999999999999999 ms}",
            "imaging.channels[0].exposure",
            "is not an exposure",
            id="no exponent",
        ),
        pytest.param("disk: 20 GB", "disk: 1e17 GB", "limits.disk", "'1e17 GB' is too large a number", id="disk"),
        pytest.param("cells: count()", "cells: 1/0", "analysis.readouts.cells", "looks at no object", id="constant"),
        pytest.param(
            "treatment == 'vehicle'",
            "treatment == \u2018vehicle\u2019",
            "question.controls",
            "straight quotes",
            id="quotes of a word processor",
        ),
    ],
)
def test_what_people_mistype_is_told_with_its_place(
    good: str, bad: str, where: str, said: str, folder: Path, registry: Registry
) -> None:
    assert GOOD.count(good) == 1
    with pytest.raises(ProtocolError) as caught:
        load_text(GOOD.replace(good, bad), registry, base=folder)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert said in problem.message
    assert problem.line is not None


def test_of_a_long_line_only_the_place_is_shown() -> None:
    line = "a" * 5000 + "!" + "b" * 5000
    shown = str(Problem("wrong", "p.yaml", 1, 5001, source=line)).splitlines()
    assert max(map(len, shown)) < 250
    assert shown[1][shown[2].index("^")] == "!"


def test_an_image_given_for_a_protocol_is_not_read(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "image.tif"
    with path.open("wb") as stream:
        stream.truncate(50_000_000)
    with pytest.raises(ProtocolError, match="it has 50 MB, and a protocol a few kB"):
        load(path, registry)
