"""What was spent and where we have been: frames, light, disk, objective changes, and every visit of every field."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from phenoloop.core.light_account import LightAccount
from phenoloop.core.turret import Turret
from phenoloop.model import FieldVisit, Plan, ProfilePlan, Target, Visit, VisitEnded, WellPlan


class Ledger:
    """The account of a run. Money is reserved when a visit is dispatched and settled when it ends.

    Parameters
    ----------
    plan : Plan
        Budgets and places.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.frames = 0
        """Frames taken, and those reserved for visits that were not told yet."""
        self.disk_bytes = 0
        """Their uncompressed bytes."""
        self.frames_in: dict[str, int] = {}
        """Those frames by well."""
        self.light = LightAccount(plan)
        """Light given, and that reserved for visits that were not told yet."""
        self.turret = Turret(plan.main.objective_config)
        self.vetoed: dict[tuple[str, str], str] = {}
        """By (profile, well), with what words a person took it out of the run."""
        self._visits = 0
        self._sent: dict[str, tuple[int, float]] = {}  # by well: number and run clock of its last visit under main
        self._visits_of: dict[tuple[str, str], int] = {}
        self._under_way: dict[tuple[str, str], int] = {}
        self._visited_until: dict[tuple[str, str], float] = {}
        self._given: dict[tuple[str, str, str], int] = {}
        self._images: dict[tuple[str, str, str], int] = {}
        self._images_in_well: dict[tuple[str, str], int] = {}
        self._used: dict[str, dict[tuple[str, str], None]] = {}

    def copy(self) -> Ledger:
        """Return a ledger that can be spent from without touching this one."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict):
                setattr(
                    other,
                    name,
                    {key: dict(inner) if isinstance(inner, dict) else inner for key, inner in value.items()},
                )
        other.light, other.turret = self.light.copy(), self.turret.copy()
        return other

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan

    # -- where we have been -----------------------------------------------------------------------------------------

    def visits_of(self, well: str, field: str) -> int:
        """Return how many visits gave a field light, or are to give it light, under any profile."""
        return self._visits_of.get((well, field), 0)

    def visited_until_s(self, well: str, field: str) -> float:
        """Return when the last visit of a field ended: inf while one is under way, -inf before the first."""
        if self._under_way.get((well, field), 0):
            return float("inf")
        return self._visited_until.get((well, field), float("-inf"))

    def since(self, well: str, at_s: float) -> tuple[int, float]:
        """Return the visits and the seconds since a well was last sent for under ``main``, or since the run began."""
        number, sent_s = self._sent.get(well, (0, 0.0))
        return self._visits - number, at_s - sent_s

    def left_in(self, well: WellPlan, profile: str = "main") -> int:
        """Return how many fields of a well may still be asked for as "the next" under a profile."""
        if (profile, well.name) in self.vetoed:
            return 0
        return sum(not self.was_used(profile, well.name, place.name) for place in well.fields)

    def fields_left(self) -> Mapping[str, int]:
        """Return, for every selected well, its fields that may still be asked for under ``main``."""
        return {well.name: self.left_in(well) for well in self._plan.wells}

    def was_used(self, profile: str, well: str, field: str) -> bool:
        """Return whether a field was given before and not released since."""
        return (well, field) in self._used.get(profile, {})

    def times_given(self, profile: str, well: str, field: str) -> int:
        """Return how many visits a field was given under a profile, failed ones too: the `t` of its next one."""
        return self._given.get((profile, well, field), 0)

    def next_fields(self, well: WellPlan, profile: str, count: int) -> tuple[str, ...]:
        """Return the names of up to `count` fields that were not used, in the well's order of choice."""
        names = (well.fields[i].name for i in well.choice)
        unused = [name for name in names if not self.was_used(profile, well.name, name)]
        return tuple(unused[:count])

    def dispatch(
        self,
        number: int,
        decision: int,
        well: WellPlan,
        profile: ProfilePlan,
        names: tuple[str, ...],
        not_before_s: float | None = None,
        targets: Sequence[Target] = (),
    ) -> Visit:
        """Reserve a visit's frames, light and array slots, and give it its addresses."""
        own = {target.name: target for target in targets}
        places = []
        frames = 0
        for name in names:
            key = (profile.name, well.name, name)
            if key not in self._images:
                folder = (profile.name, well.name)
                self._images[key] = self._images_in_well.get(folder, 0)
                self._images_in_well[folder] = self._images[key] + 1
            t = self._given.get(key, 0)
            self._given[key] = t + 1
            self._used.setdefault(profile.name, {})[well.name, name] = None
            at = own.get(name)
            x_um, y_um, z_um = (None, None, None) if at is None else (at.x_um, at.y_um, at.z_um)
            places.append(FieldVisit(field=name, t=t, image=self._images[key], x_um=x_um, y_um=y_um, z_um=z_um))
            self.light.add(well.name, places[-1], profile, profile.light_s(well.name, t))
            frames += len(profile.channels_at(t)) * profile.planes
            self._visits_of[well.name, name] = self.visits_of(well.name, name) + 1
            self._under_way[well.name, name] = self._under_way.get((well.name, name), 0) + 1
        self.turret.promise(profile.objective_config)
        every = tuple(channel.acquire_every for channel in profile.channels)
        self._add_frames(well.name, frames)
        return Visit(
            number=number,
            decision=decision,
            well=well.name,
            profile=profile.name,
            fields=tuple(places),
            channels=tuple(channel.name for channel in profile.channels),
            planes=profile.planes,
            not_before_s=not_before_s,
            every=every if any(n > 1 for n in every) else (),
        )

    def sent(self, visits: Sequence[Visit], at_s: float) -> None:
        """Note the visits of a batch in the order in which they will be made."""
        for visit in visits:
            self._visits += 1
            if visit.profile == "main":
                self._sent[visit.well] = (self._visits, at_s)
            self.turret.sent(visit.number, self._plan.profiles[visit.profile].objective_config)

    def settle(self, visit: Visit, ended: VisitEnded) -> None:
        """Replace what was reserved for a visit by what it took: a frame that was never exposed costs nothing."""
        profile = self._plan.profiles[visit.profile]
        for place in visit.fields:
            reserved = profile.light_s(visit.well, place.t)
            given = ended.light_s.get(place.field, 0.0)
            self.light.add(visit.well, place, profile, given - reserved)
            key = (visit.well, place.field)
            self._under_way[key] -= 1
            self._visited_until[key] = max(ended.at_s, self._visited_until.get(key, float("-inf")))
            if not given:
                self._visits_of[key] -= 1
        self.turret.settle(visit.number, ended.at_s)
        self._add_frames(visit.well, -sum(not frame.exposed for frame in ended.missing))

    def release(self, visit: Visit, ended: VisitEnded) -> None:
        """Let the fields of a visit that saw no light be asked for again, when a run that was cut short goes on."""
        missing = {frame.address.field for frame in ended.missing}
        for name in missing:
            if not ended.light_s.get(name):
                self._used[visit.profile].pop((visit.well, name), None)

    def expose(self, well: str, field: str, seconds: float) -> None:
        """Count light that no visit gave: that of metering."""
        self.light.add_metering(well, field, seconds)

    def _add_frames(self, well: str, frames: int) -> None:
        self.frames += frames
        self.frames_in[well] = self.frames_in.get(well, 0) + frames
        self.disk_bytes += frames * self._plan.frame_bytes
