"""What the page says of the controls: what the evidence against them is, and what they tell of the plate itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from phenoloop.watch.tally import Result, Tally
from phenoloop.watch.verdict import DIRECTIONS, count, duration, number, percent

HOUR_S: Final = 3600.0
FEW: Final = 10
"""Objects below which a mean over the objects of a field is told as resting on few."""


def evidence_said(report: Mapping[str, Any]) -> str:
    """Return what the evidence of a well is, and how much of it a hit needs; empty where there is none."""
    if not any(well["evidence"] is not None for well in report["wells"]):
        return ""
    question, summary = report["question"] or {}, report["summary"]
    text = (
        f"Evidence: e-value against “as the controls”, unit of replication: well{_controls(summary)}; valid however "
        "often one looks. 1 says nothing, 1 / evidence is a p-value."
    )
    if question.get("kind") != "hits" or "family" not in summary:
        return text
    said, hits = question["parameters"], summary["calls"]["hit"]
    needed = (
        f" (with {count(hits, 'hit')}: {number(summary['family'] / (hits * said['false_hits']), 2)})" if hits else ""
    )
    text += f" A hit needs enough of it among all {count(summary['family'], 'well')}{needed}"
    if said["smallest"]:
        text += f", a mean at least {number(said['smallest'])} {DIRECTIONS[said['change']]} the controls,"
    return f"{text} and two fields."


def _controls(summary: Mapping[str, Any]) -> str:
    null = summary.get("null")
    return f" ({count(null['wells'], 'control well')}, {count(null['fields'], 'field')} of them)" if null else ""


def plate_said(report: Mapping[str, Any]) -> list[str]:
    """Return what the controls say of the plate, a sentence for each that could be tested: edge effect, drift."""
    found = report["summary"].get("plate_effects") or {}
    said = [_effect("Edge of the plate, controls on it less those inside", edge)] if (edge := found.get("edge")) else []
    if drift := found.get("drift_per_hour"):
        hours = report["duration_s"] / HOUR_S
        if hours >= 1:
            return [*said, _effect("Drift of the controls per hour", drift)]
        # A run of minutes says nothing of an hour.
        over = {key: None if drift[key] is None else drift[key] * hours for key in ("size", "low", "high")}
        title = f"Drift of the controls over the {duration(report['duration_s'])} of the run"
        said.append(_effect(title, {**drift, **over}))
    return said


def _effect(title: str, effect: Mapping[str, Any]) -> str:
    low, high = effect["low"], effect["high"]
    band = f"{number(low)} to {number(high)}, {percent(effect['level'])}"
    if low is None or high is None:
        band = f"so few wells give no {percent(effect['level'])} interval"
    return (
        f"{title}: {number(effect['size'])} ({band}; p = {number(effect['p'], 2)}; "
        f"{effect['kind']}, {count(effect['wells'], 'well')}; valid for one look)."
    )


def few_objects(tally: Tally, report: Mapping[str, Any]) -> list[str]:
    """Return, for each profile, how many of its accepted looks rest on few objects; empty where none does."""
    searched = (report["question"] or {}).get("kind") == "objects"
    looks: dict[str, list[Result]] = defaultdict(list)
    for result in tally.results.values():
        # A close look at one object is not about a mean; without objects a readout is of the whole field.
        if result.status == "ok" and result.objects and not (searched and result.imaging != "main"):
            looks[result.imaging].append(result)
    said = []
    for profile, results in looks.items():
        few = [result for result in results if result.objects < FEW]
        if not few:
            continue
        least = min(few, key=lambda result: result.objects)
        under = "" if profile == "main" else f" under {profile}"
        said.append(
            f"{len(few)} of {count(len(results), 'accepted look')}{under} "
            f"{'rests' if len(few) == 1 else 'rest'} on fewer than {FEW} objects (fewest: "
            f"{count(least.objects, 'object')} in {least.well} field {least.field}): a mean over so few says little."
        )
    return said
