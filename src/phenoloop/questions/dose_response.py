"""At which dose half of the effect is reached: EC50, slope and plateaus of every compound, with bands.

Says what it cannot say: no effect (the band of the effect at the highest dose holds 0), an EC50 above or below the
doses, plateaus that were never reached.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtri

from phenoloop.model import Answer, FieldReadout, Setup, WellAnswer
from phenoloop.numerics.dose_curve import Belief
from phenoloop.numerics.dose_grid import Grid
from phenoloop.numerics.dose_layout import Compound, DosedFields, DoseLayout
from phenoloop.numerics.dose_regression import RATIOS, ratio_weights
from phenoloop.numerics.rounding import significant
from phenoloop.numerics.well_sums import WellSums, summarise
from phenoloop.protocol.base import QuestionParams
from phenoloop.protocol.quantities import Percent
from phenoloop.questions.hits import intervals
from phenoloop.questions.plate_checks import check_plate
from phenoloop.questions.values import by_well, left_out, number

LEAST_WELLS: Final = 4
"""Wells of a compound with data below which nothing is said of its curve."""
CURVE_POINTS: Final = 41
"""Doses at which the curve and its band are given."""
KIND: Final = (
    "Bayesian interval: EC50 log-uniform up to 1.5 decades beyond the doses, Hill curve with slope 0.5 to 4, wells and "
    "fields normal with spreads that the plate shares, and that grow or fall with the level of the readout"
)
_FINE: Final = 0.15
"""SD of log10 EC50 below which the nodes are set closer."""


class DoseResponseQuestion:
    """Estimates dose-response curves. Makes no calls.

    Parameters
    ----------
    params : DoseResponseQuestion.Params
        As in the protocol.
    setup : Setup
        Wells and their rows of the plate map.

    Raises
    ------
    ProtocolError
        If a column is absent, a dose is no dose, or no compound has three.
    """

    kind: ClassVar[str] = "dose_response"

    class Params(QuestionParams):
        """Keys of ``question: {kind: dose_response}``."""

        along: str = Field(default="dose", description="numeric column of the plate map that holds the dose")
        by: str | None = Field(default=None, description="column of the plate map that names the compound")
        controls: str | None = Field(
            default=None,
            description="which wells hold no compound: an expression over the plate map; those of dose 0 unless given",
        )
        plateau: str | None = Field(
            default=None,
            description="which wells show the full effect that every compound reaches: an expression over the map",
        )
        confidence: Annotated[Percent, Field(gt=0, lt=1)] = Field(default=0.95, description="coverage of the intervals")

    def __init__(self, params: Params, setup: Setup) -> None:
        self._params = params
        self._setup = setup
        self._wells = setup.wells
        self._layout = DoseLayout.of(setup, params.along, params.by)

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Answer from all accepted fields; see `phenoloop.ports.Question`."""
        values, unknown = by_well(self._wells, fields, self._params.readout)
        sums = summarise(values)
        order = sorted((i for i in range(len(self._wells)) if sums.n[i] > 0), key=lambda i: (-_key(sums, i), i))
        rank = {i: place for place, i in enumerate(order, start=1)}
        bands = intervals(sums, self._params.confidence)
        wells = {
            well: WellAnswer(call=None, evidence=None, rank=rank.get(i), interval=bands[i])
            for i, well in enumerate(self._wells)
        }
        compounds, ratios = self._compounds(sums)
        controls = [self._wells[i] for i in self._layout.controls]
        plate, found = check_plate(self._setup, controls, fields, self._params.readout)
        summary: dict[str, object] = {
            "readout": self._params.readout,
            "along": self._params.along,
            "by": self._params.by,
            "level": self._params.confidence,
            "kind": KIND,
            "unit": "well",
            "valid_when_peeking": False,
            "field_sd": number(sums.field_sd),
            "well_sd": None if ratios is None else number(sums.field_sd * math.sqrt(float((ratios * RATIOS).sum()))),
            "controls": controls,
            "plateau": [self._wells[i] for i in self._layout.plateau],
            "plate_effects": plate,
            "compounds": compounds,
        }
        return Answer(wells=wells, summary=summary, notes=(*self._notes(unknown), *found))

    # -- curves -----------------------------------------------------------------------------------------------------

    def _compounds(self, sums: WellSums) -> tuple[dict[str, dict[str, object]], NDArray[np.float64] | None]:
        data = DosedFields(self._layout, sums)
        curves = data.curves()
        ratios = ratio_weights(data.points(None), curves) if curves else None
        said = {one.name: self._compound(sums, data, one, ratios) for one in self._layout.compounds}
        return said, ratios

    def _compound(
        self, sums: WellSums, data: DosedFields, compound: Compound, ratios: NDArray[np.float64] | None
    ) -> dict[str, object]:
        seen = [int(i) for i in compound.wells if sums.n[i] > 0]
        points = [
            {
                "well": self._wells[i],
                "dose": significant(10 ** float(compound.log_dose[j])),
                "mean": number(float(sums.mean[i])),
                "fields": int(sums.n[i]),
            }
            for j, i in enumerate(compound.wells)
            if sums.n[i] > 0
        ]
        base: dict[str, object] = {
            "wells": len(seen),
            "fields": int(sums.n[seen].sum()),
            "doses": [significant(10 ** float(x)) for x in compound.grid.log_doses],
            "points": points,
        }
        controls = int((sums.n[self._layout.controls] > 0).sum())
        tried = len({round(float(x), 9) for i, x in zip(compound.wells, compound.log_dose, strict=True) if sums.n[i]})
        if ratios is None or len(seen) + controls < LEAST_WELLS or tried < 2:
            return base | {"finding": "too little data", "said": "too few wells have data for a curve"}
        return base | self._curve(self._belief(data, compound, ratios), compound, controls)

    def _belief(self, data: DosedFields, compound: Compound, ratios: NDArray[np.float64]) -> Belief:
        points = data.points(compound)
        belief = Belief(compound.grid, points, ratios)
        if belief.sd >= _FINE:
            return belief
        low, high = belief.mean - 8 * belief.sd - 0.1, belief.mean + 8 * belief.sd + 0.1
        return Belief(Grid(compound.grid.log_doses, low, high, max(0.002, belief.sd / 8)), points, ratios)

    def _curve(self, belief: Belief, compound: Compound, controls: int) -> dict[str, object]:
        level = self._params.confidence
        z = float(ndtri(0.5 + level / 2))
        lowest, highest = (float(x) for x in compound.grid.log_doses[[0, -1]])
        low, high = belief.quantile(0.5 - level / 2), belief.quantile(0.5 + level / 2)
        below, above = low < lowest, high > highest
        effect, effect_sd = belief.difference(highest)
        flat = abs(effect) <= z * effect_sd
        finding = (
            "no effect"
            if flat
            else "above the doses"
            if low > highest
            else "below the doses"
            if high < lowest
            else "open above"
            if above
            else "open below"
            if below
            else "estimated"
        )
        at = np.linspace(lowest - 0.3, highest + 0.3, CURVE_POINTS)
        mean, sd, _ = belief.level(at)
        zero, zero_sd, _ = belief.level(np.array([-math.inf]))
        top, top_sd = belief.top()
        closed = finding == "estimated"
        ec50 = {
            "mean": number(10**belief.mean) if closed else None,
            "low": None if flat or below else number(10**low),
            "high": None if flat or above else number(10**high),
        }
        if finding == "above the doses":
            ec50 = {"mean": None, "low": number(10**highest), "high": None}
        if finding == "below the doses":
            ec50 = {"mean": None, "low": None, "high": number(10**lowest)}
        return {
            "finding": finding,
            "said": _in_words(finding, ec50, 10**lowest, 10**highest),
            "ec50": ec50,
            "log10_ec50": {"mean": number(belief.mean), "sd": number(belief.sd)},
            "hill": None
            if flat
            else {
                "mean": number(belief.hill(0.5)),
                "low": number(belief.hill(0.5 - level / 2)),
                "high": number(belief.hill(0.5 + level / 2)),
            },
            "bottom": _band(float(zero[0]), float(zero_sd[0]), z),
            "top": _band(top, top_sd, z) if closed else None,
            "effect_at_highest_dose": _band(effect, effect_sd, z),
            "controls": controls,
            "curve": {
                "dose": [significant(10 ** float(x)) for x in at],
                "mean": [number(float(m)) for m in mean],
                "low": [number(float(m - z * s)) for m, s in zip(mean, sd, strict=True)],
                "high": [number(float(m + z * s)) for m, s in zip(mean, sd, strict=True)],
            },
        }

    def _notes(self, unknown: int) -> list[str]:
        level = self._params.confidence
        notes = [
            f"the {100 * level:.3g} % bands of a curve are Bayesian: they assume a Hill curve, and wells and fields "
            "that differ normally, with spreads that follow the level of the readout alike all over the plate; the "
            "well is the unit",
            "where the model holds, they hold on average over plates also when the images were chosen and stopped by "
            "looking (measured); where fields scatter far more at the top of a curve, 95 % bands held on 80 to 93 % of "
            "simulated plates; they are no guarantee against peeking until a wished-for result shows",
        ]
        if not len(self._layout.controls):
            notes.append("no well is without compound, so the bottom of each curve rests on its low doses alone")
        if self._layout.left_out:
            notes.append(
                f"{len(self._layout.left_out)} wells take no part: no controls, and no dose of a compound with three"
            )
        if unknown:
            notes.append(left_out(unknown, self._params.readout))
        return notes

    @staticmethod
    def forecast(params: Params, setup: Setup) -> list[str]:
        """Return, in sentences, which curves there are to fit."""
        layout = DoseLayout.of(setup, params.along, params.by)
        counts = [f"{one.name}: {len(one.grid.log_doses)} doses in {len(one.wells)} wells" for one in layout.compounds]
        controls = len(layout.controls)
        lines = [f"curves of {'; '.join(counts)}; {controls} wells without compound"]
        if not controls:
            lines.append("no well is without compound: the bottom of each curve rests on its low doses alone")
        return lines


def _key(sums: WellSums, i: int) -> float:
    return significant(float(sums.mean[i]))


def _band(mean: float, sd: float, z: float) -> dict[str, float | None]:
    return {"mean": number(mean), "low": number(mean - z * sd), "high": number(mean + z * sd)}


def _in_words(finding: str, ec50: Mapping[str, float | None], lowest: float, highest: float) -> str:
    low, high, mean = ec50["low"], ec50["high"], ec50["mean"]
    return {
        "no effect": f"no effect that could be told from none up to the highest dose, {highest:.3g}: no EC50",
        "above the doses": f"the EC50 is > {highest:.3g}, the highest dose",
        "below the doses": f"the EC50 is < {lowest:.3g}, the lowest dose",
        "open above": f"the EC50 is at least {_text(low)}; how much higher, doses up to {highest:.3g} do not show",
        "open below": f"the EC50 is at most {_text(high)}; how much lower, doses from {lowest:.3g} do not show",
        "estimated": f"the EC50 is {_text(mean)} ({_text(low)} to {_text(high)})",
    }[finding]


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
