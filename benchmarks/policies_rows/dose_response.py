"""Images to EC50s of a given precision, by `dose_response` and by an even grid; what intervals cover, also of `mean`.

    python benchmarks/policies.py --rows dose_response

Worlds of curves: a plate of 80 dose wells, one well per dose, span 1, doses over 4.5 decades; log10 EC50 uniform over
the doses but for the outer steps, slope log-normal around 1 (a factor of 1.5). Eight vehicle wells give the bottom and,
where the plateau is known, eight reference wells the top of every curve. "Normalised": those sixteen wells were imaged
beforehand, 16 fields each, the same for both arms and not counted; otherwise they are imaged and counted like all
others. The grid gives every well the same number of images, the last round to wells drawn by chance. Both arms are
judged by the same question. Seeds from 5000 on; tuning used others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.policies_rows import Row, mean_interval, share_interval
from phenoloop.model import Context, FieldReadout, FieldResult, FieldVisit, Setup, Stop, Visit, VisitResult
from phenoloop.policies.dose_response import DoseResponse
from phenoloop.policies.precise import Precise
from phenoloop.questions.dose_response import DoseResponseQuestion
from phenoloop.questions.mean import MeanQuestion

READOUT = "signal"
FIRST_SEED = 5000
TARGET = 0.1
BAR = 2.2


@dataclass(frozen=True)
class World:
    """A plate of one or more compounds."""

    name: str
    doses: int = 10
    decades: float = 4.5
    noise: float = 0.2
    well_sd: float = 0.0
    compounds: int = 1
    replicates: int = 1
    controls: int = 8
    plateau: int = 0
    fields: int = 120
    batch: int = 8
    margin: float = 0.0
    beforehand: int = 0


@dataclass(frozen=True)
class Plate:
    """Truth and images of one plate."""

    setup: Setup
    values: NDArray[np.float64]
    log_ec50: NDArray[np.float64]
    beforehand: NDArray[np.int64]


def make(world: World, seed: int) -> Plate:
    rng = np.random.default_rng([41, seed])
    axis = np.linspace(-world.decades / 2, world.decades / 2, world.doses)
    inner = max(world.margin, 0.5)
    log_ec50 = rng.uniform(axis[0] + inner, axis[-1] - inner, world.compounds)
    hill = np.clip(10 ** rng.normal(0, math.log10(1.5), world.compounds), 0.5, 4)
    rows, means = [], []
    for _ in range(world.controls):
        rows.append({"compound": "vehicle", "dose": 0.0})
        means.append(0.0)
    for c in range(world.compounds):
        for x in axis:
            for _ in range(world.replicates):
                rows.append({"compound": f"c{c}", "dose": float(10**x)})
                means.append(1 / (1 + 10 ** (hill[c] * (log_ec50[c] - x))))
    for _ in range(world.plateau):
        rows.append({"compound": "reference", "dose": None})
        means.append(1.0)
    wells = tuple(f"{chr(65 + i // 24)}{i % 24 + 1}" for i in range(len(rows)))
    base = np.array(means) + rng.normal(0, world.well_sd, len(rows))
    values = base[:, None] + rng.normal(0, world.noise, (len(rows), world.fields))
    setup = Setup(
        wells=wells,
        fields=(world.fields,) * len(wells),
        readout=READOUT,
        properties=tuple(rows),
        along="dose",
        by="compound",
        batch=world.batch,
        plateau=wells[len(wells) - world.plateau :],
    )
    bare = np.array([row["compound"] in ("vehicle", "reference") for row in rows])
    return Plate(setup, values, log_ec50, np.where(bare, world.beforehand, 0))


@dataclass(frozen=True)
class Said:
    """What the question says of one compound: error and SD of log10 EC50, and whether its interval holds the truth."""

    error: float
    sd: float
    held: bool


def say(plate: Plate, counts: NDArray[np.int64]) -> list[Said]:
    fields = [
        FieldReadout(well=well, field=str(f), visit=1, readouts={READOUT: float(plate.values[i, f])})
        for i, well in enumerate(plate.setup.wells)
        for f in range(int(counts[i]))
    ]
    asked = DoseResponseQuestion(DoseResponseQuestion.Params(readout=READOUT, by="compound"), plate.setup)
    found = asked.answer(fields).summary["compounds"]
    assert isinstance(found, dict)
    out = []
    for c, truth in enumerate(plate.log_ec50.tolist()):
        one = found[f"c{c}"]
        low, high = (one["ec50"][key] for key in ("low", "high"))
        held = (low is None or math.log10(low) <= truth) and (high is None or truth <= math.log10(high))
        out.append(Said(one["log10_ec50"]["mean"] - truth, one["log10_ec50"]["sd"], held))
    return out


def drive(plate: Plate, looks: Sequence[int], precision: float) -> list[NDArray[np.int64]]:
    """Run the policy, told batch by batch; return the images of every well at each look, the last where it stopped."""
    policy = DoseResponse(DoseResponse.Params(precision=precision), plate.setup)
    index = {well: i for i, well in enumerate(plate.setup.wells)}
    counts = np.zeros(len(index), dtype=np.int64)
    kept: list[NDArray[np.int64]] = []
    done = asked = 0
    for i in np.flatnonzero(plate.beforehand):
        for _ in range(plate.beforehand[i]):
            _tell(policy, plate, counts, int(i))
    while done < looks[-1]:
        asked += 1
        context = Context(
            decision=asked,
            at_s=0.0,
            pending=(),
            fields_left={well: int(plate.setup.fields[i] - counts[i]) for well, i in index.items()},
            frames_left=None,
            last_well=None,
            rng=np.random.default_rng([1, asked]),
        )
        answer = policy.ask(plate.setup.batch, context)
        if isinstance(answer, Stop) or not answer:
            break
        for proposal in answer:
            _tell(policy, plate, counts, index[proposal.well])
            done += 1
            if done in looks:
                kept.append(counts.copy())
    return [*kept, *[counts.copy()] * (len(looks) - len(kept))]


def _tell(policy: DoseResponse | Precise, plate: Plate, counts: NDArray[np.int64], i: int) -> None:
    """Image the next field of a well."""
    well, field = plate.setup.wells[i], str(counts[i])
    places = (FieldVisit(field=field, t=0, image=0),)
    visit = Visit(number=1, decision=1, well=well, profile="main", fields=places, channels=("GFP",))
    results = (FieldResult(field=field, status="ok", readouts={READOUT: float(plate.values[i, counts[i]])}),)
    policy.tell(visit, VisitResult(visit=1, well=well, profile="main", fields=results, at_s=0.0))
    counts[i] += 1


def even(plate: Plate, images: int, seed: int) -> NDArray[np.int64]:
    """Return the images of every well when they are spread evenly; wells that were imaged beforehand get no more."""
    free = np.flatnonzero(plate.beforehand == 0)
    counts = plate.beforehand.copy()
    counts[free] += images // len(free)
    counts[np.random.default_rng([43, seed]).permutation(free)[: images % len(free)]] += 1
    return counts


def images_to(target: float, looks: Sequence[int], squared: NDArray[np.float64]) -> float:
    """Return the images at which the root of the mean squared error first is at the target; NaN if it never is."""
    rmse = np.minimum.accumulate(np.sqrt(squared))
    if rmse[-1] > target:
        return math.nan
    j = int(np.argmax(rmse <= target))
    if j == 0 or rmse[j] == rmse[j - 1]:
        return float(looks[j])
    share = math.log(rmse[j - 1] / target) / math.log(rmse[j - 1] / rmse[j])
    return float(looks[j - 1] * (looks[j] / looks[j - 1]) ** share)


def factor_rows(world: World, seeds: int, bar: float | None, targets: Sequence[float] = (TARGET,)) -> Iterator[Row]:
    """Yield the factor between grid and policy at some RMSEs (the bar is for the first), and the policy's coverage."""
    bare = 0 if world.beforehand else world.controls + world.plateau
    wells = bare + world.compounds * world.doses * world.replicates
    few = [round(wells * x) for x in (0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6)]
    many = [round(wells * x) for x in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24)]
    ours, grid = [], []
    held = total = 0
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        plate = make(world, seed)
        chosen = drive(plate, few, 1e-6)
        kept = [say(plate, counts) for counts in chosen]
        spread = [say(plate, even(plate, n, seed)) for n in many]
        ours.append([np.mean([one.error**2 for one in said]) for said in kept])
        grid.append([np.mean([one.error**2 for one in said]) for said in spread])
        held += sum(one.held for one in kept[5])
        total += len(kept[5])
    a, b = np.array(ours), np.array(grid)
    said = f"{world.name}, {seeds} plates of {world.compounds}"
    for target in targets:
        rng = np.random.default_rng(47)
        ratios = []
        for _ in range(400):
            again = rng.integers(0, seeds, seeds)
            there = images_to(target, many, b[again].mean(axis=0))
            ratios.append(there / images_to(target, few, a[again].mean(axis=0)))
        policy, sweep = images_to(target, few, a.mean(axis=0)), images_to(target, many, b.mean(axis=0))
        counted = f"controls {'not ' if world.beforehand else ''}counted"
        name = f"EC50: times fewer images to RMSE {target:g} ({sweep:.0f} to {policy:.0f} images a plate, {counted})"
        held_to = bar if target == targets[0] else None
        known = [ratio for ratio in ratios if math.isfinite(ratio)]
        if not math.isfinite(sweep / policy) or not known:
            yield Row(name, said, None, None, None, held_to, None if held_to is None else False)
            continue
        low, high = (float(q) for q in np.quantile(known, [0.025, 0.975]))
        yield Row(name, said, sweep / policy, low, high, held_to, _ok(sweep / policy, held_to))
    yield coverage_row("EC50: coverage of the 95 % interval, policy chooses", said, held, total)


