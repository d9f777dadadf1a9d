"""The tables of a run as Parquet: what became of each planned frame, each field visit, each object.

They are derived from the journal and the images and can be made again at any time.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from phenoloop.errors import StorageError
from phenoloop.model import Acquire, Judged, Measured, MeasurementFailed, VisitEnded
from phenoloop.platform import replace_file

NOT_ENDED: Final = "the run was cut off before this visit ended"

_FRAMES: Final = pa.schema(
    [
        ("well", pa.string()),
        ("field", pa.string()),
        ("profile", pa.string()),
        ("channel", pa.string()),
        ("t", pa.int32()),
        ("z", pa.int32()),
        ("image", pa.int32()),
        ("c", pa.int32()),
        ("path", pa.string()),
        ("stored", pa.bool_()),
        ("reason", pa.string()),
        ("exposed", pa.bool_()),
        ("exposure_ms", pa.float64()),
        ("x_um", pa.float64()),
        ("y_um", pa.float64()),
        ("z_um", pa.float64()),
        ("at_s", pa.float64()),
        ("visit", pa.int32()),
        ("decision", pa.int32()),
        ("attempts", pa.int32()),
    ]
)

_VISITED: Final = (
    ("visit", pa.int32()),
    ("decision", pa.int32()),
    ("well", pa.string()),
    ("field", pa.string()),
    ("profile", pa.string()),
    ("t", pa.int32()),
    ("status", pa.string()),
    ("reason", pa.string()),
    ("objects", pa.int32()),
    ("at_s", pa.float64()),
)

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,24}")


def write_frames(path: Path, acquires: Sequence[Acquire], ends: Sequence[VisitEnded]) -> None:
    """Write one row per planned frame, in the order in which they were planned.

    ``stored`` is false for a frame that is fill value in its image, and ``reason`` says why; ``path`` leads from the
    run folder to the array. Positions and exposure are those read back from the hardware, empty for a frame that is
    not stored; ``at_s`` is the run clock.

    Parameters
    ----------
    path : Path
        Target, replaced in one step.
    acquires : sequence of Acquire
        All visits that were planned.
    ends : sequence of VisitEnded
        Those that ended.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    kept = {frame.address: frame for end in ends for frame in end.frames}
    missing = {frame.address: frame for end in ends for frame in end.missing}
    rows = []
    for visit in (acquire.visit for acquire in acquires):
        for address in visit.frames():
            row: dict[str, Any] = {name: getattr(address, name) for name in _ADDRESS}
            row["path"] = f"images/{address.profile}.ome.zarr/{_well_folder(address.well)}/{address.image}/0"
            row["decision"] = visit.decision
            frame, lack = kept.get(address), missing.get(address)
            row["stored"] = frame is not None
            if frame is not None:
                row |= {name: getattr(frame, name) for name in _STATE}
                row |= {"reason": "", "exposed": True}
            else:
                row["reason"] = lack.reason if lack is not None else NOT_ENDED
                row["exposed"] = lack.exposed if lack is not None else None
            rows.append(row)
    _write(path, pa.Table.from_pylist(rows, schema=_FRAMES))


