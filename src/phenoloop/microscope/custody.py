"""What is done for the hardware itself, whoever lets go of it: is it still there, how does it stand, leave it safe."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from pymmcore_plus import CMMCorePlus

from phenoloop.microscope.focus import Focus
from phenoloop.microscope.proving import say
from phenoloop.model import MicroscopePlan

log = logging.getLogger(__name__)


def what_is_gone(core: CMMCorePlus) -> str:
    """Return which device without which nothing can be imaged is no longer there; empty if none."""
    loaded = set(core.getLoadedDevices())
    for what, label in (("camera", core.getCameraDevice()), ("stage", core.getXYStageDevice())):
        if not label or label not in loaded:
            return f"the {what} is gone: the core no longer has the device"
    return ""


def read_record(core: CMMCorePlus, microscope: MicroscopePlan) -> dict[str, str]:
    """Return the properties that are kept with each visit; one that cannot be read says so."""
    values = {}
    for device, name in microscope.record:
        try:
            values[f"{device}-{name}"] = core.getProperty(device, name)
        except Exception as error:  # a device raises whatever its adapter likes, and the visit is worth more than this
            values[f"{device}-{name}"] = f"not readable: {say(error)}"
    return values


def make_safe(core: CMMCorePlus, microscope: MicroscopePlan, focus: Focus | None) -> None:
    """Shut the light out, go back to the focus, set the safe state; each whatever became of the others.

    Parameters
    ----------
    core : CMMCorePlus
        Perhaps half dead; what it refuses is logged.
    microscope : MicroscopePlan
        Its `safe_state`.
    focus : Focus or None
        None: the microscope was never prepared.
    """

    def shut() -> None:
        if core.getShutterDevice():
            core.setShutterOpen(False)

    acts: list[tuple[str, Callable[[], None]]] = [("the shutter cannot be closed", shut)]
    if focus is not None:
        acts.append(("the focus drive does not go back", focus.leave))
    for device, name, value in microscope.safe_state:
        acts.append(
            (f"the safe state {device}-{name}={value} is refused", partial(core.setProperty, device, name, value))
        )
    for complaint, act in acts:
        try:
            act()
        except Exception as error:  # the adapter of a dying device raises whatever it likes; the next act is still due
            log.warning("%s: %s", complaint, say(error))
