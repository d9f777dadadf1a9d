"""The generator behind `core.mda.run`: which event comes next, and where the run waits, pauses and ends.

The runner asks for an event only when all frames of the one before are delivered, so heights can be computed after the
autofocus that found them, and a pause holds exactly before the next frame.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator

from pymmcore_plus import CMMCorePlus
from useq import MDAEvent

from phenoloop.errors import FrameError
from phenoloop.microscope.clock import Clock
from phenoloop.microscope.engine import StrictEngine
from phenoloop.microscope.events import Block, Merger, blocks_of, frame_event, sweep_event, uses_focus
from phenoloop.microscope.focus import Focus
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.metering import MeterTally, meter_event
from phenoloop.microscope.optics import Optics
from phenoloop.microscope.proving import log_fault
from phenoloop.microscope.steps import Steps
from phenoloop.microscope.tally import Tally
from phenoloop.model import FieldPlace, Plan, Visit

log = logging.getLogger(__name__)


class Feed:
    """Turns queued visits into events.

    Parameters
    ----------
    core : CMMCorePlus
        Asked what can be merged.
    plan : Plan
        Places and profiles.
    engine, steps, optics, focus, clock, gate
        The parts of the microscope.
    ended : callable
        Takes a visit of which no event is left.
    """

    def __init__(
        self,
        core: CMMCorePlus,
        plan: Plan,
        *,
        engine: StrictEngine,
        steps: Steps,
        optics: Optics,
        focus: Focus,
        clock: Clock,
        gate: Gate,
        ended: Callable[[Tally], None],
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._steps = steps
        self._optics = optics
        self._focus = focus
        self._clock = clock
        self._gate = gate
        self._ended = ended
        self._merger = Merger(core)
        # Both outlive a generator: when a viewer's slot breaks the runner, the next one goes on with this visit.
        self._present: Tally | None = None
        self._rest: Iterator[MDAEvent] = iter(())
        self.handed_out = 0

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan

    def events(self) -> Generator[MDAEvent, None, None]:
        """Yield what is due, for as long as frames may be taken."""
        while self._present is not None or self._begin_next():
            for event in self._rest:
                if not self._may_go_on():
                    break
                self.handed_out += 1
                yield event
            assert self._present is not None
            ended, self._present = self._present, None
            self._ended(ended)
        if self._gate.cancelled():
            # The runner drops this event and keeps its reason "canceled"; had we just ended, it would say "completed".
            yield MDAEvent()

    def go_home(self, tally: Tally) -> None:
        """Bring the focus back after a stack, as part of the visit that took it.

        Raises
        ------
        FrameError
            If the drive does not go.
        """
        self._focus.go_home(tally.reporter())

    def _begin_next(self) -> bool:
        """Take the next visit that is due; waits in the dark. False: no more frames may be taken."""
        tally = self._gate.take(self._wait_s, block=False)
        if tally is None and not self._gate.halted():
            self._darken()
            tally = self._gate.take(self._wait_s, block=True)
        if tally is None:
            return False
        self._present = tally
        self._rest = self._events_of(tally)
        return True

    def _may_go_on(self) -> bool:
        """Return whether the next frame may be taken; waits in the dark while paused."""
        if self._gate.may_pass():
            return True
        if not self._gate.halted():
            self._darken()
        return self._gate.wait_to_pass()

    def _wait_s(self, tally: Tally) -> float:
        return self._clock.wait_s(_due_s(tally))

    def _darken(self) -> None:
        try:
            self._steps.rest(log_fault)
        except FrameError as error:
            log.warning("the shutter cannot be closed for the wait: %s", error)

    def _events_of(self, tally: Tally) -> Iterator[MDAEvent]:
        """Yield the events of one visit, joined where the hardware allows."""
        visit = tally.command.visit
        self._clock.begin(_due_s(tally))
        tally.begin()
        if isinstance(tally, MeterTally):
            self._engine.begin(tally)
            yield from map(meter_event, tally.spots())
            return
        try:
            self._engine.begin(tally)
            blocks = blocks_of(visit, self._plan)
            profile = self._plan.profiles[visit.profile]
            focused = uses_focus(profile, [place for block in blocks for place in block.places])
            if focused:
                self._optics.enter(profile, tally.reporter())
                self._focus.begin(tally.reporter())
        except (FrameError, KeyError) as error:
            reason = str(error) if isinstance(error, FrameError) else f"the plan has no {error}"
            for address in tally.planned:
                tally.miss(address, reason)
            return
        for block in blocks:
            if block.sweep is not None:
                yield sweep_event(visit, block.sweep)
            yield from self._merger.merge(self._frames_of(visit, block, focused=focused))

    def _frames_of(self, visit: Visit, block: Block, *, focused: bool) -> list[MDAEvent]:
        """Return the events of the frames of a block, at the focus that is known now."""
        profile = self._plan.profiles[visit.profile]
        channels = {channel.name: channel for channel in profile.channels}
        places = {place.name: place for place in block.places}
        offsets = [offset + profile.offset_um[2] for offset in profile.z_offsets_um or (0.0,)]

        def height(place: FieldPlace, z: int) -> float | None:
            return self._focus.height(place, offsets[z]) if focused else None

        return [
            frame_event(address, place, channels[address.channel], height(place, address.z))
            for address in visit.frames()
            if (place := places.get(address.field)) is not None
        ]


def _due_s(tally: Tally) -> float:
    """Return the run clock before which a visit may not begin: that of its decision, or its own."""
    command = tally.command
    wanted = command.visit.not_before_s
    return command.at_s if wanted is None else max(command.at_s, wanted)
