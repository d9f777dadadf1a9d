"""A visit as useq events: where each frame is taken, and which frames the hardware may take in one sequence.

The address of a frame travels in `MDAEvent.metadata`, so a viewer that listens to the core knows what it sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pymmcore_plus import CMMCorePlus
from useq import CustomAction, MDAEvent

from phenoloop.microscope.metering import METER, Spot
from phenoloop.microscope.private import EventCombiner, SequencedEvent
from phenoloop.model import AutofocusPlan, ChannelPlan, FieldPlace, FrameAddress, Plan, ProfilePlan, StageBox, Visit

ADDRESS: Final = "phenoloop"
"""Key of a frame's `FrameAddress` in `MDAEvent.metadata`."""
SWEEP: Final = "phenoloop_sweep"
"""Key of a `Sweep` in `MDAEvent.metadata`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """An autofocus that is to be made.

    Attributes
    ----------
    plan : AutofocusPlan
        How.
    channel : ChannelPlan
        In which light.
    place : FieldPlace
        Where.
    fields : tuple of str
        Names of the fields that will be imaged at what it finds.
    """

    plan: AutofocusPlan
    channel: ChannelPlan
    place: FieldPlace
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Fields of a visit that are imaged at one focus, and the autofocus before them."""

    places: tuple[FieldPlace, ...]
    sweep: Sweep | None


def address_of(event: MDAEvent) -> FrameAddress:
    """Return the address of the frame that an event takes."""
    address = event.metadata[ADDRESS]
    assert isinstance(address, FrameAddress)
    return address


def single_events(event: MDAEvent) -> tuple[MDAEvent, ...]:
    """Return the events of a hardware sequence, or the event itself."""
    return tuple(event.events) if isinstance(event, SequencedEvent) else (event,)


def known(value: float | None) -> float:
    """Return a value that every event of ours has, though useq allows None."""
    assert value is not None
    return value


def addresses_of(event: MDAEvent) -> list[FrameAddress]:
    """Return the frames an event takes; none for an autofocus or a metering."""
    looks_only = SWEEP in event.metadata or METER in event.metadata
    return [] if looks_only else [address_of(single) for single in single_events(event)]


def field_and_channel(event: MDAEvent) -> tuple[str, str]:
    """Return the protocol's names of where an event is, of its first frame for a burst."""
    if SWEEP in event.metadata:
        sweep: Sweep = event.metadata[SWEEP]
        return sweep.place.name, sweep.channel.name
    if METER in event.metadata:
        spot: Spot = event.metadata[METER]
        return spot.place.name, spot.channel.name
    address = address_of(single_events(event)[0])
    return address.field, address.channel


def outside(event: MDAEvent, box: StageBox) -> str:
    """Return why an event may not be taken; empty if every place it goes to is inside the stage limits.

    Parameters
    ----------
    event : MDAEvent
        One frame, or a hardware sequence.
    box : StageBox
        Where the stage may be sent.
    """
    for single in single_events(event):
        x, y, z = single.x_pos, single.y_pos, single.z_pos
        if x is None or y is None:
            return "the event names no stage position"
        if not box.holds(x, y, z):
            height = "" if z is None else f", z {z:g}"
            return f"({x:g}, {y:g}{height}) um is outside the stage limits"
    return ""


def blocks_of(visit: Visit, plan: Plan) -> list[Block]:
    """Return the parts of a visit between which the focus may change.

    Raises
    ------
    KeyError
        If the visit names a well, field or profile that the plan lacks.
    """
    profile = plan.profiles[visit.profile]
    places = tuple(profile.placed(plan.place(visit.well, field)) for field in visit.fields)
    autofocus = profile.autofocus
    if autofocus is None:
        return [Block(places=places, sweep=None)]
    channel = next(channel for channel in profile.channels if channel.name == autofocus.channel)
    groups = [(place,) for place in places] if autofocus.when == "each_field" else [places]
    return [
        Block(
            places=group,
            sweep=Sweep(plan=autofocus, channel=channel, place=group[0], fields=tuple(place.name for place in group)),
        )
        for group in groups
    ]


def sweep_event(visit: Visit, sweep: Sweep) -> MDAEvent:
    """Return the event that makes an autofocus; it takes no frame."""
    return MDAEvent(
        pos_name=f"{visit.well}_{sweep.place.name}",
        x_pos=sweep.place.x_um,
        y_pos=sweep.place.y_um,
        channel={"group": sweep.channel.group, "config": sweep.channel.config},
        exposure=sweep.channel.exposure_in(visit.well),
        action=CustomAction(name="phenoloop autofocus"),
        metadata={SWEEP: sweep},
    )


def frame_event(address: FrameAddress, place: FieldPlace, channel: ChannelPlan, z_um: float | None) -> MDAEvent:
    """Return the event that takes one frame; `z_um` None commands no focus."""
    return MDAEvent(
        index={"t": address.t, "p": address.image, "c": address.c, "z": address.z},
        pos_name=f"{address.well}_{address.field}",
        x_pos=place.x_um,
        y_pos=place.y_um,
        z_pos=z_um,
        channel={"group": channel.group, "config": channel.config},
        exposure=channel.exposure_in(address.well),
        metadata={ADDRESS: address},
    )


def uses_focus(profile: ProfilePlan, places: Sequence[FieldPlace]) -> bool:
    """Return whether the focus drive is commanded at all."""
    commanded = bool(profile.z_offsets_um) or profile.autofocus is not None or profile.offset_um[2] != 0
    return commanded or any(place.z_um is not None for place in places)


class Merger:
    """Joins events into hardware sequences, never beyond the events it is given at once.

    Parameters
    ----------
    core : CMMCorePlus
        Asked what its devices can do by themselves.
    """

    def __init__(self, core: CMMCorePlus) -> None:
        self._combiner = EventCombiner(core)

    def merge(self, events: Sequence[MDAEvent]) -> Iterator[MDAEvent]:
        """Yield the events, joined where the hardware allows, in the same order."""
        if len(events) < 2:
            yield from events
            return
        for event in events:
            joined = self._combiner.feed_event(event)
            if joined is not None:
                yield joined
        last = self._combiner.flush()
        if last is not None:
            yield last
