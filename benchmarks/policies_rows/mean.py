"""What the intervals of `mean` cover: a number of images fixed beforehand, and looked at after every batch.

    python benchmarks/policies.py --rows mean

Twenty-four wells of two treatments without any effect, wells that differ by half a field SD. Seeds from 5000 on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.policies_rows import Row, coverage_row
from benchmarks.policies_rows._curves import FIRST_SEED, READOUT, Plate, tell
from phenoloop.model import Context, FieldReadout, Setup, Stop
from phenoloop.policies.precise import Precise
from phenoloop.questions.mean import MeanQuestion


def rows(seeds: int) -> Iterator[Row]:
    """Yield coverage of `mean`, on ten times as many plates: each takes a moment."""
    plates = 10 * seeds
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
            tell(policy, plate, counts, index[proposal.well])
        yield counts.copy()
