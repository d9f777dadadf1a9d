"""What a hit's effect is by images that did not choose it, and whether other wells scatter as the controls do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from phenoloop.model import FieldReadout, Interval
from phenoloop.numerics.evidence import CHANGES, Null
from phenoloop.numerics.intervals import fixed_half_width
from phenoloop.questions.values import count_of, number

_EFFECT_KIND: Final = (
    "distance from the controls by images that had no part in the call, Student's t with the field SD of these images "
    "pooled over the hits; of this one well, whose own deviation from its treatment is in it"
)
_LEAST_BELOW: Final = 20
"""First looks on the far side of the controls below which their spread says nothing."""
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


def noisier_than_controls(
    null: Null, fields: Sequence[FieldReadout], family: Sequence[str], readout: str, change: str
) -> str:
    """Return a warning where wells that are no controls scatter more than the controls, else nothing.

    Looked at are the first looks, because later ones are chosen by what the first showed, and of these the side of
    the controls where no hit is asked for, because there responding wells do not widen them.

    Parameters
    ----------
    null : Null
        The controls; must be usable.
    fields : sequence of FieldReadout
        Accepted fields.
    family : sequence of str
        Wells that are no controls.
    readout, change : str
        As the question has them.
    """
    first: dict[str, tuple[int, list[float]]] = {}
    of_family = set(family)
    for field in fields:
        value = field.readouts.get(readout)
        if field.well not in of_family or value is None or not math.isfinite(value):
            continue
        visit, values = first.get(field.well, (field.visit, []))
        if field.visit < visit:
            visit, values = field.visit, []
        if field.visit == visit:
            first[field.well] = (visit, [*values, value])
    away, expected = [], []
    sign = CHANGES[change] or 1
    for _, values in first.values():
        distance = sign * (math.fsum(values) / len(values) - null.centre)
        if distance < 0:
            away.append(distance**2)
            expected.append(null.well_sd**2 + null.field_sd**2 / len(values) + null.centre_sd**2)
    if len(away) < _LEAST_BELOW:
        return ""
    ratio = math.sqrt(math.fsum(away) / math.fsum(expected))
    error = math.sqrt(0.5 / len(away) + 0.5 / max(1, null.fields - 1))
    if ratio <= 1 + _SURE * error:
        return ""
    return (
        f"first looks at wells that are no controls spread {ratio:.2g} times as widely as the controls do, on the side "
        "where no hit is asked for: they are noisier than the claim assumes, and more hits may be false than stated"
    )
