"""Rows of the policy `hits` and its question: ranking, calls, intervals, wall clock, worlds that the model has wrong.

All runs go through the policy and the question that ship (`_screens.run`), at readout level. Images per well are those
of all wells over all wells, controls included, unless a row says "controls aside": images of the other wells over the
other wells. Plates have seeds from 5000 on; defaults were tuned on other seeds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.policies_rows import Row, mean_interval, share_interval
from benchmarks.policies_rows._screens import (
    READOUT,
    WELL_SD,
    Floats,
    Record,
    Screen,
    best,
    called,
    draw,
    question_for,
    run,
    with_failures,
)
from benchmarks.policies_rows._stages import STAGES, Condition, grid_seconds, plan_wells, seconds, visit_size
from phenoloop.model import CONFIRM, Context, FieldReadout, WellPlan
from phenoloop.policies.hits import Hits

FIRST_SEED = 5000
F1 = 0.95
EMPTY_PLATES = 300
RANKING = Hits.Params(
    aim="rank", wells_per_batch=16, control_fields=4, explore=0.0, control_again=0.0, confirm=0, give_up=0.0
)
CALLING = Hits.Params(aim="call", wells_per_batch=16, control_fields=16)


def rows(seeds: int) -> Iterator[Row]:
    """Yield every row; `seeds` plates behind each figure unless its world says otherwise."""
    yield from ranking(seeds)
    yield from calls(seeds)
    yield from no_hits(EMPTY_PLATES)
    yield from wall_clock(max(4, seeds // 4))
    yield from misspecified(max(8, seeds // 2))
    yield from asking()


# -- ranking ----------------------------------------------------------------------------------------------------------


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


def ranking_curve(screen: Screen, params: Hits.Params, at: Floats, lag: int) -> tuple[Floats, Floats, Record]:
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

    most = round(1.1 * at[-1] * len(screen.wells)) + params.control_fields * len(screen.controls)
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


# -- calls and intervals ----------------------------------------------------------------------------------------------


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


# -- wall clock -------------------------------------------------------------------------------------------------------


def wall_clock(plates: int) -> Iterator[Row]:
    """Yield how many times faster than the grid the same list is reached, by condition; `plates` of 384 wells."""
    conditions = [Condition(s, focus, e) for s in STAGES for focus in (False, True) for e in (0.3, 1.0, 3.0)]
    at = np.arange(1.5, 5.6, 0.25)
    for wells, controls, batch, count in ((96, 8, 8, 12 * plates), (384, 16, 32, plates)):
        depth, grid = grid_curve(wells, 0.05, controls, count)
        blank = draw(0, wells=wells, controls=controls)
        laid = plan_wells(blank)
        sizes = {condition: visit_size(blank, condition) for condition in conditions}
        for size in sorted(set(sizes.values())):
            params = RANKING.model_copy(
                update={"fields_per_visit": size, "wells_per_batch": batch, "top": len(blank.hits)}
            )
            seen = range(FIRST_SEED, FIRST_SEED + count)
            ran = [ranking_curve(draw(seed, wells=wells, controls=controls), params, at, 1) for seed in seen]
            curves = np.array([curve for curve, _, _ in ran])
            for condition in (one for one, fields in sizes.items() if fields == size):
                clocks = [clock_of(laid, done, condition) for _, _, done in ran[:4]]
                sweeps = [grid_seconds(laid, fields, condition) for fields in range(int(depth[-1]) + 1)]
                figure, low, high = with_interval(partial(faster, depth, at, wells, sweeps, clocks), grid, curves)
                typical = condition.stage == "typical" and not condition.image_focus and condition.exposure_s == 1.0
                bar = 2.0 if typical else 0.95
                world = (
                    f"{wells} wells, {condition}, {size} fields a visit (auto), effect 2 SD, F1 0.95, {count} plates"
                )
                yield Row("wall clock: times faster than the grid", world, figure, low, high, bar, figure >= bar)


def faster(
    depth: Floats,
    at: Floats,
    wells: int,
    sweeps: Sequence[float],
    clocks: Sequence[tuple[Floats, Floats]],
    grid: Floats,
    curves: Floats,
) -> float:
    """Return the clock of the smallest grid that reaches the bar over that of the policy when it does."""
    fields, images = crossing(depth, grid), crossing(at, curves) * wells
    if not (math.isfinite(fields) and math.isfinite(images)):
        return math.nan
    took = [float(np.interp(images, taken, clock)) for taken, clock in clocks]
    return sweeps[math.ceil(fields)] / float(np.mean(took))


def clock_of(laid: Sequence[WellPlan], done: Record, condition: Condition) -> tuple[Floats, Floats]:
    """Return the images taken after each batch of a run, and the clock at that moment."""
    taken = np.cumsum([sum(fields for _, fields in batch) for batch in done.batches])
    return taken.astype(float), np.array(seconds(laid, done.batches, condition))


# -- worlds that the model has wrong ----------------------------------------------------------------------------------


def misspecified(plates: int) -> Iterator[Row]:
    """Yield what the claims do in worlds that differ from the model: false calls, and hits found."""

    def edge(screen: Screen) -> Screen:
        row, column = np.divmod(np.arange(len(screen.wells)), screen.columns)
        rows_ = len(screen.wells) // screen.columns
        outer = (row == 0) | (row == rows_ - 1) | (column == 0) | (column == screen.columns - 1)
        return replace(screen, level=screen.level + 0.5 * outer)

    worlds: dict[str, Callable[[Screen], Screen]] = {
        "as modelled": lambda screen: screen,
        "effect half (1.5 SD)": lambda screen: screen,
        "effect double (6 SD)": lambda screen: screen,
        "fields of treated wells 40 % noisier than of controls": lambda screen: screen,
        "fields of treated wells 40 % less noisy": lambda screen: screen,
        "fields of hits three times as noisy": lambda screen: screen,
        "drift +3 %/h of a signal of 10 SD, 3 s an image": lambda s: replace(s, drift=0.3 * 3 / 3600),
        "drift -3 %/h": lambda s: replace(s, drift=-0.3 * 3 / 3600),
        "outer wells 0.5 SD higher, controls spread": edge,
        "fields fail: 30 % in hits, 15 % in others, 5 % in controls": lambda s: with_failures(s, 0.3, 0.15),
    }
    effects = {"effect half (1.5 SD)": 1.5, "effect double (6 SD)": 6.0}
    noise = {
        "fields of treated wells 40 % noisier than of controls": 1.4,
        "fields of treated wells 40 % less noisy": 0.6,
    }
    again = 0
    for name, change in worlds.items():
        false, warned, found, wrong, held = 0, 0, [], [], []
        for seed in range(FIRST_SEED, FIRST_SEED + plates):
            drawn = {"effect": effects.get(name, 3.0), "field_sd": noise.get(name, 1.0)}
            drawn["hit_sd"] = 3.0 if name == "fields of hits three times as noisy" else 1.0
            screen = change(draw(seed, **drawn))  # type: ignore[arg-type]
            done = run(screen, CALLING, images=2 * (384 - 32) + 32 * 16)
            answer = question_for(screen).answer(done.fields)
            hits = np.array([i for i, well in enumerate(screen.wells) if answer.wells[well].call == "hit"], dtype=int)
            warned += any("noisier than the claim assumes" in note for note in answer.notes)
            for i in hits:
                effect = answer.wells[screen.wells[i]].effect
                if effect is not None and effect.low is not None and effect.high is not None:
                    held.append(effect.low <= screen.level[i] <= effect.high)
            again += len(done.fields) - len({(seen.well, seen.field) for seen in done.fields})
            found.append(float(np.isin(screen.hits, hits).mean()))
            wrong.append(float((~np.isin(hits, screen.hits)).sum() / max(1, len(hits))))
        # The one world that breaks what the claim assumes is looked at on more plates.
        empties = 8 * plates if name.startswith("fields of treated wells 40 % noisier") else plates
        for seed in range(FIRST_SEED, FIRST_SEED + empties):
            empty = change(draw(seed, share=0.0, field_sd=noise.get(name, 1.0)))
            false += any_false_call(empty, CALLING)
        figure, low, high = mean_interval(wrong)
        world = f"{name}; 384 wells, 32 controls x 16, effect 3 SD unless said, {plates} plates"
        yield Row("wrong world: share of false ones among the called", world, figure, low, high, 0.05, figure <= 0.05)
        figure, low, high = share_interval(false, empties)
        # Few plates: a bar is missed only if so many false plates are unlikely at the level.
        name_ = f"wrong world: plates without hits with any false call, n = {empties}"
        yield Row(name_, world, figure, low, high, 0.05, low <= 0.05)
        figure, low, high = mean_interval(found)
        yield Row("wrong world: TPR at 2 images per well", world, figure, low, high, None, None)
        figure, low, high = share_interval(warned, plates)
        yield Row("wrong world: plates whose report warns of noisier wells", world, figure, low, high, None, None)
        if "drift" not in name and "outer" not in name:
            yield coverage("wrong world: effects of hits (95 %) that hold the well's own", world, sum(held), len(held))
    world = "bleaching 2 % per exposure changes nothing where every image is of a fresh field; all runs above"
    yield Row("wrong world: images of fields that were imaged before", world, float(again), None, None, 0.0, again == 0)


# -- speed of the decision --------------------------------------------------------------------------------------------


def asking() -> Iterator[Row]:
    """Yield the time of an ask of 16 on the largest plate, over a whole run."""
    for aim in ("call", "rank"):
        took: list[float] = []

        def timed(policy: Hits, k: int, context: Context, took: list[float] = took) -> None:
            begun = time.process_time()
            policy.ask(k, context)
            took.append(1000 * (time.process_time() - begun))

        params = CALLING.model_copy(update={"aim": aim, "control_fields": 8})
        run(draw(FIRST_SEED, wells=1536, controls=64, fields=12), params, images=round(2.2 * 1536), asked=timed)
        figure = float(np.quantile(took, 0.99))
        world = f"aim {aim}, 1536 wells, batches of 16, every ask of a run of 2.2 images per well, n = {len(took)}"
        yield Row(
            "ask of 16, p99, ms of processor time [median, largest]",
            world,
            figure,
            float(np.median(took)),
            max(took),
            5.0,
            figure <= 5.0,
        )
