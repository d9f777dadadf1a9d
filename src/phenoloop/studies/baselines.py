"""What a policy is held against: grids of so many fields in every well, and the grid that would just have done.

The habitual way of a lab is the grid of all fields that the protocol plans. A grid sized in hindsight is the smallest
one that answers as well; nobody could have known its size before, so it is a hard judge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from phenoloop.model import Limits, Plan, Setup, WellPlan
from phenoloop.numerics.durations import spoken

HABIT: Final = "all fields of every well"


class FieldGrids:
    """Grids of so many fields in every well, by that number; the habit is all of them."""

    curve: Final = "grid of 1, 2, ... fields in every well"
    enough: Final = "the smallest grid that answers as well takes"

    def name(self, fields: int) -> str:
        """Return what a grid is called in a table."""
        return f"grid of {fields} in every well"

    def words(self, fields: int) -> str:
        """Return what it takes, in a sentence."""
        return f"{fields} field{'s' if fields > 1 else ''} of every well"

    def label(self, fields: int) -> str:
        """Return its sign in the figure."""
        return str(fields)

    def habit(self, tried: Sequence[int]) -> tuple[int, str]:
        """Return which of the grids is the habit, and what it is called."""
        return max(tried), f"{HABIT} ({max(tried)})"


class FixedRates:
    """Every field at one rate, by how often each is looked at; the habit is the slow rate of the protocol.

    Parameters
    ----------
    every_s : mapping of int to float
        Interval of each rate, by looks at a field.
    """

    curve: Final = "every field at a fixed rate"
    enough: Final = "the slowest fixed rate that covers as much is"

    def __init__(self, every_s: Mapping[int, float]) -> None:
        self._every_s = every_s

    def name(self, looks: int) -> str:
        """Return what a rate is called in a table."""
        return f"every field every {self.label(looks)}"

    def words(self, looks: int) -> str:
        """Return what it takes, in a sentence."""
        return self.name(looks)

    def label(self, looks: int) -> str:
        """Return its sign in the figure."""
        return spoken(self._every_s[looks])

    def habit(self, tried: Sequence[int]) -> tuple[int, str]:
        """Return which of the rates is the habit, and what it is called."""
        return min(tried), f"{self.name(min(tried))}, the slow rate"


Baseline = FieldGrids | FixedRates
"""What policies are held against, in words."""

DEPTHS: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
"""Fields per well of the grids that are tried, beside the deepest."""


def depths_of(plan: Plan) -> list[int]:
    """Return how many fields per well are tried; the last is all of them."""
    deepest = max(len(well.fields) for well in plan.wells)
    return [*(depth for depth in DEPTHS if depth < deepest), deepest]


def narrowed(plan: Plan, setup: Setup, keep: Mapping[str, Sequence[str]]) -> tuple[Plan, Setup]:
    """Return a plan and a setup with fewer fields, and without the wells that have none left.

    Parameters
    ----------
    plan, setup : Plan, Setup
        Of a protocol.
    keep : mapping of str to sequence of str
        Names of the fields that stay, by well.
    """
    wells = tuple(_with_fields(well, set(keep[well.name])) for well in plan.wells if keep.get(well.name))
    names = [well.name for well in wells]
    rows = dict(zip(setup.wells, setup.properties, strict=True)) if setup.properties else {}

    def among(some: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in some if name in names)

    plan = dataclasses.replace(plan, wells=wells, controls=among(plan.controls))
    setup = dataclasses.replace(
        setup,
        wells=tuple(names),
        fields=tuple(len(well.fields) for well in wells),
        controls=among(setup.controls),
        plateau=among(setup.plateau),
        properties=tuple(rows[name] for name in names) if rows else (),
        field_names=_in_order(wells),
        places=tuple(well.fields for well in wells),
    )
    return plan, setup


def grid(plan: Plan, setup: Setup, depth: int) -> tuple[Plan, Setup]:
    """Return the plan of a grid: the first `depth` fields of every well, without a budget that would cut it short."""
    keep = {well.name: [well.fields[i].name for i in well.choice[:depth]] for well in plan.wells}
    plan, setup = narrowed(plan, setup, keep)
    free = unlimited(plan.limits)
    return dataclasses.replace(plan, limits=free), dataclasses.replace(setup, limits=free)


def unlimited(limits: Limits) -> Limits:
    """Return limits without the budgets of a whole run; those of a field, a place and a well stay."""
    return dataclasses.replace(limits, frames=None, duration_s=None, disk_bytes=None)


def _with_fields(well: WellPlan, keep: set[str]) -> WellPlan:
    stay = [i for i, place in enumerate(well.fields) if place.name in keep]
    new = {old: i for i, old in enumerate(stay)}
    return dataclasses.replace(
        well,
        fields=tuple(well.fields[i] for i in stay),
        choice=tuple(new[i] for i in well.choice if i in new),
    )


def _in_order(wells: Sequence[WellPlan]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(well.fields[i].name for i in well.choice) for well in wells)


def reseeded(plan: Plan, setup: Setup, seed: int, order: Mapping[str, Sequence[int]]) -> tuple[Plan, Setup]:
    """Return a plan and a setup with another seed.

    Parameters
    ----------
    plan, setup : Plan, Setup
        Of a protocol.
    seed : int
        Root of all chance.
    order : mapping of str to sequence of int
        The order in which "the next fields" of each well are taken.
    """
    wells = tuple(dataclasses.replace(well, choice=tuple(order[well.name])) for well in plan.wells)
    plan = dataclasses.replace(plan, seed=seed, wells=wells)
    return plan, dataclasses.replace(setup, seed=seed, field_names=_in_order(wells))
