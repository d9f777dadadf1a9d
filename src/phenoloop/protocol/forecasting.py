"""What a run will take at most: frames, time by the cost model, disk and light, and what its question can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phenoloop.model import Plan, ProfilePlan, WellPlan

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
            f"{self.wells} wells, {self.fields} fields, {self.controls} control wells",
            f"at most {self.frames} frames in {time}, {self.disk_bytes / 1e9:.2f} GB of images before compression",
            f"light: {self.light_s:g} s of exposure per field and visit",
            *self.notes,
        ]


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
        frames=most * per_field,
        seconds=seconds,
        disk_bytes=most * per_field * plan.frame_bytes,
        light_s=max(profile.light_s(well.name) for well in plan.wells),
        controls=len(loaded.setup.controls),
        notes=tuple(notes),
    )


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
                total += _field_s(plan, profile, well, first=nth == 0)
        if left == before:
            break
    return total + (plan.analysis_latency_s if fields else 0.0)


def _field_s(plan: Plan, profile: ProfilePlan, well: WellPlan, *, first: bool) -> float:
    cost = plan.cost
    seconds = 0.0
    for channel in profile.channels:
        seconds += cost.channel_s + profile.planes * (channel.exposure_in(well.name) / 1000 + cost.readout_s)
        seconds += len(profile.z_offsets_um) * cost.z_s
    focus = profile.autofocus
    if focus is not None and (first or focus.when == "each_field"):
        exposure = next(one.exposure_in(well.name) for one in profile.channels if one.name == focus.channel) / 1000
        seconds += cost.channel_s + focus.planes * (cost.z_s + exposure + cost.readout_s)
    return seconds
