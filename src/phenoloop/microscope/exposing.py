"""Pictures: light falls here and nowhere else, and again after a refusal as often as attempts and caps allow.

Every exposure is asked for at the core's `Allowance` first. One that was lost and may not be repeated costs its frame:
a missing picture can be taken tomorrow, light that fell cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray
from pymmcore_plus import CMMCorePlus

from phenoloop.core.allowance import Allowance
from phenoloop.errors import FrameError
from phenoloop.microscope import burst
from phenoloop.microscope.clock import Clock
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.metering import MeterTally
from phenoloop.microscope.optics import Optics
from phenoloop.microscope.private import SequencedEvent
from phenoloop.microscope.proving import Report, say
from phenoloop.microscope.tally import Tally
from phenoloop.microscope.virtual.camera import Look, VirtualCamera
from phenoloop.microscope.watchdog import Watchdog
from phenoloop.model import Plan

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shot:
    """One exposure: where, in which light, for how long, and what a virtual camera is to see."""

    field: str
    channel: str
    exposure_ms: float
    look: Look


class Exposer:
    """Takes pictures for the present visit.

    Parameters
    ----------
    core : CMMCorePlus
        The loaded core.
    plan : Plan
        Power of the channels, cost of a readout.
    attempts : int
        How often an exposure is tried.
    optics : Optics
        Knows what a picture must look like.
    clock : Clock
        Told of exposures.
    gate : Gate
        Ends the attempts when the run is stopped.
    watchdog : Watchdog
        Notices a camera that does not return.
    timeout_s : float
        Beyond the exposure, how long a camera may be silent.
    camera : VirtualCamera or None
        Told what is taken next.
    allowance : Allowance
        Asked before every exposure.
    """

    def __init__(
        self,
        core: CMMCorePlus,
        *,
        plan: Plan,
        attempts: int,
        optics: Optics,
        clock: Clock,
        gate: Gate,
        watchdog: Watchdog,
        timeout_s: float,
        camera: VirtualCamera | None,
        allowance: Allowance,
    ) -> None:
        self._core = core
        self._plan = plan
        self._cost = plan.cost
        self._attempts = attempts
        self._optics = optics
        self._clock = clock
        self._gate = gate
        self._watchdog = watchdog
        self._timeout_s = timeout_s
        self._camera = camera
        self._allowance = allowance
        self._tally: Tally
        self._shone = False  # light of the present shots has fallen
        self._lost = False  # and nothing came of it
        self._call = ""

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan
        self._allowance.use(plan)

    def begin(self, tally: Tally) -> dict[str, str]:
        """Start to work for a visit; return, by field, why it cannot be imaged for want of light.

        Raises
        ------
        KeyError
            If the visit names a well, field or profile that the plan lacks.
        """
        self._tally = tally
        if isinstance(tally, MeterTally):
            self._allowance.begin_metering()
            return {}
        return self._allowance.begin(tally.command.visit)

    def snap(self, shot: Shot, again: Callable[[], None], report: Report) -> tuple[NDArray[Any], int]:
        """Expose and read one picture.

        Parameters
        ----------
        shot : Shot
            What.
        again : callable
            Brings every piece of state to its place again, before another attempt.
        report : callable
            Told of every attempt that failed.

        Returns
        -------
        ndarray, int
            The picture, and the attempt that gave it.

        Raises
        ------
        FrameError
            After the last attempt, or the last that a cap on light allows.
        """

        def take() -> NDArray[Any]:
            with self._watched("snapImage", shot.exposure_ms / 1000 + self._timeout_s, [shot]):
                self._shine(shot)
                self._clock.spend(shot.exposure_ms / 1000)
                self._core.snapImage()
                self._call = "getImage"
                pixels = self._core.getImage()
            self._clock.spend(self._cost.readout_s)
            return pixels

        return self._until_good([shot], take, self._optics.wrong_picture, again, report)

    def burst(
        self, event: SequencedEvent, shots: Sequence[Shot], again: Callable[[], None], report: Report
    ) -> tuple[list[NDArray[Any]], int]:
        """Take the pictures of a hardware sequence, all or none; as `snap`."""
        silence_s = max(shot.exposure_ms for shot in shots) / 1000 + self._timeout_s
        step_s = self._cost.z_s if event.z_sequence else 0.0

        def take() -> list[NDArray[Any]]:
            with self._watched("startSequenceAcquisition", len(shots) * silence_s + self._timeout_s, shots):
                burst.load(self._core, event)
                for shot in shots:
                    self._shine(shot)
                    self._clock.spend(step_s + shot.exposure_ms / 1000 + self._cost.readout_s)
                return burst.collect(self._core, len(shots), silence_s, self._gate.halted)

        def wrong(pictures: list[NDArray[Any]]) -> str:
            return next(filter(None, map(self._optics.wrong_picture, pictures)), "")

        def halt_and_again() -> None:
            burst.halt(self._core, event)
            again()

        return self._until_good(shots, take, wrong, halt_and_again, report)

    def _until_good(
        self,
        shots: Sequence[Shot],
        take: Callable[[], T],
        wrong: Callable[[T], str],
        again: Callable[[], None],
        report: Report,
    ) -> tuple[T, int]:
        light = [(shot.field, self._light_ms(shot) / 1000) for shot in shots]
        self._shone = self._lost = False
        tried, problem = 0, ""
        while tried < self._attempts:
            if refusal := self._allowance.refusal(self._tally.command.visit.well, light, again=self._lost):
                raise FrameError(f"{self._failed(tried, problem)}; {refusal}" if problem else refusal)
            if tried:
                again()
            tried += 1
            try:
                taken = take()
                problem = wrong(taken)
                if not problem:
                    return taken, tried
            except Exception as error:  # a device raises RuntimeError, IndexError, or whatever its adapter likes
                problem = say(error)
                self._darken(report)
            self._lost = self._shone
            report(self._call, problem, tried)
            if self._gate.halted():
                break
        raise FrameError(self._failed(tried, problem))

    def _failed(self, tried: int, problem: str) -> str:
        times = "once" if tried == 1 else f"{tried} times, at last"
        return f"{self._call} failed {times}: {problem}"

    @contextmanager
    def _watched(self, call: str, limit_s: float, shots: Sequence[Shot]) -> Iterator[None]:
        """Say to all who must know that the camera is about to be asked."""
        self._call = call
        if self._camera is not None:
            self._camera.expect(*(shot.look for shot in shots))
        with self._watchdog.watching(call, limit_s):
            yield

    def _shine(self, shot: Shot) -> None:
        """Note that light is about to fall; said before the camera is asked, so that a hang counts too."""
        light_ms = self._light_ms(shot)
        self._allowance.expose(self._tally.command.visit.well, shot.field, light_ms / 1000, again=self._lost)
        self._shone = True
        self._tally.light(shot.field, light_ms, shot.look.address)

    def _light_ms(self, shot: Shot) -> float:
        """Return the light of an exposure: as much as the power of its channel makes it."""
        channels = self._plan.profiles[self._tally.command.visit.profile].channels
        return shot.exposure_ms * next((one.strength for one in channels if one.name == shot.channel), 1.0)

    def _darken(self, report: Report) -> None:
        """Close the shutter that a camera left open when it refused in the middle of a snap."""
        core = self._core
        try:
            if core.getAutoShutter() and core.getShutterDevice() and core.getShutterOpen():
                core.setShutterOpen(False)
        except Exception as error:  # adapters raise what they like; the picture's own failure is what counts
            report("setShutterOpen", say(error), 1)
