"""What a hit's effect is by images that did not choose it, and what first looks say of how other wells scatter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from phenoloop.model import FieldReadout, Interval
from phenoloop.numerics.claims import CHANGES
from phenoloop.numerics.evidence import Null
from phenoloop.numerics.intervals import fixed_half_width
from phenoloop.numerics.noisier import LEAST_BELOW
from phenoloop.numerics.well_sums import WellSums, summarise
from phenoloop.questions.values import count_of, number

_EFFECT_KIND: Final = (
    "distance from the controls by images that had no part in the call, Student's t with the field SD of these images "
    "pooled over the hits; of this one well, whose own deviation from its treatment is in it"
)
_SURE: Final = 4.0
"""Standard errors beyond which a wider spread is told."""


def confirmed_effects(
    null: Null, fresh: Sequence[Sequence[float]], hits: Sequence[int], level: float
) -> dict[int, Interval]:
    """Return the effect of each hit that has images of its own, with a band for a number of them fixed beforehand.

    Their field SD is taken from these images alone: responding wells often scatter more than controls, and in the
    images that made a well a hit the scatter is selected, too.

    Parameters
    ----------
    null : Null
        The controls.
    fresh : sequence of sequence of float
        Those images, by well.
    hits : sequence of int
        Places of the called wells.
    level : float
        Coverage.
    """
    seen = [i for i in hits if fresh[i]]
    means = {i: math.fsum(fresh[i]) / len(fresh[i]) for i in seen}
    freedom = sum(len(fresh[i]) - 1 for i in seen)
    scatter = math.fsum((x - means[i]) ** 2 for i in seen for x in fresh[i])
    found = {}
    for i in seen:
        effect, half = means[i] - null.centre, math.inf
        if freedom:
            spread = math.hypot(math.sqrt(scatter / freedom / len(fresh[i])), null.centre_sd)
            half = float(fixed_half_width(spread, freedom, np.ones(1), level)[0])
        found[i] = Interval(
            mean=number(effect),
            low=number(effect - half),
            high=number(effect + half),
            n=len(fresh[i]),
            level=level,
            kind=_EFFECT_KIND,
            unit="field",
            valid_when_peeking=False,
        )
    return found


def about_effects(hits: int, confirmed: int) -> str:
    """Return the note on where the effects of hits come from."""
    if not confirmed:
        return "the images that made a well a hit show its effect too large; no others were taken to measure it"
    share = "the hits" if confirmed == hits else f"{count_of(confirmed)} of {count_of(hits)} hits"
    return f"effects of {share} come from images that had no part in the call, so they are not too large"


def first_looks(fields: Sequence[FieldReadout], wells: Sequence[str], readout: str) -> WellSums:
    """Return the first visit of each well that gave a value; later ones are chosen by what the first showed.

    Parameters
    ----------
    fields : sequence of FieldReadout
        Accepted fields.
    wells : sequence of str
        Which wells, and their order.
    readout : str
        As the question has it.
    """
    first: dict[str, tuple[int, dict[str, float]]] = {}
    for field in fields:
        value = field.readouts.get(readout)
        if field.imaging != "main" or value is None or not math.isfinite(value):
            continue
        visit, values = first.get(field.well, (field.visit, {}))
        if field.visit < visit:
            visit, values = field.visit, {}
        if field.visit == visit:
            first[field.well] = (visit, values | {field.field: value})
    return summarise([list(first[well][1].values()) if well in first else () for well in wells])


def noisier_than_controls(null: Null, first: WellSums, change: str) -> str:
    """Return a warning where wells that are no controls scatter more than the controls, else nothing.

    Looked at is the side of the controls where no hit is asked for, because there responding wells do not widen it.

    Parameters
    ----------
    null : Null
        The controls, with the noise that the evidence assumed; must be usable.
    first : WellSums
        First looks at the wells that are no controls.
    change : str
        As the question has it.
    """
    distance = (CHANGES[change] or 1) * (np.where(first.n > 0, first.mean, math.nan) - null.centre)
    far = np.flatnonzero(distance < 0)
    if len(far) < LEAST_BELOW:
        return ""
    expected = null.well_sd**2 + null.field_sd**2 / first.n[far] + null.centre_sd**2
    ratio = math.sqrt(math.fsum(distance[far] ** 2) / math.fsum(expected))
    error = math.sqrt(0.5 / len(far) + 0.5 / max(1, null.fields - 1))
    if ratio <= 1 + _SURE * error:
        return ""
    return (
        f"first looks at wells that are no controls spread {ratio:.2g} times as widely as the controls do, on the side "
        f"where no hit is asked for: their fields are taken to be {null.noise:.2g} times as noisy, so fewer are "
        "called; if the wells themselves differ more than controls do, more hits may be false than stated"
    )