def write_readouts(
    path: Path,
    acquires: Sequence[Acquire],
    ends: Sequence[VisitEnded],
    measurements: Sequence[Measured | MeasurementFailed],
    verdicts: Sequence[Judged] = (),
) -> None:
    """Write one row per field visit: what became of it, its readouts and its quality.

    ``status`` is ``ok``, ``qc_fail``, ``failed``, ``late``, ``stopped`` (see `Measured`, `MeasurementFailed`),
    ``missing`` for a field that was not analysed because frames are missing, or ``unfinished``. Readouts have their
    own names (``readout.<name>`` where that is the name of a column above), quality is ``quality.<name>``.

    Parameters
    ----------
    path : Path
        Target, replaced in one step.
    acquires, ends, measurements, verdicts : sequences
        From the journal.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    told = {(message.visit, message.field): message for message in reversed(measurements)}
    rejected = {(verdict.visit, verdict.field): verdict.reason for verdict in verdicts}
    lacks = {(lack.address.visit, lack.address.field): lack.reason for end in ends for lack in reversed(end.missing)}
    ended = {end.visit: end for end in ends}
    fixed = {name for name, _ in _VISITED}
    numbers: dict[str, None] = {}
    rows = []
    for visit in (acquire.visit for acquire in acquires):
        for place in visit.fields:
            message, key = told.get((visit.number, place.field)), (visit.number, place.field)
            row: dict[str, Any] = {
                "visit": visit.number,
                "decision": visit.decision,
                "well": visit.well,
                "field": place.field,
                "profile": visit.profile,
                "t": place.t,
            }
            if isinstance(message, Measured):
                values = {(f"readout.{name}" if name in fixed else name): v for name, v in message.readouts.items()}
                values |= {f"quality.{name}": value for name, value in message.quality.items()}
                numbers |= dict.fromkeys(values)
                row |= {"status": message.status, "reason": message.reason, "objects": message.objects, **values}
                if key in rejected:
                    row |= {"status": "qc_fail", "reason": rejected[key]}
            elif message is not None:
                row |= {"status": message.kind, "reason": message.reason}
            elif key in lacks:
                row |= {"status": "missing", "reason": lacks[key]}
            else:
                row |= {"status": "unfinished", "reason": "" if visit.number in ended else NOT_ENDED}
            end = message or ended.get(visit.number)
            row["at_s"] = end.at_s if end is not None else None
            rows.append(row)
    schema = pa.schema([*_VISITED, *((name, pa.float64()) for name in numbers)])
    _write(path, pa.Table.from_pylist(rows, schema=schema))


def write_objects(folder: Path, visit: int, well: str, field: str, objects: Mapping[str, NDArray[Any]]) -> Path | None:
    """Write the objects of one field visit to a file of their own, ``part-<visit>-<field>.parquet``.

    Parameters
    ----------
    folder : Path
        ``objects/<profile>`` of the run folder; made if need be. All its parts can be read as one data set.
    visit : int
        Number of the visit.
    well, field : str
        Where; they become columns.
    objects : mapping of str to ndarray, each of shape (n,)
        Feature table (`ports.Measurement.objects`); without columns nothing is written.

    Returns
    -------
    Path or None
        The file.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    if not objects:
        return None
    path = _part(folder, visit, field)
    columns = {name: np.asarray(column) for name, column in objects.items()}
    n = len(next(iter(columns.values())))
    place = {
        "visit": pa.array(np.full(n, visit, np.int32)),
        "well": pa.array([well] * n, pa.string()),
        "field": pa.array([field] * n, pa.string()),
    }
    _write(path, pa.table(place | {name: pa.array(column) for name, column in columns.items()}))
    return path


def read_objects(folder: Path, visit: int, field: str) -> dict[str, NDArray[Any]] | None:
    """Return the numbers of the objects of one field visit, as `write_objects` wrote them; None without its file.

    Raises
    ------
    StorageError
        If the file is damaged.
    """
    path = _part(folder, visit, field)
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"{path} cannot be read ({error}). Take it away: its field is left out then, and said to be."
        ) from error
    return {name: table[name].to_numpy() for name in table.column_names if not pa.types.is_string(table[name].type)}


def write_columns(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write a table, as CSV where the name ends in ``.csv``, else as Parquet; None and NaN are empty.

    Parameters
    ----------
    path : Path
        Target, replaced in one step.
    columns : mapping of str to sequence
        Of equal length, each of one type.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    _write(path, table)


_ADDRESS: Final = ("well", "field", "profile", "channel", "t", "z", "image", "c", "visit")
_STATE: Final = ("exposure_ms", "x_um", "y_um", "z_um", "at_s", "attempts")


def _well_folder(well: str) -> str:
    """Return ``B/3`` for ``B3`` (and for ``B03``, as some maps write it)."""
    letters = well.rstrip("0123456789")
    return f"{letters}/{int(well[len(letters) :])}"


def _part(folder: Path, visit: int, field: str) -> Path:
    # A field may be named anything, a file may not.
    short = field if _PLAIN_NAME.fullmatch(field) else f"{zlib.crc32(field.encode('utf-8', 'replace')):08x}"
    return folder / f"part-{visit:06d}-{short}.parquet"


def _write(path: Path, table: pa.Table) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            csv.write_csv(table, temporary)
        else:
            pq.write_table(table, temporary, compression="zstd")
        replace_file(temporary, path)
    except OSError as error:
        raise StorageError(
            f"{path} could not be written ({error}). Free space on the disk or restore access to it; the table can be "
            "made again from the journal."
        ) from error
