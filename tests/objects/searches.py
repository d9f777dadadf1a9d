"""A plate to search at readout level: places, candidates, and a loop that asks and tells in the order of the core."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

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
from phenoloop.policies.rare import Rare

WELLS = tuple(f"{row}{column}" for row in "ABC" for column in range(1, 5))
SIDE = 6


def setup(target: int = 10, **changes: Any) -> Setup:
    """Twelve wells of 6 x 6 fields, 1 mm apart; the two profiles have different objectives."""
    places = tuple(
        tuple(
            FieldPlace(name=str(row * SIDE + column), x_um=9000.0 * w + 1000.0 * column, y_um=-1000.0 * row)
            for row in range(SIDE)
            for column in range(SIDE)
        )
        for w in range(len(WELLS))
    )
    profiles = {
        name: ProfilePlan(
            name=name,
            channels=(ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=100.0),),
            pixel_size_um=1.0,
            objective_config=objective,
        )
        for name, objective in (("main", "10X"), ("closeup", "60X"))
    }
    values: dict[str, Any] = {
        "wells": WELLS,
        "fields": (SIDE * SIDE,) * len(WELLS),
        "places": places,
        "profiles": profiles,
        "cost": CostModel(),
        "objects": ObjectSearch(found_by="main", confirmed_by="closeup", target=target),
        "batch": 6,
    }
    return Setup(**{**values, **changes})


def policy(plate: Setup, **params: Any) -> Rare:
    return Rare(Rare.Params(**{"wells_per_batch": 6, "fields_per_visit": 2, **params}), plate)


class Search:
    """One run. `candidates(well, field)` gives (wanted, score) of each object that the pre-scan finds there."""

    def __init__(
        self,
        plate: Setup,
        policy: Rare,
        candidates: Callable[[str, str], Sequence[tuple[bool, float | None]]],
        *,
        in_flight: int = 12,
        batch: int = 6,
        fate: Callable[[int, str], str] = lambda visit, field: "ok",
        deny: Callable[[Proposal], bool] = lambda proposal: False,
    ) -> None:
        self.plate, self.policy, self.candidates = plate, policy, candidates
        self.in_flight, self.batch, self.fate, self.deny = in_flight, batch, fate, deny
        self.at = {
            (well, place.name): place
            for well, places in zip(plate.wells, plate.places, strict=True)
            for place in places
        }
        self.wanted: dict[tuple[str, str], bool] = {}
        self.visits: list[Visit] = []
        self.proposals: list[Proposal] = []
        self.readouts: list[FieldReadout] = []
        self.untold: list[Visit] = []
        self.reason = ""
        self.now = 0.0

    def run(self, asks: int = 2000) -> Search:
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
            self.now += 1.0
            self.tell(self.untold.pop(0))
        return self

    def context(self) -> Context:
        pending = tuple(
            Pending(
                visit=v.number,
                well=v.well,
                fields=len(v.fields),
                names=tuple(place.field for place in v.fields),
                profile=v.profile,
            )
            for v in self.untold
        )
        return Context(
            decision=1,
            at_s=self.now,
            pending=pending,
            fields_left={},
            frames_left=None,
            last_well=None,
            rng=np.random.default_rng(0),
        )

    def dispatch(self, proposal: Proposal) -> None:
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
            said = (FieldResult(field="", status="vetoed", reason="no"),)
            self.policy.tell(visit, self.result(visit, said))
        else:
            self.visits.append(visit)
            self.untold.append(visit)

    def result(self, visit: Visit, fields: tuple[FieldResult, ...]) -> VisitResult:
        return VisitResult(visit=visit.number, well=visit.well, profile=visit.profile, fields=fields, at_s=self.now)

    def tell(self, visit: Visit) -> None:
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
        self.policy.tell(visit, self.result(visit, tuple(results)))

    def scan(self, well: str, field: str) -> tuple[Candidate, ...]:
        place = self.at[well, field]
        found = []
        for label, (wanted, score) in enumerate(self.candidates(well, field), start=1):
            self.wanted[well, f"{field}-{label}"] = wanted
            here = Candidate(label=label, x_px=0, y_px=0, score=score)
            found.append(dataclasses.replace(here, x_um=place.x_um + 30.0 * label, y_um=place.y_um))
        return tuple(found)

    def look(self, well: str, place: FieldVisit) -> tuple[Candidate, ...]:
        seen = Candidate(label=1, x_px=0, y_px=0, values={"foci.count": 9.0}, x_um=place.x_um, y_um=place.y_um)
        return (seen,) if self.wanted[well, place.field] else ()

    # -- what came of it ----------------------------------------------------------------------------------------------

    @property
    def looks(self) -> list[tuple[str, str]]:
        return [(v.well, place.field) for v in self.visits for place in v.fields if place.target is not None]

    @property
    def scans(self) -> list[tuple[str, str]]:
        return [(v.well, place.field) for v in self.visits for place in v.fields if place.target is None]

    @property
    def confirmed(self) -> int:
        return sum(self.wanted[key] for key in dict.fromkeys(self.looks))

    @property
    def changes(self) -> int:
        profiles = [visit.profile for visit in self.visits]
        return sum(a != b for a, b in itertools.pairwise(profiles))


def poisson(seed: int, wanted: float, wrong: float, *, apart: float = 0.0, rich: frozenset[str] = frozenset()) -> Any:
    """Candidates of a field: Poisson numbers of wanted and wrong ones, scores so many SD apart."""

    def draw(well: str, field: str) -> list[tuple[bool, float | None]]:
        rng = np.random.default_rng([seed, WELLS.index(well), int(field)])
        share = wanted * (8 if well in rich else 1)
        kinds = [True] * rng.poisson(share) + [False] * rng.poisson(wrong)
        return [(kind, float(rng.normal(apart if kind else 0.0))) for kind in kinds]

    return draw
