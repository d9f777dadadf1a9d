"""What the page says of the controls: what the evidence against them is, and what they tell of the plate itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from phenoloop.watch.verdict import DIRECTIONS, count, number, percent

EFFECTS: Final = {
    "edge": "Edge of the plate, controls on it less those inside",
    "drift_per_hour": "Drift of the controls per hour",
}


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
    needed = f" (with {count(hits, 'hit')}: {number(summary['family'] / (hits * said['false_hits']))})" if hits else ""
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
    return [_effect(title, found[name]) for name, title in EFFECTS.items() if found.get(name)]


def _effect(title: str, effect: Mapping[str, Any]) -> str:
    low, high = number(effect["low"]), number(effect["high"])
    return (
        f"{title}: {number(effect['size'])} ({low} to {high}, {percent(effect['level'])}; p = {number(effect['p'])}; "
        f"{effect['kind']}, {count(effect['wells'], 'well')}; valid for one look)."
    )
