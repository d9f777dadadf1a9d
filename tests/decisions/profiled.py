"""A small plate of phenotypes as numbers, and a loop that lets the policy `novelty` look at it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import (
    ChannelPlan,
    Context,
    FieldReadout,
    FieldResult,
    FieldVisit,
    Pending,
    ProfilePlan,
    Setup,
    Stop,
    Visit,
    VisitResult,
)
from phenoloop.policies.novelty import Novelty

NAMES = (
    "area", "eccentricity", "form_factor", "DNA.mean", "DNA.sd", "DNA.ratio", "GFP.mean", "GFP.sd", "GFP.ratio",
    *(f"GFP.{name}_{k}" for name in ("contrast", "entropy", "energy") for k in (1, 3, 6)),
    "vesicles.count", "vesicles.density",
)  # fmt: skip
CHANNEL = ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=20)
Look = Callable[[int, int], FieldResult | None]
"""(well, how many looks it had) -> what comes back instead of the truth, or None."""


def setup(rows: int = 8, controls: int = 8, fields: int = 4, *, closeup: bool = False, batch: int = 4) -> Setup:
    """Twelve columns; controls are spread over the plate."""
    wells = tuple(f"{'ABCDEFGH'[i // 12]}{i % 12 + 1}" for i in range(12 * rows))
    ways = ("main", "closeup") if closeup else ("main",)
    return Setup(
        wells=wells,
        fields=(fields,) * len(wells),
        controls=tuple(wells[i * len(wells) // controls] for i in range(controls)),
        batch=batch,
        profile_features=NAMES,
        profiles={name: ProfilePlan(name=name, channels=(CHANNEL,), pixel_size_um=1.0) for name in ways},
    )


def moved(kinds: Mapping[int, Mapping[str, float]], plate: Setup, seed: int) -> NDArray[np.float64]:
    """Level of each feature in each well, field SD 1: what a kind moves, by well, and the well's own deviation."""
    rng = np.random.default_rng([17, seed])
    level = 50 + rng.normal(0, 0.3, (len(plate.wells), len(NAMES)))
    for well, moves in kinds.items():
        for name, by in moves.items():
            level[well, NAMES.index(name)] += by
    return np.asarray(level)


@dataclass
class Run:
    """What was done."""

    policy: Novelty
    visits: list[Visit] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    reason: str = ""
    accepted: list[FieldReadout] = field(default_factory=list)
    asked: list[list[tuple[str, object, str, float]]] = field(default_factory=list)

    def wells(self, profile: str, *rules: str) -> list[str]:
        """Wells of the visits under a profile, in order; of some rules only."""
        return [
            v.well
            for v, r in zip(self.visits, self.rules, strict=True)
            if v.profile == profile and (not rules or r in rules)
        ]


def run(
    plate: Setup,
    level: NDArray[np.float64],
    seed: int,
    params: Mapping[str, object] | None = None,
    instead: Look | None = None,
    close: Callable[[int], str] | None = None,
) -> Run:
    """Let the policy look until it stops, one batch in flight.

    `instead` may replace what a field of the overview shows; `close` gives the status of a close look at a well.
    """
    policy = Novelty(Novelty.Params.model_validate({"wells_per_batch": plate.batch} | dict(params or {})), plate)
    done = Run(policy)
    left = dict(zip(plate.wells, plate.fields, strict=True))
    looks = [0] * len(plate.wells)
    chance = np.random.default_rng([19, seed])
    pending: deque[Visit] = deque()
    decision = 0
    while decision < 2000:
        while len(pending) <= plate.batch:
            decision += 1
            context = Context(
                decision=decision,
                at_s=0.0,
                pending=tuple(
                    Pending(visit=v.number, well=v.well, fields=len(v.fields), profile=v.profile) for v in pending
                ),
                fields_left=dict(left),
                frames_left=None,
                last_well=None,
                rng=np.random.default_rng([seed, decision]),
            )
            answer = policy.ask(plate.batch, context)
            if isinstance(answer, Stop):
                done.reason = answer.reason
                return done
            if not answer:
                break
            done.asked.append([(p.well, p.fields, p.profile, p.score) for p in answer])
            for wish in answer:
                names = wish.fields
                if isinstance(names, int):
                    names = tuple(str(4 - left[wish.well] + f) for f in range(names))
                    left[wish.well] -= len(names)
                places = tuple(FieldVisit(field=name, t=0, image=0) for name in names)
                visit = Visit(
                    number=len(done.visits) + 1, decision=decision, well=wish.well, profile=wish.profile, fields=places,
                    channels=("DNA",),
                )  # fmt: skip
                done.visits.append(visit)
                done.rules.append(wish.why.rule)
                done.texts.append(wish.why.text)
                pending.append(visit)
        if not pending:
            return done
        visit = pending.popleft()
        i = plate.wells.index(visit.well)
        results = []
        for place in visit.fields:
            if visit.profile != "main":
                results.append(FieldResult(field=place.field, status="ok" if close is None else close(i)))
                continue
            shown = level[i] + chance.normal(size=len(NAMES))
            other = None if instead is None else instead(i, looks[i])
            looks[i] += 1
            result = FieldResult(field=place.field, status="ok", profile=tuple(shown.tolist()))
            if other is not None:
                result = FieldResult(field=place.field, status=other.status, profile=other.profile)
            results.append(result)
            if result.status == "ok":
                done.accepted.append(
                    FieldReadout(
                        well=visit.well, field=place.field, visit=visit.number, readouts={}, profile=result.profile
                    )
                )
        told = VisitResult(visit=visit.number, well=visit.well, profile=visit.profile, fields=tuple(results), at_s=0.0)
        policy.tell(visit, told)
    raise AssertionError("no end")


def fields(plate: Setup, level: NDArray[np.float64], seed: int, many: Sequence[int]) -> list[FieldReadout]:
    """Return so many accepted fields of each well, as a question sees them."""
    chance = np.random.default_rng([23, seed])
    return [
        FieldReadout(
            well=well, field=str(f), visit=1 + i + f * len(plate.wells), readouts={},
            profile=tuple((level[i] + chance.normal(size=len(NAMES))).tolist()),
        )
        for i, well in enumerate(plate.wells)
        for f in range(many[i])
    ]  # fmt: skip
