"""Novelty: how many fewer close looks until 90 % of 40 phenotypes were seen, against wells drawn at random.

    python benchmarks/policies.py --rows novelty --seeds 40

The unit is the close look. In a plate nothing is known of a well before it was imaged, so every well gets one field of
a cheap overview under ``main``; what is compared is how many wells then have to be looked at under the costly profile
``closeup`` (more magnification, channels, planes) until 36 of the 40 phenotypes had one. Both sides get the same
overview, and two close looks at controls. A random choice does not need the overview, so further rows say what is left
of the factor when one of its fields costs a share of a close look (those that confirm an odd one are counted there).
Without a close profile the same is asked of second fields. Looks drawn by chance are counted.

Of the 36 phenotypes to see, the controls show one and chance, which has a tenth of the other close looks, finds about
one: if no other look were wasted, 40 close looks would do (2 + 34 / 0.9).

The worlds, ``isotropic`` and ``hard``, are told in `_phenotypes`. The policy itself is asked and told, one batch in
flight (`phenoloop.testing.play`). Seeds from 1000 on; tuned on seeds below 100.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.policies_rows import Row, mean_interval, share_interval
from benchmarks.policies_rows._phenotypes import (
    HARD,
    ISOTROPIC,
    NAMES,
    WELL_SD,
    WELLS,
    Plate,
    World,
    setup,
    shared_noise,
)
from benchmarks.policies_rows._stopwatch import asking_rows, timing
from phenoloop.model import Answer, FieldReadout, FieldResult, Setup, Visit
from phenoloop.policies.novelty import Novelty
from phenoloop.questions.novelty import NoveltyQuestion
from phenoloop.testing import play

FIRST_SEED = 1000
BAR = 5.0
LEVEL = 0.05
ENOUGH = 0.9
REFERENCES = 2
"""Close looks at controls, which both sides take."""
OVERVIEW_SHARES = (0.01, 0.05)


@dataclass
class Outcome:
    """One plate: close looks until enough phenotypes had one (None: it stopped before), and what else it took."""

    policy: int | None
    random: int
    overview: int
    confirming: int
    seen_at_stop: float
    closely_at_stop: int
    reason: str


@dataclass
class Search:
    """What was seen of a plate, look by look."""

    plate: Plate
    closeup: bool
    seen: set[int] = field(default_factory=set)
    accepted: dict[int, int] = field(default_factory=dict)
    overview: int = 0
    confirming: int = 0
    closely: int = 0
    enough: int | None = None

    def __post_init__(self) -> None:
        self.there = {int(kind) for kind in self.plate.kind}
        self.need = math.ceil(ENOUGH * len(self.there) - 1e-9)
        self.index = {well: i for i, well in enumerate(setup(self.plate, closeup=self.closeup).wells)}

    @property
    def looks(self) -> int:
        """What is counted: close looks, or second fields."""
        return self.closely if self.closeup else self.confirming

    def look(self, visit: Visit) -> list[FieldResult]:
        """Return what the fields of a visit show."""
        i = self.index[visit.well]
        shown = [self._one(i, place.field, visit.profile) for place in visit.fields]
        if self.enough is None and len(self.seen) >= self.need:
            self.enough = self.looks
        return shown

    def _one(self, i: int, name: str, profile: str) -> FieldResult:
        if profile == "closeup":
            self.closely += 1
            self.seen.add(int(self.plate.kind[i]))
            return FieldResult(field=name, status="ok")
        shown = self.plate.look(i)
        further = self.accepted.get(i, 0) > 0 and i not in self.plate.controls
        self.accepted[i] = self.accepted.get(i, 0) + (shown.status == "ok")
        self.overview += not further
        self.confirming += bool(further)
        if not self.closeup and further and shown.status == "ok":
            self.seen.add(int(self.plate.kind[i]))
        return replace(shown, field=name)


def params_of(*, closeup: bool) -> Novelty.Params:
    """Return what the policy is told to do."""
    return Novelty.Params(wells_per_batch=16, follow_up="closeup" if closeup else None, follow_up_controls=REFERENCES)


def run(world: World, seed: int, *, closeup: bool = True) -> Outcome:
    """Let the policy choose until it stops; compare with wells drawn at random."""
    plate = Plate(world, seed)
    told, search = setup(plate, closeup=closeup), Search(plate, closeup)
    done = play(Novelty(params_of(closeup=closeup), told), told, search.look, seed=seed)
    random = drawn_at_random(plate, search.need, 0.0 if closeup else world.rejected)
    return Outcome(
        policy=search.enough,
        random=random + (REFERENCES if closeup else 0),
        overview=search.overview,
        confirming=search.confirming,
        seen_at_stop=len(search.seen) / len(search.there),
        closely_at_stop=search.looks,
        reason=done.reason,
    )


def drawn_at_random(plate: Plate, need: int, share_lost: float = 0.0) -> int:
    """Return how many wells but controls, drawn one after another, show enough phenotypes; the mean of 20 orders."""
    others = np.setdiff1d(np.arange(WELLS), plate.controls)
    counts = []
    for order in range(20):
        rng = np.random.default_rng([37, plate.seed, order])
        seen: set[int] = set()
        for taken, well in enumerate(rng.permutation(others).tolist(), start=1):
            if rng.random() >= share_lost:
                seen.add(int(plate.kind[well]))
            if len(seen) >= need:
                counts.append(taken)
                break
    return round(sum(counts) / len(counts))


def ratio_interval(above: Sequence[float], below: Sequence[float]) -> tuple[float, float, float]:
    """Return the ratio of two sums over plates, with a 95 % bootstrap interval over plates."""
    a, b = np.asarray(above, float), np.asarray(below, float)
    rng = np.random.default_rng(41)
    picks = rng.integers(len(a), size=(4000, len(a)))
    ratios = a[picks].sum(axis=1) / b[picks].sum(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(a.sum() / b.sum()), float(low), float(high)


def false_calls(seeds: int) -> Iterator[Row]:
    """Yield how often the question calls a well different on plates where none is, all wells with two fields."""
    for controls in (6, 16):
        found, tails = 0, []
        for seed in range(seeds):
            answer = _answer_without_effect(controls, FIRST_SEED + seed)
            found += any(well.call == "hit" for well in answer.wells.values())
            values = answer.summary["p"]
            assert isinstance(values, dict)
            tails += [value < 0.01 for value in values.values()]
        said = f"48 wells, {controls} controls of 3 fields, none different, noise shared within blocks, well SD 0.3"
        figure, low, high = share_interval(found, seeds)
        # met unless its interval lies beyond the level
        yield Row("plates with any false call", said, figure, low, high, LEVEL, low <= LEVEL)
        yield Row("share of wells with p < 0.01", said, sum(tails) / len(tails), None, None, None, None)


def _answer_without_effect(controls: int, seed: int) -> Answer:
    rng = np.random.default_rng([43, seed, controls])
    wells = tuple(f"{'ABCD'[i // 12]}{i % 12 + 1}" for i in range(48))
    chosen = set(rng.permutation(48)[:controls].tolist())
    setup = Setup(
        wells=wells, fields=(3,) * 48, controls=tuple(wells[i] for i in sorted(chosen)), profile_features=NAMES
    )
    level = 100 + rng.normal(0, WELL_SD, (48, len(NAMES)))
    seen = [
        FieldReadout(
            well=wells[i], field=str(f), visit=1 + f * 48 + i, readouts={}, profile=tuple(level[i] + shared_noise(rng))
        )
        for i in range(48)
        for f in range(3 if i in chosen else 2)
    ]
    return NoveltyQuestion(NoveltyQuestion.Params(controls="treatment == 'vehicle'"), setup).answer(seen)


def asking() -> Iterator[Row]:
    """Yield the times of ask and tell on the largest plate, over whole runs."""
    worlds = (
        ISOTROPIC,
        HARD,
        replace(HARD, name="hard, 3 controls (too few to know how far they lie apart)", controls=3),
        replace(ISOTROPIC, name="isotropic, 1,472 phenotypes ~ 1/rank", phenotypes=1472),
    )
    for world in worlds:
        for closeup in (True, False):
            plate = Plate(world, FIRST_SEED)
            told = setup(plate, closeup=closeup)
            with timing(Novelty(params_of(closeup=closeup), told)) as timed:
                play(timed, told, Search(plate, closeup).look, seed=FIRST_SEED)
            unit = "close looks" if closeup else "second fields"
            yield from asking_rows(timed, f"{world.name}; 1,536 wells, batches of 16, {unit}; a whole run")


def rows(seeds: int) -> Iterator[Row]:
    """Yield the rows of novelty."""
    yield from asking()
    yield from false_calls(5 * seeds)
    for world in (ISOTROPIC, HARD):
        for closeup in (True, False):
            unit = "close looks" if closeup else "second fields"
            said = (
                f"{world.name}; 1,536 wells, 64 controls, 40 phenotypes ~ 1/rank; unit: {unit} after one overview "
                "field of every well"
            )
            found = [run(world, FIRST_SEED + seed, closeup=closeup) for seed in range(seeds)]
            # A plate on which it stopped before counts with all that it took, and is told.
            took = [one.closely_at_stop if one.policy is None else one.policy for one in found]
            short = sum(one.policy is None for one in found)
            figure, low, high = ratio_interval([one.random for one in found], took)
            bar = BAR if closeup else None
            ok = None if bar is None else figure >= bar and not short
            yield Row(f"90 % of phenotypes: random / novelty ({unit})", said, figure, low, high, bar, ok)
            yield Row(f"{unit} of novelty", said, *mean_interval(took), None, None)
            yield Row(f"{unit} of a random choice", said, *mean_interval([o.random for o in found]), None, None)
            yield Row("plates on which it stopped before 90 % were seen", said, float(short), None, None, None, None)
            shares = [one.seen_at_stop for one in found]
            yield Row("share of phenotypes seen when it stops", said, *mean_interval(shares), None, None)
            stops = [float(one.closely_at_stop) for one in found]
            yield Row(f"{unit} when it stops", said, *mean_interval(stops), None, None)
            confirming = [float(one.confirming) for one in found]
            if closeup:
                yield Row("overview fields that confirm, when it stops", said, *mean_interval(confirming), None, None)
                for share in OVERVIEW_SHARES:
                    total = [t + share * (one.overview + one.confirming) for t, one in zip(took, found, strict=True)]
                    figure, low, high = ratio_interval([one.random for one in found], total)
                    name = f"the same with the overview paid, a field of it at {share:.0%} of a close look"
                    yield Row(name, said, figure, low, high, None, None)
