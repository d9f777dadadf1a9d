from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from phenoloop.errors import StorageError
from phenoloop.model import Measured, MeasurementFailed, MissingFrame
from phenoloop.storage.tables import NOT_ENDED, write_frames, write_objects, write_readouts
from tests.storage.builders import acquire, ended

FIRST = acquire(1, "B3", ("0", 0, 0), ("x/1", 0, 1), decision=4)
SECOND = acquire(2, "AA12", ("0", 1, 0), decision=5)
CUT_OFF = acquire(3, "A1", ("0", 0, 0), decision=5)

_whole = ended(FIRST)
ENDS = (
    dataclasses.replace(
        _whole,
        frames=_whole.frames[:3],
        missing=(MissingFrame(address=_whole.frames[3].address, reason="preset FITC refused", exposed=False),),
    ),
    ended(SECOND),
)


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_frames_has_one_row_per_planned_frame_with_what_became_of_it(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.parquet", (FIRST, SECOND, CUT_OFF), ENDS)
    table = rows(tmp_path / "frames.parquet")
    assert [(row["visit"], row["field"], row["channel"], row["stored"], row["reason"]) for row in table] == [
        (1, "0", "DNA", True, ""),
        (1, "0", "GFP", True, ""),
        (1, "x/1", "DNA", True, ""),
        (1, "x/1", "GFP", False, "preset FITC refused"),
        (2, "0", "DNA", True, ""),
        (2, "0", "GFP", True, ""),
        (3, "0", "DNA", False, NOT_ENDED),
        (3, "0", "GFP", False, NOT_ENDED),
    ]
    assert table[2] == {
        "well": "B3",
        "field": "x/1",
        "profile": "main",
        "channel": "DNA",
        "t": 0,
        "z": 0,
        "image": 1,
        "c": 0,
        "path": "images/main.ome.zarr/B/3/1/0",
        "stored": True,
        "reason": "",
        "exposed": True,
        "exposure_ms": 10.0,
        "x_um": 1.0,
        "y_um": 2.0,
        "z_um": None,
        "at_s": 3.0,
        "visit": 1,
        "decision": 4,
        "attempts": 1,
    }
    assert (table[3]["exposed"], table[3]["exposure_ms"], table[3]["attempts"]) == (False, None, None)
    assert table[4]["path"] == "images/main.ome.zarr/AA/12/0/0"
    assert table[6]["exposed"] is None


def test_readouts_has_one_row_per_field_visit(tmp_path: Path) -> None:
    measured = Measured(
        at_s=2.0,
        visit=1,
        field="0",
        readouts={"vesicles": 4.5, "status": 1.0, "size": None},
        quality={"focus": 0.5, "objects": 12.0},
        objects=12,
    )
    late = MeasurementFailed(at_s=9.0, visit=2, field="0", reason="longer than 5 s", kind="late")
    path = tmp_path / "readouts.parquet"
    write_readouts(path, (FIRST, SECOND, CUT_OFF), ENDS, (measured, late))
    table = rows(path)
    assert table[0] == {
        "visit": 1,
        "decision": 4,
        "well": "B3",
        "field": "0",
        "profile": "main",
        "t": 0,
        "status": "ok",
        "reason": "",
        "objects": 12,
        "at_s": 2.0,
        "vesicles": 4.5,
        "readout.status": 1.0,
        "size": None,
        "quality.focus": 0.5,
        "quality.objects": 12.0,
    }
    told = [(row["status"], row["reason"], row["vesicles"]) for row in table[1:]]
    assert told == [
        ("missing", "preset FITC refused", None),
        ("late", "longer than 5 s", None),
        ("unfinished", NOT_ENDED, None),
    ]


def test_a_run_without_visits_has_empty_tables_with_all_columns(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames.parquet", (), ())
    write_readouts(tmp_path / "readouts.parquet", (), (), ())
    assert pq.read_table(tmp_path / "frames.parquet").num_rows == 0
    assert "exposure_ms" in pq.read_schema(tmp_path / "frames.parquet").names
    assert pq.read_schema(tmp_path / "readouts.parquet").names[0] == "visit"


OBJECTS = {
    "label": np.array([1, 2, 3], np.int32),
    "area": np.array([10.0, 20.0, 30.0]),
    "vesicles.area": np.array([1.5, math.nan, 2.5]),
}


def test_object_tables_of_all_visits_are_one_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "objects" / "main"
    paths = [
        write_objects(folder, 1, "B3", "0", OBJECTS),
        write_objects(folder, 1, "B3", "x/1: very long name of a field" * 5, OBJECTS),
        write_objects(folder, 12, "B3", "0", {name: column[:0] for name, column in OBJECTS.items()}),
    ]
    assert write_objects(folder, 13, "B3", "0", {}) is None
    assert paths[0] == folder / "part-000001-0.parquet"
    assert sorted(folder.iterdir()) == sorted(path for path in paths if path)
    table = ds.dataset(folder).to_table().to_pydict()
    assert sorted(table["label"]) == [1, 1, 2, 2, 3, 3]
    assert set(table["well"]) == {"B3"}
    assert set(table["visit"]) == {1}
    assert len(set(table["field"])) == 2
    assert sum(math.isnan(area) for area in table["vesicles.area"]) == 2


def test_a_table_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    write_objects(folder, 1, "B3", "0", OBJECTS)
    path = write_objects(folder, 1, "B3", "0", {"label": np.array([7])})
    assert path is not None
    assert rows(path) == [{"visit": 1, "well": "B3", "field": "0", "label": 7}]
    assert [entry.name for entry in folder.iterdir()] == [path.name]


def test_a_table_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way")
    with pytest.raises(StorageError, match="can be made again from the journal"):
        write_objects(tmp_path / "objects", 1, "B3", "0", OBJECTS)
