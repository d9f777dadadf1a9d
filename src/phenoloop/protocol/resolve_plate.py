"""From the plate block to wells: the plate on its stage, which wells are meant, and what the map says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from phenoloop.errors import ProtocolError
from phenoloop.model import StageBox, WellPlan
from phenoloop.protocol.expressions import ExpressionError, compile_well
from phenoloop.protocol.geometry import PlateGeometry
from phenoloop.protocol.microscope_models import StageBlock
from phenoloop.protocol.names import nearest
from phenoloop.protocol.plate_models import Plate
from phenoloop.protocol.platemap import PlateMap, read_plate_map
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.wells import expand, well_name, well_place
from phenoloop.protocol.yaml_source import Path as KeyPath
from phenoloop.protocol.yaml_source import Source

Well = tuple[int, int]
"""Zero-based row and column."""


def plate_geometry(plate: Plate, stage: StageBlock, source: Source, problems: Problems) -> PlateGeometry | None:
    """Return the plate of useq's registry, laid on the stage as the microscope file says."""
    from useq import WellPlate, registered_well_plate_keys  # slow to import

    try:
        found = WellPlate.from_str(plate.format)
    except ValueError:
        known = sorted((str(key) for key in registered_well_plate_keys()), key=lambda name: (len(name), name))
        said = f"there is no plate {plate.format!r}{nearest(plate.format, known)} (known: {', '.join(known)})"
        problems.add(source.problem(("plate", "format"), said))
        return None
    return PlateGeometry(
        rows=found.rows,
        columns=found.columns,
        spacing_um=(found.well_spacing[0] * 1000, found.well_spacing[1] * 1000),
        well_um=(found.well_size[0] * 1000, found.well_size[1] * 1000),
        circular=found.circular_wells,
        a1_um=(stage.a1.x, stage.a1.y),
        rotation_deg=stage.rotation,
    )


def read_map(plate: Plate, base: Path, source: Source, problems: Problems) -> PlateMap | None:
    """Return the plate map, if there is one and it can be read."""
    if plate.map is None:
        return None
    path = base / plate.map
    if not path.is_file():
        near = nearest(path.name, (one.name for one in path.parent.glob("*.csv")))
        problems.add(source.problem(("plate", "map"), f"there is no plate map {plate.map!r} in {base}{near}"))
        return None
    try:
        return read_plate_map(path)
    except ProtocolError as error:
        problems.add(*error.problems)
        return None


def select_wells(
    plate: Plate, geometry: PlateGeometry, table: PlateMap | None, source: Source, problems: Problems
) -> list[Well]:
    """Return the selected wells, row by row."""
    if plate.wells is not None:
        named = _named(plate.wells, geometry, source, problems)
    elif table is not None:
        named = [well_place(name) for name in table.rows]
    else:
        named = [(row, column) for row in range(geometry.rows) for column in range(geometry.columns)]
    if table is not None:
        off = [name for name in table.rows if not _on(geometry, well_place(name))]
        if off:
            said = f"the plate map has wells that are off the plate: {_listed(off)}; is {plate.format} right?"
            problems.add(source.problem(("plate", "map"), said))
        absent = [well_name(*well) for well in named if well_name(*well) not in table.rows]
        if absent:
            said = f"the plate map lacks {_listed(absent)}; add rows for them, or name fewer wells"
            problems.add(source.problem(("plate", "map"), said))
    wells = sorted({well for well in named if _on(geometry, well)})
    if plate.where is None:
        return wells
    return matching(plate.where, wells, table, source, problems, ("plate", "where"), "no well would be imaged")


def matching(
    expression: str,
    wells: Sequence[Well],
    table: PlateMap | None,
    source: Source,
    problems: Problems,
    path: KeyPath,
    otherwise: str,
) -> list[Well]:
    """Return the wells for which a condition over the plate map holds; it is a problem if there are none."""
    try:
        condition = compile_well(expression, table.columns if table is not None else {})
    except ExpressionError as error:
        problems.add(source.problem(path, error.message, within=error.at))
        return []
    rows = table.rows if table is not None else {}
    found = [well for well in wells if condition.evaluate(rows.get(well_name(*well), {})) is True]
    if not found and wells and not problems:
        hint = ""
        for column in condition.names_used:
            if table is not None:
                cells = (rows[well_name(*well)].get(column) for well in wells)
                here = list(dict.fromkeys("empty" if cell is None else str(cell) for cell in cells))
                shown = ", ".join(here[:6]) + (", ..." if len(here) > 6 else "")
                hint += f"; {column} is {shown}"
        problems.add(source.problem(path, f"this matches none of {len(wells)} wells: {otherwise}{hint}"))
    return found


def _named(items: Sequence[str], geometry: PlateGeometry, source: Source, problems: Problems) -> list[Well]:
    found: list[Well] = []
    for index, item in enumerate(items):
        try:
            found += expand(item, geometry.rows, geometry.columns)
        except ValueError as error:
            problems.add(source.problem(("plate", "wells", index), str(error)))
    return found


def _on(geometry: PlateGeometry, well: Well) -> bool:
    return well[0] < geometry.rows and well[1] < geometry.columns


def _listed(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def check_stage(plans: Sequence[WellPlan], box: StageBox, source: Source, problems: Problems) -> None:
    """Refuse a plate of which any field is outside the stage's limits."""
    for plan in plans:
        for place in plan.fields:
            if not box.holds(place.x_um, place.y_um):
                path = ("plate", "wells") if source.has("plate", "wells") else ("plate",)
                said = (
                    f"field {place.name} of {plan.name} would lie at x {place.x_um:.0f} um, y {place.y_um:.0f} um, "
                    f"outside the stage limits {_bounds(box)} of the microscope file"
                )
                problems.add(source.problem(path, said, key=True))
                return


def _bounds(box: StageBox) -> str:
    parts = [
        f"{axis} {bounds[0]:.0f}..{bounds[1]:.0f} um"
        for axis, bounds in (("x", box.x_um), ("y", box.y_um))
        if bounds is not None
    ]
    return ", ".join(parts)
