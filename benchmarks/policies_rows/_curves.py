"""Plates of dose-response curves whose truth is known: what is on them, a run over them, the question's answer.

A plate has span 1 and log10 EC50 uniform over the doses but for the outer steps, slope log-normal around 1 (a factor of
1.5). Fields are numbers: the curve, the well's own deviation, and the field's noise.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import (
    Context,
    FieldReadout,
    FieldResult,
    FieldVisit,
    Pending,
    Setup,
    Stop,
    Visit,
    VisitResult,
)
from phenoloop.ports import Policy
from phenoloop.questions.dose_response import DoseResponseQuestion

READOUT = "signal"
FIRST_SEED = 5000
HILL_SD = math.log10(1.5)
"""SD of log10 slope."""


@dataclass(frozen=True)
class World:
    """A plate of one or more compounds."""

    name: str
    doses: int = 10
    decades: float = 4.5
    noise: float = 0.2
    noisier: float = 1.0
    """Field SD, and well SD, at the top over that at the bottom; the variance grows in a straight line between."""
    well_sd: float = 0.0
    compounds: int = 1
    replicates: int = 1
    controls: int = 8
    plateau: int = 0
    fields: int = 120
    batch: int = 8
    margin: float = 0.0
    beforehand: int = 0
    fails: float = 0.0
    """Share of the fields that have no value."""

    @property
    def wells(self) -> int:
        """Wells of the plate."""
        return self.controls + self.plateau + self.compounds * self.doses * self.replicates


@dataclass(frozen=True)
class Plate:
    """Truth and images of one plate."""

    setup: Setup
    values: NDArray[np.float64]
    log_ec50: NDArray[np.float64]
    beforehand: NDArray[np.int64]
    hill: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def make(world: World, seed: int) -> Plate:
    rng = np.random.default_rng([41, seed])
    axis = np.linspace(-world.decades / 2, world.decades / 2, world.doses)
    inner = max(world.margin, 0.5)
    log_ec50 = rng.uniform(axis[0] + inner, axis[-1] - inner, world.compounds)
    hill = np.clip(10 ** rng.normal(0, HILL_SD, world.compounds), 0.5, 4)
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
    louder = np.sqrt(1 + (world.noisier**2 - 1) * np.array(means))
    base = np.array(means) + louder * rng.normal(0, world.well_sd, len(rows))
    values = base[:, None] + louder[:, None] * rng.normal(0, world.noise, (len(rows), world.fields))
    if world.fails:
        values[rng.random(values.shape) < world.fails] = math.nan
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
    return Plate(setup, values, log_ec50, np.where(bare, world.beforehand, 0), hill)


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


def drive(plate: Plate, policy: Policy, looks: Sequence[int], lag: int = 0) -> list[NDArray[np.int64]]:
    """Run a policy; return the images of every well at each look, the last where it stopped.

    Parameters
    ----------
    plate : Plate
        What is imaged.
    policy : Policy
        Fresh.
    looks : sequence of int
        Numbers of images, rising; the run ends with the last.
    lag : int
        Batches under way when the next is asked for: 0 waits for all results, 1 is what the loop does.
    """
    index = {well: i for i, well in enumerate(plate.setup.wells)}
    counts = np.zeros(len(index), dtype=np.int64)
    used = counts.copy()
    kept: list[NDArray[np.int64]] = []
    pending: deque[int] = deque()
    done = asked = 0
    for i in np.flatnonzero(plate.beforehand):
        for _ in range(plate.beforehand[i]):
            tell(policy, plate, counts, int(i))
            used[i] += 1
    while done < looks[-1]:
        while len(pending) <= lag * plate.setup.batch:
            asked += 1
            answer = policy.ask(plate.setup.batch, _context(plate, asked, used, pending))
            if isinstance(answer, Stop) or not answer:
                break
            for proposal in answer:
                pending.append(index[proposal.well])
                used[pending[-1]] += 1
        if not pending:
            break
        tell(policy, plate, counts, pending.popleft())
        done += 1
        if done in looks:
            kept.append(counts.copy())
    return [*kept, *[counts.copy()] * (len(looks) - len(kept))]


def _context(plate: Plate, number: int, used: NDArray[np.int64], pending: Sequence[int] | deque[int]) -> Context:
    wells = plate.setup.wells
    return Context(
        decision=number,
        at_s=0.0,
        pending=tuple(Pending(visit=v, well=wells[i], fields=1) for v, i in enumerate(pending, start=1)),
        fields_left=dict(zip(wells, (np.array(plate.setup.fields) - used).tolist(), strict=True)),
        frames_left=None,
        last_well=None,
        rng=np.random.default_rng([1, number]),
    )


def tell(policy: Policy, plate: Plate, counts: NDArray[np.int64], i: int) -> None:
    """Image the next field of a well."""
    well, field, value = plate.setup.wells[i], str(counts[i]), float(plate.values[i, counts[i]])
    places = (FieldVisit(field=field, t=0, image=0),)
    visit = Visit(number=1, decision=1, well=well, profile="main", fields=places, channels=("GFP",))
    result = (
        FieldResult(field=field, status="ok", readouts={READOUT: value})
        if math.isfinite(value)
        else FieldResult(field=field, status="missing", reason="segmentation failed")
    )
    policy.tell(visit, VisitResult(visit=1, well=well, profile="main", fields=(result,), at_s=0.0))
    counts[i] += 1


def even(plate: Plate, images: int, seed: int) -> NDArray[np.int64]:
    """Return the images of every well when they are spread evenly; wells that were imaged beforehand get no more."""
    free = np.flatnonzero(plate.beforehand == 0)
    counts = plate.beforehand.copy()
    counts[free] += images // len(free)
    counts[np.random.default_rng([43, seed]).permutation(free)[: images % len(free)]] += 1
    return counts