def stop_rows(world: World, seeds: int) -> Iterator[Row]:
    """Yield what the policy's own stop is worth: images and RMSE, coverage after it."""
    wells = world.controls + world.plateau + world.compounds * world.doses * world.replicates
    used, squares = [], []
    held = total = 0
    for seed in range(FIRST_SEED + 500, FIRST_SEED + 500 + seeds):
        plate = make(world, seed)
        counts = drive(plate, [12 * wells], 0.1)[-1]
        found = say(plate, counts)
        used.append(float(counts.sum()))
        squares += [one.error**2 for one in found]
        held += sum(one.held for one in found)
        total += len(found)
    said = f"{world.name}, {seeds} plates of {world.compounds}, the policy stops itself at SD 0.1"
    yield Row("EC50: images of a plate", said, *mean_interval(used), None, None)
    root, low, high = (math.sqrt(max(0.0, x)) for x in mean_interval(squares))
    yield Row("EC50: RMSE of log10 EC50", said, root, low, high, None, None)
    yield coverage_row("EC50: coverage of the 95 % interval after the stop", said, held, total)


def coverage_row(name: str, world: str, held: int, total: int, level: float = 0.95) -> Row:
    """Hold coverage against its level less the 99 % binomial error of so many intervals."""
    bar = level - 2.3263478740408408 * math.sqrt(level * (1 - level) / total)
    figure, low, high = share_interval(held, total)
    return Row(name, f"{world}, {total} intervals", figure, low, high, round(bar, 4), figure >= bar)


