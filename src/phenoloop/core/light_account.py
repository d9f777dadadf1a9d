"""The account of light: what each field, and each place of the sample, has got or is to get, and what a cap leaves.

A cap of None holds everything. The account by place is kept only where a cap needs it, or somebody wants to tell of it.
"""

from __future__ import annotations

import math

from phenoloop.core.light import Frame, LightMap
from phenoloop.model import FieldPlace, FieldVisit, Plan, ProfilePlan

_ROUNDING = 1 + 1e-9
"""Sums of exposures are not exact in binary: a cap that is met exactly is not passed."""


class LightAccount:
    """Seconds of exposure at full power.

    Parameters
    ----------
    plan : Plan
        Places, sizes of frames, and the caps `Limits.light_per_field_s` and `Limits.light_per_object_s`.
    slack_s : float
        By how much a cap may be passed by rounding; less than any shutter can do.
    places : bool
        Keep the account by place without a cap on it, too.
    """

    def __init__(self, plan: Plan, *, slack_s: float = 0.0, places: bool = False) -> None:
        self._plan = plan
        self._slack_s = slack_s
        self._places = places or plan.limits.light_per_object_s is not None
        sides = [max(profile.frame_um) for profile in plan.profiles.values() if profile.frame_um is not None]
        self.of_field: dict[tuple[str, str], float] = {}
        """Light by (well, field)."""
        self.by_place = LightMap(max(sides, default=1.0))
        """The same light by place."""

    def copy(self, *, slack_s: float | None = None) -> LightAccount:
        """Return an account that can be added to without changing this one."""
        slack_s = self._slack_s if slack_s is None else slack_s
        other = LightAccount(self._plan, slack_s=slack_s, places=self._places)
        other.of_field, other.by_place = dict(self.of_field), self.by_place.copy()
        return other

    @property
    def capped(self) -> bool:
        """Whether there is a cap at all."""
        limits = self._plan.limits
        return limits.light_per_field_s is not None or limits.light_per_object_s is not None

    def add(self, well: str, visited: FieldVisit, profile: ProfilePlan, seconds: float) -> None:
        """Count light on a field; a negative number takes back what was reserved."""
        key = (well, visited.field)
        self.of_field[key] = self.of_field.get(key, 0.0) + seconds
        if self._places:
            self.by_place.add(self.frame_of(profile, self._plan.place(well, visited)), seconds)

    def add_metering(self, well: str, field: str, seconds: float) -> None:
        """Count light that no visit gave: as if ``main`` saw it, whose frames are the widest as a rule."""
        self.add(well, FieldVisit(field=field, t=0, image=0), self._plan.main, seconds)

    def frame_of(self, profile: ProfilePlan, place: FieldPlace) -> Frame:
        """Return what a frame at a place shows; a point where the size of a frame is not known."""
        return Frame(place.x_um, place.y_um, *(profile.frame_um or (0.0, 0.0)))

    def field_holds(self, well: str, field: str, more_s: float) -> bool:
        """Return whether a field may get so much more."""
        limit = self._plan.limits.light_per_field_s
        return limit is None or self._within(self.of_field.get((well, field), 0.0) + more_s, limit)

    def frame_holds(self, frame: Frame, more_s: float) -> bool:
        """Return whether every object inside a frame may get so much more."""
        limit = self._plan.limits.light_per_object_s
        return limit is None or self._within(self.by_place.most(frame) + more_s, limit)

    def left_s(self, well: str, visited: FieldVisit, profile: ProfilePlan) -> float:
        """Return how much more the caps let fall on a field; inf without a cap, below 0 where one was passed."""
        limits, left = self._plan.limits, [math.inf]
        if limits.light_per_field_s is not None:
            left.append(limits.light_per_field_s - self.of_field.get((well, visited.field), 0.0))
        if limits.light_per_object_s is not None:
            frame = self.frame_of(profile, self._plan.place(well, visited))
            left.append(limits.light_per_object_s - self.by_place.most(frame))
        return min(left)

    def refusal(self, well: str, visited: FieldVisit, profile: ProfilePlan, more_s: float) -> str:
        """Return which cap so much more light on a field would pass, in words; empty if none."""
        limits = self._plan.limits
        if not self.field_holds(well, visited.field, more_s):
            return f"the field would get more than {limits.light_per_field_s:g} s of light"
        if limits.light_per_object_s is None:
            return ""
        if not self.frame_holds(self.frame_of(profile, self._plan.place(well, visited)), more_s):
            return f"an object could get more than {limits.light_per_object_s:g} s of light"
        return ""

    def _within(self, seconds: float, limit_s: float) -> bool:
        return seconds <= limit_s * _ROUNDING + self._slack_s
