"""Novelty: how many fewer close looks until 90 % of 40 phenotypes were seen, against wells drawn at random.

    python benchmarks/policies.py --rows novelty --seeds 40

The unit is the close look. In a plate nothing is known of a well before it was imaged, so every well gets one field of
a cheap overview under ``main``; what is compared is how many wells then have to be looked at under the costly profile
``closeup`` (more magnification, channels, planes) until 36 of the 40 phenotypes had one. Both sides get the same
overview, and two close looks at controls. A random choice does not need the overview, so further rows say what is left
of the factor when one of its fields costs a share of a close look (those that confirm an odd one are counted there).
Without a close profile the same is asked of second fields. Looks drawn by chance are counted.

With 36 phenotypes to see, two controls and a tenth drawn by chance, 42 close looks are the least that can come out.

World: 1,536 wells, 64 of them controls; 40 phenotypes in shares ~ 1 / rank, the most frequent one as the controls. A
field SD is 1 in every feature, wells differ by 0.3.

- ``isotropic``: each phenotype moves each feature by a normal number of SD 3. The world of the note behind the bar.
- ``hard``: ten mechanisms, each moving a few blocks of features, of which a phenotype has one to three (no two the
  same); wells of a phenotype differ in strength (log SD 0.35), so clusters are long and thin; noise is shared within
  blocks; 5 % of the fields show debris that no gate rejected, 5 % are rejected, 3 % of the numbers unknown.

The policy itself is asked and told, one batch in flight. Seeds from 1000 on; tuned on seeds below 100.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.policies_rows import Row, mean_interval, share_interval
from phenoloop.model import (
    Answer,
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
    features,
)
from phenoloop.numerics.phenotype_space import block_of
from phenoloop.policies.novelty import Novelty
from phenoloop.questions.novelty import NoveltyQuestion

FIRST_SEED = 1000
BAR = 5.0
LEVEL = 0.05
WELLS, CONTROLS, PHENOTYPES, FIELDS = 1536, 64, 40, 4
ENOUGH = 0.9
REFERENCES = 2
"""Close looks at controls, which both sides take."""
WELL_SD = 0.3
FAMILIES = ("shape", "outline", "intensity", "texture", "spots")
NAMES = features.of_phenotype(
    name for name, feature in features.catalogue(["DNA", "GFP"], ["vesicles"]).items() if feature.family in FAMILIES
)
BLOCKS = tuple(dict.fromkeys(block_of(name) for name in NAMES))
MEMBERS = {block: np.array([k for k, name in enumerate(NAMES) if block_of(name) == block]) for block in BLOCKS}
OVERVIEW_SHARES = (0.01, 0.05)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """What profiles are like."""

    name: str
    hard: bool
    debris: float = 0.0
    rejected: float = 0.0
    unknown: float = 0.0


ISOTROPIC = World("isotropic", hard=False)
HARD = World("hard", hard=True, debris=0.05, rejected=0.05, unknown=0.03)


class Plate:
    """What is really there, and what each look at a well shows."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        rng = self.rng = np.random.default_rng([31, seed])
        self.controls = np.sort(rng.permutation(WELLS)[:CONTROLS])
        shares = 1 / np.arange(1, PHENOTYPES + 1)
        self.kind = rng.choice(PHENOTYPES, WELLS, p=shares / shares.sum())
        self.kind[self.controls] = 0
        self.level = rng.normal(0, WELL_SD, (WELLS, len(NAMES)))
        centres = self._hard_centres(rng) if world.hard else rng.normal(0, 3, (PHENOTYPES, len(NAMES)))
        centres[0] = 0.0
        strength = np.exp(rng.normal(0, 0.35, WELLS)) if world.hard else np.ones(WELLS)
        self.level += strength[:, None] * centres[self.kind]

    @staticmethod
    def _hard_centres(rng: np.random.Generator) -> Floats:
        mechanisms = np.zeros((10, len(NAMES)))
        for row in mechanisms:
            for block in rng.permutation(len(BLOCKS))[: rng.integers(2, 4)]:
                members = MEMBERS[BLOCKS[block]]
                row[members] = rng.normal(0, 1, len(members))
        centres = np.zeros((PHENOTYPES, len(NAMES)))
        known: set[frozenset[tuple[int, int]]] = set()
        for row in centres:
            # the same mechanisms in the same directions would be the same phenotype
            while (drawn := _mechanisms_of_one(rng)) in known:
                continue
            known.add(drawn)
            for mechanism, sign in sorted(drawn):
                row += sign * rng.uniform(5, 10) * mechanisms[mechanism]
        return centres

    def look(self, well: int) -> FieldResult:
        """Return one field of the overview; its name is given later."""
        rng, world = self.rng, self.world
        noise = shared_noise(rng) if world.hard else rng.normal(size=len(NAMES))
        values = 100 + self.level[well] + noise
        if rng.random() < world.rejected:
            return FieldResult(field="", status="qc_fail", reason="out of focus")
        if rng.random() < world.debris:
            for block in rng.permutation(len(BLOCKS))[: len(BLOCKS) // 2]:
                members = MEMBERS[BLOCKS[block]]
                values[members] += rng.normal(0, 12, len(members))
        known = rng.random(len(NAMES)) >= world.unknown
        profile = tuple(float(f"{v:.8e}") if k else None for v, k in zip(values.tolist(), known.tolist(), strict=True))
        return FieldResult(field="", status="ok", profile=profile)


def _mechanisms_of_one(rng: np.random.Generator) -> frozenset[tuple[int, int]]:
    chosen = rng.permutation(10)[: rng.integers(1, 4)]
    return frozenset((int(mechanism), int(rng.choice([-1, 1]))) for mechanism in chosen)


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


def setup(plate: Plate, *, closeup: bool) -> Setup:
    """Return what the policy is told of a plate."""
    names = tuple(f"{_row(i // 48)}{i % 48 + 1}" for i in range(WELLS))
    channel = ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=20)
    ways = ("main", "closeup") if closeup else ("main",)
    return Setup(
        wells=names,
        fields=(FIELDS,) * WELLS,
        controls=tuple(names[i] for i in plate.controls),
        batch=16,
        seed=plate.seed,
        profile_features=NAMES,
        profiles={name: ProfilePlan(name=name, channels=(channel,), pixel_size_um=1.0) for name in ways},
    )


