"""A hardware sequence: loading it into the devices, and getting all of its frames or none.

Which frame is missing from a short burst cannot be known from its frames, so a burst that is not complete gives no
frame at all: an image in the slot of its neighbour would be worse than none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray
from pymmcore_plus import CMMCorePlus

from phenoloop.errors import FrameError
from phenoloop.microscope.private import SequencedEvent

PAUSE_S = 0.001
"""Between two looks into an empty buffer."""


def load(core: CMMCorePlus, event: SequencedEvent) -> None:
    """Hand the positions, exposures and properties of a burst to the devices and arm them.

    Raises
    ------
    Exception
        Whatever a device raises that refuses.
    """
    halt(core, event)
    camera, stage, drive = core.getCameraDevice(), core.getXYStageDevice(), core.getFocusDevice()
    if event.exposure_sequence:
        core.loadExposureSequence(camera, event.exposure_sequence)
        core.startExposureSequence(camera)
    if event.x_sequence:
        core.loadXYStageSequence(stage, event.x_sequence, event.y_sequence)
        core.startXYStageSequence(stage)
    if event.z_sequence:
        core.loadStageSequence(drive, event.z_sequence)
        core.startStageSequence(drive)
    for (device, name), values in event.property_sequences.items():
        core.loadPropertySequence(device, name, values)
        core.startPropertySequence(device, name)


def halt(core: CMMCorePlus, event: SequencedEvent) -> None:
    """Disarm the devices of a burst; one that was not armed says so, which is no news."""
    with suppress(RuntimeError):
        if event.exposure_sequence:
            core.stopExposureSequence(core.getCameraDevice())
    with suppress(RuntimeError):
        if event.x_sequence:
            core.stopXYStageSequence(core.getXYStageDevice())
    with suppress(RuntimeError):
        if event.z_sequence:
            core.stopStageSequence(core.getFocusDevice())
    for device, name in event.property_sequences:
        with suppress(RuntimeError):
            core.stopPropertySequence(device, name)


def collect(core: CMMCorePlus, count: int, silence_s: float, halted: Callable[[], bool]) -> list[NDArray[Any]]:
    """Run the camera for `count` frames and return all of them.

    Parameters
    ----------
    core : CMMCorePlus
        With everything else already in place.
    count : int
        Frames of the burst.
    silence_s : float
        Longest wait for one frame.
    halted : callable
        Says whether the run was stopped meanwhile; the burst is then cut.

    Raises
    ------
    FrameError
        If the burst is not complete.
    Exception
        Whatever the camera raises.
    """
    pictures: list[NDArray[Any]] = []
    core.startSequenceAcquisition(count, 0, True)
    try:
        deadline = time.monotonic() + silence_s
        while len(pictures) < count and not halted() and time.monotonic() < deadline:
            if core.getRemainingImageCount():
                picture, _ = core.popNextImageAndMD()
                pictures.append(picture)
                deadline = time.monotonic() + silence_s
            elif core.isSequenceRunning():
                time.sleep(PAUSE_S)
            elif not core.getRemainingImageCount():  # asked again: the last frame may have come in between
                break
    finally:
        if core.isSequenceRunning():
            core.stopSequenceAcquisition()
    if len(pictures) < count:
        cause = "the buffer of the camera overflowed" if core.isBufferOverflowed() else "the camera fell silent"
        raise FrameError(f"the burst gave {len(pictures)} of {count} frames ({cause}), so none can be placed")
    return pictures
