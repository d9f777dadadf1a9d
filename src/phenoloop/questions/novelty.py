"""Which wells look unlike the controls, in which groups, and how much of what there is was looked at closely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import stdtrit

from phenoloop.model import CONFIRM, Answer, FieldReadout, Setup, WellAnswer
from phenoloop.numerics.oddness import LEAST_CONTROLS, log_evidence, p_values, rejected, statistic
from phenoloop.numerics.phenotype_groups import Group, flat_map, groups
from phenoloop.numerics.phenotype_space import (
    PhenotypeSpace,
    block_of,
    field_distances,
    held_out_distances,
    phenotype_space,
    well_points,
)
from phenoloop.numerics.profiles import well_medians
from phenoloop.numerics.rounding import significant, significant_all
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Percent
from phenoloop.questions.values import count_of, number

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FIELDS_JUDGED: Final = 2
"""The nearer of so many fields of a well is judged: one image may show dirt."""
REPRESENTATIVES: Final = 3
_LARGEST_LOG: Final = 690.0
_KIND: Final = (
    "p-value of the log distance from the controls, of the nearer one of a well's first two fields, against the same "
    "of held-out control wells (Student's t); Benjamini and Yekutieli over all wells but the controls"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Plate:
    """The accepted fields of a plate, sorted, and the space that they give."""

    profiles: Floats
    wells: NDArray[np.int64]
    space: PhenotypeSpace
    points: Floats
    many: NDArray[np.int64]
    noise: Floats
    closely: Bools


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
        self._index = {well: i for i, well in enumerate(setup.wells)}
        controls = set(setup.controls)
        self._is_control = np.array([well in controls for well in setup.wells], dtype=bool)
        self._judged = min(FIELDS_JUDGED, max(setup.fields, default=1))

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Answer from all accepted fields; see `phenoloop.ports.Question`."""
        plate, why_not = self._plate(fields)
        nothing = WellAnswer(call=None, evidence=None, rank=None, interval=None)
        if plate is None:
            return Answer(
                wells=dict.fromkeys(self._setup.wells, nothing), summary=self._summary(None, [], {}), notes=(why_not,)
            )
        t, controls, notes = self._oddness(plate)
        p, log_e = p_values(t, controls), log_evidence(t, controls)
        family = np.flatnonzero(~self._is_control)
        hit = np.zeros(len(self._setup.wells), dtype=bool)
        hit[family] = rejected(p[family], self._params.false_hits)
        far = self._far(plate)
        ranks = self._ranks(far)
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
        called = [int(i) for i in np.flatnonzero(hit)]
        found = self._groups(plate, called)
        where = {well: place for place, group in enumerate(found, start=1) for well in group.members}
        notes += [
            f"a well is called different when the nearer of its first {self._judged} fields is; later images, which "
            "results chose, have no part in it"
            if self._judged > 1
            else "wells have one field only, and one image may show dirt",
            "fields of one well are pseudo-replicates: a phenotype is this well's, confirm it in replicate wells",
        ]
        return Answer(
            wells=wells, summary=self._summary(plate, found, where) | {"p": self._said(p, t)}, notes=tuple(notes)
        )

    # -- what is known ----------------------------------------------------------------------------------------------

    def _plate(self, fields: Sequence[FieldReadout]) -> tuple[_Plate | None, str]:
        """Return the fields imaged under ``main`` and their space, or why there is none."""
        first: dict[tuple[int, str], FieldReadout] = {}
        count = len(self._setup.wells)
        closely = np.zeros(count, dtype=bool)
        for field in fields:
            i = self._index[field.well]
            if field.imaging != "main":
                closely[i] = True
            elif field.target is None and field.role != CONFIRM and any(v is not None for v in field.profile):
                before = first.get((i, field.field))
                if before is None or field.visit < before.visit:
                    first[i, field.field] = field
        kept = sorted(first.items(), key=lambda item: (item[0][0], item[1].visit, len(item[0][1]), item[0][1]))
        if not kept:
            return None, "no field has a profile: nothing can be said of any well"
        profiles = np.array([field.profile for _, field in kept], dtype=np.float64)
        wells = np.array([i for (i, _), _ in kept], dtype=np.int64)
        try:
            space = phenotype_space(
                self._setup.profile_features,
                profiles,
                wells,
                self._is_control,
                level=self._params.alike,
                strength=self._params.strength,
            )
        except ValueError as error:
            return None, f"{error}: nothing is claimed"
        points, many = well_points(space, profiles, wells, count)
        noise = np.array([space.noise(max(1, int(n))) for n in many.tolist()])
        if not closely.any():
            closely = many > 1
        return _Plate(profiles, wells, space, points, many, noise, closely & ~self._is_control), ""

    def _oddness(self, plate: _Plate) -> tuple[Floats, int, list[str]]:
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
            f"the expected share of false ones among the wells called different is at most "
            f"{self._params.false_hits:.3g}, whenever one looks after the controls are in, if the logarithms of the "
            "distances of wells without effect spread like those of the controls, normally, and the quality gates "
            "reject without regard to them"
        )
        return t, int(held.size), [said]

    def _said(self, p: Floats, t: Floats) -> dict[str, float]:
        return {self._setup.wells[i]: number(float(p[i])) or 0.0 for i in np.flatnonzero(np.isfinite(t))}

    def _far(self, plate: _Plate) -> Floats:
        """Return how far each well lies from the controls by all its fields; NaN without any."""
        far = plate.space.distances(plate.points, plate.space.home(), plate.noise, 1 / plate.space.controls)
        return significant_all(far)

    @staticmethod
    def _ranks(far: Floats) -> dict[int, int]:
        order = sorted(np.flatnonzero(np.isfinite(far)).tolist(), key=lambda i: (-far[i], i))
        return {i: place for place, i in enumerate(order, start=1)}

    def _groups(self, plate: _Plate, called: Sequence[int]) -> list[Group]:
        chosen = [i for i in called if np.isfinite(plate.points[:, i]).all()]
        return groups(
            plate.space, chosen, plate.points[:, chosen], plate.noise[chosen], self._deviations(plate)[chosen]
        )

    def _deviations(self, plate: _Plate) -> Floats:
        """Return the distance of each well from the controls in each kept feature, shape (wells, kept)."""
        medians, many = well_medians(plate.profiles[:, plate.space.kept], plate.wells, len(self._is_control))
        return plate.space.scale.z(medians, np.maximum(many, 1))

    # -- in words and numbers ---------------------------------------------------------------------------------------

    def _summary(self, plate: _Plate | None, found: Sequence[Group], where: dict[int, int]) -> dict[str, Any]:
        family = np.flatnonzero(~self._is_control)
        summary: dict[str, Any] = {
            "false_hits": self._params.false_hits,
            "family": len(family),
            "kind": _KIND,
            "unit": "well",
            "valid_when_peeking": True,
            "groups": [
                self._group(group, place, [] if plate is None else self._similar(plate, found, place))
                for place, group in enumerate(found, start=1)
            ],
            "covered": None,
            "space": None,
            "map": None,
        }
        if plate is None:
            return summary
        space = plate.space
        return summary | {
            "covered": self._covered(plate, found),
            "space": {
                "features": list(space.names),
                "blocks": len({block_of(name) for name in space.names}),
                "controls": space.controls,
                "alike": space.alike,
            },
            "map": self._map(plate, where),
        }

    def _similar(self, plate: _Plate, found: Sequence[Group], place: int) -> list[int]:
        """Return the wells that were not called, lie away from the controls, and are most like one group."""
        space, alike = plate.space, plate.space.alike or 0.0
        called = {i for group in found for i in group.members}
        middles = [group.members[0] for group in found]
        similar = []
        for i in np.flatnonzero(np.nan_to_num(self._far(plate)) > alike).tolist():
            if i in called or self._is_control[i]:
                continue
            point, noise = plate.points[:, i], float(plate.noise[i])
            to_it = space.distances(plate.points[:, middles], point, plate.noise[middles], noise)
            nearest = int(np.argmin(significant_all(to_it)))
            if nearest == place - 1 and to_it[nearest] <= alike:
                similar.append(i)
        return similar

    def _group(self, group: Group, place: int, similar: Sequence[int]) -> dict[str, Any]:
        wells = self._setup.wells
        return {
            "group": place,
            "wells": [wells[i] for i in group.members],
            "representatives": [wells[i] for i in group.members[:REPRESENTATIVES]],
            "alike": [wells[i] for i in similar],
            "apart": [{"feature": name, "sd": number(z)} for name, z in group.apart],
            "said": ", ".join(f"{name} {'higher' if z > 0 else 'lower'} by {abs(z):.3g} SD" for name, z in group.apart),
        }

    def _covered(self, plate: _Plate, found: Sequence[Group]) -> dict[str, Any]:
        """Return the share of the wells that lie near the controls or near a well that was looked at closely."""
        space = plate.space
        seen = np.flatnonzero(np.isfinite(plate.points).all(axis=0) & ~self._is_control)
        away = self._far(plate)[seen]
        for i in np.flatnonzero(plate.closely & np.isfinite(plate.points).all(axis=0)).tolist():
            to_it = space.distances(plate.points[:, seen], plate.points[:, i], plate.noise[seen], float(plate.noise[i]))
            away = np.minimum(away, np.where(seen == i, 0.0, to_it))
        single = sum(len(group.members) == 1 for group in found)
        alike = space.alike
        return {
            "wells": int(seen.size),
            "looked_at_closely": int(plate.closely.sum()),
            "share": number(float((away <= alike).mean())) if seen.size and alike is not None else None,
            "radius": number(float(away.max())) if seen.size else None,
            "alike": alike,
            # Good 1953, doi 10.1093/biomet/40.3-4.237: the chance that one more well shows what no other has.
            "chance_of_another_phenotype": number(single / seen.size) if seen.size else None,
        }

    def _map(self, plate: _Plate, where: dict[int, int]) -> dict[str, Any]:
        seen = np.flatnonzero(np.isfinite(plate.points).all(axis=0))
        places, shares = flat_map(plate.points[:, seen])
        return {
            "shown": [float(share) for share in shares],
            "wells": [
                {
                    "well": self._setup.wells[i],
                    "x": float(x),
                    "y": float(y),
                    "group": where.get(i),
                    "control": bool(self._is_control[i]),
                    "fields": int(plate.many[i]),
                    "closely": bool(plate.closely[i]),
                }
                for i, (x, y) in zip(seen.tolist(), places.tolist(), strict=True)
            ],
        }

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
