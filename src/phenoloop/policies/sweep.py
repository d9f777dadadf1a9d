"""The fixed grid: every field of every well, in an order that no result changes. Baseline and fallback.

In a time-lapse it is the fixed grid again and again: each field at its interval, whatever it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
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
        order = chance.permutation(count) if params.order == "random" else np.arange(count)
        self._place = {int(well): place for place, well in enumerate(order)}
        main = setup.profiles.get("main")
        self._schedule = None if main is None or main.every_s is None else Schedule(setup)

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose the next `k` visits of the grid; see `phenoloop.ports.Policy`."""
        if self._schedule is not None:
            return self._time_points(self._schedule, k, context)
        left = self._told.left(context, patient=True)
        per_visit = self._params.fields_per_visit
        wishes: list[tuple[tuple[int, int], int, int]] = []
        for i, total in enumerate(self._setup.fields):
            for ahead in range(0, int(left[i]), per_visit):
                visits = (total - int(left[i]) + ahead) // per_visit
                key = (visits, self._place[i]) if self._params.passes == "rounds" else (self._place[i], visits)
                wishes.append((key, i, min(per_visit, int(left[i]) - ahead)))
        wishes.sort()
        if not wishes:
            return [] if context.pending else Stop(reason="every field was imaged")
        following = wishes[k][1] if len(wishes) > k else None
        instead = None if following is None else self._setup.wells[following]
        return [self._proposal(key, i, fields, instead) for key, i, fields in wishes[:k]]

    def _time_points(self, schedule: Schedule, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose what is due soonest; the microscope waits for it."""
        dues = sorted(schedule.due(context), key=lambda due: (due.at_s, self._place[due.key[0]]))
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

    def _proposal(self, key: tuple[int, int], i: int, fields: int, instead: str | None) -> Proposal:
        wells = len(self._setup.wells)
        first, second = key
        visits, place = key if self._params.passes == "rounds" else (second, first)
        why = Why(
            rule="next of the grid",
            text=f"visit {visits + 1} to well {place + 1} of {wells} in {self._params.order} order",
            numbers={"visit": visits + 1, "place": place + 1},
            instead=instead,
        )
        # Whole numbers: the order of the core, by score, is the order of the grid.
        width = wells if self._params.passes == "rounds" else max(self._setup.fields) + 1
        return Proposal(well=self._setup.wells[i], fields=fields, score=float(-(first * width + second)), why=why)

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
