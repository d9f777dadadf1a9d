"""The confirmed objects of a run for the report: where each lies, what was measured of it, its image, its picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from phenoloop.model import Plan
from phenoloop.storage.layout import well_path
from phenoloop.watch.report_pictures import Pictures, bar_said
from phenoloop.watch.thumbnails import data_uri, draw, outlines_said, shared_contrast, tint_said
from phenoloop.watch.verdict import aligned, number

PICTURES_SHOWN: Final = 24
PICTURE_SIDE: Final = 168
ROWS_SHOWN: Final = 500


def with_paths(summary: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Return the summary of a question about objects, each with the array in the run folder that shows it."""
    places = {well.name: well_path(well.row, well.column) for well in plan.wells}
    objects = [
        dict(one) | {"path": f"images/{one['profile']}.ome.zarr/{places[one['well']]}/{one['image']}/0"}
        for one in summary["objects"]
    ]
    return {**summary, "objects": objects}


def draw_objects(report: Mapping[str, Any], pictures: Pictures | None) -> dict[str, Any] | None:
    """Return the table and the pictures of the confirmed objects; None where the question is not about objects.

    Parameters
    ----------
    report : mapping
        ``report.json``.
    pictures : callable or None
        ``(well, field) -> FieldPicture or None``.
    """
    if (report["question"] or {}).get("kind") != "objects":
        return None
    summary = report["summary"]
    objects = summary["objects"]
    columns = list(dict.fromkeys(name for one in objects for name in one["values"]))
    told = {name: _told([one["values"].get(name) for one in objects]) for name in columns}
    rows = [
        {
            "object": one["object"],
            "well": one["well"],
            "x": _um(one["x_um"]),
            "y": _um(one["y_um"]),
            "values": [told[name](one["values"].get(name)) for name in columns],
            "where": f"{one['path']}, t {one['t']}, label {one['label']}",
        }
        for one in objects[:ROWS_SHOWN]
    ]
    return {
        "summary": summary,
        "columns": columns,
        "rows": rows,
        "more": max(0, len(objects) - ROWS_SHOWN),
        "pictures": _pictures(objects[:PICTURES_SHOWN], pictures),
    }


def _told(values: Sequence[float | None]) -> Callable[[float | None], str]:
    """Return how a column of values is told: counts as whole numbers, others with three digits."""
    whole = all(value is None or float(value).is_integer() for value in values)
    return number if whole else aligned


def _um(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _pictures(objects: list[Mapping[str, Any]], pictures: Pictures | None) -> dict[str, Any] | None:
    looked = [] if pictures is None else [(one, pictures(one["well"], one["object"])) for one in objects]
    found = [(one, picture) for one, picture in looked if picture is not None]
    if not found:
        return None
    contrast = shared_contrast(picture for _, picture in found)
    shown = []
    for one, picture in found:
        rgb = draw(picture, contrast, size=PICTURE_SIDE)
        shown.append(
            {
                "uri": data_uri(rgb),
                "width": rgb.shape[1],
                "height": rgb.shape[0],
                "object": one["object"],
                "well": one["well"],
            }
        )
    first = found[0][1]
    return {
        "objects": shown,
        "channels": tint_said(first.channels),
        "outlines": outlines_said(list(first.labels)),
        "bar": bar_said((picture for _, picture in found), size=PICTURE_SIDE),
    }
