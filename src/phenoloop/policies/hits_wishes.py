"""The wishes of the policy `hits`, rule by rule: what would be worth a visit, and why, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import CONFIRM, Context
from phenoloop.numerics.responders import Belief
from phenoloop.numerics.rounding import significant
from phenoloop.numerics.well_sums import WellSums
from phenoloop.policies.outlook import Counts, Outlook

Places = NDArray[np.intp]
_LARGEST_LOG: Final = 690.0
_CONTROL_SCORE: Final = 3.0
_LOOK_SCORE: Final = 2.0
_CONFIRM_SCORE: Final = 1.5
"""Above every chance: what is left of the budget belongs to the wells that were called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A visit that would be worth while; `fields` 0 leaves their number to the policy."""

    well: int
    score: float
    rule: str
    text: str
    numbers: Mapping[str, float]
    fields: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What is known at one ask, by well in plate order: sums, fields left, fields under way; and the context."""

    sums: WellSums
    left: Counts
    pending: Counts
    context: Context


def controls_first(look: Look, controls: Places, most: Counts, per_visit: int) -> tuple[list[Wish], list[Wish]]:
    """Return wishes for controls that were never looked at, and for those with fewer than `most` (by well) fields."""
    wishes = []
    for i in (int(place) for place in controls):
        have, target = int(look.sums.n[i] + look.pending[i]), int(most[i])
        if look.left[i] > 0 and have < target:
            wishes.append(
                Wish(
                    well=i,
                    score=_LOOK_SCORE if have else _CONTROL_SCORE,
                    rule="controls first",
                    text=f"control with {have} of {target} fields: what no effect looks like must be known",
                    numbers={"fields": float(have), "target": float(target)},
                    fields=min(per_visit, target - have),
                )
            )
    wishes.sort(key=lambda wish: (wish.numbers["fields"], wish.well))
    return [w for w in wishes if not w.numbers["fields"]], [w for w in wishes if w.numbers["fields"]]


def first_looks(most: int, family: Places, look: Look) -> list[Wish]:
    """Return wishes for the first `most` wells, in plate order, of which nothing is known yet."""
    new = family[(look.left[family] > 0) & (look.sums.n[family] + look.pending[family] == 0)][:most]
    text, numbers = "nothing is known of it yet", {"fields": 0.0}
    return [Wish(well=int(i), score=_LOOK_SCORE, rule="first look", text=text, numbers=numbers) for i in new]


def calls(
    most: int, family: Places, view: Outlook, sums: WellSums, log_e: NDArray[np.float64], give_up: float
) -> list[Wish]:
    """Return wishes for the wells that may yet become hits; only the first `most` are put into words."""
    worth = np.flatnonzero(view.chance >= give_up)
    order = worth[np.lexsort((worth, -view.per_field[worth]))][:most]
    wishes = []
    for j in order:
        distance, needed, chance = (float(a[j]) for a in (view.distance, view.needed, view.chance))
        numbers = {
            "mean": float(sums.mean[j]),
            "fields": float(sums.n[j]),
            "evidence": math.exp(min(float(log_e[j]), _LARGEST_LOG)),
            "distance": distance,
            "needed": needed,
            "chance": chance,
        }
        wishes.append(
            Wish(
                well=int(family[j]),
                score=float(view.per_field[j]),
                rule="most likely to change its call",
                text=f"{distance:.3g} from the controls after {sums.n[j]:g} fields; about {needed:.3g} would be called "
                f"with all of them; chance of becoming a hit {chance:.0%}",
                numbers={name: significant(number) for name, number in numbers.items() if math.isfinite(number)},
            )
        )
    return wishes


