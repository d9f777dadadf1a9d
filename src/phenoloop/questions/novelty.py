"""Which wells look unlike the controls, in which groups, and how much of what there is was looked at closely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import stdtrit

from phenoloop.model import Answer, FieldReadout, Setup, WellAnswer
from phenoloop.numerics.oddness import LEAST_CONTROLS, log_evidence, p_values, rejected, statistic
from phenoloop.numerics.phenotype_fit import field_distances, held_out_distances
from phenoloop.numerics.phenotype_groups import groups
from phenoloop.numerics.rounding import significant
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Percent
from phenoloop.questions.novelty_summary import summary
from phenoloop.questions.profiled_plate import ProfiledPlate, profiled_plate
from phenoloop.questions.values import count_of, number

Floats = NDArray[np.float64]

FIELDS_JUDGED: Final = 2
"""The nearer of so many fields of a well is judged: one image may show dirt."""
_LARGEST_LOG: Final = 690.0
_KIND: Final = (
    "p-value of the log distance from the controls, of the nearer one of a well's first two fields, against the same "
    "of held-out control wells (Student's t); Benjamini and Yekutieli over all wells but the controls"
)


class NoveltyQuestion:
    """Says which wells differ from the controls in their profile, and groups them.

    ``hit``: the first two fields of the well both lie further from the controls than those of control wells do, by the
    procedure of Benjamini and Yekutieli at `false_hits` over all wells that are no controls. All others are
    ``undecided``: that a well looks like the controls in these features does not say that it is like them.

    Later fields have no part in a call, and neither has the choice of the wells that get a second one: a well that gets
    none cannot be called. So a call means the same whoever chose the images, and whenever one looks.

    Parameters
    ----------
    params : NoveltyQuestion.Params
        As in the protocol.
    setup : Setup
        Wells, controls, features of the profile.
    """

    kind: ClassVar[str] = "novelty"
    needs: ClassVar[tuple[str, ...]] = ("profile",)

    class Params(StrictModel):
        """Keys of ``question: {kind: novelty}``."""

        controls: str = Field(description="which wells are controls: an expression over the plate map")
        false_hits: Annotated[Percent, Field(gt=0, lt=1)] = Field(
            default=0.05, description="expected share of false ones among the wells that are called different"
        )
        alike: Annotated[Percent, Field(gt=0, lt=1)] = Field(
            default=0.95, description="share of control wells that lie within the distance taken for no difference"
        )
        strength: float = Field(
            default=2.0,
            ge=1,
            le=10,
            description="the same change up to so many times stronger or weaker is the same phenotype; 1: another one",
        )

    def __init__(self, params: Params, setup: Setup) -> None:
        self._params = params
        self._setup = setup
        controls = set(setup.controls)
        self._is_control = np.array([well in controls for well in setup.wells], dtype=bool)
        self._judged = min(FIELDS_JUDGED, max(setup.fields, default=1))

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Answer from all accepted fields; see `phenoloop.ports.Question`."""
        family = np.flatnonzero(~self._is_control)
        said = {
            "false_hits": self._params.false_hits,
            "family": len(family),
            "kind": _KIND,
            "unit": "well",
            "valid_when_peeking": True,
        }
        try:
            plate = profiled_plate(self._setup, fields, level=self._params.alike, strength=self._params.strength)
        except ValueError as why_not:
            nothing = WellAnswer(call=None, evidence=None, rank=None, interval=None)
            wells = dict.fromkeys(self._setup.wells, nothing)
            return Answer(wells=wells, summary=said | summary(self._setup, None, []), notes=(str(why_not),))
        t, controls, notes = self._oddness(plate)
        p, log_e = p_values(t, controls), log_evidence(t, controls)
        hit = np.zeros(len(self._setup.wells), dtype=bool)
        hit[family] = rejected(p[family], self._params.false_hits)
        ranks = self._ranks(plate.far())
        wells = {}
        for i, well in enumerate(self._setup.wells):
            called_at_all = controls >= LEAST_CONTROLS and not self._is_control[i]
            tested = called_at_all and bool(np.isfinite(t[i]))
            wells[well] = WellAnswer(
                call=("hit" if hit[i] else "undecided") if called_at_all else None,
                evidence=significant(math.exp(min(float(log_e[i]), _LARGEST_LOG))) if tested else None,
                rank=ranks.get(i),
                interval=None,
            )
        called = np.flatnonzero(hit & plate.placed).tolist()
        points, noise, z = plate.points[:, called], plate.noise[called], plate.deviations()[called]
        found = groups(plate.space, called, points, noise, z)
        notes += [
            f"a well is called different when the nearer of its first {self._judged} fields is; later images, which "
            "results chose, have no part in it"
            if self._judged > 1
            else "wells have one field only, and one image may show dirt",
            "fields of one well are pseudo-replicates: a call is of the well, confirm a treatment in replicate wells",
        ]
        if few := int(((plate.many < self._judged) & ~self._is_control).sum()):
            wells_have = "well has" if few == 1 else "wells have"
            notes.append(f"{count_of(few)} {wells_have} fewer than {self._judged} fields, and cannot be called")
        return Answer(
            wells=wells,
            summary=said | summary(self._setup, plate, found) | {"p": self._said(p, t)},
            notes=tuple(notes),
        )

    def _oddness(self, plate: ProfiledPlate) -> tuple[Floats, int, list[str]]:
        """Return T of each well, NaN where there is none; how many controls are behind it; and what must be said."""
        nothing = np.full(len(self._is_control), math.nan)
        held = held_out_distances(plate.space, plate.profiles, plate.wells, self._is_control, first=self._judged)
        held = held[np.isfinite(held) & (held > 0)]
        if held.size < LEAST_CONTROLS or float(held.min()) == float(held.max()):
            wells = f"{count_of(held.size)} control {'well has' if held.size == 1 else 'wells have'}"
            said = (
                f"{wells} {self._judged} fields with a profile, too few to call a well different "
                f"({count_of(LEAST_CONTROLS)} are needed): ranked only"
            )
            return nothing, 2, [said]
        far = field_distances(plate.space, plate.profiles, plate.wells, len(self._is_control), first=self._judged)
        seen = np.isfinite(far) & (far > 0) & ~self._is_control
        t = nothing
        t[seen] = statistic(np.log(far[seen]), np.log(held))
        said = (
            "the expected share of false ones among the wells called different is at most "
            f"{100 * self._params.false_hits:.3g} %, whenever one looks after the controls are in, if the logarithms "
            "of the distances of wells without effect spread like those of the controls, normally, and the quality "
            "gates reject without regard to them"
        )
        return t, int(held.size), [said]

    def _said(self, p: Floats, t: Floats) -> dict[str, float]:
        return {self._setup.wells[i]: number(float(p[i])) or 0.0 for i in np.flatnonzero(np.isfinite(t))}

    @staticmethod
    def _ranks(far: Floats) -> dict[int, int]:
        order = sorted(np.flatnonzero(np.isfinite(far)).tolist(), key=lambda i: (-far[i], i))
        return {i: place for place, i in enumerate(order, start=1)}

    @staticmethod
    def forecast(params: Params, setup: Setup) -> list[str]:
        """Return, in sentences, whether these controls are enough to call a well different."""
        least = min(FIELDS_JUDGED, max(setup.fields, default=1))
        controls = [f for well, f in zip(setup.wells, setup.fields, strict=True) if well in setup.controls]
        enough = sum(fields >= least for fields in controls)
        if enough < LEAST_CONTROLS:
            return [
                f"{count_of(enough)} control wells of {least} fields or more are too few to call a well different "
                f"({count_of(LEAST_CONTROLS)} are needed): wells will be ranked only"
            ]
        times = _called_alone(enough, len(setup.wells) - len(controls), params.false_hits)
        return [
            f"with {enough} control wells a well is called different alone when it lies {times:.2g} times as far from "
            "the controls as they lie from each other (if their distances spread by 20 %)"
        ]


def _called_alone(controls: int, family: int, level: float) -> float:
    """Return the ratio of distances from which a single well is called, for log distances with an SD of 0.2."""
    needed = level / (max(1, family) * math.fsum(1 / k for k in range(1, max(1, family) + 1)))
    return math.exp(0.2 * math.sqrt(1 + 1 / controls) * -float(stdtrit(controls - 1, needed)))
