"""`profiles`: the wells of a run as profiles on the scale of its controls, and whether replicates look alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phenoloop.api.field_profiles import FieldProfiles, field_profiles
from phenoloop.api.resolved import Resolved
from phenoloop.errors import UsageError
from phenoloop.model import Scalar
from phenoloop.numerics.held_out import distance, held_out, varying
from phenoloop.numerics.profiles import ControlScale, control_scale, judge_features, well_medians
from phenoloop.numerics.replicates import Replication, Retrieval, replication, retrieval
from phenoloop.numerics.whitening import sphering
from phenoloop.protocol.expressions import ExpressionError, compile_well
from phenoloop.protocol.wells import well_place
from phenoloop.storage.run_folder import RunFolder
from phenoloop.storage.tables import write_columns
from phenoloop.watch.verdict import names as names_of

Floats = NDArray[np.float64]

SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True, kw_only=True)
class ProfilesResult:
    """The profiles of a run.

    Attributes
    ----------
    wells : tuple of str
        Those with an accepted field, in plate order; the rows of what follows.
    properties : tuple of mapping
        Their rows of the plate map.
    fields, objects : tuple of int
        Distinct fields, and objects in them, behind each row.
    controls : tuple of bool
        Which rows made the scale.
    features : tuple of str
        The columns of `values`: those that were kept.
    values : ndarray of float64, shape (wells, features)
        In SDs of a control well of as many fields; NaN is unknown.
    dropped : mapping of str to str
        Each feature that was not kept, with the reason.
    distance : tuple of float
        Root mean square over the features of each row.
    control_distance : tuple of float
        The same of each control well on the scale of the other controls, in row order: what a well that is like the
        controls, and made no scale, comes to. Empty with two control wells.
    by : tuple of str
        Columns of the plate map in which replicates agree.
    retrieval : mapping of str to Retrieval
        By treatment of two or more wells.
    replication : Replication or None
        None with fewer than two such treatments.
    shrinkage : float or None
        Of the sphering; None without.
    notes : tuple of str
        What a reader must know.
    files : tuple of Path
        What was written.
    """

    wells: tuple[str, ...]
    properties: tuple[Mapping[str, Scalar], ...]
    fields: tuple[int, ...]
    objects: tuple[int, ...]
    controls: tuple[bool, ...]
    features: tuple[str, ...]
    values: Floats
    dropped: Mapping[str, str]
    distance: tuple[float, ...]
    control_distance: tuple[float, ...]
    by: tuple[str, ...]
    retrieval: Mapping[str, Retrieval]
    replication: Replication | None
    shrinkage: float | None
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()


def profiles(
    run: Path,
    *,
    out: Path | None = None,
    sphere: bool = False,
    controls: str | None = None,
    by: Sequence[str] = (),
) -> ProfilesResult:
    """Write the profile of every well of a run, normalised to the controls.

    Parameters
    ----------
    run : Path
        A run folder, finished or not. From its journal where the protocol has ``analysis: profile``, else from its
        tables of objects.
    out : Path, optional
        ``.parquet`` or ``.csv``; by default ``profiles.parquet`` and ``profiles.csv`` in the run folder.
    sphere : bool
        Also sphere on the controls, see `phenoloop.numerics.whitening`.
    controls : str, optional
        Condition over the columns of the plate map, in place of the question's controls.
    by : sequence of str
        Columns of the plate map in which replicates agree; all unless given.

    Raises
    ------
    UsageError
        If it is no run folder, holds no profile, has fewer than two control wells, or `out` is of another kind.
    JournalError
        If its journal cannot be trusted.
    """
    if out is not None and out.suffix not in SUFFIXES:
        raise UsageError(f"--out {out} cannot be written: its name must end in .parquet or .csv.")
    folder = RunFolder.open(run)
    resolved = Resolved.from_json(folder.resolved.read_bytes(), str(folder.resolved))
    result = make_profiles(field_profiles(folder, resolved), resolved, sphere=sphere, controls=controls, by=by)
    files = (out,) if out is not None else folder.profiles
    for path in files:
        write_columns(path, table(result))
    return ProfilesResult(**{**vars(result), "files": files})


def make_profiles(
    found: FieldProfiles, resolved: Resolved, *, sphere: bool, controls: str | None, by: Sequence[str]
) -> ProfilesResult:
    """Return the profiles without writing them; see `profiles`."""
    setup = resolved.setup
    names = [well for well in setup.wells if well in set(found.wells)]
    properties = dict(zip(setup.wells, setup.properties or [{}] * len(setup.wells), strict=True))
    is_control = np.array([name in _controls(resolved, controls) for name in names])
    place = {name: row for row, name in enumerate(names)}
    which = np.array([place[well] for well in found.wells], dtype=np.int64)
    medians, fields = well_medians(found.values, which, len(names))
    try:
        scale = control_scale(found.values, which, is_control)
    except ValueError as error:
        raise UsageError(
            f"only {int(is_control.sum())} of the {len(names)} wells with an accepted field is a control, and a scale "
            "needs two. Give --controls a condition over the plate map that more wells fulfil."
        ) from error
    z = scale.z(medians, fields)
    kept, dropped = _select(found.names, z, scale, is_control, sphere=sphere)
    values, shrinkage = z[:, kept], None
    if sphere:
        turned = sphering(values[is_control])
        values, shrinkage = turned(values), turned.shrinkage
    columns = _columns(by, properties)
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        said = [
            f"{column} {properties[name].get(column)}" for column in columns if properties[name].get(column) is not None
        ]
        if said and not is_control[row]:
            groups.setdefault(", ".join(said), []).append(row)
    rng = np.random.default_rng([setup.seed, 1])
    control_rows = np.flatnonzero(is_control).tolist()
    objects = np.bincount(which, weights=found.objects, minlength=len(names))
    found_again = retrieval(values, groups, control_rows, rng)
    notes = [*found.notes, *_notes(fields, is_control, scale)]
    if sphere and len(control_rows) < 16:
        notes.append("sphered on few control wells: directions in which they happen not to differ are blown up")
    hopeless = [
        name for name, each in found_again.items() if 1 / math.comb(len(control_rows) + each.wells, each.wells) > 0.05
    ]
    if hopeless:
        notes.append(f"too few wells and controls to tell from chance whatever they show: {names_of(hopeless, most=3)}")
    return ProfilesResult(
        wells=tuple(names),
        properties=tuple(properties[name] for name in names),
        fields=tuple(fields.tolist()),
        objects=tuple(int(count) for count in objects),
        controls=tuple(bool(control) for control in is_control),
        features=tuple(found.names[k] for k in kept),
        values=values,
        dropped=dropped,
        distance=tuple(distance(values).tolist()),
        control_distance=tuple(held_out(found.values[:, kept], which, is_control, sphere=sphere)),
        by=columns,
        retrieval=found_again,
        replication=replication(values, groups, rng),
        shrinkage=shrinkage,
        notes=tuple(notes),
    )


def table(result: ProfilesResult) -> dict[str, list[object]]:
    """Return the columns of the file; what is known of a well is ``Metadata_...``, as Cell Painting tools have it."""
    columns: dict[str, list[object]] = {
        "Metadata_Well": list(result.wells),
        "Metadata_Control": list(result.controls),
        "Metadata_Fields": list(result.fields),
        "Metadata_Objects": list(result.objects),
        "Metadata_Distance": list(result.distance),
    }
    for column in dict.fromkeys(column for row in result.properties for column in row):
        name = f"Metadata_{column}"
        columns[f"Metadata_Map_{column}" if name in columns else name] = [row.get(column) for row in result.properties]
    for k, feature in enumerate(result.features):
        columns[feature] = result.values[:, k].tolist()
    return columns


def _select(
    names: Sequence[str], z: Floats, scale: ControlScale, is_control: NDArray[np.bool_], *, sphere: bool
) -> tuple[list[int], dict[str, str]]:
    """Return which features are kept, and why the others are not."""
    dropped: dict[str, str] = {}
    kept = []
    verdicts = judge_features(z)
    in_controls = varying(z[is_control])
    for k, name in enumerate(names):
        word, like = verdicts[k]
        if not np.isfinite(scale.middle[k]):
            dropped[name] = "unknown in the controls"
        elif not np.isfinite(scale.between[k]) or word == "constant":
            dropped[name] = "constant on the plate"
        elif word == "unknown":
            dropped[name] = "unknown in more than 5 % of the wells"
        elif word == "alike":
            dropped[name] = f"says what {names[like]} says"
        elif sphere and not in_controls[k]:
            dropped[name] = "constant in the controls, so that it cannot be sphered"
        else:
            kept.append(k)
    if not kept:
        raise UsageError(
            f"none of the {len(names)} features can be used: {', '.join(dict.fromkeys(dropped.values()))}."
        )
    return kept, dropped


def _controls(resolved: Resolved, condition: str | None) -> frozenset[str]:
    setup = resolved.setup
    if condition is None:
        if not setup.controls:
            raise UsageError(
                "the question of this run names no controls. Say which wells they are: "
                "--controls \"treatment == 'vehicle'\"."
            )
        return frozenset(setup.controls)
    columns: dict[str, str] = {}
    for row in setup.properties:
        for column, value in row.items():
            if value is not None:
                columns.setdefault(column, "text" if isinstance(value, str) else "number")
    try:
        compiled = compile_well(condition, columns)
    except ExpressionError as error:
        raise UsageError(f"--controls {condition!r} cannot be used: {error.message}.") from error
    rows = zip(setup.wells, setup.properties, strict=False)
    return frozenset(well for well, row in rows if compiled.evaluate(row) is True)


def _columns(by: Sequence[str], properties: Mapping[str, Mapping[str, Scalar]]) -> tuple[str, ...]:
    """Return the columns in which replicates agree: as asked, or all that do not just say where a well lies."""
    known = tuple(dict.fromkeys(column for row in properties.values() for column in row))
    for column in by:
        if column not in known:
            raise UsageError(f"--by {column}: the plate map has no such column; it has {', '.join(known) or 'none'}.")
    if by:
        return tuple(by)
    where = [well_place(name) for name in properties]
    places = (
        [name.rstrip("0123456789") for name in properties],
        [row + 1 for row, _ in where],
        [column + 1 for _, column in where],
    )
    return tuple(column for column in known if [row.get(column) for row in properties.values()] not in places)


def _notes(fields: NDArray[np.int64], is_control: NDArray[np.bool_], scale: ControlScale) -> list[str]:
    notes = []
    wells = int(is_control.sum())
    if wells < 8:
        notes.append(f"the scale comes from {wells} control wells: single features may be far off it")
    if not scale.within.any() and fields.min() != fields.max():
        notes.append("no control well has two fields: wells of few fields look further from the controls than they are")
    return notes
