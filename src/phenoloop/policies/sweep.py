"""The fixed grid: every field of every well, in an order that no result changes. Baseline and fallback.

In a time-lapse it is the fixed grid again and again: each field at its interval, whatever it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.numerics.durations import spoken
from phenoloop.numerics.rounding import significant
from phenoloop.policies.schedule import Due, Schedule, names_of, together
from phenoloop.policies.told import Told
from phenoloop.protocol.base import PolicyParams


class Sweep:
    """Images all fields of all wells; in a time-lapse, at every time point.

    Parameters
    ----------
    params : Sweep.Params
        As in the protocol.
    setup : Setup
        Wells; its seed shuffles them for ``order: random``.
    """

    kind: ClassVar[str] = "sweep"
    time_lapse: ClassVar[bool] = True

    class Params(PolicyParams):
        """Keys of ``policy: {kind: sweep}``."""

        order: Literal["plate", "random"] = Field(default="plate", description="order of the wells")
        passes: Literal["rounds", "wells"] = Field(
            default="rounds",
            description="rounds: every well once before any well again; wells: finish a well before the next",
        )

    def __init__(self, params: Params, setup: Setup) -> None:
        self._params = params
        self._setup = setup
        self._told = Told(setup, None)
        count = len(setup.wells)
        chance = np.random.Generator(np.random.PCG64(np.random.SeedSequence([setup.seed, count])))
        self._order = chance.permutation(count) if params.order == "random" else np.arange(count)
        self._place = np.argsort(self._order)
        self._fields = np.array(setup.fields, dtype=np.int64)
        self._width = count if params.passes == "rounds" else max(setup.fields, default=0) + 1
        main = setup.profiles.get("main")
        self._schedule = None if main is None or main.every_s is None else Schedule(setup)

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose the next `k` visits of the grid; see `phenoloop.ports.Policy`."""
        if self._schedule is not None:
            return self._time_points(self._schedule, k, context)
        steps = self._next(k + 1, self._told.left(context, patient=True))
        if not steps:
            return [] if context.pending else Stop(reason="every field was imaged")
        instead = self._setup.wells[self._visit_of(steps[k][0])[0]] if len(steps) > k else None
        return [self._proposal(step, fields, instead) for step, fields in steps[:k]]

    def _next(self, count: int, left: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Return step and fields of the next visits of the grid, `count` at most.

        A step is the place of a visit in the order of the whole grid, as one number: a large plate has many, and tuples
        of so many would be work for the garbage collector at every ask.
        """
        per_visit, rounds = self._params.fields_per_visit, self._params.passes == "rounds"
        visits = (self._fields - left) // per_visit
        first, second = (visits, self._place) if rounds else (self._place, visits)
        # The next visit of each well; that after it follows once it is taken.
        following: list[int] = (first * self._width + second)[left > 0].tolist()
        heapify(following)
        rest = left.tolist()
        found: list[tuple[int, int]] = []
        while following and len(found) < count:
            step = following[0]
            well, _ = self._visit_of(step)
            found.append((step, min(per_visit, rest[well])))
            rest[well] -= per_visit
            if rest[well] > 0:
                heapreplace(following, step + (self._width if rounds else 1))
            else:
                heappop(following)
        return found

    def _visit_of(self, step: int) -> tuple[int, int]:
        """Return the well of a step, and how many visits it had before."""
        first, second = divmod(step, self._width)
        visits, place = (first, second) if self._params.passes == "rounds" else (second, first)
        return int(self._order[place]), visits

    def _time_points(self, schedule: Schedule, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose what is due soonest; the microscope waits for it."""
        dues = sorted(schedule.due(context), key=lambda due: (due.at_s, int(self._place[due.key[0]])))
        visits = together(dues, context.at_s, self._params.fields_per_visit)
        if not visits:
            done = f"the time-lapse of {spoken(schedule.every_s)} steps is complete"
            return [] if context.pending else Stop(reason=done)
        instead = self._setup.wells[visits[k][0].key[0]] if len(visits) > k else None
        return [
            Proposal(
                well=self._setup.wells[visit[0].key[0]],
                fields=names_of(visit),
                score=float(-rank),
                why=time_point(visit, schedule, context, instead),
                # Said also when it is past, so that the journal knows how late a look was.
                not_before_s=visit[0].at_s if visit[0].point else None,
            )
            for rank, visit in enumerate(visits[:k])
        ]

    def _proposal(self, step: int, fields: int, instead: str | None) -> Proposal:
        well, visits = self._visit_of(step)
        place = int(self._place[well])
        why = Why(
            rule="next of the grid",
            text=f"visit {visits + 1} to well {place + 1} of {len(self._setup.wells)} in {self._params.order} order",
            numbers={"visit": visits + 1, "place": place + 1},
            instead=instead,
        )
        # Whole numbers: the order of the core, by score, is the order of the grid.
        return Proposal(well=self._setup.wells[well], fields=fields, score=float(-step), why=why)

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; only denials change what is asked next."""
        self._told.tell(visit, result)
        if self._schedule is not None:
            self._schedule.tell(visit, result)

    def report(self) -> Mapping[str, Any]:
        """Return how many wells are complete, for people."""
        accepted = self._told.sums().n
        if self._schedule is not None:
            return {
                "time_points_taken": sum(self._schedule.looks.values()),
                "time_points_left_out": sum(self._schedule.left_out.values()),
            }
        return {
            "fields_accepted": int(accepted.sum()),
            "wells_complete": int((accepted >= np.array(self._setup.fields)).sum()),
        }


def time_point(visit: Sequence[Due], schedule: Schedule, context: Context, instead: str | None) -> Why:
    """Return the reason of a regular look in a time-lapse, with how late it already is."""
    first, late_s = visit[0], context.at_s - visit[0].at_s
    of = "" if schedule.points is None else f" of {schedule.points}"
    text = f"time point {first.point + 1}{of}, every {spoken(schedule.every_s)}"
    if first.point and late_s > 0:
        text += f"; due {spoken(late_s)} ago"
    numbers = {"time_point": float(first.point + 1), "late_s": significant(max(0.0, late_s) if first.point else 0.0)}
    return Why(rule="next time point", text=text, numbers=numbers, instead=instead)
