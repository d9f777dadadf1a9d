"""The guards over what is spent: frames, disk, light, time, visits, objective changes. They count what is reserved too.

Money is reserved when a visit is dispatched, at the most it can take, and settled when it is told. So no order of
proposals, failures and late results can pass a limit.
"""

from __future__ import annotations

from phenoloop.core.granting import Denial, Granted
from phenoloop.core.ledger import Ledger
from phenoloop.model import Plan


def within_duration(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Refuse a visit that would only begin when the time is over."""
    limit = plan.limits.duration_s
    if limit is None or at_s < limit:
        return granted.fields
    return Denial(sentence=f"{granted.well.name} would be imaged after the end of the run ({limit:g} s)")


def within_revisits(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep the fields that were not visited as often as is allowed."""
    limit, well = plan.limits.revisits_per_field, granted.well.name
    if limit is None:
        return granted.fields
    kept = tuple(name for name in granted.fields if ledger.visits_of(well, name) <= limit)
    return kept or Denial(sentence=f"every field asked for in {well} was visited {limit + 1} times, which is the limit")


def after_interval(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep the fields that have rested since their last visit; one that is under way has not."""
    interval, well = plan.limits.revisit_interval_s, granted.well.name
    if interval is None:
        return granted.fields
    free = {name: ledger.visited_until_s(well, name) + interval for name in granted.fields}
    kept = tuple(name for name, until_s in free.items() if at_s >= until_s)
    if kept:
        return kept
    soonest = min(free.values())
    if soonest == float("inf"):
        return Denial(sentence=f"every field asked for in {well} is being visited; they then rest for {interval:g} s")
    return Denial(sentence=f"every field asked for in {well} was visited less than {interval:g} s ago", until_s=soonest)


def within_light(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep the fields that this visit would not over-expose."""
    limit = plan.limits.light_per_field_s
    if limit is None:
        return granted.fields
    well, profile = granted.well.name, granted.profile

    def affordable(name: str) -> bool:
        more = profile.light_s(well, ledger.times_given(profile.name, well, name))
        return ledger.light.field_holds(well, name, more)

    kept = tuple(name for name in granted.fields if affordable(name))
    return kept or Denial(sentence=f"every field asked for in {well} would get more than {limit:g} s of light")


def within_light_of_objects(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep the fields in which no object would be over-exposed, by whatever frames showed it before.

    The fields of one visit may overlap, so each sees the light of those before it.
    """
    limit = plan.limits.light_per_object_s
    if limit is None:
        return granted.fields
    well, profile = granted.well.name, granted.profile
    # Only fields of one visit can change what the next of them sees.
    trial = ledger.light.copy() if len(granted.fields) > 1 else ledger.light
    kept = []
    for name in granted.fields:
        frame = trial.frame_of(profile, granted.place(name))
        more = profile.light_s(well, ledger.times_given(profile.name, well, name))
        if trial.frame_holds(frame, more):
            kept.append(name)
            if trial is not ledger.light:
                trial.by_place.add(frame, more)
    if kept:
        return tuple(kept)
    return Denial(
        sentence=f"every field asked for in {well} shows objects that would get more than {limit:g} s of light"
    )


def within_frames(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep as many fields as the frame budget still pays for."""
    limit = plan.limits.frames
    if limit is None:
        return granted.fields
    affordable = max(0, limit - ledger.frames) // granted.profile.frames_per_field
    kept = granted.fields[:affordable]
    return kept or Denial(sentence=f"the budget of {limit} frames is used up ({ledger.frames} planned)")


def within_share(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep as many fields as the well's share of the frames still pays for."""
    limit, well = plan.limits.frames_per_well, granted.well.name
    if limit is None:
        return granted.fields
    used = ledger.frames_in.get(well, 0)
    kept = granted.fields[: max(0, limit - used) // granted.profile.frames_per_field]
    return kept or Denial(sentence=f"{well} has had its share of the frames ({used} of {limit})")


def within_disk(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep as many fields as the disk budget still pays for."""
    limit = plan.limits.disk_bytes
    if limit is None:
        return granted.fields
    affordable = max(0, limit - ledger.disk_bytes) // (granted.profile.frames_per_field * plan.frame_bytes)
    kept = granted.fields[:affordable]
    return kept or Denial(sentence=f"the disk budget of {limit / 1e9:g} GB is used up")


def within_objective_changes(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Refuse a visit for which the turret would turn once too often within an hour."""
    limit, turret = plan.limits.objective_changes_per_hour, ledger.turret
    if limit is None:
        return granted.fields
    more = turret.changes_with(granted.profile.objective_config)
    if turret.in_hour_before(at_s) + more <= limit:
        return granted.fields
    sentence = f"the objective was changed {turret.in_hour_before(at_s)} times within an hour, and {limit} are allowed"
    return Denial(sentence=sentence, until_s=None if more > limit else turret.free_at_s(limit - more))


def budget_spent(plan: Plan, ledger: Ledger, at_s: float) -> str:
    """Return the sentence with which a run ends for want of budget, or an empty string while it may go on.

    Parameters
    ----------
    plan : Plan
        Limits.
    ledger : Ledger
        What is spent.
    at_s : float
        Run clock.
    """
    limits, smallest = plan.limits, min(profile.frames_per_field for profile in plan.profiles.values())
    if limits.duration_s is not None and at_s >= limits.duration_s:
        return f"the duration of {limits.duration_s:g} s is used up"
    if limits.frames is not None and ledger.frames + smallest > limits.frames:
        return f"the budget of {limits.frames} frames is used up ({ledger.frames} planned)"
    if limits.disk_bytes is not None and ledger.disk_bytes + smallest * plan.frame_bytes > limits.disk_bytes:
        return f"the disk budget of {limits.disk_bytes / 1e9:g} GB is used up"
    return ""


def planned_bytes(plan: Plan) -> int:
    """Return the uncompressed bytes of images that a run can come to, or as many as the limits allow.

    Every field is imaged once, or, in a time-lapse, at every time point.

    Parameters
    ----------
    plan : Plan
        Wells, profiles, limits.
    """
    fields = sum(len(well.fields) for well in plan.wells)
    frames = max(fields * profile.frames_in_all for profile in plan.profiles.values())
    if plan.limits.frames is not None:
        frames = min(frames, plan.limits.frames)
    whole = frames * plan.frame_bytes
    return whole if plan.limits.disk_bytes is None else min(whole, plan.limits.disk_bytes)
