"""Which wells respond: e-values against the control wells, e-BH over all others. No control is ever called."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.model import CONFIRM, Answer, FieldReadout, Interval, Setup, WellAnswer
from phenoloop.numerics.claims import CHANGES, LEAST_CONTROLS, claimable, response
from phenoloop.numerics.ebh import ebh, log_threshold
from phenoloop.numerics.evidence import TYPICAL_RATIO, Null, expected_controls
from phenoloop.numerics.intervals import anytime_half_width
from phenoloop.numerics.noisier import noise_ratio
from phenoloop.numerics.reach import reach_of
from phenoloop.numerics.responders import believe
from phenoloop.numerics.rounding import significant
from phenoloop.numerics.well_sums import WellSums, summarise
from phenoloop.protocol.base import QuestionParams
from phenoloop.protocol.quantities import Percent
from phenoloop.questions.hits_checks import about_effects, confirmed_effects, first_looks, noisier_than_controls
from phenoloop.questions.plate_checks import check_plate
from phenoloop.questions.values import by_well, count_of, left_out, number

INTERVAL_LEVEL: Final = 0.95

_KIND: Final = (
    "t-mixture confidence sequence over the fields of this one well, field SD pooled over wells (over the hits where "
    "they scatter more); "
    "its fields are pseudo-replicates, so the band holds no well-to-well spread"
)
_LARGEST_LOG: Final = 690.0


class HitsQuestion:
    """Calls hits among the wells that are no controls.

    ``hit``: e-BH rejects "drawn like the controls" at `false_hits`, the well's mean differs from the controls by at
    least `smallest`, and two fields or more stand behind it (or all that the well has) that agree among themselves.
    Where first looks show that fields of other wells are noisier than those of controls, the evidence counts with that.
    ``no_hit``: e-BH, at the same level and over the same family, rejects "the effect is `smallest` or more"; never with
    `smallest` 0. All other wells are ``undecided``.

    Images that were taken to confirm a call (`phenoloop.model.CONFIRM`) have no part in it; they alone say how large
    the effect of a called well is, because the images that made it a hit show it too large.

    Parameters
    ----------
    params : HitsQuestion.Params
        As in the protocol.
    setup : Setup
        Wells, and which of them are controls.
    """

    kind: ClassVar[str] = "hits"

    class Params(QuestionParams):
        """Keys of ``question: {kind: hits}``."""

        controls: str = Field(description="which wells are controls: an expression over the plate map")
        change: Literal["up", "down", "both"] = Field(default="up", description="direction of a hit")
        smallest: float = Field(
            default=0.0, ge=0, allow_inf_nan=False, description="smallest effect that matters, in units of the readout"
        )
        false_hits: Annotated[Percent, Field(gt=0, lt=1)] = Field(
            default=0.05, description="expected share of false ones among the hits"
        )

    def __init__(self, params: Params, setup: Setup) -> None:
        self._params = params
        self._setup = setup
        self._wells = setup.wells
        self._fields = setup.fields
        controls = set(setup.controls)
        self._is_control = np.array([well in controls for well in setup.wells], dtype=bool)
        self._family = [well for well in setup.wells if well not in controls]

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Answer from all accepted fields; see `phenoloop.ports.Question`."""
        choosing = [field for field in fields if field.role != CONFIRM]
        values, unknown = by_well(self._wells, choosing, self._params.readout)
        sums = summarise(values)
        fresh, lost = by_well(self._wells, [f for f in fields if f.role == CONFIRM], self._params.readout)
        null = Null(sums.at(np.flatnonzero(self._is_control)))
        first = first_looks(choosing, self._family, self._params.readout)
        null = null.with_noise(noise_ratio(null, first, self._params.change))
        notes = self._notes(null, unknown + lost)
        callable_ = null.usable and null.wells >= LEAST_CONTROLS
        centre = null.centre if null.wells else _median(sums)
        log_e, calls = self._calls(sums, null) if callable_ else (None, [None] * len(self._wells))
        ranks = self._ranks(sums, centre, null if callable_ else None)
        hits = [i for i, call in enumerate(calls) if call == "hit"]
        bands = _bands(sums, hits)
        effects = confirmed_effects(null, fresh, hits, INTERVAL_LEVEL)
        if hits:
            notes.append(about_effects(len(hits), len(effects)))
        wells = {
            well: WellAnswer(
                call=calls[i],
                evidence=None if log_e is None or not self._tested(sums)[i] else _evidence(float(log_e[i])),
                rank=ranks[i],
                interval=bands[i],
                effect=effects.get(i),
            )
            for i, well in enumerate(self._wells)
        }
        if callable_ and (noisier := noisier_than_controls(null, first, self._params.change)):
            notes.append(noisier)
        plate, found = check_plate(self._setup, self._setup.controls, fields, self._params.readout)
        summary = {**self._summary(null, calls), "plate_effects": plate}
        return Answer(wells=wells, summary=summary, notes=(*notes, *found))

    def _tested(self, sums: WellSums) -> NDArray[np.bool_]:
        tested: NDArray[np.bool_] = ~self._is_control & (sums.n > 0)
        return tested

    def _calls(self, sums: WellSums, null: Null) -> tuple[NDArray[np.float64], list[str | None]]:
        """Return log e-values and calls of all wells; the family is fixed: every selected well that is no control."""
        change, smallest, level = self._params.change, self._params.smallest, self._params.false_hits
        family = np.flatnonzero(~self._is_control)
        log_e = np.zeros(len(self._wells))
        log_e[family] = null.log_evidence(sums.at(family), change)
        small = np.full(len(self._wells), -math.inf)
        if smallest > 0:
            small[family] = log_evidence_below(null, sums.at(family), change, smallest)
        fields = np.array(self._fields)[family]
        distance = response(sums.mean[family], null.centre, change)
        claims = claimable(log_e[family], sums.at(family), fields, distance, smallest)
        hit, no_hit = np.zeros((2, len(self._wells)), dtype=bool)
        hit[family] = ebh(claims, level)
        no_hit[family] = ebh(small[family], level)
        called = np.where(hit, "hit", np.where(no_hit, "no_hit", "undecided"))
        return log_e, [None if is_control else str(c) for c, is_control in zip(called, self._is_control, strict=True)]

    def _ranks(self, sums: WellSums, centre: float, null: Null | None) -> list[int | None]:
        """Return 1 for the strongest response in the asked direction; ties in plate order; controls are ranked too.

        With controls to learn from, a response is shrunk by the chance that there is nothing: one lucky image does not
        outrank a well that stood the test.
        """
        if null is None:
            strength = response(sums.mean, centre, self._params.change)
        else:
            family, strength = ~self._is_control, np.full(len(sums.n), math.nan)
            belief = believe(null, sums.at(np.flatnonzero(family)), self._params.change, self._params.smallest)
            strength[family] = belief.expected
            alike = believe(null, sums, self._params.change, self._params.smallest)
            strength[~family] = alike.expected[~family]
        order = sorted((i for i in range(len(strength)) if sums.n[i] > 0), key=lambda i: (-strength[i], i))
        rank = {i: place for place, i in enumerate(order, start=1)}
        return [rank.get(i) for i in range(len(strength))]

    def _notes(self, null: Null, unknown: int) -> list[str]:
        notes = []
        if null.wells < LEAST_CONTROLS:
            wells = "control well is" if null.wells == 1 else "control wells are"
            notes.append(
                f"{count_of(null.wells)} {wells} too few to call hits "
                f"({count_of(LEAST_CONTROLS)} with data are needed): ranked only"
            )
        elif not null.usable:
            notes.append("all fields of all control wells are equal, so their spread is unknown: ranked only")
        else:
            notes.append(
                f"the expected share of false ones among the hits is at most {100 * self._params.false_hits:.3g} %, "
                "whenever one looks, if wells without effect spread like the controls, normally"
            )
        notes.append(
            "fields of one well are pseudo-replicates: a hit is this well, confirm a treatment in replicate wells"
        )
        if unknown:
            notes.append(left_out(unknown, self._params.readout))
        return notes

    def _summary(self, null: Null, calls: Sequence[str | None]) -> Mapping[str, object]:
        return {
            "readout": self._params.readout,
            "change": self._params.change,
            "smallest": self._params.smallest,
            "false_hits": self._params.false_hits,
            "family": int((~self._is_control).sum()),
            "null": {
                "wells": null.wells,
                "fields": null.fields,
                "mean": number(null.centre),
                "field_sd": number(null.field_sd),
                "well_sd": number(null.well_sd),
                "well_sd_high": number(null.well_sd_high),
                "noise_of_other_wells": null.noise,
            },
            "calls": {call: calls.count(call) for call in ("hit", "no_hit", "undecided")},
        }

    @staticmethod
    def forecast(params: Params, setup: Setup) -> list[str]:
        """Return, in sentences, the smallest effect that can be called with these controls and fields.

        From the formula that will be used on the data, with typical controls: well-to-well SD of 0.3 field SDs.
        """
        controls = [fields for well, fields in zip(setup.wells, setup.fields, strict=True) if well in setup.controls]
        family = len(setup.wells) - len(controls)
        if len(controls) < LEAST_CONTROLS:
            wells = "control well is" if len(controls) == 1 else "control wells are"
            return [
                f"{count_of(len(controls))} {wells} too few to call hits "
                f"({count_of(LEAST_CONTROLS)} are needed): wells will be ranked only"
            ]
        if not family:
            return ["all selected wells are controls: there is nothing to call"]
        null = Null(expected_controls(controls, TYPICAL_RATIO))
        deepest = float(max(setup.fields))
        many = max(2, round(family / 10))
        reach = reach_of(null, np.array([deepest]), params.change)
        alone, together = (float(reach.needed(log_threshold(hits, family, params.false_hits))[0]) for hits in (1, many))
        if not math.isfinite(alone):
            return ["with these controls and fields no single hit can be called: give more control wells"]
        return [
            f"with {len(controls)} control wells and {deepest:g} fields a well, a single hit among {family} wells is "
            f"called from an effect of about {alone:.1f} field SDs, {many} hits together from {together:.1f} "
            f"(if wells differ by {math.sqrt(TYPICAL_RATIO):g} field SDs)"
        ]


