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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.policies_rows import Row, share_interval
from benchmarks.policies_rows._stopwatch import WELLS as LARGEST
from benchmarks.policies_rows._stopwatch import K, Timed, asking_rows, timing
from phenoloop.model import CostModel, Setup, Visit
from phenoloop.policies.rare import Rare
from phenoloop.ports import Policy
from phenoloop.questions.objects import ObjectsQuestion
from phenoloop.testing.searches import PRE_SCAN, Search, Thing, search_plate

FIRST_SEED = 1000
BAR = 7.0
WELLS, SIDE = tuple(f"{row}{column}" for row in "ABCDEFGH" for column in range(1, 13)), 4
DENSITY = 1000.0
LOW_MM2, LOW_S = 1.77, 0.45
HIGH_MM2, HIGH_S = 0.049, 2.0
CHANGE_S, LATENCY_S = 2.0, 0.2
TARGET = 50
SENSITIVITY = 0.8
BATCH = 24
ASKED_PLATES = 4
"""So many runs have 300 asks and more: enough for a p99 that is not the largest of all."""


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


def setup(wells: Sequence[str] = WELLS, target: int = TARGET) -> Setup:
    """Return the plate as the policy is told of it; one exposure stands for all that a field takes."""
    bare = CostModel(settle_s=0, channel_s=0, objective_s=CHANGE_S, z_s=0, readout_s=0)
    return dataclasses.replace(
        search_plate(
            wells, SIDE, target, pitch_um=1000 * LOW_MM2**0.5, exposures_s=(LOW_S, HIGH_S), cost=bare, batch=BATCH
        ),
        fields_per_visit=1,
    )


class Plate:
    """What is really there, and what each look at a field brings."""

    def __init__(self, world: World, plate: Setup, rng: np.random.Generator) -> None:
        self.plate, self.rng, self.world = plate, rng, world
        spread: NDArray[np.float64] = np.ones(len(plate.wells))
        if world.uneven:
            spread = rng.gamma(1 / world.uneven, world.uneven, len(plate.wells))
        self.share = dict(zip(plate.wells, world.wanted * spread, strict=True))

    def things(self, well: str, field: str) -> list[Thing]:
        """Draw the candidates of a field."""
        cells, rng = DENSITY * LOW_MM2, self.rng
        kinds = [True] * rng.poisson(cells * self.share[well] * SENSITIVITY)
        kinds += [False] * rng.poisson(cells * self.world.wrong)
        half = 500 * LOW_MM2**0.5
        found = []
        for kind in kinds:
            x_um, y_um = (float(offset) for offset in rng.uniform(-half, half, 2))
            found.append(Thing(kind, float(rng.normal(self.world.score if kind else 0.0)), x_um, y_um))
        return found

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


def seconds(visit: Visit, before: str) -> float:
    """Return how long a visit takes."""
    each = LOW_S if visit.profile == PRE_SCAN else HIGH_S
    return len(visit.fields) * each + (CHANGE_S if visit.profile != before else 0.0)


def params(world: World) -> Rare.Params:
    return Rare.Params(fields_per_visit=1, wells_per_batch=BATCH, min_precision=world.min_precision)


def search(policy: Policy, plate: Setup, truth: Plate, batch: int = BATCH) -> Search:
    """Let a policy work on a plate."""
    asked = dataclasses.replace(plate, batch=batch)
    return Search(asked, policy, truth.things, seconds=seconds, latency_s=LATENCY_S).run()


def run(world: World, seed: int) -> Outcome:
    """Let `rare` work on one plate."""
    plate = setup()
    truth = Plate(world, plate, np.random.default_rng(seed))
    done = search(Rare(params(world), plate), plate, truth)
    asked = ObjectsQuestion.Params(
        found_by=ObjectsQuestion.FoundBy(where="x > 0"),
        confirmed_by=ObjectsQuestion.ConfirmedBy(profile="closeup", where="x > 0"),
        target=TARGET,
    )
    summary = ObjectsQuestion(asked, plate).answer(done.played.accepted()).summary
    precision = summary["precision"]
    low, high = (precision["low"], precision["high"]) if isinstance(precision, dict) else (0.0, 1.0)
    looks = len(done.looks)
    return Outcome(done.played.at_s, truth.raster_s(), int(str(summary["confirmed"])), looks, float(low), float(high))


def ratio(outcomes: list[Outcome]) -> tuple[float, float, float]:
    """Raster's time over the policy's, both summed over plates, with a bootstrap interval over plates."""
    times = np.array([(one.raster_s, one.policy_s) for one in outcomes])
    draws = np.random.default_rng(0).integers(0, len(times), (2000, len(times)))
    sums = times[draws].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    total = times.sum(axis=0)
    return float(total[0] / total[1]), float(low), float(high)


def asking() -> Iterator[Row]:
    """Yield the time of an ask of 16 on the largest plate, over whole runs."""
    worlds = (
        (World(), 1000, "1000 wanted"),
        (World(wrong=1e-2, min_precision=0.02, score=1.5, uneven=3.0), 300, "300 wanted, ten false for each, uneven"),
    )
    for world, target, said in worlds:
        plate = setup(LARGEST, target)
        runs: list[Timed] = []
        for seed in range(ASKED_PLATES):
            with timing(Rare(params(world), plate)) as timed:
                search(timed, plate, Plate(world, plate, np.random.default_rng(FIRST_SEED + seed)), K)
            runs.append(timed)
        world_said = f"rare, 1536 wells of 16 fields, {said}, every ask of {ASKED_PLATES} runs"
        yield from asking_rows(runs[0], world_said, *runs[1:])


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
    yield from asking()
