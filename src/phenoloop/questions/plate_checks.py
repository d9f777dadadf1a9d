"""What the controls say of the plate itself: numbers always, a note in words where they show edge effect or drift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from phenoloop.model import FieldReadout, Setup
from phenoloop.numerics.plate_effects import PlateEffect, drift, edge_effect
from phenoloop.protocol.wells import well_place
from phenoloop.questions.values import number

EVIDENT: Final = 0.05
"""p-value from which an effect on the controls is told in words."""
_HOUR_S: Final = 3600.0


def check_plate(
    setup: Setup, controls: Sequence[str], fields: Sequence[FieldReadout], readout: str
) -> tuple[dict[str, object], list[str]]:
    """Test the controls for an edge effect and for drift.

    Parameters
    ----------
    setup : Setup
        Size of the plate.
    controls : sequence of str
        Wells that hold the same thing.
    fields : sequence of FieldReadout
        Accepted fields of the plate; those without a time say nothing of drift.
    readout : str
        Which number of each field.

    Returns
    -------
    numbers : dict
        ``edge`` and ``drift_per_hour``, each a mapping or None where nothing can be tested; JSON-ready.
    notes : list of str
        Empty without evidence.
    """
    seen = _looks(controls, fields, readout)
    values = [[value for _, value in seen[well]] for well in controls]
    edge = None
    if setup.plate_rows and setup.plate_columns:
        places = [well_place(well) for well in controls]
        edge = edge_effect(values, places, (setup.plate_rows, setup.plate_columns))
    timed = {well: [(at, value) for at, value in seen[well] if at is not None] for well in controls}
    trend = drift(
        [[value for _, value in timed[well]] for well in controls],
        [[at / _HOUR_S for at, _ in timed[well]] for well in controls],
    )
    notes = []
    if edge is not None and edge.p <= EVIDENT:
        notes.append(
            f"edge effect: controls on the edge of the plate read {_signed(edge)} than those inside "
            f"({_evidence(edge)}); an effect of that size in a well on the edge may be the plate's"
        )
    if trend is not None and trend.p <= EVIDENT:
        notes.append(
            f"drift: the controls read {_signed(trend)} per hour ({_evidence(trend)}); wells that were imaged at other "
            "times than the controls may differ for that alone"
        )
    return {"edge": _numbers(edge), "drift_per_hour": _numbers(trend)}, notes


def _looks(
    controls: Sequence[str], fields: Sequence[FieldReadout], readout: str
) -> Mapping[str, list[tuple[float | None, float]]]:
    """Return time and value of every look at a control, in an order that does not depend on that of the fields."""
    seen: dict[str, list[tuple[float | None, float]]] = {well: [] for well in controls}
    for one in sorted(fields, key=lambda field: (field.field, field.visit)):
        value = one.readouts.get(readout)
        ours = one.well in seen and one.imaging == "main" and one.target is None
        if ours and value is not None and math.isfinite(value):
            seen[one.well].append((one.at_s, value))
    return seen


def _signed(effect: PlateEffect) -> str:
    share = f", {abs(effect.size / effect.centre):.0%} of their mean," if effect.centre else ""
    return f"{abs(effect.size):.3g}{share} {'higher' if effect.size > 0 else 'lower'}"


def _evidence(effect: PlateEffect) -> str:
    return (
        f"{effect.level:.0%} interval {effect.low:.3g} to {effect.high:.3g}, p = {effect.p:.2g}, {effect.wells} wells; "
        "whole wells permuted, right for one look"
    )


def _numbers(effect: PlateEffect | None) -> dict[str, object] | None:
    if effect is None:
        return None
    return {
        "size": number(effect.size),
        "low": number(effect.low),
        "high": number(effect.high),
        "p": number(effect.p),
        "level": effect.level,
        "wells": effect.wells,
        "unit": "well",
        "kind": "permutation of whole wells",
        "valid_when_peeking": False,
    }
