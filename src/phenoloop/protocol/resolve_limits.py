"""Whether limits, autonomy and metering can be kept on this plate, and what the core is told of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from phenoloop.model import Autonomy, Limits, ProfilePlan, WellPlan
from phenoloop.protocol.limit_models import VETO_S, AutonomyBlock, LimitsBlock
from phenoloop.protocol.models import Protocol
from phenoloop.protocol.plugin_blocks import Chosen
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.yaml_source import Source


def plan_limits(block: LimitsBlock) -> Limits:
    """Return the limits in plain numbers."""
    every = block.controls_every
    return Limits(
        frames=block.frames,
        duration_s=block.duration,
        disk_bytes=block.disk,
        light_per_field_s=block.light_per_field,
        light_per_object_s=block.light_per_object,
        revisits_per_field=block.revisits_per_field,
        revisit_interval_s=block.revisit_interval,
        objective_changes_per_hour=block.objective_changes_per_hour,
        share_per_well=block.share_per_well,
        controls_every_s=None if every is None else every.seconds,
        controls_every_visits=None if every is None else every.visits,
    )


def plan_autonomy(block: str | AutonomyBlock) -> Autonomy:
    """Return what a person is asked, in plain values."""
    if isinstance(block, str):
        block = AutonomyBlock.model_validate({"level": block})
    if block.level == "veto":
        within_s = VETO_S if block.within is None else block.within
        return Autonomy(level="veto", acts=block.for_, within_s=within_s, otherwise="go")
    return Autonomy(level=block.level, acts=block.for_, within_s=block.within, otherwise=block.otherwise)


def batch_of(policy: Chosen | None) -> int:
    """Return how many visits a policy is asked for at a time."""
    return int(getattr(policy.params, "wells_per_batch", 8)) if policy is not None else 8


def room_of(policy: Chosen, autonomy: Autonomy) -> int:
    """Return how many visits may be under way: as the protocol says, or as suits the policy.

    Where a person answers for a batch, the batch before gives the time to do so.
    """
    if given := getattr(policy.params, "in_flight", None):
        return int(given)
    ahead = getattr(policy.params, "ahead", 1.0) if autonomy.level == "unattended" else 1.0
    batch = batch_of(policy)
    return batch + math.ceil(ahead * batch)


def check_limits(
    protocol: Protocol,
    profiles: Mapping[str, ProfilePlan],
    wells: Sequence[WellPlan],
    controls: Sequence[str],
    frame_bytes: int,
    source: Source,
    problems: Problems,
    *,
    batch: int,
    once: bool,
) -> None:
    """Report what no run could keep: budgets below one field, shares of nothing, controls that do not exist.

    Parameters
    ----------
    protocol : Protocol
        Of the right shape.
    profiles, wells, controls
        As planned.
    frame_bytes : int
        Uncompressed size of a frame.
    source, problems
        For messages.
    batch : int
        Visits asked for at a time.
    once : bool
        The plate is a recorded one, whose images were exposed long ago.
    """
    limits = protocol.limits

    def refuse(key: str, said: str) -> None:
        problems.add(source.problem(("limits", key), said))

    for profile in profiles.values():
        under = "" if profile.name == "main" else f" under {profile.name!r}"
        frames = profile.frames_per_field
        if limits.frames is not None and limits.frames < frames:
            refuse("frames", f"one field takes {frames} frames{under}, so nothing could be imaged; allow at least that")
        if limits.disk is not None and limits.disk < frames * frame_bytes:
            size = f"{frames * frame_bytes / 1e6:.1f} MB"
            refuse("disk", f"one field takes {size}{under}, so nothing could be imaged; allow at least that")
        light = max((profile.light_s(well.name) for well in wells), default=0.0)
        for key in ("light_per_field", "light_per_object"):
            limit = getattr(limits, key)
            if limit is not None and limit < light:
                said = f"one visit gives a field {light:g} s of light{under}, so nothing could be imaged"
                refuse(key, f"{said}; allow at least that, or expose less")
        share = plan_limits(limits).frames_per_well
        if share is not None and share < frames:
            said = f"that is {share} frames for a well, and one field takes {frames}{under}: nothing could be imaged"
            refuse("share_per_well", said)
        if limits.light_per_object is not None and profile.frame_um is None and wells:
            refuse(
                "light_per_object", f"the size of a frame{under} is not known; give the camera in the microscope file"
            )
        if once and any(channel.auto is not None for channel in profile.channels):
            said = "recorded images were exposed long ago: give exposures here, such as exposure: 20 ms"
            problems.add(source.problem(("imaging", "channels"), said, key=True))
    if limits.share_per_well is not None and limits.frames is None:
        refuse("share_per_well", "a share of what? Give limits.frames too")
    every = limits.controls_every
    if every is not None and not controls:
        refuse(
            "controls_every", "the question names no controls; write question: controls:, such as treatment == 'DMSO'"
        )
    elif every is not None and every.visits is not None and every.visits < (least := len(controls) + 2 * batch):
        said = (
            f"with {len(controls)} controls and batches of {batch} visits, {every.visits} visits cannot be kept to; "
            f"use at least {least} visits, or smaller batches"
        )
        refuse("controls_every", said)
