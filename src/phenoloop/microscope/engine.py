"""The acquisition engine that delivers no frame at a state that was not reached.

The engine of pymmcore-plus logs a refusal of stage, channel, exposure or camera and goes on with a wrong frame. This
one brings every piece of state to its place, reads it back, tries again, and gives up the frame, with its reason, if it
must. Frames go to the sink by a plain call; the signals that viewers listen to come after that and decide nothing.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray
from pymmcore_plus import CMMCorePlus
from pymmcore_plus.mda import MDAEngine, SkipEvent
from useq import MDAEvent

from phenoloop.errors import FrameError
from phenoloop.microscope import burst
from phenoloop.microscope.clock import Clock
from phenoloop.microscope.events import (
    SWEEP,
    Sweep,
    address_of,
    addresses_of,
    field_and_channel,
    known,
    single_events,
)
from phenoloop.microscope.exposing import Exposer, Shot
from phenoloop.microscope.focus import Focus
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.metering import METER, MeterTally, Spot
from phenoloop.microscope.optics import Optics
from phenoloop.microscope.placing import Placer, State
from phenoloop.microscope.private import SequencedEvent
from phenoloop.microscope.tally import Tally
from phenoloop.microscope.virtual.camera import Look
from phenoloop.model import FrameAddress, Plan, StoredFrame
from phenoloop.numerics.autofocus import tenengrad
from phenoloop.numerics.metering import NothingToMeter, meter

log = logging.getLogger(__name__)

Payload = tuple[NDArray[Any], MDAEvent, dict[str, Any]]
SALTS_PER_VISIT = 10_000
"""Looks of one visit that are no frame have their own noise, the same one in a replay."""


class StrictEngine(MDAEngine):
    """Takes the frames of the visit it is given, or says why not.

    Parameters
    ----------
    core : CMMCorePlus
        The loaded core.
    plan : Plan
        Profiles.
    placer : Placer
        Brings the hardware into the state of an event.
    exposer : Exposer
        Takes the pictures.
    optics, focus : Optics, Focus
        How the objective in place sees; where the focus is found.
    clock : Clock
        Says when a frame was taken.
    gate : Gate
        Says why no further frame is taken.
    """

    def __init__(
        self,
        core: CMMCorePlus,
        *,
        plan: Plan,
        placer: Placer,
        exposer: Exposer,
        optics: Optics,
        focus: Focus,
        clock: Clock,
        gate: Gate,
    ) -> None:
        super().__init__(core, use_hardware_sequencing=True, restore_initial_state=False)
        self._plan = plan
        self._placer = placer
        self._exposer = exposer
        self._optics = optics
        self._focus = focus
        self._clock = clock
        self._gate = gate
        self._tally: Tally | None = None
        self._looks = 0
        self._began = 0.0

    def begin(self, tally: Tally) -> None:
        """Start to work for a visit; nothing that was proven before is trusted.

        Raises
        ------
        KeyError
            If the visit names a well, field or profile that the plan lacks.
        """
        self._tally = tally
        self._looks = 0
        self._placer.begin(tally)
        for field, reason in self._exposer.begin(tally).items():
            self._placer.give_up(field, reason)

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan
        self._placer.use(plan)
        self._exposer.use(plan)

    @property
    def tally(self) -> Tally:
        """The account of the present visit."""
        assert self._tally is not None
        return self._tally

    # -- what the runner calls ---------------------------------------------------------------------------------------

    def setup_event(self, event: MDAEvent) -> None:
        """Bring the hardware into the state of an event, or skip it with its frames missing."""
        self._began = time.perf_counter()
        try:
            self._placer.reach(event)
        except FrameError as error:
            self._give_up(event, str(error))
            raise SkipEvent(len(addresses_of(event)), str(error)) from error

    def exec_event(self, event: MDAEvent) -> Iterator[Payload]:  # type: ignore[override]
        """Take the frames of an event, deliver each to the sink, then show it to viewers."""
        try:
            if SWEEP in event.metadata:
                self._sweep(event)
            elif METER in event.metadata:
                self._meter(event)
            elif isinstance(event, SequencedEvent):
                yield from self._burst(event)
            else:
                yield self._single(event)
        except FrameError as error:
            self._give_up(event, str(error))

    def teardown_event(self, event: MDAEvent) -> None:
        """Disarm the devices of a burst. The shutter is the core's business (auto shutter) or `Steps.rest`'s."""
        if isinstance(event, SequencedEvent):
            burst.halt(self.mmcore, event)
            self._placer.stepped()

    def _give_up(self, event: MDAEvent, reason: str) -> None:
        reason = self._gate.reason or reason
        if METER in event.metadata:
            spot: Spot = event.metadata[METER]
            assert isinstance(self.tally, MeterTally)
            self.tally.refuse(spot, f"was not reached: {reason}")
            self._placer.try_again(spot.place.name)  # the same field of the next well is another place
            return
        if SWEEP in event.metadata and not self._gate.halted():
            self._lose_focus(event.metadata[SWEEP], reason)
        for address in addresses_of(event):
            self.tally.miss(address, reason)

    # -- one frame ---------------------------------------------------------------------------------------------------

    def _single(self, event: MDAEvent) -> Payload:
        address = address_of(event)
        pixels, attempts = self._snap(event, self._look(event, address))
        return self._hand_over(event, pixels, attempts, self._placer.state)

    def _snap(self, event: MDAEvent, look: Look) -> tuple[NDArray[Any], int]:
        """Take one picture; after a refusal every piece of state is brought to its place again."""
        field, channel = field_and_channel(event)
        shot = Shot(field, channel, known(event.exposure), look)
        return self._exposer.snap(shot, lambda: self._placer.reach_anew(event), self.tally.reporter(field, channel))

    def _hand_over(self, event: MDAEvent, pixels: NDArray[Any], attempts: int, state: State) -> Payload:
        """Deliver a picture with the state that was read back; return what viewers are shown."""
        frame = StoredFrame(
            address=address_of(event),
            exposure_ms=state.exposure_ms,
            x_um=state.x_um,
            y_um=state.y_um,
            z_um=state.z_um,
            at_s=self._clock.now_s(),
            attempts=attempts,
        )
        now = time.perf_counter()
        self.tally.deliver(frame, pixels, (now - self._began) * 1000)
        self._began = time.perf_counter()
        position = {"x": state.x_um, "y": state.y_um} | ({} if state.z_um is None else {"z": state.z_um})
        metadata: dict[str, Any] = {
            "format": "frame-dict",
            "version": "1.0",
            "mda_event": event,
            "camera_device": self.mmcore.getCameraDevice(),
            "exposure_ms": state.exposure_ms,
            "pixel_size_um": self._optics.pixel_size_um,
            "position": position,
            "property_values": (),
        }
        return pixels, event, metadata

    # -- several frames ----------------------------------------------------------------------------------------------

    def _burst(self, event: SequencedEvent) -> Iterator[Payload]:
        singles = single_events(event)
        report = self.tally.reporter(*field_and_channel(event))
        shots = [self._shot_of_burst(single) for single in singles]
        pictures, attempts = self._exposer.burst(event, shots, lambda: self._placer.reach_anew(event), report)
        for single, pixels in zip(singles, pictures, strict=True):
            # What the hardware stepped through by itself cannot be read back frame by frame.
            state = self._placer.state
            if event.x_sequence:
                state = dataclasses.replace(state, x_um=known(single.x_pos), y_um=known(single.y_pos))
            if event.z_sequence:
                state = dataclasses.replace(state, z_um=single.z_pos)
            if event.exposure_sequence:
                state = dataclasses.replace(state, exposure_ms=known(single.exposure))
            yield self._hand_over(single, pixels, attempts, state)

    def _shot_of_burst(self, single: MDAEvent) -> Shot:
        address = address_of(single)
        look = dataclasses.replace(self._look(single, address), z_um=single.z_pos)
        return Shot(address.field, address.channel, known(single.exposure), look)

    # -- focus -------------------------------------------------------------------------------------------------------

    def _sweep(self, event: MDAEvent) -> None:
        sweep: Sweep = event.metadata[SWEEP]
        look = self._look(event, None)

        def sharpness(_: int) -> float:
            self._looks += 1
            salt = self.tally.command.visit.number * SALTS_PER_VISIT + self._looks
            pixels, _attempts = self._snap(event, dataclasses.replace(look, salt=salt))
            return tenengrad(pixels)

        report = self.tally.reporter(sweep.place.name, sweep.channel.name)
        offset_um = self._plan.profiles[self.tally.command.visit.profile].offset_um[2]
        found_um = self._focus.sweep(sweep.plan, sweep.place, sharpness, report, offset_um=offset_um)
        visit = self.tally.command.visit
        log.info("visit %d, %s, field %s: in focus at %.2f um", visit.number, visit.well, sweep.place.name, found_um)

    def _meter(self, event: MDAEvent) -> None:
        """Find the exposure of a channel at one place; what is dark or saturated there is noted, not raised."""
        spot: Spot = event.metadata[METER]
        tally = self.tally
        assert isinstance(tally, MeterTally)
        assert spot.channel.auto is not None
        look = self._look(event, None)

        def picture(exposure_ms: float) -> NDArray[Any]:
            self._looks += 1
            tally.looked(spot)
            asked = event.replace(exposure=exposure_ms)
            self._placer.reach(asked)
            # Visit 0 is no visit, so no other look has these salts.
            return self._snap(asked, dataclasses.replace(look, salt=self._looks))[0]

        full = 2.0 ** self.mmcore.getImageBitDepth() - 1
        try:
            tally.found(spot, meter(picture, spot.channel.auto, spot.channel.exposure_ms, full))
        except NothingToMeter as error:
            tally.refuse(spot, str(error))

    def _lose_focus(self, sweep: Sweep, reason: str) -> None:
        """Say that there is no focus; the fields are imaged where the drive was before, or not at all."""
        self.tally.reporter(sweep.place.name, sweep.channel.name)("autofocus", reason, 1)
        if sweep.plan.if_fails == "skip":
            for field in sweep.fields:
                self._placer.give_up(field, reason)

    def _look(self, event: MDAEvent, address: FrameAddress | None) -> Look:
        assert event.channel is not None
        _, channel = field_and_channel(event)
        return Look(
            address=address,
            group=event.channel.group,
            channel=channel,
            pixel_size_um=self._optics.pixel_size_um,
            offset_um=self._optics.offset_um,
        )
