"""The geometry of the map of phenotypes in the report, and its table: one row per group of wells that look alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from phenoloop.watch.verdict import count, names, percent

SIDE: Final = 460.0
"""The longer side of the map; both axes have one scale, because distances are what it shows."""
LEAST_HEIGHT: Final = 160.0
MOST_TYPICAL: Final = 11
_RADII: Final = {"other": 3.5, "control": 3.5, "alike": 4.5, "called": 8.5}


def draw_phenotypes(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return map and table of the groups, or None where the question is not about novelty or no well has a place.

    Parameters
    ----------
    report : mapping
        ``report.json``.
    """
    if (report["question"] or {}).get("kind") != "novelty" or not (report["summary"].get("map") or {}).get("wells"):
        return None
    summary = report["summary"]
    wells = summary["map"]["wells"]
    left, right = min(w["x"] for w in wells), max(w["x"] for w in wells)
    low, high = min(w["y"] for w in wells), max(w["y"] for w in wells)
    scale = SIDE / (max(right - left, high - low) or 1.0)
    width, height = (right - left) * scale, max(LEAST_HEIGHT, (high - low) * scale)
    off = (height - (high - low) * scale) / 2
    alike = {name: group["group"] for group in summary["groups"] for name in group["alike"]}
    marks = []
    for well in wells:
        kind = "control" if well["control"] else "called" if well["group"] else "other"
        if well["well"] in alike:
            kind = "alike"
        marks.append(
            {
                "kind": kind,
                "x": round((well["x"] - left) * scale, 1),
                "y": round(off + (high - well["y"]) * scale, 1),
                "r": _RADII[kind],
                "number": well["group"] if kind == "called" else None,
                "title": _title(well, alike.get(well["well"])),
            }
        )
    order = list(_RADII)
    return {
        "marks": sorted(marks, key=lambda mark: order.index(mark["kind"])),
        "width": round(width, 1),
        "height": round(height, 1),
        "shown": percent(sum(summary["map"]["shown"])),
        "features": len(summary["space"]["features"]),
        "blocks": summary["space"]["blocks"],
        "kind": summary["kind"],
        "covered": _covered(summary["covered"]),
        "groups": [
            {
                "group": group["group"],
                "wells": names(group["wells"], most=12),
                "look": names(group["representatives"]),
                "alike": names(group["alike"], most=12) if group["alike"] else "",
                "apart": [f"{_signed(one['sd'])} SD {one['feature']}" for one in group["apart"]],
            }
            for group in summary["groups"]
        ],
    }


def typical_wells(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the most typical well of each phenotype, with its number in words; none for other questions."""
    if (report["question"] or {}).get("kind") != "novelty":
        return []
    groups = report["summary"]["groups"][:MOST_TYPICAL]
    return [(group["representatives"][0], f"phenotype {group['group']}") for group in groups]


def _title(well: Mapping[str, Any], like: int | None) -> str:
    said = str(well["well"]) + (" (control)" if well["control"] else "")
    said += f": {count(well['fields'], 'field')}"
    if well["group"]:
        said += f", phenotype {well['group']}"
    elif like is not None:
        said += f", like phenotype {like}, not called"
    return said + (", looked at closely" if well["closely"] else "")


def _signed(sd: float | None) -> str:
    return "–" if sd is None else f"{'+' if sd > 0 else '−'}{abs(sd):.2g}"


def _covered(covered: Mapping[str, Any]) -> str:
    if covered["share"] is None:
        return ""
    share, alike = percent(covered["share"]), covered["alike"]
    return (
        f"{share} of {count(covered['wells'], 'well')} lie as near as control wells do (within {alike:.2g}) to the "
        f"controls or to one of the {covered['looked_at_closely']} wells that were looked at closely; the furthest "
        f"lies at {covered['radius']:.2g}."
    )
