"""The microscope of the loop: one Micro-Manager core, one thread that drives it, and a watchdog beside it.

The thread runs `core.mda.run` once, over a generator that waits for visits; so viewers of pymmcore-plus see an ordinary
acquisition. Here is who lives how long, and what happens when one of them fails.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from psygnal import EmitLoopError
from pymmcore_plus import CMMCorePlus
from pymmcore_plus.mda import RunState

from phenoloop.core.allowance import Allowance
from phenoloop.core.metering import exposures_of
from phenoloop.errors import FrameError, HardwareError
from phenoloop.microscope import custody, loading
from phenoloop.microscope.assembling import Parts, assemble, virtual_camera
from phenoloop.microscope.clock import Clock, RealClock, VirtualClock
from phenoloop.microscope.feed import Feed
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.metering import MeterTally
from phenoloop.microscope.open_visits import OpenVisits
from phenoloop.microscope.proving import say
from phenoloop.microscope.tally import Tally
from phenoloop.microscope.virtual.camera import VirtualCamera
from phenoloop.microscope.watchdog import Watchdog
from phenoloop.model import Acquire, ExposuresSet, Meter, MicroscopeFailed, MicroscopePlan, Plan
from phenoloop.ports import FrameSink, Specimen

log = logging.getLogger(__name__)

STOPPED = "stopped"
"""Reason of the frames that a stop left untaken."""
GRACE_S = 1.0
"""After a stop, how long the frame in the camera may take before its visit is ended without it."""


class MMCoreMicroscope:
    """Fulfils `ports.Microscope` with a Micro-Manager core.

    Parameters
    ----------
    plan : Plan
        Places, profiles, stage limits, costs.
    microscope : MicroscopePlan
        The microscope file.
    specimen : Specimen or None
        What the demo camera is to see; None: the camera's own pictures.
    start_s : float
        Run clock at `open`; a resumed run goes on where it was.
    allowance : Allowance, optional
        The light that may still be given; all that the caps hold unless a run goes on.

    Attributes
    ----------
    core : CMMCorePlus
        The loaded core, for viewers and tests; there from `open` on.
    """

    core: CMMCorePlus

    def __init__(
        self,
        plan: Plan,
        microscope: MicroscopePlan,
        specimen: Specimen | None = None,
        *,
        start_s: float = 0.0,
        allowance: Allowance | None = None,
    ) -> None:
        self._plan = plan
        self._microscope = microscope
        self._specimen = specimen
        self._allowance = Allowance(plan) if allowance is None else allowance
        self._camera: VirtualCamera | None = None
        self._clock: Clock = VirtualClock(start_s) if plan.virtual_clock else RealClock(start_s)
        self._gate = Gate(self._cancelled)
        self._watchdog = Watchdog(self._hung)
        self._visits = OpenVisits(self._gate, self._clock, self._metered)
        self._lock = threading.Lock()
        self._failure = ""
        self._loaded = False
        self._rested = threading.Event()
        self._thread: threading.Thread | None = None
        self._parts: Parts | None = None

    # -- the port ----------------------------------------------------------------------------------------------------

    def open(self, sink: FrameSink) -> Mapping[str, Any]:
        """Load the hardware and start to wait for visits; return a description for ``resolved.json``.

        Raises
        ------
        HardwareError
            If adapters are missing, the configuration does not load, or it lacks what the plan asks for.
        """
        self._sink = sink
        self.core = core = loading.load_core(self._microscope)
        self._loaded = True
        try:
            loading.require(core, self._plan)
            self._camera = virtual_camera(core, self._plan, self._specimen, self._clock)
            self._parts = self._assemble(core)
            description = loading.describe(core, self._microscope)
        except Exception as error:  # ours or an adapter's own: half a microscope is let go before anyone hears of it
            self.close()
            if isinstance(error, HardwareError):
                raise
            raise HardwareError(
                f"microscope {self._microscope.name!r} cannot be used as planned: {say(error)}"
            ) from error
        self._watchdog.start()
        self._thread = threading.Thread(target=self._work, name="phenoloop-microscope", daemon=True)
        self._thread.start()
        return description

    def acquire(self, command: Acquire) -> None:
        """Queue a visit; it will end in exactly one ``sink.ended``."""
        self._visits.queue(Tally(command, self._sink))

    def meter(self, command: Meter) -> None:
        """Queue a metering; it will end in exactly one ``sink.metered``."""
        self._visits.queue(MeterTally(command, self._plan, self._sink))

    def pause(self) -> None:
        """Hold before the next frame; a burst that is under way is finished."""
        self._gate.pause()

    def resume(self) -> None:
        """Go on."""
        self._gate.resume()

    def stop(self) -> None:
        """Take no further frame.

        The frame in the camera is still kept if it comes within a second; then every visit ends, also while the camera
        goes on exposing, which cannot be interrupted.
        """
        self._gate.stop(STOPPED)
        if self._thread is None:
            return
        if self.core.mda.is_paused():
            self.core.mda.cancel()  # a viewer holds the runner, which looks at nothing else
        self._watchdog.arm("stop", GRACE_S, self._lose_patience)

    def now_s(self) -> float:
        """Return the run clock; on the virtual clock it moves while a visit is taken and stands still otherwise."""
        return self._clock.now_s()

    def close(self) -> None:
        """Put the hardware in its safe state and let it go."""
        self._gate.stop(STOPPED)
        self._gate.close()
        if not self._loaded:
            return
        if self._thread is not None:
            self._thread.join(self._patience_s())
        self._watchdog.close()
        self._visits.close()
        if self._thread is not None and self._thread.is_alive():
            log.warning("the microscope does not come back from its last call; its devices are left loaded")
            loading.release(self.core)
            return
        if self._thread is None:
            self._make_safe()
        if self._camera is not None:
            self._camera.leave()
        loading.part(self.core)
        loading.unload(self.core)
        self._loaded = False

    def _assemble(self, core: CMMCorePlus) -> Parts:
        return assemble(
            core,
            self._plan,
            self._microscope,
            camera=self._camera,
            clock=self._clock,
            gate=self._gate,
            watchdog=self._watchdog,
            allowance=self._allowance,
            ended=self._end,
        )

    # -- the microscope thread ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Run until stopped or failed, leave the hardware safe, then end what still comes."""
        try:
            assert self._parts is not None
            self._run(self._parts.feed)
        except Exception as error:  # a thread that died in silence would leave the lamp on and the loop waiting
            log.exception("the microscope thread ended by an error")
            self._fail(f"the acquisition broke off: {say(error)}")
        self._visits.end_all()
        self._make_safe()
        self._rested.set()
        self._watchdog.disarm("stop")
        self._visits.drain()

    def _run(self, feed: Feed) -> None:
        """Run the acquisition; a viewer's slot that raises costs the frame it was told of, not the run."""
        while True:
            before = feed.handed_out
            events = feed.events()
            try:
                self.core.mda.run(events)
            except EmitLoopError as error:
                log.warning("a listener of the acquisition raised: %s", say(error))
                if feed.handed_out == before:
                    raise
                continue
            finally:
                events.close()
            if not self._gate.halted():
                self._fail("the acquisition was cancelled by another user of the core (mda.cancel)")
            return

    def _end(self, tally: Tally) -> None:
        """End a visit; if nothing of it could be taken because a device is gone, so is the microscope."""
        assert self._parts is not None
        try:
            self._parts.feed.go_home(tally)
        except FrameError as error:
            log.warning("the focus drive does not go back: %s", error)
        tally.record = custody.read_record(self.core, self._microscope)
        gone = custody.what_is_gone(self.core) if tally.stored < len(tally.planned) else ""
        self._visits.end(tally)
        if gone:
            self._fail(gone)

    # -- endings -----------------------------------------------------------------------------------------------------

    def _cancelled(self) -> bool:
        """Return whether somebody else cancelled the acquisition."""
        if not self._loaded:
            return False
        status = self.core.mda.status
        return status.cancel_requested or status.phase == RunState.FINISHING

    def _metered(self, found: ExposuresSet) -> None:
        self._plan = self._plan.with_exposures(exposures_of(found))
        if self._parts is not None:
            self._parts.use(self._plan)

    def _fail(self, reason: str) -> None:
        """Tell the sink that the microscope is lost, once."""
        with self._lock:
            if self._failure:
                return
            self._failure = reason
        self._gate.stop(reason)
        self._sink.failed(MicroscopeFailed(at_s=self._clock.now_s(), reason=reason))

    def _lose_patience(self) -> None:
        """After a stop: end the visits although the hardware has not come back (a long exposure, a long move)."""
        if not self._rested.is_set():
            self._visits.end_all_from_outside()

    def _hung(self, call: str) -> None:
        """Give the microscope up from outside, in the watchdog's thread: a call into the core has not come back."""
        self._fail(
            f"{call} has not come back; the camera or its driver hangs. Switch it off and on, then resume the run"
        )
        self._visits.end_all_from_outside()
        self._make_safe()  # last, since this may hang as well

    def _make_safe(self) -> None:
        focus = None if self._parts is None else self._parts.focus
        custody.make_safe(self.core, self._microscope, focus)

    def _patience_s(self) -> float:
        """Return how long the last call into the hardware may take when all is well."""
        longest_ms = max(
            max([channel.exposure_ms, *channel.exposures_ms.values()])
            for profile in self._plan.profiles.values()
            for channel in profile.channels
        )
        return 0.0 if self._failure and not self._rested.is_set() else longest_ms / 1000 + self._microscope.timeout_s
