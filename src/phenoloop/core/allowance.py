"""What light is left, asked before every exposure: no repetition, and nothing else that happens, can pass a cap.

The guards grant a visit by the light that it gives when all goes well. A refusal of the camera makes an exposure be
repeated, and only here is it known whether the caps leave light for that. A repetition may take what no visit has
claimed *at that time*; a later visit that finds its light gone is refused before any of it falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from phenoloop.core.light_account import LightAccount
from phenoloop.core.metering import light_of
from phenoloop.model import FieldVisit, Plan, ProfilePlan, Visit, VisitEnded

SLACK_S: Final = 1e-6
"""Light is summed once here and once, rounded, in the journal; the two differ by far less than this."""

CAP: Final = "light cap"
"""How the reason of a frame begins that was not exposed for want of light."""


def fallen(plan: Plan, account: LightAccount, untold: Sequence[tuple[Visit, VisitEnded | None]]) -> LightAccount:
    """Return the light of which it is known that it fell.

    Parameters
    ----------
    plan : Plan
        As it stands.
    account : LightAccount
        Of the ledger: given by visits that were told, reserved for the others.
    untold : sequence of (Visit, VisitEnded or None)
        Those others, and what was heard of them.
    """
    certain = account.copy()
    for visit, ended in untold:
        profile = plan.profiles[visit.profile]
        for place in visit.fields:
            given = 0.0 if ended is None else ended.light_s.get(place.field, 0.0)
            certain.add(visit.well, place, profile, given - profile.light_s(visit.well, place.t))
    return certain


def most_light_s(plan: Plan, visit: Visit, attempts: int, certain: LightAccount) -> dict[str, float]:
    """Return the most that each field of a visit can have got, of which nothing was told.

    Parameters
    ----------
    plan : Plan
        With exposures as they were.
    visit : Visit
        Perhaps begun, perhaps not.
    attempts : int
        How often an exposure is tried.
    certain : LightAccount
        What is known to have fallen. Without a cap the most is what a visit gives when all goes well: only a cap asks
        for the worst.
    """
    profile = plan.profiles[visit.profile]
    planned = {place.field: profile.light_s(visit.well, place.t) for place in visit.fields}
    if not certain.capped:
        return planned
    # The caps held while it fell, so it is no more than they left.
    return {
        place.field: max(0.0, min(planned[place.field] * attempts, certain.left_s(visit.well, place, profile)))
        for place in visit.fields
    }


class Allowance:
    """The light that the visit under way may still give. Only the thread that exposes asks.

    Parameters
    ----------
    plan : Plan
        Caps, profiles, places.
    account : LightAccount, optional
        What was given before, for a run that goes on.
    claimed : mapping of int to (Visit, mapping of str to float), optional
        Visits of that run that never ended, and the light by field that stands in `account` for each: one that is begun
        after all claims its own anew, of one that was lost nobody knows better.
    """

    def __init__(
        self,
        plan: Plan,
        account: LightAccount | None = None,
        claimed: Mapping[int, tuple[Visit, Mapping[str, float]]] | None = None,
    ) -> None:
        self._plan = plan
        self._account = account.copy(slack_s=SLACK_S) if account is not None else LightAccount(plan, slack_s=SLACK_S)
        self._claimed = dict(claimed or {})
        self._well = ""
        self._profile = plan.main
        self._fields: dict[str, FieldVisit] = {}
        self._left: dict[str, float] = {}
        self._metering_left: dict[tuple[str, str], float] = {}

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan

    def begin(self, visit: Visit) -> dict[str, str]:
        """Claim the light of a visit; return, by field, why it cannot be imaged: its light is gone by now.

        Parameters
        ----------
        visit : Visit
            Granted; the one before it has ended.
        """
        self.end()
        if not self._account.capped:
            return {}
        if (before := self._claimed.pop(visit.number, None)) is not None:
            self._release(*before)
        self._well, self._profile = visit.well, self._plan.profiles[visit.profile]
        refused = {}
        for place in visit.fields:
            self._fields[place.field] = place
            planned = self._profile.light_s(visit.well, place.t)
            if why := self._account.refusal(visit.well, place, self._profile, planned):
                refused[place.field] = f"{CAP}: not taken, {why}"
                continue
            self._left[place.field] = planned
            self._account.add(visit.well, place, self._profile, planned)
        return refused

    def begin_metering(self) -> None:
        """Claim nothing; from now on looks are taken, no place gets more than a metering counts at when it is lost."""
        self.end()
        if not self._account.capped:
            return
        self._metering_left = {(well, field): seconds for well, field, seconds in light_of(self._plan, None)}

    def end(self) -> None:
        """Give back what the visit has claimed and did not use."""
        for name, seconds in self._left.items():
            self._account.add(self._well, self._fields[name], self._profile, -seconds)
        self._fields, self._left, self._metering_left = {}, {}, {}

    def refusal(self, well: str, exposures: Sequence[tuple[str, float]], *, again: bool) -> str:
        """Return why light may not fall; empty if it may.

        Parameters
        ----------
        well : str
            Where.
        exposures : sequence of (str, float)
            Field and seconds at full power, of everything that falls at once.
        again : bool
            The same light fell before, and its picture was lost: what is asked for is more than the visit has claimed.
        """
        if not self._account.capped:
            return ""
        light = _by_field(exposures)
        trial = self._account if len(light) == 1 else self._account.copy()
        for field, more in light.items():
            extra = more if again else max(0.0, more - self._left.get(field, 0.0))
            place, profile = self._place(field)
            why = trial.refusal(well, place, profile, extra) if extra else ""
            if not why and self._metering_left and self._metering_left.get((well, field), 0.0) + SLACK_S < more:
                why = "metering would give the field more light than it is allowed"
            if why:
                return f"{CAP}: not {'repeated' if again else 'taken'}, {why}"
            if trial is not self._account:
                trial.add(well, place, profile, extra)
        return ""

    def expose(self, well: str, field: str, seconds: float, *, again: bool) -> None:
        """Count light that is about to fall, as it was asked for in `refusal`."""
        if not self._account.capped:
            return
        claimed = 0.0 if again else min(seconds, self._left.get(field, 0.0))
        if claimed:
            self._left[field] -= claimed
        place, profile = self._place(field)
        if seconds > claimed:
            self._account.add(well, place, profile, seconds - claimed)
        if (well, field) in self._metering_left:
            self._metering_left[well, field] -= seconds

    def _place(self, field: str) -> tuple[FieldVisit, ProfilePlan]:
        """Return a field and how it is imaged; what is no field of the visit is metered, as in the ledger."""
        if (place := self._fields.get(field)) is not None:
            return place, self._profile
        return FieldVisit(field=field, t=0, image=0), self._plan.main

    def _release(self, visit: Visit, claimed: Mapping[str, float]) -> None:
        profile = self._plan.profiles[visit.profile]
        for place in visit.fields:
            self._account.add(visit.well, place, profile, -claimed[place.field])


def allowance_after(
    plan: Plan,
    account: LightAccount,
    untold: Sequence[tuple[Visit, VisitEnded | None]],
    attempts: int,
    *,
    metering: bool,
) -> Allowance:
    """Return what is left in a run that goes on.

    Parameters
    ----------
    plan, account, untold
        As for `fallen`.
    attempts : int
        How often an exposure is tried.
    metering : bool
        Exposures were being metered.
    """
    certain = fallen(plan, account, untold)
    light, claimed = certain.copy(), {}
    for visit, ended in untold:
        if ended is None:
            most = most_light_s(plan, visit, attempts, certain)
            claimed[visit.number] = (visit, most)
            for place in visit.fields:
                light.add(visit.well, place, plan.profiles[visit.profile], most[place.field])
    if metering:
        for well, field, seconds in light_of(plan, None):
            light.add_metering(well, field, seconds)
    return Allowance(plan, light, claimed)


def _by_field(exposures: Sequence[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for field, seconds in exposures:
        sums[field] = sums.get(field, 0.0) + seconds
    return sums