def _row(number: int) -> str:
    return chr(65 + number) if number < 26 else "A" + chr(39 + number)


def run(world: World, seed: int, *, closeup: bool = True) -> Outcome:
    """Let the policy choose until it stops; compare with wells drawn at random."""
    plate = Plate(world, seed)
    told = setup(plate, closeup=closeup)
    params = Novelty.Params(wells_per_batch=16, follow_up="closeup" if closeup else None, follow_up_controls=REFERENCES)
    policy = Novelty(params, told)
    index = {well: i for i, well in enumerate(told.wells)}
    left = np.full(WELLS, FIELDS)
    pending: deque[Visit] = deque()
    there = {int(kind) for kind in plate.kind}
    need = math.ceil(ENOUGH * len(there) - 1e-9)
    seen: set[int] = set()
    enough: int | None = None
    overview = confirming = closely = decision = number = 0
    accepted = np.zeros(WELLS, dtype=np.int64)
    reason = "nothing left"
    while True:
        while len(pending) <= 16:
            decision += 1
            context = Context(
                decision=decision,
                at_s=0.0,
                pending=tuple(
                    Pending(
                        visit=v.number,
                        well=v.well,
                        fields=len(v.fields),
                        names=tuple(f.field for f in v.fields),
                        profile=v.profile,
                    )
                    for v in pending
                ),
                fields_left=dict(zip(told.wells, left.tolist(), strict=True)),
                frames_left=None,
                last_well=None,
                rng=np.random.default_rng([seed, decision]),
            )
            answer = policy.ask(16, context)
            if isinstance(answer, Stop):
                reason = answer.reason
            if isinstance(answer, Stop) or not answer:
                break
            for wish in answer:
                i, number = index[wish.well], number + 1
                names = wish.fields
                if isinstance(names, int):
                    names = tuple(str(FIELDS - left[i] + f) for f in range(names))
                    left[i] -= len(names)
                pending.append(
                    Visit(
                        number=number,
                        decision=decision,
                        well=wish.well,
                        profile=wish.profile,
                        fields=tuple(FieldVisit(field=name, t=0, image=0) for name in names),
                        channels=("DNA",),
                    )
                )
        if not pending:
            break
        visit = pending.popleft()
        i = index[visit.well]
        results = []
        for field in visit.fields:
            if visit.profile == "closeup":
                result = FieldResult(field=field.field, status="ok")
                closely += 1
                seen.add(int(plate.kind[i]))
            else:
                look = plate.look(i)
                result = FieldResult(field=field.field, status=look.status, profile=look.profile, reason=look.reason)
                further = accepted[i] > 0 and i not in plate.controls
                accepted[i] += look.status == "ok"
                overview += not further
                confirming += bool(further)
                if not closeup and further and look.status == "ok":
                    seen.add(int(plate.kind[i]))
            results.append(result)
        if enough is None and len(seen) >= need:
            enough = closely if closeup else confirming
        policy.tell(
            visit,
            VisitResult(visit=visit.number, well=visit.well, profile=visit.profile, fields=tuple(results), at_s=0.0),
        )
    return Outcome(
        policy=enough,
        random=drawn_at_random(plate, need, world.rejected)
        if not closeup
        else REFERENCES + drawn_at_random(plate, need),
        overview=overview,
        confirming=confirming,
        seen_at_stop=len(seen) / len(there),
        closely_at_stop=closely if closeup else confirming,
        reason=reason,
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


def shared_noise(rng: np.random.Generator) -> Floats:
    """Return the noise of one field, half of whose variance the features of a block share."""
    noise = rng.normal(size=len(NAMES))
    for members in MEMBERS.values():
        noise[members] = math.sqrt(0.5) * noise[members] + math.sqrt(0.5) * rng.normal()
    return noise


def rows(seeds: int) -> Iterator[Row]:
    """Yield the rows of novelty."""
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
