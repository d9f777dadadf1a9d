"""Rare objects: how much sooner the policy `rare` has confirmed 50 of them than a raster of the plate at 60x.

    python benchmarks/policies.py --rows rare --seeds 40

World: 96 wells of 16 fields, 1000 cells per mm2; 1.77 mm2 and 0.45 s per field of the pre-scan (10x), 0.049 mm2 and 2 s
per close look (60x), 2 s per change of objective, results 0.2 s after the last frame. A share of the cells is wanted;
the pre-scan finds 80 % of them, and takes a share of the others for wanted ones. The policy itself is asked and told;
only pictures and their analysis are drawn instead of taken. The raster walks 60x fields side by side and sees every
wanted cell. Seeds from 1000 on; nothing was tuned on them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.policies_rows import Row, share_interval
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
from phenoloop.questions.objects import ObjectsQuestion

FIRST_SEED = 1000
BAR = 7.0
WELLS, SIDE = 96, 4
DENSITY = 1000.0
LOW_MM2, LOW_S = 1.77, 0.45
HIGH_MM2, HIGH_S = 0.049, 2.0
CHANGE_S, LATENCY_S = 2.0, 0.2
TARGET = 50
SENSITIVITY = 0.8


@dataclass(frozen=True, slots=True)
class World:
    """What the plate is like: shares of wanted and of wrong cells, spread between wells, and what the score tells."""

    wanted: float = 1e-3
    wrong: float = 1e-3
    uneven: float = 0.0
    """Squared coefficient of variation of the share of wanted cells between wells."""
    score: float = 0.0
    """Distance between the scores of wanted and wrong candidates, in standard deviations."""
    min_precision: float = 0.2

    def said(self) -> str:
        """Return it in words."""
        parts = [f"prevalence {self.wanted:g}, false positives {self.wrong:g}, sensitivity {SENSITIVITY:g}"]
        parts.append(f"uneven {self.uneven:g}" if self.uneven else "homogeneous")
        parts.append(f"score {self.score:g} SD apart" if self.score else "score tells nothing")
        return f"{'; '.join(parts)}; {TARGET} wanted, 1000 cells/mm2, 10x 1.77 mm2 .45 s, 60x .049 mm2 2 s"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One plate: seconds of the policy and of the raster, looks, and the question's interval for the precision."""

    policy_s: float
    raster_s: float
    confirmed: int
    looks: int
    low: float
    high: float


def setup() -> Setup:
    """The plate as the policy is told of it."""
    pitch = 1000 * LOW_MM2**0.5
    places = tuple(
        tuple(
            FieldPlace(name=str(row * SIDE + column), x_um=9000.0 * w + pitch * column, y_um=-pitch * row)
            for row in range(SIDE)
            for column in range(SIDE)
        )
        for w in range(WELLS)
    )
    # One exposure stands for all that a field takes.
    bare = CostModel(settle_s=0, channel_s=0, objective_s=CHANGE_S, z_s=0, readout_s=0)
    profiles = {
        name: ProfilePlan(
            name=name,
            channels=(ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=1000 * seconds),),
            pixel_size_um=1.0,
            objective_config=objective,
        )
        for name, seconds, objective in (("main", LOW_S, "10X"), ("closeup", HIGH_S, "60X"))
    }
    return Setup(
        wells=tuple(f"{'ABCDEFGH'[w // 12]}{w % 12 + 1}" for w in range(WELLS)),
        fields=(SIDE * SIDE,) * WELLS,
        places=places,
        profiles=profiles,
        cost=bare,
        objects=ObjectSearch(found_by="main", confirmed_by="closeup", target=TARGET),
        batch=24,
        fields_per_visit=1,
    )


class Plate:
    """What is really there, and what each look brings."""

    def __init__(self, world: World, plate: Setup, rng: np.random.Generator) -> None:
        self.plate, self.rng, self.world = plate, rng, world
        spread: NDArray[np.float64] = np.ones(WELLS)
        if world.uneven:
            spread = rng.gamma(1 / world.uneven, world.uneven, WELLS)
        self.share = dict(zip(plate.wells, world.wanted * spread, strict=True))
        self.places = {
            (well, place.name): place
            for well, places in zip(plate.wells, plate.places, strict=True)
            for place in places
        }
        self.wanted: dict[tuple[str, str], bool] = {}

    def pre_scan(self, well: str, field: str) -> tuple[Candidate, ...]:
        """Draw the candidates of a field."""
        cells, rng, place = DENSITY * LOW_MM2, self.rng, self.places[well, field]
        kinds = [True] * rng.poisson(cells * self.share[well] * SENSITIVITY)
        kinds += [False] * rng.poisson(cells * self.world.wrong)
        half = 500 * LOW_MM2**0.5
        found = []
        for label, kind in enumerate(kinds, start=1):
            x, y = (float(offset) for offset in rng.uniform(-half, half, 2))
            score = float(rng.normal(self.world.score if kind else 0.0))
            at = (place.x_um + x, place.y_um + y)
            found.append(Candidate(label=label, x_px=x, y_px=y, score=score, x_um=at[0], y_um=at[1]))
            self.wanted[well, f"{field}-{label}"] = kind
        return tuple(found)

    def raster_s(self) -> float:
        """Seconds until a raster at 60x has seen as many wanted cells, walking the wells in plate order."""
        fields = int(SIDE * SIDE * LOW_MM2 / HIGH_MM2)
        seen = steps = 0
        for well in self.plate.wells:
            counts = np.cumsum(self.rng.poisson(DENSITY * HIGH_MM2 * self.share[well], fields)) + seen
            if counts[-1] >= TARGET:
                return float(HIGH_S * (steps + 1 + int(np.searchsorted(counts, TARGET))))
            seen, steps = int(counts[-1]), steps + fields
        return HIGH_S * steps


