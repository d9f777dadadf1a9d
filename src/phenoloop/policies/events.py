"""Two rates of time-lapse: every field at the slow one, and the fields where something happens at the fast one.

A field goes fast when ``when`` becomes true of a reading, stays so at least ``hold``, and goes back at the first
reading after that of which ``until`` is true: two thresholds and a least stay, so that noise does not switch it to and
fro. What is not known fires nothing. Light for fast frames comes out of a bucket that fills at ``max_share`` of what
imaging every field at the fast rate would cost. Visits are ordered by deadline (earliest deadline first [1]_): a fast
look must be taken within its interval, a slow one within a quarter of its own, so fast imaging may delay the slow looks
of other fields but never starves them.

References
----------
.. [1] C. L. Liu, J. W. Layland, "Scheduling algorithms for multiprogramming in a hard-real-time environment", Journal
   of the ACM 20 (1973) 46-61.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, FieldResult, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.numerics.durations import spoken
from phenoloop.numerics.rounding import significant
from phenoloop.policies.bucket import Bucket
from phenoloop.policies.episodes import Episodes, FastParams
from phenoloop.policies.schedule import Due, Key, Schedule, names_of, pending_keys, together
from phenoloop.policies.sweep import time_point
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.names import nearest

PATIENCE: Final = 0.25
"""Share of its interval by which a slow look may be delayed for fast ones; then it goes first."""
SAVED_UP: Final = 10
"""Of the fast looks of a whole run, this part may be saved up for a busy hour."""
EPISODES_TOLD: Final = 200
"""Episodes that `report` lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    deadline_s: float
    visit: list[Due]
    profile: str
    regular: bool


