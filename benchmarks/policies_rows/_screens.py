"""Screens whose truth is known, as numbers: a field is a readout. What decides and what claims is what ships.

The world of the benchmark: a field SD of 1 (cell SD 1 over 100 cells and a between-field SD of 0.3, taken together, are
0.316 readout units; all below is in these), wells differ by 0.3 field SDs, hits have one effect. Controls are spread
over the plate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import FieldReadout, FieldResult, Limits, Setup, Visit
from phenoloop.policies.hits import Hits
from phenoloop.questions.hits import HitsQuestion
from phenoloop.testing import play

READOUT = "signal"
FIRST_SEED = 5000
"""Of the plates behind reported figures; tuning drew others."""
WELL_SD = 0.3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Screen:
    """A plate and what would be seen on it.

    Attributes
    ----------
    wells : tuple of str
        Names, row by row.
    columns : int
        Columns of the plate.
    controls : ndarray of int
        Places of the control wells.
    truth : ndarray of float
        Effect of each well, in field SDs.
    level : ndarray of float
        What its fields are spread around: effect and the well's own deviation.
    noise : ndarray of float, shape (wells, fields)
        What each field adds.
    drift : float
        Added per image taken before, in field SDs.
    fails : ndarray of float
        Chance that a field of the well has no value.
    """

    wells: tuple[str, ...]
    columns: int
    controls: NDArray[np.int64]
    truth: Floats
    level: Floats
    noise: Floats
    drift: float = 0.0
    fails: Floats = field(default_factory=lambda: np.zeros(0))
    seed: int = 0

    @property
    def hits(self) -> NDArray[np.int64]:
        """Places of the true hits."""
        return np.flatnonzero(self.truth > 0)

    def value(self, well: int, place: int, taken: int) -> float | None:
        """Return the readout of one field, None where it fails."""
        if self.fails.size and np.random.default_rng([11, self.seed, well, place]).random() < self.fails[well]:
            return None
        return float(self.level[well] + self.noise[well, place] + self.drift * taken)


def draw(
    seed: int,
    *,
    wells: int = 384,
    controls: int = 32,
    share: float = 0.05,
    effect: float = 2.0,
    fields: int = 24,
    field_sd: float = 1.0,
    hit_sd: float = 1.0,
) -> Screen:
    """Draw a screen: as many hits among the wells that are no controls as the share says, all of one effect.

    `field_sd` is that of all wells that are no controls, `hit_sd` a factor on it for hits.
    """
    rows, columns = {96: (8, 12), 384: (16, 24), 1536: (32, 48)}[wells]
    names = tuple(f"{chr(65 + r) if r < 26 else 'A' + chr(39 + r)}{c + 1}" for r in range(rows) for c in range(columns))
    rng = np.random.default_rng([23, seed, wells])
    # Spread evenly, with a step that is no divisor of a row, so that they lie in all rows and columns.
    chosen = np.sort((np.arange(controls) * (wells / max(controls, 1)) + rng.integers(wells)).astype(int) % wells)
    others = np.setdiff1d(np.arange(wells), chosen)
    truth = np.zeros(wells)
    truth[rng.permutation(others)[: round(share * len(others))]] = effect
    level = truth + WELL_SD * rng.normal(size=wells)
    noise = rng.normal(size=(wells, fields))
    noise[others] *= field_sd
    noise[truth > 0] *= hit_sd
    return Screen(names, columns, chosen, truth, level, noise, seed=seed)


def setup_of(screen: Screen, *, batch: int, smallest: float = 0.0) -> Setup:
    """Return what policy and question are told of a screen."""
    return Setup(
        wells=screen.wells,
        fields=(screen.noise.shape[1],) * len(screen.wells),
        controls=tuple(screen.wells[i] for i in screen.controls),
        readout=READOUT,
        smallest=smallest,
        batch=batch,
        seed=screen.seed,
    )


@dataclass
class Record:
    """What a run has done so far: accepted fields, images by well (failed ones too), batches of visits as places."""

    fields: list[FieldReadout] = field(default_factory=list)
    images: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    batches: list[list[tuple[int, int]]] = field(default_factory=list)
    reason: str = ""

    @property
    def taken(self) -> int:
        """Images taken."""
        return int(self.images.sum())


def run(
    screen: Screen,
    params: Hits.Params,
    *,
    images: int,
    lag: float = 1,
    smallest: float = 0.0,
    look: Callable[[Record], bool] = lambda done: False,
) -> Record:
    """Let `hits` choose until it stops, the images are spent, or a look says that it is enough.

    Parameters
    ----------
    screen : Screen
        The plate.
    params : Hits.Params
        Of the policy; `wells_per_batch` visits are asked for at a time.
    images : int
        Budget.
    lag : float
        Batches under way when the next is asked for: 0 waits for all results, 1 never lets the stage wait. `ahead`
        of the policy is what the loop does unless told otherwise.
    smallest : float
        Smallest effect that matters, in field SDs.
    look : callable
        Called before every decision with what is known; true ends the run.
    """
    setup = setup_of(screen, batch=params.wells_per_batch, smallest=smallest)
    place = {well: i for i, well in enumerate(screen.wells)}
    done = Record(images=np.zeros(len(screen.wells), dtype=np.int64))
    played = play(
        Hits(params, setup),
        replace(setup, limits=Limits(frames=images)),
        lambda visit: _see(screen, done, visit, place[visit.well]),
        seed=screen.seed,
        lag=lag,
        enough=lambda: look(done),
    )
    by_decision = groupby(played.visits, key=lambda visit: visit.decision)
    done.batches = [[(place[visit.well], len(visit.fields)) for visit in batch] for _, batch in by_decision]
    done.reason = played.reason
    return done


def _see(screen: Screen, done: Record, visit: Visit, i: int) -> list[FieldResult]:
    """Return what a visit shows, and note it."""
    results = []
    for taken, one in enumerate(visit.fields, start=done.taken):
        value = screen.value(i, int(one.field), taken)
        if value is None:
            results.append(FieldResult(field=one.field, status="missing", reason="segmentation failed"))
            continue
        results.append(FieldResult(field=one.field, status="ok", readouts={READOUT: value}))
        done.fields.append(
            FieldReadout(
                well=visit.well, field=one.field, visit=visit.number, readouts={READOUT: value}, role=visit.role
            )
        )
    done.images[i] += len(visit.fields)
    return results


def question_for(screen: Screen, smallest: float = 0.0) -> HitsQuestion:
    """Return the question that is asked of a screen."""
    params = HitsQuestion.Params(readout=READOUT, controls="treatment == 'vehicle'", smallest=smallest)
    return HitsQuestion(params, setup_of(screen, batch=16, smallest=smallest))


def called(screen: Screen, fields: Sequence[FieldReadout], smallest: float = 0.0) -> NDArray[np.int64]:
    """Return the places of the wells that the question calls hits."""
    answer = question_for(screen, smallest).answer(fields)
    return np.array([i for i, well in enumerate(screen.wells) if answer.wells[well].call == "hit"], dtype=np.int64)


def best(screen: Screen, fields: Sequence[FieldReadout], most: int) -> NDArray[np.int64]:
    """Return the places of the first wells of the question's ranking, controls left out."""
    answer = question_for(screen).answer(fields)
    controls = set(screen.controls.tolist())
    ranked = [(said.rank, i) for i, well in enumerate(screen.wells) if (said := answer.wells[well]).rank is not None]
    return np.array([i for _, i in sorted(ranked) if i not in controls][:most], dtype=np.int64)


def with_failures(screen: Screen, of_hits: float, of_others: float) -> Screen:
    """Return the screen with fields that fail, in hits and in other treated wells more often than in controls."""
    fails = np.full(len(screen.wells), of_others)
    fails[screen.controls] = of_others / 3
    fails[screen.hits] = of_hits
    return replace(screen, fails=fails)


def with_heavy_tails(screen: Screen, *, wells: bool) -> Screen:
    """Return the screen with noise of fields, and of wells too, from Student's t of 5 degrees of freedom; same SDs."""
    rng = np.random.default_rng([77, screen.seed])
    own = WELL_SD * rng.standard_t(5, size=len(screen.wells)) / math.sqrt(5 / 3)
    noise = rng.standard_t(5, size=screen.noise.shape) / math.sqrt(5 / 3)
    return replace(screen, level=screen.truth + own if wells else screen.level, noise=noise)
