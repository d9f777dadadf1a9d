"""A search for single objects without pictures: a plate to search, and what a pre-scan and a close look show of it.

What the pre-scan of a field finds is a function of the caller's; a close look at an object that was found shows it when
it is a wanted one. A whole plate is searched in a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from phenoloop.model import (
    Candidate,
    ChannelPlan,
    CostModel,
    FieldPlace,
    FieldResult,
    FieldVisit,
    ObjectSearch,
    ProfilePlan,
    Setup,
    Visit,
)
from phenoloop.ports import Policy
from phenoloop.testing.played import Played, play

PRE_SCAN, CLOSE_LOOK = "main", "closeup"
_APART_UM = 30.0


class Thing(NamedTuple):
    """What the pre-scan takes for a wanted object: whether it is one, its score, and where it lies in its field."""

    wanted: bool
    score: float | None
    x_um: float | None = None
    y_um: float = 0.0


Things = Callable[[str, str], Sequence[tuple[bool, float | None] | Thing]]
"""(well, field) -> what the pre-scan finds there."""


def search_plate(
    wells: Sequence[str],
    side: int,
    target: int,
    *,
    pitch_um: float = 1000.0,
    exposures_s: tuple[float, float] = (0.1, 0.1),
    cost: CostModel | None = None,
    batch: int = 6,
) -> Setup:
    """Return a plate to search, with an objective for the pre-scan and another for the close look.

    Parameters
    ----------
    wells : sequence of str
        Names, in plate order.
    side : int
        Fields along each side of a well.
    target : int
        Confirmed objects that are wanted.
    pitch_um : float
        From one field to the next.
    exposures_s : (float, float)
        Of the pre-scan and of the close look, in seconds.
    cost : CostModel, optional
        What moves and changes take.
    batch : int
        Visits that are asked for at a time.
    """
    places = tuple(
        tuple(
            FieldPlace(name=str(row * side + column), x_um=9000.0 * w + pitch_um * column, y_um=-pitch_um * row)
            for row in range(side)
            for column in range(side)
        )
        for w in range(len(wells))
    )
    profiles = {
        name: ProfilePlan(
            name=name,
            channels=(ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=1000 * exposure_s),),
            pixel_size_um=1.0,
            objective_config=objective,
        )
        for (name, objective), exposure_s in zip(((PRE_SCAN, "10X"), (CLOSE_LOOK, "60X")), exposures_s, strict=True)
    }
    return Setup(
        wells=tuple(wells),
        fields=(side * side,) * len(wells),
        places=places,
        profiles=profiles,
        cost=cost or CostModel(),
        objects=ObjectSearch(found_by=PRE_SCAN, confirmed_by=CLOSE_LOOK, target=target),
        batch=batch,
    )


class Search:
    """One run of a policy over a plate to search.

    Parameters
    ----------
    plate : Setup
        From `search_plate`.
    policy : Policy
        Fresh.
    things : callable
        What the pre-scan finds in a field.
    fate : callable
        (visit, field) -> status of that result.
    **how
        As `phenoloop.testing.play` takes it; a visit lasts 1 s unless told otherwise.
    """

    def __init__(
        self,
        plate: Setup,
        policy: Policy,
        things: Things,
        *,
        fate: Callable[[int, str], str] = lambda visit, field: "ok",
        **how: Any,
    ) -> None:
        self.plate, self.policy, self.things, self.fate = plate, policy, things, fate
        self._how: Mapping[str, Any] = {"seconds": lambda visit, before: 1.0} | how
        self.at = {
            (well, place.name): place
            for well, places in zip(plate.wells, plate.places, strict=True)
            for place in places
        }
        self.wanted: dict[tuple[str, str], bool] = {}
        """Whether each object that was found is a wanted one, by well and name."""
        self.played = Played()

    def run(self) -> Search:
        """Go on until the policy stops and all is told."""
        self.played = play(self.policy, self.plate, self.see, **self._how)
        return self

    def see(self, visit: Visit) -> list[FieldResult]:
        """Return what the fields of a visit show."""
        results = []
        for place in visit.fields:
            status = self.fate(visit.number, place.field)
            found = self.scan(visit.well, place.field) if place.target is None else self.look(visit.well, place)
            results.append(FieldResult(field=place.field, status=status, candidates=found if status == "ok" else ()))
        return results

    def scan(self, well: str, field: str) -> tuple[Candidate, ...]:
        """Return the candidates of a field of the pre-scan."""
        place = self.at[well, field]
        found = []
        for label, one in enumerate((Thing(*some) for some in self.things(well, field)), start=1):
            self.wanted[well, f"{field}-{label}"] = one.wanted
            x_um = place.x_um + (_APART_UM * label if one.x_um is None else one.x_um)
            found.append(Candidate(label=label, x_px=0, y_px=0, score=one.score, x_um=x_um, y_um=place.y_um + one.y_um))
        return tuple(found)

    def look(self, well: str, place: FieldVisit) -> tuple[Candidate, ...]:
        """Return what a close look confirms."""
        seen = Candidate(label=1, x_px=0, y_px=0, values={"foci.count": 9.0}, x_um=place.x_um, y_um=place.y_um)
        return (seen,) if self.wanted[well, place.field] else ()

    # -- what came of it ----------------------------------------------------------------------------------------------

    @property
    def looks(self) -> list[tuple[str, str]]:
        """Close looks, as (well, object)."""
        return [(v.well, place.field) for v in self.played.visits for place in v.fields if place.target is not None]

    @property
    def scans(self) -> list[tuple[str, str]]:
        """Fields of the pre-scan, as (well, field)."""
        return [(v.well, place.field) for v in self.played.visits for place in v.fields if place.target is None]

    @property
    def confirmed(self) -> int:
        """Wanted objects among those that were looked at."""
        return sum(self.wanted[key] for key in dict.fromkeys(self.looks))

    @property
    def changes(self) -> int:
        """Changes of the objective."""
        profiles = [visit.profile for visit in self.played.visits]
        return sum(a != b for a, b in itertools.pairwise(profiles))