class Events:
    """Images events at a fast rate and everything else at a slow one.

    Parameters
    ----------
    params : Events.Params
        As in the protocol.
    setup : Setup
        Wells, fields, readouts, and the profiles with their intervals.

    Raises
    ------
    ProtocolError
        If the protocol is no time-lapse, `fast` names what is not there, or its conditions cannot work.
    """

    kind: ClassVar[str] = "events"
    time_lapse: ClassVar[bool] = True

    class Params(PolicyParams):
        """Keys of ``policy: {kind: events}``."""

        wells_per_batch: int = Field(
            default=2, ge=1, description="visits asked for at a time; an event waits for those that were asked for"
        )
        fast: FastParams = Field(description="what makes a field fast, and how fast")

    def __init__(self, params: Params, setup: Setup) -> None:
        self._params = params
        self._setup = setup
        fast = self._fast = params.fast
        self._slow_s, self._every_s = _intervals(fast, setup)
        self._episodes = Episodes(fast, setup, self._every_s)
        self._schedule = Schedule(setup)
        self._index = {well: i for i, well in enumerate(setup.wells)}
        rate = fast.max_share * len(self._schedule.keys) / self._every_s
        length_s = setup.profiles["main"].for_s
        self._bucket = Bucket(
            rate=rate,
            room=max(fast.at_once * (math.ceil(fast.hold / self._every_s) + 1), rate * (length_s or 0.0) / SAVED_UP),
            for_s=length_s,
        )
        self._light_s: dict[Key, float] = {}
        self._given: dict[tuple[Key, str], int] = {}
        self._lag_s = 0.0
        """From the last look to its result, as last seen."""

    # -- the policy -------------------------------------------------------------------------------------------------

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        fast, slow_s = self._fast_due(context), self._schedule.soonest_s(context)
        times = [due.at_s for due in fast] if slow_s is None else [slow_s, *(due.at_s for due in fast)]
        if not times:
            return [] if context.pending else self._stop()
        # A visit that waits holds up those behind it, and a result may bring an event: so nothing is sent ahead of its
        # time but the very next visit, and that only where no result is to come.
        patience_s = min(2 * self._lag_s, self._every_s / 2)
        limit_s = patience_s + (context.at_s if context.pending else max(context.at_s, min(times)))
        per_visit = self._params.fields_per_visit
        # No more than can be sent, the next in line, and as many as a fast look may take the place of.
        slow = self._schedule.due(context, limit_s, (k + 1 + len(fast)) * per_visit)
        wishes = [
            _Wish(deadline_s=self._deadline_s(visit[0], regular=regular), visit=visit, profile=profile, regular=regular)
            for dues, profile, regular in ((slow, "main", True), (fast, self._fast.profile, False))
            for visit in together([due for due in dues if due.at_s <= limit_s], context.at_s, per_visit)
        ]
        wishes.sort(key=lambda wish: wish.deadline_s)
        if self._fast.profile == "main":
            wishes = _one_look_each(wishes)
        following = wishes[k].visit[0].key[0] if len(wishes) > k else None
        instead = None if following is None else self._setup.wells[following]
        return [self._proposal(wish, context, instead) for wish in wishes[:k]]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        points = self._schedule.tell(visit, result)
        i = self._index.get(visit.well)
        if i is None:
            return
        keys = [(i, place.field) for place in visit.fields]
        if all(field.status == "vetoed" for field in result.fields):
            for key in keys if visit.profile == self._fast.profile else ():
                self._episodes.denied(key, result.at_s)
            return
        for field in result.fields:
            key = (i, field.field)
            self._hear(key, visit, field, result.at_s, extra=key not in points)
        self._episodes.promote(result.at_s)

    def report(self) -> Mapping[str, Any]:
        """Return what it did, for people: the episodes of fast imaging and their share of the light."""
        episodes = self._episodes
        return {
            "fast_now": [episodes.name(key) for key in episodes.running],
            "waiting": [episodes.name(key) for key in episodes.wanting],
            "too_long": [episodes.name(key) for key in episodes.worn],
            "episodes": episodes.count,
            "fast_looks": self._bucket.spent,
            "slow_looks": sum(self._schedule.looks.values()),
            "time_points_left_out": sum(self._schedule.left_out.values()),
            "latest": episodes.ended[-EPISODES_TOLD:],
        }

    # -- what was seen ----------------------------------------------------------------------------------------------

    def _hear(self, key: Key, visit: Visit, field: FieldResult, told_s: float, *, extra: bool) -> None:
        """Take in one look at one field; `extra`: it was no regular time point."""
        if field.at_s is not None:
            self._lag_s = significant(max(0.0, told_s - field.at_s))
            profile = self._setup.profiles[visit.profile]
            t = self._given.get((key, visit.profile), 0)
            self._given[key, visit.profile] = t + 1
            self._light_s[key] = self._light_s.get(key, 0.0) + profile.light_s(visit.well, t)
            if extra:
                self._bucket.take(told_s)
            self._episodes.looked(key, field.at_s, visit.not_before_s, extra=extra)
        self._episodes.judge(key, field, told_s)

    # -- what is due ------------------------------------------------------------------------------------------------

    def _fast_due(self, context: Context) -> list[Due]:
        """Return the next fast look of each field that is fast, as far as there is light for it, soonest first."""
        anyhow = pending_keys(context, self._index)
        ahead: dict[Key, list[float]] = {}
        for pending in context.pending:
            for name in pending.names if pending.profile == self._fast.profile else ():
                ahead.setdefault((self._index[pending.well], name), []).append(pending.not_before_s or context.at_s)
        found = []
        for key, episode in self._episodes.running.items():
            sent = ahead.get(key, [])
            # Where results take longer than the interval, looks are sent before the last one is known.
            if (key in anyhow and not sent) or len(sent) > math.floor(self._lag_s / self._every_s):
                continue
            due_s = max([episode.next_s, *(at_s + self._every_s for at_s in sent)])
            if self._ended_by(key, due_s, context) or not self._affordable(key, context):
                continue
            found.append(Due(key=key, at_s=due_s, point=episode.looks))
        found.sort(key=lambda due: due.at_s)
        promised = sum(len(sent) for sent in ahead.values())
        waiting = self._bucket.ready(context.at_s, promised, len(found))
        return [
            due if ready_s <= context.at_s else Due(key=due.key, at_s=max(due.at_s, ready_s), point=due.point)
            for due, ready_s in zip(found, waiting, strict=False)
        ]

    def _deadline_s(self, due: Due, *, regular: bool) -> float:
        """Return until when a look must be taken."""
        return due.at_s + (self._slow_s * PATIENCE if regular else self._every_s)

    def _ended_by(self, key: Key, due_s: float, context: Context) -> bool:
        length = self._setup.profiles["main"].for_s
        return length is not None and due_s > context.started_s + length

    def _affordable(self, key: Key, context: Context) -> bool:
        """Return whether a fast look leaves enough frames and light for the slow looks that are still to come."""
        setup = self._setup
        main, fast = setup.profiles["main"], setup.profiles[self._fast.profile]
        if context.frames_left is not None:
            reserve = self._schedule.points_to_come * main.frames_per_field
            if context.frames_left - fast.frames_per_field < reserve:
                return False
        if setup.light_per_field_s is None:
            return True
        well = setup.wells[key[0]]
        reserve_s = self._schedule.points_left(key) * main.light_s(well)
        return self._light_s.get(key, 0.0) + fast.light_s(well) + reserve_s <= setup.light_per_field_s * (1 + 1e-9)

    def _proposal(self, wish: _Wish, context: Context, instead: str | None) -> Proposal:
        first = wish.visit[0]
        if wish.regular:
            why = time_point(wish.visit, self._schedule, context, instead)
        else:
            why = self._event(wish.visit, context, instead)
        return Proposal(
            well=self._setup.wells[first.key[0]],
            profile=wish.profile,
            fields=names_of(wish.visit),
            score=-wish.deadline_s,
            why=why,
            # Said also when it is past, so that the journal knows how late a look was.
            not_before_s=None if wish.regular and not first.point else first.at_s,
        )

    def _event(self, visit: Sequence[Due], context: Context, instead: str | None) -> Why:
        first = self._episodes.running[visit[0].key]
        numbers = {
            "fast_for_s": significant(max(0.0, context.at_s - first.since_s)),
            "looks": float(first.looks),
            "looks_left_in_bucket": significant(self._bucket.at(context.at_s)),
        }
        text = "; ".join(self._episodes.said(due.key, context.at_s) for due in visit)
        return Why(rule="event", text=text, numbers=numbers, instead=instead)

    def _stop(self) -> Stop:
        episodes = self._episodes.count
        count = "1 episode" if episodes == 1 else f"{episodes} episodes"
        return Stop(reason=f"the time-lapse is complete, with {count} of fast imaging")


