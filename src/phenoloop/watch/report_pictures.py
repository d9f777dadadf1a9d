"""Which fields of a run are shown, and what stands beside and below them: the look behind the numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from phenoloop.watch.report_phenotypes import typical_wells
from phenoloop.watch.tally import Tally
from phenoloop.watch.thumbnails import (
    FieldPicture,
    bar_um,
    data_uri,
    draw,
    outlines_said,
    shared_contrast,
    tint_said,
)
from phenoloop.watch.verdict import count, in_order, number
from phenoloop.watch.well_value import CALLS, WellValues

Pictures = Callable[[str, str], FieldPicture | None]
"""(well, field) -> its pixels and labels, or None where there are none."""

WELLS_SHOWN: Final = 6
FIELDS_SHOWN: Final = 2


def wells_of_interest(report: Mapping[str, Any], values: WellValues) -> list[tuple[str, str]]:
    """Return up to six wells worth a look, with the reason: hits, one in doubt, a control, others over all ranks.

    Of phenotypes each is shown by its most typical well.
    """
    seen = [well for well in in_order(report) if well["fields"]]
    if all(well["rank"] is None for well in seen):
        seen.sort(key=lambda well: -(values.of(well["well"]) or 0.0))
    subjects = [well for well in seen if not well["control"]]
    controls = [well for well in seen if well["control"]]
    if phenotypes := typical_wells(report):
        return phenotypes + [(well["well"], "control") for well in controls[len(controls) // 2 :][:1]]
    chosen: dict[str, str] = {}
    for well in [well for well in subjects if well["call"] == "hit"][:3]:
        chosen[well["well"]] = "hit"
    for well in [well for well in subjects if well["call"] == "undecided"][:1]:
        chosen[well["well"]] = "undecided"
    for well in controls[len(controls) // 2 :][:1]:
        chosen[well["well"]] = "control"
    free = WELLS_SHOWN - len(chosen)
    spread = [subjects[round(i * (len(subjects) - 1) / max(1, free - 1))] for i in range(free if subjects else 0)]
    for well in spread:
        chosen.setdefault(well["well"], _reason(well, values))
    order = [well["well"] for well in seen]
    return sorted(list(chosen.items())[:WELLS_SHOWN], key=lambda pair: order.index(pair[0]))


def _reason(well: Mapping[str, Any], values: WellValues) -> str:
    if well["call"]:
        return CALLS[well["call"]]
    if values.readout is None and (value := values.of(well["well"])) is not None:
        return f"{values.title}: {number(value)}"
    return f"rank {well['rank']}" if well["rank"] else "imaged"


def thumbnails(
    report: Mapping[str, Any], tally: Tally, values: WellValues, pictures: Pictures | None
) -> dict[str, Any] | None:
    """Return the pictures of a few wells with what is said of them; None where there are no pictures.

    Parameters
    ----------
    report : mapping
        ``report.json``.
    tally : Tally
        Of the whole run.
    values : WellValues
        What the wells are compared by.
    pictures : callable or None
        ``(well, field) -> FieldPicture or None``.
    """
    if pictures is None:
        return None
    readout = values.readout or (report["question"] or {}).get("parameters", {}).get("readout")
    found: list[tuple[str, str, str, FieldPicture]] = []
    for well, reason in wells_of_interest(report, values):
        fields = sorted(tally.wells[well].accepted, key=lambda name: (len(name), name))[:FIELDS_SHOWN]
        looked = ((field, pictures(well, field)) for field in fields)
        found.extend((well, reason, field, picture) for field, picture in looked if picture is not None)
    if not found:
        return None
    contrast = shared_contrast(picture for *_, picture in found)
    shown: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for well, reason, field, picture in found:
        rgb = draw(picture, contrast)
        # Of the visit that is shown: a field may have been looked at again, also under another profile.
        result = tally.results.get((picture.visit, field))
        value = result.readouts.get(readout) if result is not None and readout else None
        said = f"{readout} {number(value)}" if value is not None else ""
        if result is not None and not said:
            said = count(result.objects, "object")
        shown[well, reason].append(
            {"field": field, "uri": data_uri(rgb), "width": rgb.shape[1], "height": rgb.shape[0], "said": said}
        )
    first = found[0][3]
    return {
        "wells": [{"well": well, "reason": reason, "fields": fields} for (well, reason), fields in shown.items()],
        "channels": tint_said(first.channels, contrast),
        "outlines": outlines_said(list(first.labels)),
        "bar": bar_said(picture for *_, picture in found),
    }


def bar_said(pictures: Any, *, size: int = 256) -> str:
    """Return how long the scale bars are, told once where all are alike; empty where the pixels have no size."""
    lengths = sorted({bar for picture in pictures if (bar := bar_um(picture, size=size)) is not None})
    return " or ".join(number(bar) for bar in lengths)