def log_evidence_below(null: Null, wells: WellSums, change: str, smallest: float) -> NDArray[np.float64]:
    """Return log e-values against "the effect is `smallest` or more": the same test, shifted and turned round."""
    turned = {"up": ["down"], "down": ["up"], "both": ["down", "up"]}[change]
    # In both directions the null is a union, so its e-value is the smaller of the two.
    shifted = [WellSums(wells.n, wells.mean + CHANGES[side] * smallest, wells.scatter) for side in turned]
    log_e = [null.log_evidence(sums, side) for sums, side in zip(shifted, turned, strict=True)]
    smaller: NDArray[np.float64] = np.minimum.reduce(log_e)
    return smaller


def intervals(sums: WellSums, level: float) -> list[Interval | None]:
    """Return the band of each well's own mean; None for a well without a field."""
    sd, freedom = sums.field_sd, sums.freedom
    seen = sums.n > 0
    half = np.full(len(sums.n), math.inf)
    if freedom:
        half[seen] = anytime_half_width(sd, freedom, sums.n[seen], level)
    return [
        Interval(
            mean=number(float(sums.mean[i])),
            low=number(float(sums.mean[i] - half[i])),
            high=number(float(sums.mean[i] + half[i])),
            n=int(sums.n[i]),
            level=level,
            kind=_KIND,
            unit="field",
            valid_when_peeking=True,
        )
        if seen[i]
        else None
        for i in range(len(sums.n))
    ]


def _bands(sums: WellSums, hits: Sequence[int]) -> list[Interval | None]:
    """Return the bands of all wells; hits that scatter more than the plate get the wider ones of their own pool."""
    bands = intervals(sums, INTERVAL_LEVEL)
    own = sums.at(list(hits))
    if hits and own.freedom and own.field_sd > sums.field_sd:
        for i, band in zip(hits, intervals(own, INTERVAL_LEVEL), strict=True):
            bands[i] = band
    return bands


def _median(sums: WellSums) -> float:
    seen = sums.mean[sums.n > 0]
    return float(np.median(seen)) if len(seen) else math.nan


def _evidence(log_e: float) -> float:
    return significant(math.exp(min(log_e, _LARGEST_LOG)))
