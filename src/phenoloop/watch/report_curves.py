"""The geometry of dose-response curves in the report: one small drawing per compound, all on one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from phenoloop.watch.verdict import aligned, number

WIDTH: Final = 300.0
HEIGHT: Final = 170.0
TICKS: Final = 4


def draw_curves(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return curve, band, well points and EC50 of every compound in drawing units, or None where there are none.

    Parameters
    ----------
    report : mapping
        ``report.json`` of a run whose question is `dose_response`.
    """
    summary = report["summary"]
    found = {name: one for name, one in summary.get("compounds", {}).items() if isinstance(one, Mapping)}
    drawn = {name: one for name, one in found.items() if one.get("curve")}
    if (report["question"] or {}).get("kind") != "dose_response" or not drawn:
        return None
    controls = [
        entry["mean"]
        for well in report["wells"]
        if well["well"] in set(summary.get("controls", ()))
        and (entry := well["readouts"][summary["readout"]])["mean"] is not None
    ]
    doses = [math.log10(x) for one in drawn.values() for x in one["curve"]["dose"]]
    low_x, high_x = min(doses), max(doses)
    levels = [*controls, *(point["mean"] for one in drawn.values() for point in one["points"])]
    for one in drawn.values():
        levels += [*one["curve"]["low"], *one["curve"]["high"]]
    low_y, high_y = min(levels), max(levels)
    room = 0.06 * (high_y - low_y) or 1.0
    low_y, high_y = low_y - room, high_y + room

    def x(dose: float) -> float:
        return round((math.log10(dose) - low_x) / float((high_x - low_x) or 1.0) * WIDTH, 1)

    def y(level: float) -> float:
        return round(float(high_y - level) / float(high_y - low_y) * HEIGHT, 1)

    return {
        "width": WIDTH,
        "height": HEIGHT,
        "level": summary["level"],
        "kind": summary["kind"],
        "along": summary["along"],
        "readout": summary["readout"],
        "controls": [y(mean) for mean in controls],
        "x_ticks": [(x(10.0**e), number(10.0**e)) for e in _decades(low_x, high_x)],
        "y_ticks": [(y(level), number(level)) for level in _round_levels(low_y, high_y)],
        "compounds": [_compound(name, one, x, y) for name, one in found.items()],
    }


def _compound(name: str, one: Mapping[str, Any], x: Any, y: Any) -> dict[str, Any]:
    drawing: dict[str, Any] = {
        "name": name,
        "said": one["said"],
        "wells": one["wells"],
        "fields": one["fields"],
        "curve": "",
        "band": "",
        "points": [],
        "ec50": None,
        "rows": [],
    }
    if not one.get("curve"):
        return drawing
    curve = one["curve"]
    at = [x(dose) for dose in curve["dose"]]
    upper = [f"{px} {y(level)}" for px, level in zip(at, curve["high"], strict=True)]
    lower = [f"{px} {y(level)}" for px, level in zip(at, curve["low"], strict=True)]
    ec50 = one["ec50"]
    return drawing | {
        "curve": "M" + "L".join(f"{px} {y(level)}" for px, level in zip(at, curve["mean"], strict=True)),
        "band": "M" + "L".join([*upper, *reversed(lower)]) + "Z",
        "points": [
            {
                "x": x(point["dose"]),
                "y": y(point["mean"]),
                "r": round(2 + 1.2 * math.sqrt(point["fields"]), 1),
                "title": f"{point['well']}: {number(point['mean'])} at {number(point['dose'])}, "
                f"{point['fields']} field{'' if point['fields'] == 1 else 's'}",
            }
            for point in one["points"]
        ],
        "ec50": None if ec50["mean"] is None else {key: _clipped(x(ec50[key])) for key in ("mean", "low", "high")},
        "rows": [(title, _interval(one[key])) for key, title in _PARTS.items() if one.get(key)],
    }


_PARTS: Final = {
    "ec50": "EC50",
    "hill": "Hill slope",
    "bottom": "Bottom",
    "top": "Top",
    "effect_at_highest_dose": "Effect at the highest dose",
}


def _interval(band: Mapping[str, float | None]) -> str:
    low, high, mean = band["low"], band["high"], band["mean"]
    if low is None and high is None:
        return "cannot be said"
    if mean is None:
        return f"> {number(low)}" if high is None else f"< {number(high)}"
    return f"{aligned(mean)} ({aligned(low)} to {aligned(high)})"


def _clipped(place: float) -> float:
    return min(WIDTH, max(0.0, place))


def _decades(low: float, high: float) -> Sequence[int]:
    return range(math.ceil(low), math.floor(high) + 1)


def _round_levels(low: float, high: float) -> list[float]:
    rough = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough)
    return [round(step * k, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
