"""What a proposal must respect whoever made it. A guard answers with None, or with the sentence of its denial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phenoloop.core.ledger import Ledger
from phenoloop.model import Plan, ProfilePlan, Proposal, WellPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why a proposal may not be carried out, in a sentence."""

    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A proposal with its names resolved and its fields clipped to what is allowed."""

    well: WellPlan
    profile: ProfilePlan
    fields: tuple[str, ...]


Clip = Callable[[Granted, Plan, Ledger, float], tuple[str, ...] | Denial]
"""A guard over resolved fields: those that may stay, or a denial."""


def inside_stage_box(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep the fields whose position the stage may be sent to, every plane of a z-stack included."""
    places = {place.name: place for place in granted.well.fields}
    offsets = granted.profile.z_offsets_um or (0.0,)

    def reachable(name: str) -> bool:
        place = places[name]
        heights = [None] if place.z_um is None else [place.z_um + offset for offset in offsets]
        return all(plan.stage.holds(place.x_um, place.y_um, height) for height in heights)

    kept = tuple(name for name in granted.fields if reachable(name))
    return kept or Denial(sentence=f"no field asked for in {granted.well.name} lies inside the stage limits")


def recorded_once(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """On a static recorded plate, keep the fields that were not imaged before."""
    if not plan.once:
        return granted.fields
    profile, well = granted.profile.name, granted.well.name
    kept = tuple(name for name in granted.fields if not ledger.was_used(profile, well, name))
    return kept or Denial(sentence=f"recorded once: every field asked for in {well} was imaged before")


def within_frames(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep as many fields as the frame budget still pays for."""
    limit = plan.limits.frames
    if limit is None:
        return granted.fields
    affordable = max(0, limit - ledger.frames) // granted.profile.frames_per_field
    kept = granted.fields[:affordable]
    return kept or Denial(sentence=f"the budget of {limit} frames is used up ({ledger.frames} planned)")


def within_disk(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep as many fields as the disk budget still pays for."""
    limit = plan.limits.disk_bytes
    if limit is None:
        return granted.fields
    affordable = max(0, limit - ledger.disk_bytes) // (granted.profile.frames_per_field * plan.frame_bytes)
    kept = granted.fields[:affordable]
    return kept or Denial(sentence=f"the disk budget of {limit / 1e9:g} GB is used up")


def within_light(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep the fields that this visit would not over-expose."""
    limit = plan.limits.light_per_field_s
    if limit is None:
        return granted.fields
    well = granted.well.name
    more = granted.profile.light_s(well)
    kept = tuple(name for name in granted.fields if ledger.light_s.get((well, name), 0.0) + more <= limit * (1 + 1e-9))
    return kept or Denial(sentence=f"every field asked for in {well} would get more than {limit:g} s of light")


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


GUARDS: tuple[Clip, ...] = (
    inside_stage_box,
    recorded_once,
    within_light,
    within_frames,
    within_disk,
)
"""In the order in which they are asked."""


def planned_bytes(plan: Plan) -> int:
    """Return the uncompressed bytes of images that a run can come to: every field once, or as many as the limits allow.

    Parameters
    ----------
    plan : Plan
        Wells, profiles, limits.
    """
    fields = sum(len(well.fields) for well in plan.wells)
    frames = max(fields * profile.frames_per_field for profile in plan.profiles.values())
    if plan.limits.frames is not None:
        frames = min(frames, plan.limits.frames)
    whole = frames * plan.frame_bytes
    return whole if plan.limits.disk_bytes is None else min(whole, plan.limits.disk_bytes)


def grant(proposal: Proposal, plan: Plan, ledger: Ledger, at_s: float) -> Granted | Denial:
    """Resolve a proposal and pass it through every guard.

    Parameters
    ----------
    proposal : Proposal
        As the policy made it.
    plan : Plan
        Allowed wells, profiles, limits.
    ledger : Ledger
        What is spent.
    at_s : float
        Run clock.

    Returns
    -------
    Granted or Denial
        A granted visit has at least one field.
    """
    well = next((well for well in plan.wells if well.name == proposal.well), None)
    if well is None:
        return Denial(sentence=f"well {proposal.well!r} is not among the selected wells")
    profile = plan.profiles.get(proposal.profile)
    if profile is None:
        return Denial(sentence=f"profile {proposal.profile!r} is not defined")
    if isinstance(proposal.fields, int):
        names = ledger.next_fields(well, profile.name, proposal.fields)
        if not names:
            return Denial(sentence=f"all {len(well.fields)} fields of {well.name} were imaged")
    else:
        known = {place.name for place in well.fields}
        if unknown := [name for name in proposal.fields if name not in known]:
            return Denial(sentence=f"{well.name} has no field {unknown[0]!r}")
        names = tuple(dict.fromkeys(proposal.fields))
    granted = Granted(well=well, profile=profile, fields=names)
    for guard in GUARDS:
        kept = guard(granted, plan, ledger, at_s)
        if isinstance(kept, Denial):
            return kept
        granted = Granted(well=well, profile=profile, fields=kept)
    # A stage walks the well in its own order, whatever the order of choice was.
    order = {place.name: i for i, place in enumerate(well.fields)}
    return Granted(well=well, profile=profile, fields=tuple(sorted(granted.fields, key=order.__getitem__)))
