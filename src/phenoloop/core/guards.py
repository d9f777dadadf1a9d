"""What a proposal must respect, whoever made it: the list of the guards, and those that ask where it goes.

Those that ask what it costs are in `budgets`. A guard answers with the fields that may stay, or with a denial: a
sentence that is recorded and told to the policy.
"""

from __future__ import annotations

from dataclasses import replace

from phenoloop.core.budgets import (
    after_interval,
    within_disk,
    within_duration,
    within_frames,
    within_light,
    within_light_of_objects,
    within_objective_changes,
    within_revisits,
    within_share,
)
from phenoloop.core.granting import Clip, Denial, Granted
from phenoloop.core.ledger import Ledger
from phenoloop.core.router import walk
from phenoloop.model import Plan, Proposal, Target, WellPlan


def not_vetoed(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Refuse a well that a person took out of the run, under the profile for which that was said."""
    said = ledger.vetoed.get((granted.profile.name, granted.well.name))
    return granted.fields if said is None else Denial(sentence=f"{granted.well.name} was {said}")


def inside_stage_box(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep the fields whose position the stage may be sent to, every plane of a z-stack included."""
    offsets = granted.profile.z_offsets_um or (0.0,)

    def reachable(name: str) -> bool:
        place = granted.profile.placed(granted.place(name))
        heights = [None] if place.z_um is None else [place.z_um + offset for offset in offsets]
        return all(plan.stage.holds(place.x_um, place.y_um, height) for height in heights)

    kept = tuple(name for name in granted.fields if reachable(name))
    return kept or Denial(sentence=f"no field asked for in {granted.well.name} lies inside the stage limits")


def inside_well(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """Keep the objects that lie in the well they are said to be in; fields of the plan always do."""
    well, shape = granted.well, plan.well_shape

    def inside(target: Target) -> bool:
        def away(other: WellPlan) -> float:
            return (target.x_um - other.x_um) ** 2 + (target.y_um - other.y_um) ** 2

        if any(away(other) < away(well) for other in plan.wells):
            return False
        return shape is None or shape.holds(target.x_um - well.x_um, target.y_um - well.y_um)

    outside = {target.name for target in granted.targets if not inside(target)}
    kept = tuple(name for name in granted.fields if name not in outside)
    return kept or Denial(sentence=f"no object asked for lies inside {well.name}")


def recorded_once(granted: Granted, plan: Plan, ledger: Ledger, at_s: float) -> tuple[str, ...] | Denial:
    """On a static recorded plate, keep the fields that were not imaged before."""
    if not plan.once:
        return granted.fields
    profile, well = granted.profile.name, granted.well.name
    kept = tuple(name for name in granted.fields if not ledger.was_used(profile, well, name))
    return kept or Denial(sentence=f"recorded once: every field asked for in {well} was imaged before")


GUARDS: tuple[Clip, ...] = (
    not_vetoed,
    inside_stage_box,
    inside_well,
    recorded_once,
    within_revisits,
    after_interval,
    within_light,
    within_light_of_objects,
    within_share,
    within_frames,
    within_disk,
    within_duration,
    within_objective_changes,
)
"""In the order in which they are asked."""


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
        Run clock; a proposal that is not due yet is judged at the time at which it is.

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
    if proposal.targets:
        taken = {place.name for place in well.fields}
        if clash := [target.name for target in proposal.targets if target.name in taken]:
            return Denial(sentence=f"{well.name} has a field {clash[0]!r}: an object needs another name")
        names = tuple(dict.fromkeys(target.name for target in proposal.targets))
    elif isinstance(proposal.fields, int):
        names = ledger.next_fields(well, profile.name, proposal.fields)
        if not names:
            return Denial(sentence=f"all {len(well.fields)} fields of {well.name} were imaged")
    else:
        known = {place.name for place in well.fields}
        if unknown := [name for name in proposal.fields if name not in known]:
            return Denial(sentence=f"{well.name} has no field {unknown[0]!r}")
        names = tuple(dict.fromkeys(proposal.fields))
    granted = Granted(well=well, profile=profile, fields=names, targets=proposal.targets)
    begins_s = at_s if proposal.not_before_s is None else max(at_s, proposal.not_before_s)
    for guard in GUARDS:
        kept = guard(granted, plan, ledger, begins_s)
        if isinstance(kept, Denial):
            return kept
        granted = replace(granted, fields=kept)
    if granted.targets:
        places = [granted.place(name) for name in granted.fields]
        names = tuple(places[i].name for i in walk([(place.x_um, place.y_um) for place in places], plan.cost))
        by_name = {target.name: target for target in reversed(granted.targets)}
        return replace(granted, fields=names, targets=tuple(by_name[name] for name in names))
    # A stage walks the well in its own order, whatever the order of choice was.
    order = {place.name: i for i, place in enumerate(well.fields)}
    return Granted(well=well, profile=profile, fields=tuple(sorted(granted.fields, key=order.__getitem__)))
