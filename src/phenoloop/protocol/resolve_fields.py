"""From the plate block to fields: how many each well has, how they are called, and where on the stage they lie."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from phenoloop.model import FieldPlace, Scalar, SpecimenInfo, WellPlan
from phenoloop.protocol.geometry import (
    Offset,
    PlateGeometry,
    choice_order,
    grid_offsets,
    random_offsets,
)
from phenoloop.protocol.plate_models import ExplicitFields, GridFields, Plate, RandomFields, RecordedFields
from phenoloop.protocol.platemap import PlateMap
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.resolve_plate import Well
from phenoloop.protocol.wells import well_name
from phenoloop.protocol.yaml_source import Source


def plan_wells(
    plate: Plate,
    wells: Sequence[Well],
    geometry: PlateGeometry,
    frame_um: tuple[float, float] | None,
    table: PlateMap | None,
    seed: int,
    source: Source,
    problems: Problems,
    recorded: Mapping[str, Sequence[str]] | None = None,
) -> list[WellPlan]:
    """Return the selected wells with the absolute places of their fields.

    `frame_um` is the width and height of a frame in the sample; None where the pixel size is not known. `recorded` are
    the fields of each well where these are all that there is to see.
    """
    shared: list[Offset] | None = None
    if isinstance(plate.fields, RecordedFields):
        if recorded is None:
            if not problems:  # else why there is no recorded plate was told
                said = "only a recorded plate knows its fields; ask for a grid: {kind: grid, rows: 3, columns: 3}"
                problems.add(source.problem(("plate", "fields", "kind"), said))
            return []
        if frame_um is None:
            return []
        shared = _side_by_side(max(map(len, recorded.values()), default=0), geometry, frame_um)
    elif not isinstance(plate.fields, RandomFields):
        shared = _shared_offsets(plate.fields, geometry, frame_um, source, problems)
        if shared is None:
            return []
    elif frame_um is None:
        return []
    plans = []
    for row, column in wells:
        name = well_name(row, column)
        offsets = shared if shared is not None else _random(plate.fields, geometry, frame_um, (seed, row, column))
        if offsets is None:
            said = f"so many fields do not fit into {name} without overlap; ask for fewer"
            problems.add(source.problem(("plate", "fields", "count"), said))
            return []
        if isinstance(plate.fields, RecordedFields) and recorded is not None:
            offsets = offsets[: len(recorded.get(name, ()))]
        x_um, y_um = geometry.stage_um(row, column)
        places = [geometry.stage_um(row, column, offset) for offset in offsets]
        properties: Mapping[str, Scalar] = table.rows.get(name, {}) if table is not None else {}
        plans.append(
            WellPlan(
                name=name,
                row=row,
                column=column,
                x_um=x_um,
                y_um=y_um,
                fields=tuple(FieldPlace(name=str(i), x_um=x, y_um=y) for i, (x, y) in enumerate(places)),
                choice=choice_order(len(places), (seed, row, column)),
                properties=dict(properties),
            )
        )
    return plans


def _random(
    fields: object, geometry: PlateGeometry, frame_um: tuple[float, float] | None, key: tuple[int, int, int]
) -> list[Offset] | None:
    if not isinstance(fields, RandomFields) or frame_um is None:
        return None
    found = random_offsets(fields.count, geometry, frame_um, key)
    return found if len(found) == fields.count else None


def _side_by_side(count: int, geometry: PlateGeometry, frame_um: tuple[float, float]) -> list[Offset]:
    """Return places for recorded fields, of which nobody knows where they lay: a square, closer in a small well."""
    columns = math.isqrt(max(count, 1) - 1) + 1
    share = 1.0
    while True:
        offsets = grid_offsets(-(-count // columns), columns, (frame_um[0] * share, frame_um[1] * share))[:count]
        if share < 0.05 or all(geometry.holds(offset, (0.0, 0.0)) for offset in offsets):
            return offsets
        share /= 2


def _shared_offsets(
    fields: GridFields | ExplicitFields,
    geometry: PlateGeometry,
    frame_um: tuple[float, float] | None,
    source: Source,
    problems: Problems,
) -> list[Offset] | None:
    path = ("plate", "fields")
    if isinstance(fields, ExplicitFields):
        offsets = [(offset.x, offset.y) for offset in fields.offsets]
    else:
        if frame_um is None:
            return None
        step = frame_um
        if fields.spacing is not None:
            step = (fields.spacing, fields.spacing)
        elif fields.overlap:
            step = (frame_um[0] * (1 - fields.overlap), frame_um[1] * (1 - fields.overlap))
        offsets = grid_offsets(fields.rows, fields.columns, step)
    outside = [index for index, offset in enumerate(offsets) if not geometry.holds(offset, frame_um or (0.0, 0.0))]
    if not outside:
        return offsets
    shape = "round wells" if geometry.circular else "wells"
    size = f"{shape} of {geometry.well_um[0] / 1000:g} mm"
    if isinstance(fields, ExplicitFields):
        said = f"this field does not lie inside {size}"
        problems.add(*(source.problem((*path, "offsets", index), said) for index in outside))
    else:
        said = (
            f"{len(outside)} of the {len(offsets)} fields of this grid do not lie inside {size} (one field is "
            f"{(frame_um or step)[0]:.0f} x {(frame_um or step)[1]:.0f} um); ask for fewer, or more overlap"
        )
        problems.add(source.problem(path, said, key=not source.has(*path)))
    return None


def named_by_specimen(
    plans: Sequence[WellPlan], info: SpecimenInfo, source: Source, problems: Problems
) -> list[WellPlan]:
    """Return wells whose fields carry the names under which they were recorded, first to first."""
    if info.fields is None:
        return list(plans)
    found = []
    for plan in plans:
        recorded = info.fields.get(plan.name, ())
        if len(recorded) < len(plan.fields):
            said = (
                f"{len(plan.fields)} fields are asked for, and {len(recorded)} were recorded in {plan.name}; "
                f"ask for {max(len(recorded), 1)} at most"
            )
            path = ("plate", "fields") if source.has("plate", "fields") else ("plate",)
            problems.add(source.problem(path, said, key=True))
            return list(plans)
        fields = [dataclasses.replace(place, name=name) for place, name in zip(plan.fields, recorded, strict=False)]
        found.append(dataclasses.replace(plan, fields=tuple(fields)))
    return found
