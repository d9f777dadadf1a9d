"""What the claims do in worlds that the model has wrong: false calls, and hits found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from benchmarks.policies_rows import Row, mean_interval, share_interval
from benchmarks.policies_rows._claims import CALLING, any_false_call, coverage
from benchmarks.policies_rows._screens import (
    FIRST_SEED,
    Screen,
    draw,
    question_for,
    run,
    with_failures,
    with_heavy_tails,
)

WARNING = "times as noisy, so fewer are called"


@dataclass(frozen=True)
class World:
    """How plates differ from the model.

    Attributes
    ----------
    drawn : mapping
        What `draw` is told.
    change : callable
        What is done to the screen.
    empties : int
        Plates without hits; 0: as many as with hits. More where the world breaks what the claim assumes.
    assumed : bool
        Whether the claim is meant to hold here.
    moves : bool
        Whether what is seen of a well is not its own effect, so that its interval is not asked to hold that.
    """

    drawn: Mapping[str, float] = field(default_factory=dict)
    change: Callable[[Screen], Screen] = lambda screen: screen
    empties: int = 0
    assumed: bool = True
    moves: bool = False


def edge(screen: Screen) -> Screen:
    """Return the screen with the wells of the outer rows and columns half a field SD higher."""
    row, column = np.divmod(np.arange(len(screen.wells)), screen.columns)
    rows = len(screen.wells) // screen.columns
    outer = (row == 0) | (row == rows - 1) | (column == 0) | (column == screen.columns - 1)
    return replace(screen, level=screen.level + 0.5 * outer)


def drifting(per_hour: float, screen: Screen) -> Screen:
    """Return the screen with so many field SDs of drift in an hour, an image taking 3 s."""
    return replace(screen, drift=per_hour * 3 / 3600)


WORLDS: Mapping[str, World] = {
    "as modelled": World(),
    "effect half (1.5 SD)": World({"effect": 1.5}),
    "effect double (6 SD)": World({"effect": 6.0}),
    "fields of treated wells 40 % noisier than of controls": World({"field_sd": 1.4}, empties=1000),
    "fields of treated wells 40 % less noisy": World({"field_sd": 0.6}),
    "fields of hits three times as noisy": World({"hit_sd": 3.0}),
    "fields heavy-tailed (t, 5 df)": World(change=partial(with_heavy_tails, wells=False), empties=300),
    "wells heavy-tailed too (t, 5 df)": World(change=partial(with_heavy_tails, wells=True), empties=300, assumed=False),
    "drift +3 %/h of a signal of 10 SD, 3 s an image": World(change=partial(drifting, 0.3), moves=True),
    "drift -3 %/h": World(change=partial(drifting, -0.3), moves=True),
    "outer wells 0.5 SD higher, controls spread": World(change=edge, moves=True),
    "fields fail: 30 % in hits, 15 % in others, 5 % in controls": World(
        change=partial(with_failures, of_hits=0.3, of_others=0.15)
    ),
}


def misspecified(plates: int) -> Iterator[Row]:
    """Yield what the claims do in worlds that differ from the model: false calls, and hits found."""
    again = 0
    for name, world in WORLDS.items():
        warned, found, wrong, held = 0, [], [], []
        for seed in range(FIRST_SEED, FIRST_SEED + plates):
            screen = world.change(draw(seed, **{"effect": 3.0, **world.drawn}))  # type: ignore[arg-type]
            done = run(screen, CALLING, images=2 * (384 - 32) + 32 * 16)
            answer = question_for(screen).answer(done.fields)
            hits = np.array([i for i, well in enumerate(screen.wells) if answer.wells[well].call == "hit"], dtype=int)
            warned += any(WARNING in note for note in answer.notes)
            for i in hits:
                effect = answer.wells[screen.wells[i]].effect
                if effect is not None and effect.low is not None and effect.high is not None:
                    held.append(effect.low <= screen.level[i] <= effect.high)
            again += len(done.fields) - len({(seen.well, seen.field) for seen in done.fields})
            found.append(float(np.isin(screen.hits, hits).mean()))
            wrong.append(float((~np.isin(hits, screen.hits)).sum() / max(1, len(hits))))
        told = f"{name}; 384 wells, 32 controls x 16, effect 3 SD unless said, {plates} plates"
        figure, low, high = mean_interval(wrong)
        bar = 0.05 if world.assumed else None
        ok = None if bar is None else figure <= bar
        yield Row("wrong world: share of false ones among the called", told, figure, low, high, bar, ok)
        yield empty_plates(name, world, world.empties or plates)
        figure, low, high = mean_interval(found)
        yield Row("wrong world: TPR at 2 images per well", told, figure, low, high, None, None)
        figure, low, high = share_interval(warned, plates)
        yield Row("wrong world: plates whose report warns of noisier wells", told, figure, low, high, None, None)
        if not world.moves:
            yield coverage("wrong world: effects of hits (95 %) that hold the well's own", told, sum(held), len(held))
    said = "bleaching 2 % per exposure changes nothing where every image is of a fresh field; all runs above"
    yield Row("wrong world: images of fields that were imaged before", said, float(again), None, None, 0.0, again == 0)


def empty_plates(name: str, world: World, plates: int) -> Row:
    """Return how many plates without hits show a call at any look.

    With few plates a bar is missed only if so many false ones are unlikely at the level.
    """
    false = 0
    for seed in range(FIRST_SEED, FIRST_SEED + plates):
        drawn = {"field_sd": world.drawn.get("field_sd", 1.0), "share": 0.0}
        false += any_false_call(world.change(draw(seed, **drawn)), CALLING)  # type: ignore[arg-type]
    figure, low, high = share_interval(false, plates)
    said = f"{name}; 384 wells without hits, 32 controls x 16, looked at after every batch, {plates} plates"
    if not world.assumed:
        said += "; outside what the claim assumes: these wells do differ"
    ok = (figure if world.empties else low) <= 0.05 if world.assumed else None
    bar = 0.05 if world.assumed else None
    return Row("wrong world: plates with any false call", said, figure, low, high, bar, ok)