def ranking(
    most: int,
    family: Places,
    belief: Belief,
    n: NDArray[np.float64],
    more: Counts,
    give_up: float,
    top: int | None = None,
) -> list[Wish]:
    """Return wishes for the wells that may yet change sides; only the first `most` are put into words.

    None when of all that are believed to respond no more than a share of `give_up` is expected to be on the wrong side.
    """
    open_ = (more > 0) & (n > 0)
    doubt = np.minimum(belief.chance, 1 - belief.chance)
    if math.fsum(doubt[open_]) < give_up * max(1.0, math.fsum(belief.chance[n > 0])):
        return []
    gain = belief.gain(n, more.astype(float), top) / np.maximum(more, 1)
    worth = np.flatnonzero(open_ & (gain > 0))
    order = worth[np.lexsort((worth, -gain[worth]))][:most]
    return [
        Wish(
            well=int(family[j]),
            score=significant(float(gain[j])),
            rule="most likely to change the ranking",
            text=f"believed to respond with a chance of {belief.chance[j]:.0%} after {n[j]:g} fields; "
            f"of all wells one more field makes this the surest for its price",
            numbers={
                "fields": float(n[j]),
                "chance": float(belief.chance[j]),
                "gain": significant(float(gain[j])),
                "effect_if_any": float(belief.effect[j]),
            },
        )
        for j in order
    ]


def replicates_first(
    wishes: list[Wish], groups: Mapping[int, Sequence[int]], look: Look, controls: Places
) -> list[Wish]:
    """Send a wish for a well to its replicate with the fewest fields: more fields of one well say nothing of others."""
    if not groups:
        return wishes
    have = look.sums.n + look.pending
    coming: dict[int, int] = {}
    changed = []
    for wish in wishes:
        options = [i for i in groups.get(wish.well, ()) if look.left[i] > coming.get(i, 0)] or [wish.well]
        best = min(options, key=lambda i: (have[i] + coming.get(i, 0), i != wish.well, i))
        coming[best] = coming.get(best, 0) + 1
        if best != wish.well:
            text = f"a replicate with {have[best]:g} fields, before a field more of one with {have[wish.well]:g}: "
            wish = replace(wish, well=best, rule="replicate first", text=text + wish.text)
        changed.append(wish)
    # Two wishes may have met in one well: the stronger stays.
    return list({wish.well: wish for wish in reversed(changed)}.values())[::-1]


def confirmations(called: Places, confirmed: Sequence[int], look: Look, fields: int) -> list[Wish]:
    """Return wishes to see called wells again in images of their own, until each has so many."""
    wishes = []
    for i in (int(place) for place in called):
        lacking = min(fields - confirmed[i] - int(look.pending[i]), int(look.left[i]))
        if lacking > 0:
            wishes.append(
                Wish(
                    well=i,
                    score=_CONFIRM_SCORE,
                    rule=CONFIRM,
                    text=f"called after {look.sums.n[i]:g} fields; {lacking} more that had no part in the call say how "
                    "large its effect is",
                    numbers={"fields": float(look.sums.n[i]), "confirmed": float(confirmed[i])},
                    fields=lacking,
                )
            )
    return wishes


def alternating(some: list[Wish], others: list[Wish]) -> list[Wish]:
    """Return both lists in turn, and the rest of the longer one."""
    both = min(len(some), len(others))
    turns = [wish for pair in zip(some[:both], others[:both], strict=True) for wish in pair]
    return turns + some[both:] + others[both:]


def by_chance(well: int, rule: str, text: str, sums: WellSums) -> Wish:
    """Return the wish for a well that was not chosen by what was seen of it."""
    numbers = {"fields": float(sums.n[well])}
    if sums.n[well]:
        numbers["mean"] = significant(float(sums.mean[well]))
    return Wish(well=well, score=0.0, rule=rule, text=text, numbers=numbers)


def rounds(look: Look, text: str) -> list[Wish]:
    """Return wishes for all wells that were looked at, those with the fewest fields first."""
    have: NDArray[np.float64] = look.sums.n + look.pending
    wishes = [
        Wish(well=i, score=1 / (1 + float(have[i])), rule="rounds", text=text, numbers={"fields": float(have[i])})
        for i in range(len(have))
        if look.left[i] > 0 and have[i] > 0
    ]
    return sorted(wishes, key=lambda wish: (-wish.score, wish.well))
