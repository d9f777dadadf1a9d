"""What is true on a synthetic plate, in units of the readout: which wells are hits, and where an EC50 really lies.

The specimen knows the levels of its cells; the `Response` says what the protocol's analysis makes of them. A hit is a
well whose noise-free readout lies far enough from that of the controls; an EC50 is the dose at which the noise-free
readout is half-way from its bottom to its top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import UsageError
from phenoloop.microscope.virtual.phenotype import BASELINES, Phenotype, baseline_of, hill
from phenoloop.model import Plan, Setup
from phenoloop.studies.quality import Calls, CurveError, Quality, Width
from phenoloop.studies.response import Levels, Response, as_rows

Floats = NDArray[np.float64]

JUDGED: Final = ("hits", "mean", "dose_response")
"""Kinds of question whose answers can be held against the truth of a synthetic plate."""
_STEPS: Final = 400
"""Doses at which a curve is looked at."""
_BEYOND: Final = 1.0
"""Decades beyond the tested doses in which an EC50 is looked for."""


def require_judged(kind: str) -> None:
    """Refuse a question whose answers cannot be judged, before anything is computed.

    Raises
    ------
    UsageError
        If nothing is known of answers of this kind.
    """
    if kind not in JUDGED:
        raise UsageError(
            f"answers of kind {kind!r} cannot be held against the truth of a synthetic plate: that is known for "
            f"{', '.join(JUDGED)}. Look at its runs one by one: `phenoloop report RUN --json`."
        )


def truth(kind: str, setup: Setup, plan: Plan, phenotype: Phenotype, expected: Levels, response: Response) -> Quality:
    """Return the quality of an answer that is held against the truth.

    Parameters
    ----------
    kind : str
        Of the question.
    setup, plan : Setup, Plan
        Of the plate.
    phenotype : Phenotype
        How cells follow the plate map.
    expected : Levels
        Of every well, without the noise between wells.
    response : Response
        What the analysis makes of levels.

    Raises
    ------
    UsageError
        If nothing is known of answers of this kind, or there is nothing to find.
    """
    if kind == "hits":
        return Calls(true_hits(setup, expected, response), frozenset(setup.controls))
    if kind == "mean":
        return Width()
    require_judged(kind)
    log10_ec50, missing = true_ec50(setup, plan, phenotype, response)
    if not log10_ec50:
        raise UsageError("no compound of this plate has an EC50 near its doses, so estimates cannot be judged.")
    return CurveError(log10_ec50, missing)


def true_hits(setup: Setup, expected: Levels, response: Response) -> frozenset[str]:
    """Return the wells whose readout without noise lies `smallest` or more from that of the controls."""
    assert setup.readout is not None
    levels = as_rows(expected, setup.wells)
    values = response.readout(levels, setup.readout)
    at = [setup.wells.index(well) for well in setup.controls]
    if not at:
        raise UsageError("the question names no controls, so there is no telling what a hit is.")
    centre, usual = float(values[at].mean()), levels[at].mean(axis=0)
    sign = {"up": (1.0,), "down": (-1.0,), "both": (1.0, -1.0)}[setup.change]
    # A well with the levels of the controls is none, whatever the smoothing makes of it.
    differs = np.abs(levels - usual).max(axis=1) > 1e-9
    far = [any(s * (value - centre) >= max(setup.smallest, 1e-12) for s in sign) for value in values.tolist()]
    return frozenset(well for well, yes, other in zip(setup.wells, far, differs, strict=True) if yes and other)


def true_ec50(
    setup: Setup, plan: Plan, phenotype: Phenotype, response: Response
) -> tuple[dict[str, float], dict[str, float]]:
    """Return log10 EC50 by compound, and half the range of its doses in decades; those without an EC50 are left out.

    Between two doses of the plate map the other columns that the phenotype follows are interpolated in logarithms: an
    equivalent dose is a multiple of the dose.
    """
    assert setup.along is not None
    assert setup.readout is not None
    found: dict[str, float] = {}
    half: dict[str, float] = {}
    for name, doses in _doses(setup, plan).items():
        low, high = min(doses), max(doses)
        at = np.linspace(math.log10(low) - _BEYOND, math.log10(high) + _BEYOND, _STEPS)
        columns = {column: _column(setup, plan, name, column) for column in _followed(phenotype)}
        levels = np.array([_levels(phenotype, columns, x) for x in (-math.inf, *at.tolist(), math.inf)])
        values = response.readout(levels, setup.readout)
        bottom, top = float(values[0]), float(values[-1])
        if np.abs(levels[-1] - levels[0]).max() < 1e-9 or abs(top - bottom) < 1e-9:
            continue
        share = (values[1:-1] - bottom) / (top - bottom)
        above = np.flatnonzero(share >= 0.5)
        if not len(above) or above[0] == 0:
            continue
        j = int(above[0])
        found[name] = float(at[j - 1] + (0.5 - share[j - 1]) / (share[j] - share[j - 1]) * (at[j] - at[j - 1]))
        half[name] = math.log10(high / low) / 2
    return found, half


def _doses(setup: Setup, plan: Plan) -> dict[str, list[float]]:
    """Return the doses above zero by compound; without a column that names compounds there is one, ``all``."""
    found: dict[str, list[float]] = {}
    for well in plan.wells:
        dose = well.properties.get(setup.along or "")
        if isinstance(dose, int | float) and not isinstance(dose, bool) and dose > 0:
            name = "all" if setup.by is None else str(well.properties.get(setup.by))
            found.setdefault(name, []).append(float(dose))
    return {name: doses for name, doses in found.items() if len(set(doses)) >= 2}


def _followed(phenotype: Phenotype) -> list[str]:
    curves = (phenotype.response(quantity) for quantity in BASELINES)
    return list(dict.fromkeys(curve.along for curve in curves if curve is not None))


def _column(setup: Setup, plan: Plan, name: str, column: str) -> tuple[Floats, Floats]:
    """Return log10 of the dose and of a column, over the wells of a compound in which both are above zero."""
    pairs: dict[float, float] = {}
    for well in plan.wells:
        if setup.by is not None and str(well.properties.get(setup.by)) != name:
            continue
        dose, value = well.properties.get(setup.along or ""), well.properties.get(column)
        if isinstance(dose, int | float) and isinstance(value, int | float) and dose > 0 and value > 0:
            pairs[math.log10(dose)] = math.log10(value)
    ordered = sorted(pairs.items())
    return np.array([x for x, _ in ordered]), np.array([y for _, y in ordered])


def _levels(phenotype: Phenotype, columns: Mapping[str, tuple[Floats, Floats]], log_dose: float) -> list[float]:
    """Return the level of each quantity at a dose; minus and plus infinity are no dose and a full one."""
    levels = []
    for quantity in BASELINES:
        curve, baseline = phenotype.response(quantity), baseline_of(phenotype, quantity)
        level = baseline
        if curve is not None and len(columns[curve.along][0]):
            value = _along(columns[curve.along], log_dose)
            level = hill(value, baseline=baseline, emax=curve.emax, ec50=curve.ec50, steepness=curve.hill)
        levels.append(min(1.0, level) if quantity == "survival" else level)
    return levels


def _along(column: tuple[Floats, Floats], log_dose: float) -> float:
    if math.isinf(log_dose):
        return 0.0 if log_dose < 0 else 1e300
    x, y = column
    if log_dose < x[0]:
        return float(10 ** (y[0] + log_dose - x[0]))
    if log_dose > x[-1]:
        return float(10 ** (y[-1] + log_dose - x[-1]))
    return float(10 ** np.interp(log_dose, x, y))
