"""When each field of a time-lapse is due again: the one account of time points that policies share.

A field counts its time points from its own first look, so that its intervals are equal though a stage can be in one
place only. What was missed is not made up for: a look that comes more than an interval late leaves time points out, and
after a late one a field has a quarter of an interval of rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Context, Setup, Visit, VisitResult
from phenoloop.policies.told import MAX_VETOED

Key = tuple[int, str]
"""A field: index of its well in plate order, and its name."""

LEAST_GAP: Final = 0.25
"""Share of an interval that lies between two time points of a field at least."""
_PUNCTUAL: Final = 1e-6
"""Share of an interval by which a look may seem early for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A time point of a field that is to come.

    Attributes
    ----------
    key : (int, str)
        The field.
    at_s : float
        When it is due; the beginning of the run for a first look.
    point : int
        Which time point, from 0.
    """

    key: Key
    at_s: float
    point: int


class Schedule:
    """The time points of every field under one profile. Only `tell` changes it.

    Parameters
    ----------
    setup : Setup
        Wells, names of their fields, and the profile's interval and length.
    profile : str
        Which way of imaging.
    """

    def __init__(self, setup: Setup, profile: str = "main") -> None:
        plan = setup.profiles[profile]
        assert plan.every_s is not None
        self.profile = profile
        self.every_s = plan.every_s
        self.points = plan.time_points if plan.for_s is not None else None
        """Time points of each field; None: no end."""
        self._index = {well: i for i, well in enumerate(setup.wells)}
        self.keys: tuple[Key, ...] = tuple((i, name) for i, names in enumerate(setup.field_names) for name in names)
        self._place = {key: place for place, key in enumerate(self.keys)}
        self._well = np.array([i for i, _ in self.keys], dtype=np.intp)
        # Kept up to date look by look: a large plate is gone through too slowly for every ask.
        self._due_s: NDArray[np.float64] = np.full(len(self.keys), -math.inf)
        """When each field is due again: ``-inf`` before its first look, ``inf`` where it had its last."""
        self._first_s: dict[Key, float] = {}
        self._next: dict[Key, int] = {}
        self._rested_s: dict[Key, float] = {}
        self._vetoed: dict[Key, int] = {}
        self.points_to_come = 0 if self.points is None else self.points * len(self.keys)
        """Time points that all fields together still have; 0 where there is no end to count to."""
        self.looks: dict[Key, int] = {}
        """Time points that were tried, by field."""
        self.left_out: dict[Key, int] = {}
        """Time points that were not tried, because the look before them came too late."""

    def tell(self, visit: Visit, result: VisitResult) -> dict[Key, None]:
        """Take in a result; see `phenoloop.ports.Policy`. Visits under other profiles are none of its business.

        Returns
        -------
        dict of Key to None
            The fields for which this was a time point; a look between two of them is an extra.
        """
        points: dict[Key, None] = {}
        i = self._index.get(visit.well)
        if i is None or visit.profile != self.profile:
            return points
        keys = [(i, place.field) for place in visit.fields]
        if all(field.status == "vetoed" for field in result.fields):
            for key in keys:
                self._vetoed[key] = self._vetoed.get(key, 0) + 1
                if self._vetoed[key] >= MAX_VETOED and key in self._place:
                    self._due_s[self._place[key]] = math.inf
            return points
        seen = [field.at_s for field in result.fields if field.at_s is not None]
        if not seen and visit.not_before_s is not None and result.at_s < visit.not_before_s:
            return points  # the wait was cut short, nothing was tried: it is still due
        # Fields of one visit keep together: they share the moment at which its first frame was taken.
        looked_s = min(seen) if seen else max(result.at_s, visit.not_before_s or result.at_s)
        for key in keys:
            self._vetoed[key] = 0
            first_s = self._first_s.setdefault(key, looked_s)
            expected, passed = self._next.get(key, 0), (looked_s - first_s) / self.every_s
            if passed < expected - _PUNCTUAL:
                self._renew(key)
                continue
            point = math.floor(passed + _PUNCTUAL)
            points[key] = None
            self.looks[key] = self.looks.get(key, 0) + 1
            if point > expected:
                self.left_out[key] = self.left_out.get(key, 0) + point - expected
            before = self.points_left(key)
            self._next[key] = point + 1
            self.points_to_come -= before - self.points_left(key)
            self._rested_s[key] = looked_s + LEAST_GAP * self.every_s
            self._renew(key)
        return points

    def soonest_s(self, context: Context) -> float | None:
        """Return when the soonest time point of a field that is not under way is due; None when there is none."""
        least = float(self._waiting(context).min(initial=math.inf))
        return least if least < math.inf else None

    def due(self, context: Context, until_s: float = math.inf, most: int | None = None) -> list[Due]:
        """Return the next time point of every field that has one and is not under way, soonest first.

        Parameters
        ----------
        context : Context
            Of this ask.
        until_s : float
            Only those that are due by then.
        most : int, optional
            The first so many are enough, and with them the others of the same wells, which may go along with them.
        """
        at_s = self._waiting(context)
        order = np.argsort(at_s, kind="stable")  # ties stay in the order of `keys`
        order = order[(at_s[order] <= until_s) & (at_s[order] < math.inf)]
        if most is not None and len(order) > most:
            wells = self._well[order]
            along = np.isin(wells, wells[:most])
            order = order[along]
        return [
            Due(key=self.keys[place], at_s=float(at_s[place]), point=self._next.get(self.keys[place], 0))
            for place in order.tolist()
        ]

    def points_left(self, key: Key) -> int:
        """Return how many time points a field still has; 0 where there is no end to count to."""
        return 0 if self.points is None else max(0, self.points - self._next.get(key, 0))

    def _waiting(self, context: Context) -> NDArray[np.float64]:
        """Return when each field is due, in the order of `keys`; ``inf`` where it is under way or has had its last."""
        at_s = np.where(np.isneginf(self._due_s), context.started_s, self._due_s)
        away = [self._place[key] for key in pending_keys(context, self._index, self.profile) if key in self._place]
        at_s[away] = math.inf
        return at_s

    def _renew(self, key: Key) -> None:
        """Work out when a field that was looked at is due again."""
        place, point = self._place.get(key), self._next.get(key, 0)
        if place is None:
            return
        over = self.points is not None and point >= self.points
        self._due_s[place] = math.inf if over else max(self._first_s[key] + point * self.every_s, self._rested_s[key])


def pending_keys(context: Context, index: dict[str, int], profile: str | None = None) -> dict[Key, None]:
    """Return the fields that are under way, under one profile or any; a dict, since its order is repeatable."""
    return {
        (index[visit.well], name): None
        for visit in context.pending
        if visit.well in index and (profile is None or visit.profile == profile)
        for name in visit.names
    }


def together(dues: Iterable[Due], now_s: float, per_visit: int) -> list[list[Due]]:
    """Group time points into visits: of one well, due at the same moment or due already, at most so many each."""
    groups: dict[tuple[int, float], list[list[Due]]] = {}
    order: list[list[Due]] = []
    for due in dues:
        fitting = groups.setdefault((due.key[0], max(due.at_s, now_s)), [])
        if not fitting or len(fitting[-1]) >= per_visit:
            fitting.append([])
            order.append(fitting[-1])
        fitting[-1].append(due)
    return order


def names_of(visit: Sequence[Due]) -> tuple[str, ...]:
    """Return the names of the fields of a visit."""
    return tuple(due.key[1] for due in visit)
