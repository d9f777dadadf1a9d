"""The geometry of the report's drawings: plate map, bands of the wells, where the images went. Ink: the template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from phenoloop.model import Plan
from phenoloop.watch.plate_map import DrawnWell, colour, hex_colour, ink_on, row_name, shares
from phenoloop.watch.tally import Tally
from phenoloop.watch.verdict import count, evidence, in_order, number
from phenoloop.watch.well_value import WellValues

PITCH: Final = 34.0
"""Distance of two wells on the drawn plate; large plates are scaled by the viewer."""
BAND_WIDTH: Final = 200.0
LEGEND_STEPS: Final = 24


def draw_plate(plan: Plan, report: Mapping[str, Any], values: WellValues | None) -> dict[str, Any]:
    """Return the part of the plate that holds selected wells: places, colours, signs, hover texts, legend."""
    wells = {well["well"]: well for well in report["wells"]}
    means = {name: values.of(name) if values else None for name in wells}
    share = shares(means)
    rows = range(min(w.row for w in plan.wells), max(w.row for w in plan.wells) + 1)
    columns = range(min(w.column for w in plan.wells), max(w.column for w in plan.wells) + 1)
    selected = {(well.row, well.column): well for well in plan.wells}
    drawn = []
    for row in rows:
        for column in columns:
            found = selected.get((row, column))
            if found is None:
                name = f"{row_name(row)}{column + 1}"
                off = DrawnWell(name, row, column, "off", False, None, "", None, "", "", f"{name}: not selected")
                drawn.append(off)
                continue
            well, part = wells[found.name], share[found.name]
            rgb = None if part is None else colour(part)
            drawn.append(
                DrawnWell(
                    well=found.name,
                    row=row,
                    column=column,
                    state="seen" if well["frames"] else "unseen",
                    control=well["control"],
                    call=well["call"],
                    sign=values.signs[found.name] if values and well["frames"] else "",
                    share=part,
                    fill=hex_colour(rgb) if rgb else "",
                    ink=hex_colour(ink_on(rgb)) if rgb else "",
                    title=_title(well, values, found.properties),
                )
            )
    known = [mean for mean in means.values() if mean is not None]
    return {
        "wells": drawn,
        "pitch": PITCH,
        "row_names": [(i, row_name(row)) for i, row in enumerate(rows)],
        "column_names": [(i, str(column + 1)) for i, column in enumerate(columns)],
        "top": rows.start,
        "left": columns.start,
        "width": PITCH * (len(columns) + 1),
        "height": PITCH * (len(rows) + 1),
        "whole": len(rows) == plan.plate_rows and len(columns) == plan.plate_columns,
        "size": plan.plate_rows * plan.plate_columns,
        "low": min(known, default=None),
        "high": max(known, default=None),
        "legend": [hex_colour(colour(i / (LEGEND_STEPS - 1))) for i in range(LEGEND_STEPS)],
    }


def draw_bands(report: Mapping[str, Any], values: WellValues | None) -> dict[str, Any] | None:
    """Return the common scale of the wells' bands (mean and interval), or None where there is nothing to draw."""
    if values is None:
        return None
    entries = values.wells
    ends = [entry[key] for entry in entries.values() for key in ("mean", "low", "high") if entry[key] is not None]
    if not ends:
        return None
    low, high = min(ends), max(ends)
    room = (high - low) * 0.04 or 1.0
    low, high = low - room, high + room

    def x(value: float | None) -> float | None:
        return None if value is None else round((value - low) / (high - low) * BAND_WIDTH, 1)

    controls = [entries[w["well"]]["mean"] for w in report["wells"] if w["control"]]
    known = [mean for mean in controls if mean is not None]
    centre = sum(known) / len(known) if known else None
    said = (report["question"] or {}).get("parameters", {})
    smallest, sign = said.get("smallest"), -1 if said.get("change") == "down" else 1
    return {
        "width": BAND_WIDTH,
        "centre": x(centre),
        "matters": x(centre + sign * smallest) if centre is not None and smallest else None,
        "rows": {name: {key: x(entry[key]) for key in ("mean", "low", "high")} for name, entry in entries.items()},
    }


def draw_visits(tally: Tally, report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return which well each visit went to: one row per well (as in the table), one column per visit."""
    if not tally.trips:
        return None
    order = [well["well"] for well in in_order(report) if tally.wells[well["well"]].visits]
    step_y = 13.0 if len(order) <= 32 else 10.0 if len(order) <= 96 else max(3.0, 960 / len(order))
    step_x = max(2.0, min(22.0, 940 / len(tally.trips)))
    rows = {name: i for i, name in enumerate(order)}
    marks, borders, last = [], [], None
    for i, (visit, trip) in enumerate(sorted(tally.trips.items())):
        if trip.decision != last:
            borders.append({"x": round(i * step_x, 1), "decision": trip.decision})
            last = trip.decision
        statuses = [tally.results[visit, f].status if (visit, f) in tally.results else "missing" for f in trip.fields]
        good = statuses.count("ok")
        bad = ", ".join(sorted({status.replace("qc_fail", "rejected") for status in statuses if status != "ok"}))
        marks.append(
            {
                "x": round(i * step_x, 1),
                "y": round(rows[trip.well] * step_y, 1),
                "state": "ok" if good == len(statuses) else "part" if good else "none",
                "title": f"visit {visit} to {trip.well}, decision {trip.decision}: {count(len(statuses), 'field')}"
                + (f", {bad}" if bad else ""),
            }
        )
    control = {well["well"] for well in report["wells"] if well["control"]}
    return {
        "marks": marks,
        "borders": borders,
        "step_x": step_x,
        "step_y": step_y,
        "width": round(step_x * len(marks), 1),
        "height": round(step_y * len(order), 1),
        "labels": [(name, round(i * step_y, 1), name in control) for name, i in rows.items()] if step_y >= 9 else [],
    }


def _title(well: Mapping[str, Any], values: WellValues | None, properties: Mapping[str, Any]) -> str:
    lines = [well["well"] + (" (control)" if well["control"] else "")]
    lines += [f"{name}: {value}" for name, value in properties.items() if value is not None]
    if not well["frames"]:
        return "\n".join([*lines, "not imaged"])
    if values is not None:
        entry = values.wells[well["well"]]
        band = f" ({number(entry['low'])} to {number(entry['high'])})" if entry["low"] is not None else ""
        lines.append(f"{values.title}: {number(entry['mean'])}{band}")
        if values.readout is None:
            lines += [f"{name}: {number(one['mean'])}" for name, one in well["readouts"].items()]
        if well["call"] is not None and not well["control"]:
            known = f", evidence {evidence(well['evidence'])}" if well["evidence"] is not None else ""
            lines.append(f"{values.calls[well['call']]}{known}, rank {well['rank']}")
    lines.append(f"{count(well['fields'], 'field')}, {count(well['frames'], 'frame')}")
    return "\n".join(lines)
