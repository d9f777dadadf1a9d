"""By which number the wells of a run are compared: what the question is about, or a readout where it is about none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from phenoloop.watch.verdict import aligned, number

SIGNS: Final = {"hit": "H", "no_hit": "·", "undecided": "?", None: ""}
"""A call is never told by colour alone."""
CALLS: Final = {"hit": "hit", "no_hit": "no hit", "undecided": "undecided", None: "no call"}
NOVEL: Final = {"hit": "called different", "no_hit": "not called", "undecided": "not called", None: "no call"}
"""Of a question about phenotypes; the sign of a well that is called is the number of its phenotype."""
NOTHING: Final[Mapping[str, Any]] = {"mean": None, "low": None, "high": None}


class WellValues(NamedTuple):
    """One number per well, with its interval where it has one.

    Attributes
    ----------
    title : str
        Name of the number.
    said : str
        What it is, in a sentence.
    readout : str or None
        The readout that it is the mean of; None where it is another number.
    wells : mapping of str to mapping
        By well ``mean``, ``low`` and ``high``, each a number or None.
    band : mapping or None
        ``level``, ``kind``, ``unit`` and ``valid_when_peeking`` of the intervals; None where there are none.
    calls : mapping
        Call -> words for it.
    signs : mapping of str to str
        By well, the sign of its call.
    """

    title: str
    said: str
    readout: str | None
    wells: Mapping[str, Mapping[str, Any]]
    band: Mapping[str, Any] | None
    calls: Mapping[str | None, str]
    signs: Mapping[str, str]

    def of(self, well: str) -> float | None:
        """Return the number of a well; None where it has none."""
        value: float | None = self.wells[well]["mean"]
        return value

    def told(self, well: str) -> str:
        """Return the number of a well for a column: counts as whole numbers, others with three digits."""
        counted = self.readout is None and all(float(self.of(one) or 0.0).is_integer() for one in self.wells)
        return number(self.of(well)) if counted else aligned(self.of(well))


def well_values(report: Mapping[str, Any], readouts: Sequence[str]) -> WellValues | None:
    """Return what the wells of a ``report.json`` are compared by; None where nothing was measured.

    Parameters
    ----------
    report : mapping
        ``report.json``.
    readouts : sequence of str
        Of the plan.
    """
    question, summary = report["question"] or {}, report["summary"]
    signs = {well["well"]: SIGNS[well["call"]] for well in report["wells"]}
    match question.get("kind"):
        case "objects" if summary:
            return _confirmed(report, summary, signs)
        case "events" if summary.get("wells"):
            return _rates(report, summary, signs)
        case "novelty" if (summary.get("map") or {}).get("wells"):
            return _distances(report, summary, signs)
    readout = question.get("parameters", {}).get("readout")
    if readout not in readouts:
        if not readouts:
            return None
        readout = readouts[0]
    entries = {well["well"]: well["readouts"][readout] for well in report["wells"]}
    said = f"the mean {readout} of a well's accepted fields"
    band = next((entry for entry in entries.values() if entry["kind"]), None)
    return WellValues(readout, said, readout, entries, band, CALLS, signs)


def _confirmed(report: Mapping[str, Any], summary: Mapping[str, Any], signs: Mapping[str, str]) -> WellValues:
    found = summary["wells"]
    entries = {
        well["well"]: {**NOTHING, "mean": float(found.get(well["well"], 0)) if well["frames"] else None}
        for well in report["wells"]
    }
    return WellValues(
        "confirmed objects", "the number of confirmed objects in a well", None, entries, None, CALLS, signs
    )


def _rates(report: Mapping[str, Any], summary: Mapping[str, Any], signs: Mapping[str, str]) -> WellValues:
    entries = {}
    for well in report["wells"]:
        rate = summary["wells"].get(well["well"], {}).get("per_field_hour")
        entries[well["well"]] = NOTHING if rate is None else {"mean": rate["rate"], "low": None, "high": None}
    # The intervals of the rates stand in the table of events, with what they assume.
    said = "how many events there were per field and hour"
    return WellValues("events per field and hour", said, None, entries, None, CALLS, signs)


def _distances(report: Mapping[str, Any], summary: Mapping[str, Any], signs: Mapping[str, str]) -> WellValues:
    placed = {one["well"]: one for one in summary["map"]["wells"]}
    entries = {
        well["well"]: {**NOTHING, "mean": placed.get(well["well"], {}).get("distance")} for well in report["wells"]
    }
    alike = (summary["space"] or {}).get("alike")
    said = "how far the profile of a well lies from the controls, by all its fields"
    if alike is not None:
        said += f" (control wells, as a rule, lie within {number(alike, 2)} of each other)"
    numbered = {name: str(one["group"]) if one["group"] else signs[name] for name, one in placed.items()}
    numbered = {name: sign if sign.isdigit() else "" for name, sign in numbered.items()}
    return WellValues(
        "distance from the controls", said, None, entries, None, NOVEL, {**dict.fromkeys(signs, ""), **numbered}
    )