def mean_rows(plates: int) -> Iterator[Row]:
    """Yield coverage of `mean`: a number of images fixed beforehand, and looked at after every batch of `precise`."""
    groups = {"vehicle": 8, "drug": 16}
    rows = tuple({"treatment": name} for name, wells in groups.items() for _ in range(wells))
    wells = tuple(f"{chr(65 + i // 6)}{i % 6 + 1}" for i in range(len(rows)))
    setup = Setup(wells=wells, fields=(6,) * len(wells), readout=READOUT, properties=rows, by="treatment", batch=4)
    fixed = {"group": 0, "well": 0}
    always = 0
    for seed in range(FIRST_SEED, FIRST_SEED + plates):
        rng = np.random.default_rng([53, seed])
        truth = rng.normal(0, 0.5, len(wells))
        values = truth[:, None] + rng.normal(size=(len(wells), 6))
        plain = MeanQuestion(MeanQuestion.Params(readout=READOUT, by="treatment"), setup)
        counts = np.full(len(wells), 4)
        group, band = _mean_said(plain, setup, values, counts)
        fixed["group"] += group[0] <= 0 <= group[1]
        fixed["well"] += band[0] <= truth[8] <= band[1]
        anytime = MeanQuestion(MeanQuestion.Params(readout=READOUT, by="treatment", anytime=True), setup)
        always += all(
            low <= 0 <= high
            for counts in _precise_looks(setup, values)
            for low, high in [_mean_said(anytime, setup, values, counts)[0]]
        )
    world = f"24 wells, 2 treatments, well SD 0.5 field SD, {plates} plates"
    for name, held in fixed.items():
        yield coverage_row(f"mean: coverage of the 95 % interval of a {name}, 4 fields a well", world, held, plates)
    name = "mean, anytime: treatments covered at every look of `precise`"
    yield coverage_row(name, world, always, plates)


