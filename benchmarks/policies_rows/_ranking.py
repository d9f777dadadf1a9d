"""How many images a list of the right wells takes, by `hits` with ``aim: rank`` and by a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial

import numpy as np

from benchmarks.policies_rows import Row
from benchmarks.policies_rows._screens import FIRST_SEED, READOUT, Floats, Record, Screen, best, draw, run
from phenoloop.model import FieldReadout
from phenoloop.policies.hits import Hits

F1 = 0.95
RANKING = Hits.Params(
    aim="rank", wells_per_batch=16, control_fields=4, explore=0.0, control_again=0.0, confirm=0, give_up=0.0
)


def crossing(at: Floats, curves: Floats) -> float:
    """Return where the mean of curves, one per plate, reaches the bar."""
    mean = curves.mean(axis=0)
    above = np.flatnonzero(mean >= F1)
    if not len(above):
        return math.inf
    j = int(above[0])
    if j == 0:
        return float(at[0])
    return float(at[j - 1] + (F1 - mean[j - 1]) / (mean[j] - mean[j - 1]) * (at[j] - at[j - 1]))


def with_interval(find: Callable[..., float], *curves: Floats) -> tuple[float, float, float]:
    """Return a figure of some curves, and its 95 % bootstrap interval over plates; the same plates in all of them."""
    chance = np.random.default_rng(1)
    draws = (chance.integers(len(curves[0]), size=len(curves[0])) for _ in range(400))
    spread = [find(*(some[plates] for some in curves)) for plates in draws]
    return find(*curves), float(np.nanquantile(spread, 0.025)), float(np.nanquantile(spread, 0.975))


@lru_cache
def grid_curve(wells: int, share: float, controls: int, seeds: int) -> tuple[Floats, Floats]:
    """Return F1 of the list against images per well, shape (plates, depths), where every well gets as many."""
    depths = np.arange(4, 15)
    curves = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        screen = draw(seed, wells=wells, controls=controls, share=share)
        curves.append([top_f1(screen, all_fields(screen, int(n))) for n in depths])
    return depths.astype(float), np.array(curves)


def all_fields(screen: Screen, each: int) -> list[FieldReadout]:
    """Return the first fields of every well."""
    return [
        FieldReadout(well=well, field=str(f), visit=1, readouts={READOUT: screen.value(i, f, 0)})
        for i, well in enumerate(screen.wells)
        for f in range(each)
    ]


def top_f1(screen: Screen, fields: Sequence[FieldReadout]) -> float:
    """Return F1 of the first wells of the ranking, as many as there are hits."""
    return float(np.isin(best(screen, fields, len(screen.hits)), screen.hits).mean())


def ranking_curve(screen: Screen, params: Hits.Params, at: Floats, lag: float) -> tuple[Floats, Floats, Record]:
    """Return F1 of the list at some images per well, counted in two ways, and the run.

    Returns
    -------
    counted, aside : ndarray of float, shape (len(at),)
        With all images over all wells, and with those of the wells that are no controls over those wells.
    done : Record
        The run, which goes on until both are known.
    """
    family = np.setdiff1d(np.arange(len(screen.wells)), screen.controls)
    spent: list[tuple[float, float, float]] = []

    def look(done: Record) -> bool:
        counts = done.taken / len(screen.wells), float(done.images[family].mean())
        if counts[0] >= at[0] - 0.2 and (not spent or counts[0] >= spent[-1][0] + 0.07):
            spent.append((*counts, top_f1(screen, done.fields)))
        return bool(spent) and min(spent[-1][:2]) >= at[-1]

    most = round(1.1 * at[-1] * len(screen.wells)) + (params.control_fields or 0) * len(screen.controls)
    done = run(screen, params, images=most, lag=lag, look=look)
    counted, aside, scores = np.array(spent).T
    return np.interp(at, counted, scores), np.interp(at, aside, scores), done


def ranking(seeds: int) -> Iterator[Row]:
    """Yield images per well to F1 0.95, and how many times fewer than the grid."""
    at = np.arange(1.9, 3.41, 0.1)
    for share, lag, told, plates, most, least in (
        (0.05, 0, True, seeds, 2.6, 3.0),
        (0.05, 0, False, seeds, 2.6, 3.0),
        (0.05, 1, True, seeds, None, None),
        (0.01, 0, True, 2 * seeds, None, 4.0),
    ):
        seen = range(FIRST_SEED, FIRST_SEED + plates)
        depth, grid = grid_curve(384, share, 16, plates)
        screens = [draw(seed, controls=16, share=share) for seed in seen]
        runs = [
            ranking_curve(screen, RANKING.model_copy(update={"top": len(screen.hits)} if told else {}), at, lag)[:2]
            for screen in screens
        ]
        counted, aside = np.array(runs).transpose(1, 0, 2)
        world = (
            f"384 wells, 16 controls x 4, effect 2 SD, {share:.0%} hits, batches of 16, "
            f"{'list length given (`top`)' if told else 'list length not known'}, "
            f"{'results awaited' if lag == 0 else 'one batch under way'}, {plates} plates"
        )
        for name, curves in (("", counted), (", controls aside", aside)):
            figure, low, high = with_interval(partial(crossing, at), curves)
            ok = None if most is None else figure <= most
            yield Row(f"ranking: images per well to F1 0.95{name}", world, figure, low, high, most, ok)
            figure, low, high = with_interval(partial(factor, depth, at), grid, curves)
            ok = None if least is None else figure >= least
            yield Row(f"ranking: times fewer than the grid{name}", world, figure, low, high, least, ok)


def factor(depth: Floats, at: Floats, grid: Floats, curves: Floats) -> float:
    """Return the images of the grid over those of the policy, at the same F1."""
    return crossing(depth, grid) / crossing(at, curves)
