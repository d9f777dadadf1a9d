"""Whether a time-lapse can be what the protocol asks for: an end, and the channels that each time point needs."""

from __future__ import annotations

import dataclasses

from phenoloop.model import AnalysisPlan, ProfilePlan
from phenoloop.protocol.imaging_models import Imaging
from phenoloop.protocol.limit_models import LimitsBlock
from phenoloop.protocol.plugin_blocks import Chosen
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.yaml_source import Path, Source


def with_end(
    profile: ProfilePlan, imaging: Imaging, limits: LimitsBlock, source: Source, problems: Problems, path: Path
) -> ProfilePlan:
    """Return the profile ``main`` with the end of its time-lapse; one that cannot be is a problem.

    Parameters
    ----------
    profile : ProfilePlan
        As planned from `imaging`.
    imaging : Imaging
        The block.
    limits : LimitsBlock
        ``duration`` is the end where ``for`` is not given.
    path : tuple
        Where the block stands.
    """
    if imaging.every is None:
        if imaging.for_ is not None:
            said = "a time-lapse needs its interval too: write every: here, such as every: 5 min"
            problems.add(source.problem((*path, "for"), said, key=True))
            return profile
        for index, channel in enumerate(imaging.channels):
            if channel.acquire_every > 1:
                said = "acquire_every counts the time points of a time-lapse, and there is no `every:` in imaging"
                problems.add(source.problem((*path, "channels", index, "acquire_every"), said, key=True))
        return profile
    end = imaging.for_ if imaging.for_ is not None else limits.duration
    if end is None:
        said = "say how long the time-lapse goes on: for: here, or limits.duration"
        problems.add(source.problem((*path, "every"), said, key=True))
        return profile
    if end < imaging.every:
        said = f"the time-lapse ends after {end:g} s, before its second time point at {imaging.every:g} s"
        problems.add(source.problem((*path, "every"), said))
    if all(channel.acquire_every > 1 for channel in imaging.channels):
        said = (
            "every channel is left out at some time points, so some would have no image; one must have acquire_every: 1"
        )
        problems.add(source.problem((*path, "channels"), said, key=True))
    return dataclasses.replace(profile, for_s=end)


def with_gaps(analysis: AnalysisPlan, profile: ProfilePlan, source: Source, problems: Problems) -> AnalysisPlan:
    """Return the analysis that lives with channels that are absent now and then; objects must be found every time.

    Parameters
    ----------
    analysis : AnalysisPlan
        Of this profile.
    profile : ProfilePlan
        Says how often each channel is imaged.
    """
    sometimes = tuple(channel.name for channel in profile.channels if channel.acquire_every > 1)
    if analysis.segment is not None and analysis.segment.channel in sometimes:
        said = (
            f"objects are found in {analysis.segment.channel}, and its acquire_every leaves it out at some time "
            "points; image it every time, or find objects in another channel"
        )
        problems.add(source.problem(("analysis", "segment", "channel"), said))
    return dataclasses.replace(analysis, sometimes=sometimes)


def check_policy(policy: Chosen | None, profile: ProfilePlan, source: Source, problems: Problems) -> None:
    """Refuse a policy that looks at each field once where the protocol asks for a time-lapse.

    A policy says with a class attribute ``time_lapse = True`` that it goes by `ProfilePlan.every_s`; of a policy that
    is made of others, one must.
    """
    if policy is None or profile.every_s is None or _goes_by_time(policy):
        return
    said = (
        f"the policy {policy.kind} does not go by imaging.every, so there would be no time-lapse; use sweep or events, "
        "or take `every:` out"
    )
    problems.add(source.problem(("policy", "kind"), said))


def _goes_by_time(policy: Chosen) -> bool:
    return getattr(policy.plugin, "time_lapse", False) or any(_goes_by_time(part) for part in policy.parts)