def _intervals(fast: FastParams, setup: Setup) -> tuple[float, float]:
    """Return the slow and the fast interval in seconds, or say why there are not two."""
    main, profile = setup.profiles.get("main"), setup.profiles.get(fast.profile)
    if main is None or main.every_s is None:
        message = "events is a time-lapse: give the slow interval and the length in imaging, `every: 5 min, for: 24 h`"
        raise ProtocolError(Problem(where="policy.kind", message=message))
    if profile is None:
        known = ", ".join(setup.profiles)
        message = f"there is no profile {fast.profile!r}{nearest(fast.profile, setup.profiles)} (profiles: {known})"
        raise ProtocolError(Problem(where="policy.fast.profile", message=message))
    every_s = fast.every if fast.every is not None else profile.every_s
    if every_s is None:
        message = f"give the fast interval: every: here, or in profiles.{fast.profile}"
        raise ProtocolError(Problem(where="policy.fast.profile", message=message))
    if every_s >= main.every_s:
        message = f"every {spoken(every_s)} is no faster than the slow interval of {spoken(main.every_s)}"
        raise ProtocolError(Problem(where="policy.fast", message=message))
    return main.every_s, every_s


def _one_look_each(wishes: Sequence[_Wish]) -> list[_Wish]:
    """Keep the first wish for each field: under one profile, one look serves both rates."""
    seen: dict[Key, None] = {}
    kept = []
    for wish in wishes:
        visit = [due for due in wish.visit if due.key not in seen]
        seen.update(dict.fromkeys(due.key for due in visit))
        if visit:
            kept.append(replace(wish, visit=visit))
    return kept
