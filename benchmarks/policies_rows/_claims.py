"""What the question claims on plates as its model has them: hits found, false ones, intervals and effects."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.policies_rows import Row, mean_interval, share_interval
from benchmarks.policies_rows._screens import (
    FIRST_SEED,
    READOUT,
    WELL_SD,
    Record,
    Screen,
    called,
    draw,
    question_for,
    run,
)
from phenoloop.model import CONFIRM
from phenoloop.policies.hits import Hits

CALLING = Hits.Params(aim="call", wells_per_batch=16, control_fields=16)


def calls(seeds: int) -> Iterator[Row]:
    """Yield the share of hits called at two images per well, and what intervals cover on these plates."""
    found, wrong, covered, told, bias, naive, of_treatment, effect_covered = [], [], 0, 0, [], [], [], []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        screen = draw(seed, effect=3.0)
        done = run(screen, CALLING, images=2 * (384 - 32) + 32 * 16)
        answer = question_for(screen).answer(done.fields)
        hits = np.array([i for i, well in enumerate(screen.wells) if answer.wells[well].call == "hit"], dtype=int)
        found.append(float(np.isin(screen.hits, hits).mean()))
        wrong.append(float((~np.isin(hits, screen.hits)).sum() / max(1, len(hits))))
        for i, well in enumerate(screen.wells):
            band = answer.wells[well].interval
            if band is not None and band.low is not None and band.high is not None:
                told += 1
                covered += band.low <= screen.level[i] <= band.high
            effect = answer.wells[well].effect
            if effect is not None and effect.mean is not None and effect.low is not None and effect.high is not None:
                bias.append(effect.mean - float(screen.level[i]))
                of_treatment.append(effect.mean - float(screen.truth[i]))
                effect_covered.append(effect.low <= screen.level[i] <= effect.high)
                mean = band.mean if band is not None and band.mean is not None else math.nan
                naive.append(mean - float(answer.summary["null"]["mean"]) - float(screen.level[i]))  # type: ignore[index]
    world = "384 wells, 32 controls x 16 fields (not counted), effect 3 SD, 5 % hits, 2 images per well, defaults"
    figure, low, high = mean_interval(found)
    yield Row("calls: share of hits called (TPR)", world, figure, low, high, 0.9, figure >= 0.9)
    figure, low, high = mean_interval(wrong)
    yield Row("calls: share of false ones among the called", world, figure, low, high, 0.05, figure <= 0.05)
    yield coverage("intervals: wells' bands (95 %) that hold the well's mean", world, covered, told)
    yield coverage(
        "intervals: effects of called hits (95 %) that hold it", world, sum(effect_covered), len(effect_covered)
    )
    for name, values, bar in (
        ("effects: bias against the well's own effect, SD", bias, 0.1),
        ("effects: bias against the treatment's effect, SD", of_treatment, 0.1),
        ("effects: bias of the images that made the call, SD (what is not reported)", naive, None),
    ):
        figure, low, high = mean_interval(values)
        yield Row(name, world, figure, low, high, bar, None if bar is None else abs(figure) <= bar)


def coverage(name: str, world: str, count: int, total: int, level: float = 0.95) -> Row:
    """Return a row that holds coverage against its level, less the 99 % binomial error of so many."""
    figure, low, high = share_interval(count, total)
    bar = level - 2.3263478740408408 * math.sqrt(level * (1 - level) / total)
    return Row(f"{name}, n = {total}", world, figure, low, high, bar, figure >= bar)


def no_hits(plates: int) -> Iterator[Row]:
    """Yield how many plates without hits show any call at any look."""
    wrong = sum(any_false_call(draw(seed, share=0.0), CALLING) for seed in range(FIRST_SEED, FIRST_SEED + plates))
    figure, low, high = share_interval(wrong, plates)
    world = f"{plates} plates of 384 wells without hits, 32 controls x 16, looked at after every batch"
    yield Row("calls: plates with any false call", world, figure, low, high, 0.05, figure <= 0.05)


def any_false_call(screen: Screen, params: Hits.Params, per_well: float = 2.0) -> bool:
    """Return whether any well without effect is called at any look of a run."""
    family = np.setdiff1d(np.arange(len(screen.wells)), screen.controls)
    wrong = False

    def look(done: Record) -> bool:
        nonlocal wrong
        # e is at most the likelihood ratio at its best effect: no well at 3.5 standard errors, no call (it takes 4.2).
        if done.fields and farthest(screen, done, family) >= 3.5:
            wrong = wrong or bool(np.setdiff1d(called(screen, done.fields), screen.hits).size)
        return wrong

    run(screen, params, images=round(per_well * len(family)) + params.control_fields * len(screen.controls), look=look)
    return wrong


def farthest(screen: Screen, done: Record, family: NDArray[np.int64]) -> float:
    """Return how many standard errors (with the true spreads) the farthest well without effect is out."""
    place = {well: i for i, well in enumerate(screen.wells)}
    n, total = np.zeros((2, len(screen.wells)))
    for seen in done.fields:
        value = seen.readouts[READOUT]
        if seen.role != CONFIRM and value is not None:
            n[place[seen.well]] += 1
            total[place[seen.well]] += value
    seen_twice = family[(n[family] >= 2) & (screen.truth[family] == 0)]
    controls = screen.controls[n[screen.controls] > 0]
    if not len(seen_twice) or not len(controls):
        return 0.0
    centre = float((total[controls] / n[controls]).mean())
    away = total[seen_twice] / n[seen_twice] - centre
    return float((away / np.sqrt(WELL_SD**2 + 1 / n[seen_twice])).max())
