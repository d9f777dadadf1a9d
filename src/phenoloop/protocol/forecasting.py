"""What a run will take at most: frames, time by the cost model, disk and light, and what its question can say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phenoloop.model import Plan, ProfilePlan
from phenoloop.numerics.durations import spoken

if TYPE_CHECKING:
    from phenoloop.plugins import Registry
    from phenoloop.protocol.loaded import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A run that spends its whole budget, or images every field once.

    Attributes
    ----------
    wells, fields : int
        What is selected.
    frames : int
        Frames at most.
    seconds : float
        Time for them by the cost model, wells in plate order.
    disk_bytes : int
        Uncompressed images.
    light_s : float
        Exposure of one field in one visit, autofocus included; the largest of all wells.
    controls : int
        Control wells of the question.
    notes : tuple of str
        What a reader should know before the run.
    """

    wells: int
    fields: int
    frames: int
    seconds: float
    disk_bytes: int
    light_s: float
    controls: int
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return it in sentences, for a terminal."""
        minutes, seconds = divmod(round(self.seconds), 60)
        hours, minutes = divmod(minutes, 60)
        time = f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
        return [
            f"{_count(self.wells, 'well')}, {_count(self.fields, 'field')}, {_count(self.controls, 'control well')}",
            f"at most {self.frames} frames in {time}, {self.disk_bytes / 1e9:.2f} GB of images before compression",
            f"light: {self.light_s:g} s of exposure at full power per field and visit",
            *self.notes,
        ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def forecast(loaded: Loaded, registry: Registry) -> Forecast:
    """Return what a run will take at most.

    Parameters
    ----------
    loaded : Loaded
        The protocol.
    registry : Registry
        Where the question's class is found; its ``forecast(params, setup)``, if it has one, adds sentences.
    """
    plan, profile = loaded.plan, loaded.plan.profiles["main"]
    all_fields = sum(len(well.fields) for well in plan.wells)
    per_field = profile.frames_per_field
    most = all_fields
    notes = []
    limits = plan.limits
    if limits.frames is not None:
        most = min(most, limits.frames // per_field)
    if limits.disk_bytes is not None and plan.frame_bytes:
        most = min(most, limits.disk_bytes // (per_field * plan.frame_bytes))
    if most < all_fields:
        notes.append(f"the budget holds {most} of the {all_fields} fields: the policy chooses which")
    seconds = sweep_s(plan, most, loaded.setup.fields_per_visit)
    frames = most * per_field
    if profile.time_points > 1:
        frames, seconds, said = _time_lapse(plan, profile, seconds)
        notes += said
    if loaded.setup.objects is not None:
        looks, looks_s, said = _close_looks(loaded)
        frames = frames + looks if limits.frames is None else min(frames + looks, limits.frames)
        seconds += looks_s
        notes += said
    if limits.duration_s is not None and seconds > limits.duration_s:
        notes.append(
            f"limits.duration ({limits.duration_s:.0f} s) will end the run first: all of it takes {seconds:.0f} s"
        )
        seconds = limits.duration_s
    if loaded.question_kind is not None:
        question = registry.load("questions", loaded.question_kind)
        say = getattr(question, "forecast", None)
        if say is not None:
            notes += say(question.Params(**loaded.question_parameters), loaded.setup)
    return Forecast(
        wells=len(plan.wells),
        fields=all_fields,
        frames=frames,
        seconds=seconds,
        disk_bytes=frames * plan.frame_bytes,
        light_s=max(profile.light_s(well.name) for well in plan.wells),
        controls=len(loaded.setup.controls),
        notes=tuple(notes),
    )


def _time_lapse(plan: Plan, profile: ProfilePlan, round_s: float) -> tuple[int, float, list[str]]:
    """Return frames and seconds of a whole time-lapse under ``main``, and whether the stage can keep up."""
    assert profile.every_s is not None
    fields = sum(len(well.fields) for well in plan.wells)
    points, all_frames = profile.time_points, fields * profile.frames_in_all
    frames = all_frames if plan.limits.frames is None else min(all_frames, plan.limits.frames)
    notes = [f"time-lapse: {points} time points of each field, every {spoken(profile.every_s)}"]
    if frames < all_frames:
        notes.append(f"limits.frames holds {frames} of the {all_frames} frames of the time-lapse: it ends early")
    if round_s > profile.every_s:
        notes.append(
            f"one round of all fields takes {spoken(round_s)}, longer than the interval: looks will be late, and about "
            f"{1 - profile.every_s / round_s:.0%} of the time points left out; take fewer fields or a longer interval"
        )
    else:
        notes.append(
            f"one round of all fields takes {spoken(round_s)} of the {spoken(profile.every_s)} between two looks"
        )
    limit_s, light_s = plan.limits.light_per_field_s, max(profile.light_s(well.name) for well in plan.wells)
    if limit_s is not None and light_s * points > limit_s * (1 + 1e-9):
        notes.append(f"limits.light_per_field holds about {math.floor(limit_s / light_s)} of the {points} time points")
    if any(other.every_s is not None for name, other in plan.profiles.items() if name != "main"):
        notes.append("looks at the fast rate come on top; the policy bounds them")
    return frames, (points - 1) * profile.every_s + round_s, notes


def _close_looks(loaded: Loaded) -> tuple[int, float, list[str]]:
    """Return frames and seconds of the second looks at objects, at the precision that is just bearable."""
    plan, search = loaded.plan, loaded.setup.objects
    assert search is not None
    first, second = plan.profiles[search.found_by], plan.profiles[search.confirmed_by]
    well = plan.wells[0].name
    bearable = float(loaded.policy_parameters.get("min_precision", 1.0))
    looks = math.ceil(search.target / bearable)
    light_s = max(first.light_s(one.name) + second.light_s(one.name) for one in plan.wells)
    notes = [
        f"{search.target} confirmed objects may take up to {looks} close looks under {second.name}, of "
        f"{second.frames_per_field} frames and {spoken(second.seconds(plan.cost, well))} each",
        f"light: {light_s:g} s of exposure at full power on an object that is found and looked at once",
    ]
    if first.objective_config != second.objective_config:
        notes.append(f"each change of objective takes {spoken(plan.cost.objective_s)}")
    limit_s = plan.limits.light_per_object_s
    if limit_s is not None and light_s > limit_s * (1 + 1e-9):
        notes.append(f"limits.light_per_object ({limit_s:g} s) leaves no light for the close look at an object")
    return looks * second.frames_per_field, looks * second.seconds(plan.cost, well), notes


def sweep_s(plan: Plan, fields: int, per_visit: int) -> float:
    """Return the seconds that `fields` fields take, some per visit, wells in plate order, again and again.

    Nothing is known of the order a policy will choose; batches are sorted by the router, so plate order is near.
    """
    profile = plan.profiles["main"]
    total = 0.0
    here: tuple[float, float] | None = None
    taken = dict.fromkeys((well.name for well in plan.wells), 0)
    left = fields
    while left > 0:
        before = left
        for well in plan.wells:
            places = well.choice[taken[well.name] : taken[well.name] + min(per_visit, left)]
            if not places:
                continue
            taken[well.name] += len(places)
            left -= len(places)
            for nth, place in enumerate(sorted(places)):
                there = (well.fields[place].x_um, well.fields[place].y_um)
                if here is not None:
                    total += plan.cost.move_s(there[0] - here[0], there[1] - here[1])
                here = there
                total += profile.seconds(plan.cost, well.name, first=nth == 0)
        if left == before:
            break
    return total + (plan.analysis_latency_s if fields else 0.0)
