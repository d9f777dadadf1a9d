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
from dataclasses import dataclass
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
    outside,
    single_events,
)
from phenoloop.microscope.focus import Focus
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.metering import METER, MeterTally, Spot
from phenoloop.microscope.optics import Optics
from phenoloop.microscope.private import SequencedEvent
from phenoloop.microscope.steps import Report, Steps, say
from phenoloop.microscope.tally import Tally
from phenoloop.microscope.virtual.camera import Look, VirtualCamera
from phenoloop.microscope.watchdog import Watchdog
from phenoloop.model import Fault, FrameAddress, Plan, StoredFrame
from phenoloop.numerics.autofocus import tenengrad
from phenoloop.numerics.metering import NothingToMeter, meter

log = logging.getLogger(__name__)

Payload = tuple[NDArray[Any], MDAEvent, dict[str, Any]]
SALTS_PER_VISIT = 10_000
"""Looks of one visit that are no frame have their own noise, the same one in a replay."""


@dataclass(frozen=True, slots=True)
class State:
    """Where everything stands, as read back."""

    x_um: float
    y_um: float
    z_um: float | None
    exposure_ms: float


class StrictEngine(MDAEngine):
    """Takes the frames of the visit it is given, or says why not.

    Parameters
    ----------
    core : CMMCorePlus
        The loaded core.
    plan : Plan
        Stage limits and profiles.
    steps, optics, focus : Steps, Optics, Focus
        Bring the hardware into a state.
    clock : Clock
        Told of exposures.
    gate : Gate
        Says when to take no further frame.
    watchdog : Watchdog
        Notices a camera that does not return.
    timeout_s : float
        Beyond the exposure, how long a camera may be silent.
    camera : VirtualCamera or None
        Told what is taken next.
    """

    def __init__(
        self,
        core: CMMCorePlus,
        *,
        plan: Plan,
        steps: Steps,
        optics: Optics,
        focus: Focus,
        clock: Clock,
        gate: Gate,
        watchdog: Watchdog,
        timeout_s: float,
        camera: VirtualCamera | None,
    ) -> None:
        super().__init__(core, use_hardware_sequencing=True, restore_initial_state=False)
        self._plan = plan
        self._cost = plan.cost
        self._steps = steps
        self._optics = optics
        self._focus = focus
        self._clock = clock
        self._gate = gate
        self._watchdog = watchdog
        self._timeout_s = timeout_s
        self._camera = camera
        self._tally: Tally | None = None
        self._given_up: dict[str, str] = {}
        self._looks = 0
        self._began = 0.0
        self._state = State(0.0, 0.0, None, 0.0)

    def begin(self, tally: Tally) -> None:
        """Start to work for a visit; nothing that was proven before is trusted."""
        self._tally = tally
        self._given_up = {}
        self._looks = 0
        self._steps.forget()
        self._optics.forget()

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan

    def reporter(self, field: str = "", channel: str = "") -> Report:
        """Return what takes the faults of the present visit."""
        tally = self.tally

        def report(call: str, message: str, attempt: int) -> None:
            tally.fault(Fault(call=call, message=message, attempt=attempt, field=field, channel=channel))

        return report

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
            self._state = self._reach(event)
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
            self._steps.forget()

    # -- state -------------------------------------------------------------------------------------------------------

    def _reach(self, event: MDAEvent) -> State:
        """Bring everything to where the event wants it, in the order in which the steps disturb each other."""
        if self._gate.halted():
            raise FrameError(self._gate.reason)
        if refusal := outside(event, self._plan.stage):
            raise FrameError(refusal)
        field, channel = field_and_channel(event)
        if reason := self._given_up.get(field):
            raise FrameError(reason)
        report = self.reporter(field, channel)
        profile = self._plan.profiles[self.tally.command.visit.profile]
        self._optics.enter(profile, report)
        assert event.channel is not None
        try:
            x, y = self._steps.xy(known(event.x_pos), known(event.y_pos), report)
        except FrameError as error:
            if not self._gate.halted():
                self._given_up[field] = str(error)  # the other channels would only ask the same stage again
            raise
        z = self._steps.read_z(report) if event.z_pos is None else self._steps.z(event.z_pos, report)
        self._steps.config(event.channel.group, event.channel.config, report)
        exposure_ms = self._steps.exposure(known(event.exposure), report)
        self._steps.wake(report)
        return State(x, y, z, exposure_ms)

    def _give_up(self, event: MDAEvent, reason: str) -> None:
        reason = self._gate.reason or reason
        if METER in event.metadata:
            spot: Spot = event.metadata[METER]
            assert isinstance(self.tally, MeterTally)
            self.tally.refuse(spot, f"was not reached: {reason}")
            self._given_up.pop(spot.place.name, None)  # the same field of the next well is another place
            return
        if SWEEP in event.metadata and not self._gate.halted():
            self._lose_focus(event.metadata[SWEEP], reason)
        for address in addresses_of(event):
            self.tally.miss(address, reason)

    # -- one frame ---------------------------------------------------------------------------------------------------

    def _single(self, event: MDAEvent) -> Payload:
        address = address_of(event)
        pixels, attempts = self._snap(event, self._look(event, address))
        return self._hand_over(event, pixels, attempts, self._state)

    def _snap(self, event: MDAEvent, look: Look) -> tuple[NDArray[Any], int]:
        """Expose and read one picture; after a refusal every piece of state is brought to its place again."""
        field, channel = field_and_channel(event)
        report = self.reporter(field, channel)
        exposure_ms = known(event.exposure)
        problem = ""
        for attempt in range(1, self._steps.attempts + 1):
            if attempt > 1:
                self._steps.forget()
                self._optics.forget()
                self._state = self._reach(event)
            call = "snapImage"
            try:
                if self._camera is not None:
                    self._camera.expect(look)
                limit_s = exposure_ms / 1000 + self._timeout_s
                with self._watchdog.watching("snapImage", limit_s):
                    self._shine(field, channel, exposure_ms, look.address)
                    self._clock.spend(exposure_ms / 1000)
                    self.mmcore.snapImage()
                    call = "getImage"
                    pixels = self.mmcore.getImage()
                self._clock.spend(self._cost.readout_s)
                problem = self._optics.wrong_picture(pixels)
            except Exception as error:  # a device raises RuntimeError, IndexError, or whatever its adapter likes
                problem = say(error)
                self._darken(report)
            if not problem:
                return pixels, attempt
            report(call, problem, attempt)
            if self._gate.halted():
                break
        raise FrameError(f"{call} failed {attempt} times, at last: {problem}")

    def _shine(self, field: str, channel: str, exposure_ms: float, address: FrameAddress | None) -> None:
        """Note that light is about to fall, as much as the power of its channel makes it."""
        channels = self._plan.profiles[self.tally.command.visit.profile].channels
        strength = next((one.strength for one in channels if one.name == channel), 1.0)
        self.tally.light(field, exposure_ms * strength, address)

    def _darken(self, report: Report) -> None:
        """Close the shutter that a camera left open when it refused in the middle of a snap."""
        core = self.mmcore
        try:
            if core.getAutoShutter() and core.getShutterDevice() and core.getShutterOpen():
                core.setShutterOpen(False)
        except Exception as error:  # adapters raise what they like; the picture's own failure is what counts
            report("setShutterOpen", say(error), 1)

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
        looks = [dataclasses.replace(self._look(single, address_of(single)), z_um=single.z_pos) for single in singles]
        pictures, attempts = self._run_burst(event, looks)
        for single, pixels in zip(singles, pictures, strict=True):
            # What the hardware stepped through by itself cannot be read back frame by frame.
            state = self._state
            if event.x_sequence:
                state = dataclasses.replace(state, x_um=known(single.x_pos), y_um=known(single.y_pos))
            if event.z_sequence:
                state = dataclasses.replace(state, z_um=single.z_pos)
            if event.exposure_sequence:
                state = dataclasses.replace(state, exposure_ms=known(single.exposure))
            yield self._hand_over(single, pixels, attempts, state)

    def _run_burst(self, event: SequencedEvent, looks: list[Look]) -> tuple[list[NDArray[Any]], int]:
        singles = single_events(event)
        field, channel = field_and_channel(event)
        report = self.reporter(field, channel)
        exposures = [known(single.exposure) for single in singles]
        silence_s = max(exposures) / 1000 + self._timeout_s
        problem = ""
        for attempt in range(1, self._steps.attempts + 1):
            if attempt > 1:
                burst.halt(self.mmcore, event)
                self._steps.forget()
                self._optics.forget()
                self._state = self._reach(event)
            try:
                if self._camera is not None:
                    self._camera.expect(*looks)
                limit_s = len(singles) * silence_s + self._timeout_s
                with self._watchdog.watching("startSequenceAcquisition", limit_s):
                    burst.load(self.mmcore, event)
                    for look, single, exposure_ms in zip(looks, singles, exposures, strict=True):
                        address = address_of(single)
                        self._shine(address.field, address.channel, exposure_ms, look.address)
                        step_s = self._cost.z_s if event.z_sequence else 0.0
                        self._clock.spend(step_s + exposure_ms / 1000 + self._cost.readout_s)
                    pictures = burst.collect(self.mmcore, len(singles), silence_s, self._gate.halted)
                problem = next(filter(None, map(self._optics.wrong_picture, pictures)), "")
            except Exception as error:  # devices raise what they like; FrameError: the burst was short
                problem = say(error)
                self._darken(report)
            if not problem:
                return pictures, attempt
            report("startSequenceAcquisition", problem, attempt)
            if self._gate.halted():
                break
        raise FrameError(problem)

    # -- focus -------------------------------------------------------------------------------------------------------

    def _sweep(self, event: MDAEvent) -> None:
        sweep: Sweep = event.metadata[SWEEP]
        look = self._look(event, None)

        def sharpness(_: int) -> float:
            self._looks += 1
            salt = self.tally.command.visit.number * SALTS_PER_VISIT + self._looks
            pixels, _attempts = self._snap(event, dataclasses.replace(look, salt=salt))
            return tenengrad(pixels)

        report = self.reporter(sweep.place.name, sweep.channel.name)
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
            self._state = self._reach(asked)
            # Visit 0 is no visit, so no other look has these salts.
            return self._snap(asked, dataclasses.replace(look, salt=self._looks))[0]

        full = 2.0 ** self.mmcore.getImageBitDepth() - 1
        try:
            tally.found(spot, meter(picture, spot.channel.auto, spot.channel.exposure_ms, full))
        except NothingToMeter as error:
            tally.refuse(spot, str(error))

    def _lose_focus(self, sweep: Sweep, reason: str) -> None:
        """Say that there is no focus; the fields are imaged where the drive was before, or not at all."""
        self.reporter(sweep.place.name, sweep.channel.name)("autofocus", reason, 1)
        if sweep.plan.if_fails == "skip":
            for field in sweep.fields:
                self._given_up.setdefault(field, reason)

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
