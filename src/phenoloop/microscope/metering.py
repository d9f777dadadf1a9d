"""Metering before the first decision: looks that are no frames, from which the exposures of a run follow.

To the microscope it is a visit without frames, so queue, pause, stop, hang and light are dealt with as for any other;
only its end is another one. What is found is rounded once and used as it is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from useq import CustomAction, MDAEvent

from phenoloop.core.metering import first_field
from phenoloop.microscope.tally import Tally
from phenoloop.model import (
    Acquire,
    ChannelPlan,
    ExposuresSet,
    FieldPlace,
    Meter,
    MeteredChannel,
    MeteringFailed,
    Plan,
    Visit,
)
from phenoloop.numerics.metering import Metered
from phenoloop.ports import FrameSink

METER: Final = "phenoloop_meter"
"""Key of a `Spot` in `MDAEvent.metadata`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One channel that is to be metered at one place."""

    profile: str
    channel: ChannelPlan
    well: str
    place: FieldPlace


class MeterTally(Tally):
    """The running account of a metering.

    Parameters
    ----------
    command : Meter
        Where.
    plan : Plan
        Which channels, and how far they may go.
    sink : FrameSink
        Gets `ExposuresSet` or `MeteringFailed`.
    """

    def __init__(self, command: Meter, plan: Plan, sink: FrameSink) -> None:
        nothing = Visit(number=0, decision=0, well=command.wells[0], profile="", fields=(), channels=())
        super().__init__(Acquire(at_s=command.at_s, visit=nothing), sink)
        self._plan = plan
        self._wells = command.wells
        self._found: dict[tuple[str, str], list[Metered]] = {}
        self._looks: dict[tuple[str, str], int] = {}
        self._refusals: dict[tuple[str, str], dict[str, None]] = {}
        self._light: dict[str, dict[str, float]] = {}
        self.exposures: ExposuresSet | None = None
        """What was found, once it has ended well."""

    def spots(self) -> Iterator[Spot]:
        """Yield what is to be metered, place by place under each profile."""
        for profile in self._plan.profiles.values():
            channels = [channel for channel in profile.channels if channel.auto is not None]
            for name in self._wells if channels else ():
                well = self._plan.well(name)
                field = first_field(well)
                place = profile.placed(next(place for place in well.fields if place.name == field))
                self.command = replace(self.command, visit=replace(self.command.visit, well=name, profile=profile.name))
                for channel in channels:
                    yield Spot(profile=profile.name, channel=channel, well=name, place=place)

    def found(self, spot: Spot, metered: Metered) -> None:
        """Note the exposure of a channel at one place."""
        self._found.setdefault((spot.profile, spot.channel.name), []).append(metered)

    def looked(self, spot: Spot) -> None:
        """Note one look."""
        key = (spot.profile, spot.channel.name)
        self._looks[key] = self._looks.get(key, 0) + 1

    def refuse(self, spot: Spot, reason: str) -> None:
        """Note that there was nothing to meter at one place, or that it was not reached."""
        self._refusals.setdefault((spot.profile, spot.channel.name), {})[f"{reason} (in {spot.well})"] = None

    def light(self, field: str, exposure_ms: float, address: object = None) -> None:
        """Note light on the field of the present well."""
        with self._lock:
            if self._ended:
                return
            self._exposures += 1
            fields = self._light.setdefault(self.command.visit.well, {})
            fields[field] = fields.get(field, 0.0) + exposure_ms / 1000

    def end(self, at_s: float, reason: str = "") -> bool:
        """Close the account and tell the sink, unless that was done before. Returns whether this call did it."""
        with self._lock:
            if self._ended:
                return False
            self._ended = True
            light_s = {w: {f: round(s, 9) for f, s in fields.items()} for w, fields in self._light.items()}
            problem = f"metering: {reason}" if reason else self._problem()
            if problem:
                failed = MeteringFailed(at_s=at_s, reason=problem, light_s=light_s, exposures=self._exposures)
                self._sink.metered(failed)
                return True
            channels = tuple(self._settled(profile, name) for profile, name in self._found)
            self.exposures = ExposuresSet(at_s=at_s, channels=channels, light_s=light_s, exposures=self._exposures)
            self._sink.metered(self.exposures)
            return True

    def _problem(self) -> str:
        for profile in self._plan.profiles.values():
            for channel in profile.channels:
                if channel.auto is None or (profile.name, channel.name) in self._found:
                    continue
                refusals = "; ".join(self._refusals.get((profile.name, channel.name), {})) or "it was not looked at"
                under = "" if profile.name == "main" else f" under {profile.name!r}"
                return (
                    f"no exposure was found for {channel.name}{under}: it {refusals}. Look at the light path and the "
                    "focus, or give this channel an exposure of its own"
                )
        return ""

    def _settled(self, profile: str, channel: str) -> MeteredChannel:
        """Take the median of the places: neither an empty control nor one piece of debris decides."""
        found = sorted(self._found[profile, channel], key=lambda one: one.exposure_ms)
        median = found[(len(found) - 1) // 2]
        return MeteredChannel(
            profile=profile,
            channel=channel,
            exposure_ms=median.exposure_ms,
            level=round(median.level, 4),
            looks=self._looks.get((profile, channel), 0),
        )


def meter_event(spot: Spot) -> MDAEvent:
    """Return the event that meters one channel at one place; it takes no frame."""
    return MDAEvent(
        pos_name=f"{spot.well}_{spot.place.name}",
        x_pos=spot.place.x_um,
        y_pos=spot.place.y_um,
        z_pos=spot.place.z_um,
        channel={"group": spot.channel.group, "config": spot.channel.config},
        exposure=spot.channel.exposure_ms,
        action=CustomAction(name="phenoloop metering"),
        metadata={METER: spot},
    )
