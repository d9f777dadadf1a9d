"""A search for single objects without pictures: a plate to search, and a loop that asks and tells in the core's order.

What a look at a field finds is a function of the caller's; a close look at an object that was found shows it when it is
a wanted one. Time goes by as the caller says, so that a whole plate is searched in a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from phenoloop.model import (
    Candidate,
    ChannelPlan,
    Context,
    CostModel,
    FieldPlace,
    FieldReadout,
    FieldResult,
    FieldVisit,
    ObjectSearch,
    Pending,
    ProfilePlan,
    Proposal,
    Setup,
    Stop,
    Visit,
    VisitResult,
)
from phenoloop.ports import Policy

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
    in_flight, batch : int
        As in the protocol.
    fate : callable
        (visit, field) -> status of that result.
    deny : callable
        Whether a guard refuses a proposal.
    seconds : callable
        (visit, profile of the visit before) -> how long it takes.
    latency_s : float
        From the end of a visit to its results.
    """

    def __init__(
        self,
        plate: Setup,
        policy: Policy,
        things: Things,
        *,
        in_flight: int = 12,
        batch: int = 6,
        fate: Callable[[int, str], str] = lambda visit, field: "ok",
        deny: Callable[[Proposal], bool] = lambda proposal: False,
        seconds: Callable[[Visit, str], float] = lambda visit, before: 1.0,
        latency_s: float = 0.0,
    ) -> None:
        self.plate, self.policy, self.things = plate, policy, things
        self.in_flight, self.batch, self.fate, self.deny = in_flight, batch, fate, deny
        self.seconds, self.latency_s = seconds, latency_s
        self.at = {
            (well, place.name): place
            for well, places in zip(plate.wells, plate.places, strict=True)
            for place in places
        }
        self.wanted: dict[tuple[str, str], bool] = {}
        """Whether each object that was found is a wanted one, by well and name."""
        self.visits: list[Visit] = []
        self.proposals: list[Proposal] = []
        self.readouts: list[FieldReadout] = []
        self.untold: list[tuple[Visit, float]] = []
        self.reason = ""
        self.now = 0.0
        self._free_s, self._before, self._decision = 0.0, PRE_SCAN, 0

    def run(self, asks: int = 2000) -> Search:
        """Go on until the policy stops and all is told, or it was asked so often."""
        while asks > 0:
            while not self.reason and len(self.untold) <= self.in_flight - self.batch:
                asks -= 1
                answer = self.policy.ask(self.batch, self.context())
                if isinstance(answer, Stop):
                    self.reason = answer.reason
                    break
                if not answer:
                    break
                for proposal in answer:
                    self.dispatch(proposal)
                if asks <= 0:
                    break
            if not self.untold:
                break
            visit, self.now = self.untold.pop(0)
            self.tell(visit)
        return self

    def context(self) -> Context:
        """Return what the policy is told when it is asked now."""
        self._decision += 1
        pending = tuple(
            Pending(
                visit=visit.number,
                well=visit.well,
                fields=len(visit.fields),
                names=tuple(place.field for place in visit.fields),
                profile=visit.profile,
            )
            for visit, _ in self.untold
        )
        return Context(
            decision=self._decision,
            at_s=self.now,
            pending=pending,
            fields_left={},
            frames_left=None,
            last_well=None,
            rng=np.random.default_rng(self._decision),
        )

    def dispatch(self, proposal: Proposal) -> None:
        """Send a visit, or tell that it was refused."""
        self.proposals.append(proposal)
        if proposal.targets:
            fields = tuple(
                FieldVisit(field=t.name, t=0, image=i, x_um=t.x_um, y_um=t.y_um) for i, t in enumerate(proposal.targets)
            )
        else:
            assert not isinstance(proposal.fields, int)
            fields = tuple(FieldVisit(field=name, t=0, image=0) for name in proposal.fields)
        denied = self.deny(proposal)
        visit = Visit(
            number=-1 if denied else len(self.visits) + 1,
            decision=1,
            well=proposal.well,
            profile=proposal.profile,
            fields=fields,
            channels=("DNA",),
        )
        if denied:
            self.policy.tell(visit, self._result(visit, (FieldResult(field="", status="vetoed", reason="no"),)))
            return
        self.visits.append(visit)
        self._free_s = max(self._free_s, self.now) + self.seconds(visit, self._before)
        self._before = visit.profile
        self.untold.append((visit, self._free_s + self.latency_s))

    def tell(self, visit: Visit) -> None:
        """Tell the policy what a visit has shown."""
        results = []
        for place in visit.fields:
            status = self.fate(visit.number, place.field)
            found = self.scan(visit.well, place.field) if place.target is None else self.look(visit.well, place)
            result = FieldResult(field=place.field, status=status, candidates=found if status == "ok" else ())
            results.append(result)
            if status == "ok":
                self.readouts.append(
                    FieldReadout(
                        well=visit.well,
                        field=place.field,
                        visit=visit.number,
                        readouts={},
                        imaging=visit.profile,
                        candidates=result.candidates,
                        target=place.target,
                        image=place.image,
                    )
                )
        self.policy.tell(visit, self._result(visit, tuple(results)))

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

    def _result(self, visit: Visit, fields: tuple[FieldResult, ...]) -> VisitResult:
        return VisitResult(visit=visit.number, well=visit.well, profile=visit.profile, fields=fields, at_s=self.now)

    # -- what came of it ----------------------------------------------------------------------------------------------

    @property
    def looks(self) -> list[tuple[str, str]]:
        """Close looks, as (well, object)."""
        return [(v.well, place.field) for v in self.visits for place in v.fields if place.target is not None]

    @property
    def scans(self) -> list[tuple[str, str]]:
        """Fields of the pre-scan, as (well, field)."""
        return [(v.well, place.field) for v in self.visits for place in v.fields if place.target is None]

    @property
    def confirmed(self) -> int:
        """Wanted objects among those that were looked at."""
        return sum(self.wanted[key] for key in dict.fromkeys(self.looks))

    @property
    def changes(self) -> int:
        """Changes of the objective."""
        profiles = [visit.profile for visit in self.visits]
        return sum(a != b for a, b in itertools.pairwise(profiles))