def run(world: World, seed: int) -> Outcome:
    """Let the policy work on one plate."""
    plate = setup()
    truth = Plate(world, plate, np.random.default_rng(seed))
    params = Rare.Params(fields_per_visit=1, wells_per_batch=24, min_precision=world.min_precision)
    policy = Rare(params, plate)
    untold: list[tuple[Visit, float]] = []
    readouts: list[FieldReadout] = []
    free_s = now_s = 0.0
    objective, number, stopped = "main", 0, False
    while True:
        while not stopped and len(untold) <= 24:
            answer = policy.ask(24, _context(untold, now_s, number))
            if isinstance(answer, Stop):
                stopped = True
            elif not answer:
                break
            else:
                for proposal in sorted(answer, key=lambda one: -one.score):
                    number += 1
                    visit = _visit(proposal, number)
                    begun = max(free_s, now_s) + (CHANGE_S if visit.profile != objective else 0.0)
                    objective = visit.profile
                    free_s = begun + len(visit.fields) * (LOW_S if visit.profile == "main" else HIGH_S)
                    untold.append((visit, free_s + LATENCY_S))
        if not untold:
            break
        visit, now_s = untold.pop(0)
        result, seen = _look(truth, visit, now_s)
        readouts += seen
        policy.tell(visit, result)
    question = ObjectsQuestion.Params(
        found_by=ObjectsQuestion.FoundBy(where="x > 0"),
        confirmed_by=ObjectsQuestion.ConfirmedBy(profile="closeup", where="x > 0"),
        target=TARGET,
    )
    summary = ObjectsQuestion(question, plate).answer(readouts).summary
    precision = summary["precision"]
    low, high = (precision["low"], precision["high"]) if isinstance(precision, dict) else (0.0, 1.0)
    looks = sum(readout.target is not None for readout in readouts)
    return Outcome(now_s, truth.raster_s(), int(str(summary["confirmed"])), looks, float(low), float(high))


def _context(untold: list[tuple[Visit, float]], now_s: float, number: int) -> Context:
    pending = tuple(
        Pending(
            visit=visit.number,
            well=visit.well,
            fields=len(visit.fields),
            names=tuple(place.field for place in visit.fields),
            profile=visit.profile,
        )
        for visit, _ in untold
    )
    return Context(
        decision=number,
        at_s=now_s,
        pending=pending,
        fields_left={},
        frames_left=None,
        last_well=None,
        rng=np.random.default_rng(number),
    )


def _visit(proposal: Proposal, number: int) -> Visit:
    if proposal.targets:
        fields = tuple(
            FieldVisit(field=target.name, t=0, image=0, x_um=target.x_um, y_um=target.y_um)
            for target in proposal.targets
        )
    else:
        assert not isinstance(proposal.fields, int)
        fields = tuple(FieldVisit(field=name, t=0, image=0) for name in proposal.fields)
    return Visit(
        number=number,
        decision=number,
        well=proposal.well,
        profile=proposal.profile,
        fields=fields,
        channels=("DNA",),
    )


def _look(truth: Plate, visit: Visit, now_s: float) -> tuple[VisitResult, list[FieldReadout]]:
    results, readouts = [], []
    for place in visit.fields:
        target = place.target
        if target is None:
            found = truth.pre_scan(visit.well, place.field)
        else:
            here = Candidate(label=1, x_px=0, y_px=0, x_um=target.x_um, y_um=target.y_um)
            found = (here,) if truth.wanted[visit.well, target.name] else ()
        results.append(FieldResult(field=place.field, status="ok", candidates=found))
        readouts.append(
            FieldReadout(
                well=visit.well,
                field=place.field,
                visit=visit.number,
                readouts={},
                imaging=visit.profile,
                candidates=found,
                target=target,
            )
        )
    fields = tuple(results)
    result = VisitResult(visit=visit.number, well=visit.well, profile=visit.profile, fields=fields, at_s=now_s)
    return result, readouts


def ratio(outcomes: list[Outcome]) -> tuple[float, float, float]:
    """Raster's time over the policy's, both summed over plates, with a bootstrap interval over plates."""
    times = np.array([(one.raster_s, one.policy_s) for one in outcomes])
    draws = np.random.default_rng(0).integers(0, len(times), (2000, len(times)))
    sums = times[draws].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    total = times.sum(axis=0)
    return float(total[0] / total[1]), float(low), float(high)


def rows(seeds: int) -> Iterator[Row]:
    """Yield the rows; the first one has the bar."""
    usual = World()
    worlds = (
        (usual, BAR),
        (dataclasses.replace(usual, score=1.5), None),
        (dataclasses.replace(usual, uneven=3.0), None),
        (dataclasses.replace(usual, wrong=1e-4), None),
        (dataclasses.replace(usual, wrong=1e-2, min_precision=0.02), None),
    )
    for world, bar in worlds:
        outcomes = [run(world, FIRST_SEED + seed) for seed in range(seeds)]
        figure, low, high = ratio(outcomes)
        ok = None if bar is None else figure >= bar
        yield Row("time of a raster at 60x over that of `rare`", world.said(), figure, low, high, bar, ok)
        if world == usual:
            confirmed = float(np.mean([one.confirmed for one in outcomes]))
            reached = min(one.confirmed for one in outcomes) >= TARGET
            yield Row("confirmed objects, mean over plates", world.said(), confirmed, None, None, TARGET, reached)
            true = SENSITIVITY * usual.wanted / (SENSITIVITY * usual.wanted + usual.wrong)
            covered = share_interval(sum(one.low <= true <= one.high for one in outcomes), len(outcomes))
            name = "share of plates whose precision interval holds the truth"
            yield Row(name, world.said(), *covered, 0.95, covered[2] >= 0.95)
