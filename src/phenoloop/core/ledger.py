"""What was spent and where we have been: frames, light, disk, and how often each field was given under each profile."""

from __future__ import annotations

from collections.abc import Mapping

from phenoloop.model import FieldVisit, Plan, ProfilePlan, Visit, VisitEnded, WellPlan


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
        self.light_s: dict[tuple[str, str], float] = {}
        """Seconds of exposure by (well, field): given, or reserved for a visit that has not ended."""
        self._given: dict[tuple[str, str, str], int] = {}
        self._images: dict[tuple[str, str, str], int] = {}
        self._images_in_well: dict[tuple[str, str], int] = {}
        self._used: dict[str, dict[tuple[str, str], None]] = {}

    def left_in(self, well: WellPlan, profile: str = "main") -> int:
        """Return how many fields of a well may still be asked for as "the next" under a profile."""
        return sum(not self.was_used(profile, well.name, place.name) for place in well.fields)

    def fields_left(self) -> Mapping[str, int]:
        """Return, for every selected well, its fields that may still be asked for under ``main``."""
        return {well.name: self.left_in(well) for well in self._plan.wells}

    def was_used(self, profile: str, well: str, field: str) -> bool:
        """Return whether a field was given before and not released since."""
        return (well, field) in self._used.get(profile, {})

    def next_fields(self, well: WellPlan, profile: str, count: int) -> tuple[str, ...]:
        """Return the names of up to `count` fields that were not used, in the well's order of choice."""
        names = (well.fields[i].name for i in well.choice)
        unused = [name for name in names if not self.was_used(profile, well.name, name)]
        return tuple(unused[:count])

    def dispatch(
        self, number: int, decision: int, well: WellPlan, profile: ProfilePlan, names: tuple[str, ...]
    ) -> Visit:
        """Reserve a visit's frames, light and array slots, and give it its addresses."""
        places = []
        for name in names:
            key = (profile.name, well.name, name)
            if key not in self._images:
                folder = (profile.name, well.name)
                self._images[key] = self._images_in_well.get(folder, 0)
                self._images_in_well[folder] = self._images[key] + 1
            t = self._given.get(key, 0)
            self._given[key] = t + 1
            self._used.setdefault(profile.name, {})[well.name, name] = None
            places.append(FieldVisit(field=name, t=t, image=self._images[key]))
            self._add_light(well.name, name, profile.light_s(well.name))
        frames = len(names) * profile.frames_per_field
        self.frames += frames
        self.disk_bytes += frames * self._plan.frame_bytes
        return Visit(
            number=number,
            decision=decision,
            well=well.name,
            profile=profile.name,
            fields=tuple(places),
            channels=tuple(channel.name for channel in profile.channels),
            planes=profile.planes,
        )

    def settle(self, visit: Visit, ended: VisitEnded) -> None:
        """Replace what was reserved for a visit by what it took: a frame that was never exposed costs nothing."""
        profile = self._plan.profiles[visit.profile]
        for place in visit.fields:
            reserved = profile.light_s(visit.well)
            self._add_light(visit.well, place.field, ended.light_s.get(place.field, 0.0) - reserved)
        never = sum(not frame.exposed for frame in ended.missing)
        self.frames -= never
        self.disk_bytes -= never * self._plan.frame_bytes

    def release(self, visit: Visit, ended: VisitEnded) -> None:
        """Let the fields of a visit that saw no light be asked for again, when a run that was cut short goes on."""
        missing = {frame.address.field for frame in ended.missing}
        for name in missing:
            if not ended.light_s.get(name):
                self._used[visit.profile].pop((visit.well, name), None)

    def _add_light(self, well: str, field: str, seconds: float) -> None:
        key = (well, field)
        self.light_s[key] = self.light_s.get(key, 0.0) + seconds
