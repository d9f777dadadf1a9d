"""Where the focus is. Only this file remembers it between visits, moves it for a stack, and finds it again by a sweep.

Without planes, autofocus or heights in the protocol the focus drive is never commanded. With them, every height is
counted from a reference that is read once per visit, so that a stack never becomes the reference of the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phenoloop.errors import FrameError
from phenoloop.microscope.proving import Report
from phenoloop.microscope.steps import Steps
from phenoloop.model import AutofocusPlan, FieldPlace, StageBox
from phenoloop.numerics.autofocus import sharpest


def planes_of(plan: AutofocusPlan, centre_um: float) -> list[float]:
    """Return the heights of a sweep, ascending, symmetric about its centre, micrometres."""
    count = plan.planes
    return [centre_um + (index - (count - 1) / 2) * plan.step_um for index in range(count)]


class Focus:
    """The reference height, and how far the sample lies from where the protocol says.

    Parameters
    ----------
    steps : Steps
        Moves and reads the drive.
    box : StageBox
        Heights that may be commanded.
    """

    def __init__(self, steps: Steps, box: StageBox) -> None:
        self._steps = steps
        self._box = box
        self._reference_um: float | None = None
        self._correction_um = 0.0
        self._away = False

    def begin(self, report: Report) -> None:
        """Read the reference, unless the drive still stands elsewhere because going home failed.

        Raises
        ------
        FrameError
            If the drive does not answer, or there is none.
        """
        if self._away and self._reference_um is not None:
            return
        self._reference_um = self._steps.read_z(report)
        if self._reference_um is None:
            raise FrameError("the protocol commands the focus, but the configuration names no focus drive")

    def height(self, place: FieldPlace, offset_um: float) -> float:
        """Return the height of a plane of a field, micrometres."""
        if place.z_um is not None:
            return place.z_um + self._correction_um + offset_um
        self._away = self._away or offset_um != 0
        assert self._reference_um is not None
        return self._reference_um + offset_um

    def go_home(self, report: Report) -> None:
        """Bring the drive back to the reference after a stack.

        Raises
        ------
        FrameError
            If it does not go; it is tried again after the next visit, and the reference is kept.
        """
        if self._away and self._reference_um is not None:
            self._steps.z(self._reference_um, report)
            self._away = False

    def leave(self) -> None:
        """Bring the drive back to the reference when the run ends, by one plain command that no stop forbids."""
        if self._away and self._reference_um is not None:
            self._steps.core.setZPosition(self._reference_um)

    def sweep(
        self,
        plan: AutofocusPlan,
        place: FieldPlace,
        sharpness: Callable[[int], float],
        report: Report,
        *,
        offset_um: float = 0.0,
    ) -> float:
        """Find the focus, go there, and remember it.

        Parameters
        ----------
        plan : AutofocusPlan
            Range and step.
        place : FieldPlace
            Where the stage stands.
        sharpness : callable
            Takes the number of a plane at which the drive now stands, and returns its score.
        report : callable
            Told of every refusal of the hardware.
        offset_um : float
            How much the focus of the objective differs from the reference's.

        Returns
        -------
        float
            Height of best focus, micrometres.

        Raises
        ------
        FrameError
            If there is no focus to be found; the drive then stands where it stood before.
        """
        centre = self.height(place, offset_um)
        self._away = True
        try:
            found = self._scan(planes_of(plan, centre), sharpness, report)
        except FrameError:
            self._steps.z(centre, report)
            self._away = False
            raise
        # The reference is that of an objective without offset, so under another one the drive stands away from it.
        self._away = offset_um != 0
        if place.z_um is not None:
            self._correction_um = found - offset_um - place.z_um
        else:
            self._reference_um = found - offset_um
        return found

    def _scan(self, planes: Sequence[float], sharpness: Callable[[int], float], report: Report) -> float:
        bounds = self._box.z_um
        if bounds is not None and not (bounds[0] <= planes[0] and planes[-1] <= bounds[1]):
            raise FrameError(
                f"autofocus: a sweep from {planes[0]:g} to {planes[-1]:g} um leaves the stage limits "
                f"({bounds[0]:g} to {bounds[1]:g} um)"
            )
        scores = []
        for number, height in enumerate(planes):
            self._steps.z(height, report)
            scores.append(sharpness(number))
        try:
            best = sharpest(planes, scores)
        except ValueError as error:
            raise FrameError(f"autofocus: {error}") from error
        return self._steps.z(best, report)