def _mean_said(
    question: MeanQuestion, setup: Setup, values: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the band of the drug and of one of its wells; without data, a band that holds everything."""
    fields = [
        FieldReadout(well=well, field=str(f), visit=1, readouts={READOUT: float(values[i, f])})
        for i, well in enumerate(setup.wells)
        for f in range(int(counts[i]))
    ]
    answer = question.answer(fields)
    groups = answer.summary["groups"]
    assert isinstance(groups, dict)
    one, well = groups["drug"], answer.wells[setup.wells[8]].interval
    ends = [one["low"], one["high"], well.low if well else None, well.high if well else None]
    signed = [x if x is not None else (-math.inf, math.inf)[i % 2] for i, x in enumerate(ends)]
    return (signed[0], signed[1]), (signed[2], signed[3])


def _precise_looks(setup: Setup, values: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    plate = Plate(setup, values, np.zeros(0), np.zeros(len(setup.wells), dtype=np.int64))
    policy = Precise(Precise.Params(half_width=0.5), setup)
    index = {well: i for i, well in enumerate(setup.wells)}
    counts = np.zeros(len(index), dtype=np.int64)
    number = 0
    while True:
        left = {well: int(setup.fields[i] - counts[i]) for well, i in index.items()}
        rng = np.random.default_rng([1, number])
        context = Context(
            decision=number, at_s=0.0, pending=(), fields_left=left, frames_left=None, last_well=None, rng=rng
        )
        answer = policy.ask(setup.batch, context)
        if isinstance(answer, Stop) or not answer:
            return
        for proposal in answer:
            number += 1
            _tell(policy, plate, counts, index[proposal.well])
        yield counts.copy()


def _ok(figure: float, bar: float | None) -> bool | None:
    return None if bar is None else figure >= bar


def rows(seeds: int) -> Iterator[Row]:
    """Yield the rows; the worlds that are held against the bar first."""
    plates = max(4, seeds // 3)
    usual = World("10 doses, noise 0.2, normalised", plateau=8, compounds=8, beforehand=16)
    fine = dataclasses.replace(usual, name="20 doses, noise 0.2, normalised", doses=20, compounds=4)
    uneven = dataclasses.replace(usual, name="10 doses, noise 0.2, well SD 0.05, normalised", well_sd=0.05)
    for world in (usual, fine):
        yield from factor_rows(world, plates, BAR)
    yield from factor_rows(uneven, plates, BAR, (TARGET, 0.12))
    pairs = dataclasses.replace(uneven, name=f"{uneven.name}, two wells per dose", compounds=4, replicates=2)
    yield from factor_rows(pairs, plates, None)
    counted = dataclasses.replace(uneven, name="10 doses, noise 0.2, well SD 0.05, plateau known", beforehand=0)
    yield from factor_rows(counted, plates, BAR, (TARGET, 0.12))
    yield from stop_rows(counted, plates)
    unknown = World("10 doses, noise 0.1, well SD 0.05, plateau not known, EC50 a decade from either end", noise=0.1)
    yield from factor_rows(
        dataclasses.replace(unknown, well_sd=0.05, compounds=8, margin=1.0), plates, None, (0.2, 0.15)
    )
    yield from mean_rows(10 * seeds)
