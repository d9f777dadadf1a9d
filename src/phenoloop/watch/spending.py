"""The account of a run for people: what is spent of each budget, what is allowed, what is left.

Counted from the messages alone, by what really happened; while a run goes on the core's own ledger is stricter, since
it also reserves what visits under way may take.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from phenoloop.core.light_account import LightAccount
from phenoloop.core.turret import HOUR_S, Turret
from phenoloop.model import (
    Acquire,
    Decided,
    ExposuresSet,
    FieldVisit,
    Message,
    MeteredChannel,
    MeteringFailed,
    Plan,
    ProfilePlan,
    ProposalRecord,
    RunResumed,
    VisitEnded,
)


class Spending:
    """A fold over messages. Give it each message once, in the journal's order, or as it happens.

    Parameters
    ----------
    plan : Plan
        Limits, places and profiles.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan: Final = plan
        self._places: Final = all(profile.frame_um is not None for profile in plan.profiles.values())
        self._turret: Final = Turret(plan.main.objective_config)
        self._visits: dict[int, tuple[str, str, dict[str, FieldVisit]]] = {}
        self._of_field: Counter[tuple[str, str]] = Counter()
        self._changed_s: list[float] = []
        self._controls: Final = frozenset(plan.controls)
        self.light: Final = LightAccount(plan, places=self._places)
        """Light that fell."""
        self.light_of_objects_s = 0.0
        """That of the most exposed place, from all frames that show it; 0 where the size of a frame is not known."""
        self.frames_in: Counter[str] = Counter()
        """Frames by well: stored, or exposed and lost."""
        self.exposures = 0
        """Light events of metering."""
        self.metered: tuple[MeteredChannel, ...] = ()

    def take(self, message: Message) -> None:
        """Count one message."""
        match message:
            case Decided():
                for made in sorted(message.proposals, key=lambda made: made.visit):
                    if made.visit > 0:
                        self._sent(made.visit, made.well, made.profile, _visited(made))
            case Acquire(visit=visit):
                self._sent(visit.number, visit.well, visit.profile, {place.field: place for place in visit.fields})
            case VisitEnded():
                self._ended(message)
            case ExposuresSet() | MeteringFailed():
                self.exposures += message.exposures
                for well, fields in message.light_s.items():
                    for field, seconds in fields.items():
                        self._light(well, FieldVisit(field=field, t=0, image=0), self._plan.main, seconds)
                if isinstance(message, ExposuresSet):
                    self.metered = message.channels
            case RunResumed():
                if self._turret.differs(self._plan.main.objective_config):
                    self._changed_s.append(message.at_s)
                self._turret.reopen(message.at_s)

    def rows(self, *, frames: int, at_s: float) -> dict[str, dict[str, float | None]]:
        """Return every budget by name: ``used``, ``limit`` (None: none), ``left`` (None without a limit), and details.

        Parameters
        ----------
        frames : int
            Frames planned, less those that were never exposed.
        at_s : float
            Run clock.
        """
        limits, plan = self._plan.limits, self._plan
        rows: dict[str, dict[str, Any]] = {
            "frames": _row(frames, limits.frames),
            "duration_s": _row(at_s, limits.duration_s),
            "disk_bytes": _row(frames * plan.frame_bytes, limits.disk_bytes),
            "light_s": _row(max(self.light.of_field.values(), default=0.0), limits.light_per_field_s),
        }
        rows["light_s"]["total"] = sum(self.light.of_field.values())
        if self._places:
            rows["light_object_s"] = _row(self.light_of_objects_s, limits.light_per_object_s)
        rows["frames_per_well"] = _row(max(self.frames_in.values(), default=0), limits.frames_per_well)
        rows["revisits_per_field"] = _row(
            max(0, max(self._of_field.values(), default=0) - 1), limits.revisits_per_field
        )
        rows["objective_changes"] = _row(_most_in_an_hour(self._changed_s), limits.objective_changes_per_hour)
        rows["objective_changes"]["total"] = len(self._changed_s)
        if self._controls:
            of_controls = sum(count for well, count in self.frames_in.items() if well in self._controls)
            taken = sum(self.frames_in.values())
            rows["controls"] = _row(of_controls, None)
            rows["controls"]["share"] = of_controls / taken if taken else 0.0
        return rows

    def _sent(self, number: int, well: str, profile: str, places: dict[str, FieldVisit]) -> None:
        if number in self._visits:  # a visit is told of twice: by its decision and by its command
            return
        self._visits[number] = (well, profile, places)
        self._turret.sent(number, self._plan.profiles[profile].objective_config)

    def _ended(self, message: VisitEnded) -> None:
        if message.visit not in self._visits:
            return
        well, profile, places = self._visits[message.visit]
        self.frames_in[well] += len(message.frames) + sum(gap.exposed for gap in message.missing)
        if self._turret.changed_by(message.visit):
            self._changed_s.append(message.at_s)
        for field, seconds in message.light_s.items():
            if seconds and field in places:
                self._of_field[well, field] += 1
                self._light(well, places[field], self._plan.profiles[profile], seconds)

    def _light(self, well: str, visited: FieldVisit, profile: ProfilePlan, seconds: float) -> None:
        self.light.add(well, visited, profile, seconds)
        if self._places:
            # Light never goes away again, so the most exposed place is where it fell last, or where it was before.
            frame = self.light.frame_of(profile, self._plan.place(well, visited))
            self.light_of_objects_s = max(self.light_of_objects_s, self.light.by_place.most(frame))


def _visited(made: ProposalRecord) -> dict[str, FieldVisit]:
    own = {target.name: target for target in made.targets}
    found = {}
    for name in made.fields:
        at = own.get(name)
        x_um, y_um, z_um = (None, None, None) if at is None else (at.x_um, at.y_um, at.z_um)
        found[name] = FieldVisit(field=name, t=0, image=0, x_um=x_um, y_um=y_um, z_um=z_um)
    return found


def _row(used: float, limit: float | None) -> dict[str, Any]:
    return {"used": used, "limit": limit, "left": None if limit is None else max(0, limit - used)}


def _most_in_an_hour(times_s: list[float]) -> int:
    ordered = sorted(times_s)
    return max((sum(1 for other in ordered if at - HOUR_S < other <= at) for at in ordered), default=0)
