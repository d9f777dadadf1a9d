"""How a well's row of the plate map becomes the state of its cells: Hill curves, and noise between replicate wells."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from pydantic import Field

from phenoloop.model import Plan, Scalar, WellPlan
from phenoloop.protocol.base import StrictModel

BASELINES: Final[dict[str, float]] = {
    "vesicles": 1.0,
    "intensity": 1.0,
    "nc_ratio": 0.5,
    "survival": 1.0,
    "size": 1.0,
    "stain": 1.0,
    "elongation": 1.0,
}
"""Quantities a cell has, and their level without treatment. A new one goes last: each draws its noise in this order."""
SHAPES_OF_NUCLEI: Final = ("size", "stain", "elongation")
"""Quantities that are exact, and the same in every replicate well, unless a curve moves them."""


class Response(StrictModel):
    """A Hill curve over a numeric column of the plate map [1]_.

    Attributes
    ----------
    along : str
        The column. A missing value and zero mean untreated.
    baseline : float or None
        Level of untreated cells; None takes the quantity's own (see `BASELINES`).
    emax : float
        What the largest dose adds; negative lowers.
    ec50 : float
        Dose of half the effect, in the unit of the column.
    hill : float
        Steepness.

    References
    ----------
    .. [1] A. V. Hill, "The possible effects of the aggregation of the molecules of haemoglobin on its dissociation
       curves", Journal of Physiology 40, iv-vii (1910).
    """

    along: str = Field(description="numeric column of the plate map; missing or 0 is untreated")
    baseline: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="level of untreated cells")
    emax: float = Field(allow_inf_nan=False, description="what the largest dose adds; negative lowers")
    ec50: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="dose of half the effect")
    hill: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="steepness of the curve")


class Phenotype(StrictModel):
    """Which quantities follow the plate map; one that is not named stays at its baseline.

    Attributes
    ----------
    vesicles : Response or None
        Bright spots per cell.
    intensity : Response or None
        Brightness of everything but the nuclear stain, relative to 1.
    nc_ratio : Response or None
        Nuclear over cytoplasmic brightness of a reporter.
    survival : Response or None
        Share of the cells that is still there, at most 1.
    size : Response or None
        Diameter of the nucleus, relative to 1.
    stain : Response or None
        Brightness of the nuclear stain, relative to 1.
    elongation : Response or None
        Length over width of the nucleus, relative to 1.
    """

    vesicles: Response | None = Field(default=None, description="bright spots per cell")
    intensity: Response | None = Field(
        default=None, description="brightness of all but the nuclear stain, relative to 1"
    )
    nc_ratio: Response | None = Field(default=None, description="nuclear over cytoplasmic brightness of a reporter")
    survival: Response | None = Field(default=None, description="share of the cells that is still there, at most 1")
    size: Response | None = Field(default=None, description="diameter of the nucleus, relative to 1")
    stain: Response | None = Field(default=None, description="brightness of the nuclear stain, relative to 1")
    elongation: Response | None = Field(default=None, description="length over width of the nucleus, relative to 1")

    def response(self, quantity: str) -> Response | None:
        """Return the curve of a quantity; KeyError if there is no such quantity."""
        curves = {
            "vesicles": self.vesicles,
            "intensity": self.intensity,
            "nc_ratio": self.nc_ratio,
            "survival": self.survival,
            "size": self.size,
            "stain": self.stain,
            "elongation": self.elongation,
        }
        return curves[quantity]


def hill(dose: float, *, baseline: float, emax: float, ec50: float, steepness: float) -> float:
    """Return ``baseline + emax d^h / (ec50^h + d^h)``, not below zero; the baseline at dose 0."""
    if dose <= 0:
        return baseline
    # In logarithms, so that no power of a large dose overflows.
    ratio = steepness * (math.log(dose) - math.log(ec50))
    share = 1 / (1 + math.exp(-ratio)) if ratio > -700 else 0.0
    return max(0.0, baseline + emax * share)


def _dose(well: WellPlan, column: str) -> float:
    value: Scalar = well.properties.get(column)
    if value is None or value == "":
        return 0.0
    number = float(value)
    if math.isnan(number):
        return 0.0
    if number < 0 or math.isinf(number):
        raise ValueError(
            f"simulation.phenotype: the dose of well {well.name} in column {column!r} is {number:g}; a dose is 0 or "
            "more (a logarithm must be turned back into a dose first)"
        )
    return number


def _check_numbers(plan: Plan, column: str) -> None:
    """Raise for the cell that makes a column one of text: where one is no number, all cells of its column are text."""
    given = [well for well in plan.wells if well.properties.get(column) not in (None, "")]
    texts = [well for well in given if isinstance(well.properties[column], bool | str)]
    if not texts:
        return
    well = next((one for one in texts if not _reads_as_number(one.properties[column])), texts[0])
    raise ValueError(
        f"simulation.phenotype: column {column!r} of the plate map holds {well.properties[column]!r} in well "
        f"{well.name}, which is no number; name a numeric column in `along`"
    )


def _reads_as_number(value: Scalar) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value.replace(",", ".")))
    except ValueError:
        return False


def expected_levels(phenotype: Phenotype, plan: Plan) -> dict[str, dict[str, float]]:
    """Return the level of each quantity in each well, on the curve (no replicate noise): ``[quantity][well]``.

    Raises
    ------
    ValueError
        If a curve follows a column that the plate map lacks, or one that holds no doses.
    """
    columns: dict[str, None] = dict.fromkeys(name for well in plan.wells for name in well.properties)
    levels: dict[str, dict[str, float]] = {}
    for quantity, default in BASELINES.items():
        curve = phenotype.response(quantity)
        if curve is None:
            levels[quantity] = {well.name: default for well in plan.wells}
            continue
        if curve.along not in columns:
            near = difflib.get_close_matches(curve.along, columns, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = ", ".join(columns) or "none: give the plate a `map`"
            raise ValueError(
                f"simulation.phenotype.{quantity}: the plate map has no column {curve.along!r}; {hint}"
                f"Its columns: {known}."
            )
        _check_numbers(plan, curve.along)
        baseline = default if curve.baseline is None else curve.baseline
        top = 1.0 if quantity == "survival" else math.inf
        levels[quantity] = {
            well.name: min(
                top,
                hill(
                    _dose(well, curve.along), baseline=baseline, emax=curve.emax, ec50=curve.ec50, steepness=curve.hill
                ),
            )
            for well in plan.wells
        }
    return levels


def baseline_of(phenotype: Phenotype, quantity: str) -> float:
    """Return the level of untreated cells."""
    curve = phenotype.response(quantity)
    return BASELINES[quantity] if curve is None or curve.baseline is None else curve.baseline


def with_replicate_noise(
    levels: Mapping[str, Mapping[str, float]], plan: Plan, well_sd: float
) -> dict[str, dict[str, float]]:
    """Return levels as each well really has them: log-normal around the curve, mean kept, keyed by seed and place.

    A quantity of `SHAPES_OF_NUCLEI` that nothing moves stays exact.
    """
    still = {name for name in SHAPES_OF_NUCLEI if set(levels[name].values()) <= {BASELINES[name]}}
    noisy: dict[str, dict[str, float]] = {quantity: {} for quantity in levels}
    for well in plan.wells:
        rng = np.random.default_rng((abs(plan.seed), int(plan.seed < 0), 1, well.row, well.column))
        draws = rng.standard_normal(len(BASELINES))
        for quantity, draw in zip(BASELINES, draws.tolist(), strict=True):
            factor = 1.0 if quantity in still else math.exp(well_sd * draw - well_sd**2 / 2)
            top = 1.0 if quantity == "survival" else math.inf
            noisy[quantity][well.name] = min(top, levels[quantity][well.name] * factor)
    return noisy
