"""Images to EC50s of a given precision, by `dose_response` and by an even grid, and what the intervals cover.

    python benchmarks/policies.py --rows dose_response

Worlds of curves (`_curves.py`): a plate of 80 dose wells, one well per dose, doses over 4.5 decades. Eight vehicle
wells give the bottom and, where the plateau is known, eight reference wells the top of every curve. "Normalised": those
sixteen wells were imaged beforehand, 16 fields each, the same for both arms and not counted; otherwise they are imaged
and counted like all others. The grid gives every well the same number of images, the last round to wells drawn by
chance. Both arms are judged by the same question. Seeds from 5000 on; tuning used others.

Beside a factor stands what knowing every curve beforehand would save (`_knowing.py`). With one well per dose and wells
that differ, no number of fields brings the error below a floor; near it grid and policy need ever more images for
ever less, and the factor says little: see the floor's row. The world in which the bar is closest to what is possible
gets three times the plates, because a factor from 13 of them is known to a third at best.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.policies_rows import Row, coverage_row, mean_interval
from benchmarks.policies_rows._curves import FIRST_SEED, Plate, World, drive, even, make, say
from benchmarks.policies_rows._knowing import Knowing
from benchmarks.policies_rows._stopwatch import K, asking_rows, timing
from phenoloop.policies.dose_response import DoseResponse

TARGET = 0.1
BAR = 2.2


def policy_of(plate: Plate, precision: float) -> DoseResponse:
    return DoseResponse(DoseResponse.Params(precision=precision), plate.setup)


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


def factor_rows(
    world: World, seeds: int, bar: float | None, targets: Sequence[float] = (TARGET,), deepest: int = 6
) -> Iterator[Row]:
    """Yield the factor between grid and policy at some RMSEs (the bar is for the first), and the policy's coverage.

    The policy takes up to `deepest` images a well.
    """
    wells = world.wells - (world.controls + world.plateau if world.beforehand else 0)
    few = [round(wells * x) for x in (0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 8) if x <= deepest]
    many = [round(wells * x) for x in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24)]
    ours, grid = [], []
    held = total = 0
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        plate = make(world, seed)
        chosen = drive(plate, policy_of(plate, 1e-6), few)
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
        if len(known) < 0.95 * len(ratios):
            name += f"; reached in {len(known) / len(ratios):.0%} of resamplings, the interval is of these"
        low, high = (float(q) for q in np.quantile(known, [0.025, 0.975]))
        yield Row(name, said, sweep / policy, low, high, held_to, _ok(sweep / policy, held_to))
    yield coverage_row("EC50: coverage of the 95 % interval, policy chooses", said, held, total)
    if bar is not None:
        yield from bound_rows(world, seeds, targets, few, many)


def bound_rows(
    world: World, seeds: int, targets: Sequence[float], few: Sequence[int], many: Sequence[int]
) -> Iterator[Row]:
    """Yield the factor that knowing the curves of the same plates would give, and the error fields cannot go below."""
    plates = [Knowing(world, make(world, seed)) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
    said = f"{world.name}, the curves of these {seeds} plates, linear approximation"
    best = np.mean([[plate.best(images) for images in few] for plate in plates], axis=0)
    grid = np.mean([[plate.evenly(images) for images in many] for plate in plates], axis=0)
    for target in targets:
        least, sweep = images_to(target, few, best), images_to(target, many, grid)
        name = f"EC50: times fewer images to RMSE {target:g} for one who knows the curves ({sweep:.0f} to {least:.0f})"
        yield Row(name, said, sweep / least if math.isfinite(sweep / least) else None, None, None, None, None)
    if world.well_sd:
        floor = math.sqrt(float(np.mean([plate.floor() for plate in plates])))
        yield Row("EC50: RMSE that endless fields of every well would leave", said, floor, None, None, None, None)


def stop_rows(world: World, seeds: int) -> Iterator[Row]:
    """Yield what the policy's own stop is worth: images and RMSE, coverage after it."""
    used, squares = [], []
    held = total = 0
    for seed in range(FIRST_SEED + 500, FIRST_SEED + 500 + seeds):
        plate = make(world, seed)
        counts = drive(plate, policy_of(plate, TARGET), [12 * world.wells])[-1]
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


def asking() -> Iterator[Row]:
    """Yield the time of an ask of 16 on the largest plate, over a run of 2.2 images a well."""
    world = World(
        "46 compounds of 8 doses, 4 wells each, 64 controls; one field in ten fails",
        doses=8,
        well_sd=0.05,
        compounds=46,
        replicates=4,
        controls=64,
        fields=12,
        batch=K,
        fails=0.1,
    )
    plate = make(world, FIRST_SEED)
    with timing(policy_of(plate, TARGET)) as timed:
        drive(plate, timed, [round(2.2 * world.wells)], lag=1)
    yield from asking_rows(timed, f"dose_response, 1536 wells: {world.name}")


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
    yield from factor_rows(counted, 3 * plates, BAR, (TARGET, 0.12), deepest=8)
    yield from stop_rows(counted, plates)
    unknown = World("10 doses, noise 0.1, well SD 0.05, plateau not known, EC50 a decade from either end", noise=0.1)
    yield from factor_rows(
        dataclasses.replace(unknown, well_sd=0.05, compounds=8, margin=1.0), plates, None, (0.2, 0.15)
    )
    louder = World(
        "10 doses, two wells each, top three times as noisy as the bottom, noise 0.1, well SD 0.05", noise=0.1
    )
    louder = dataclasses.replace(louder, noisier=3.0, well_sd=0.05, compounds=4, replicates=2, margin=1.0)
    yield from factor_rows(louder, plates, None, (0.2, 0.15))
    yield from stop_rows(louder, plates)
    yield from asking()
