"""What can be said of this computer and this microscope before a protocol is run: named checks, each with a way out."""

from __future__ import annotations

import importlib.metadata
import platform
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from pymmcore_plus import CMMCorePlus

from phenoloop.errors import HardwareError
from phenoloop.microscope import loading
from phenoloop.microscope.proving import say
from phenoloop.model import MicroscopePlan

PACKAGES = ("phenoloop", "pymmcore-plus", "pymmcore", "useq-schema", "numpy", "tensorstore", "yaozarrs")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
        What.
    ok : bool
        Whether it will do.
    detail : str
        What was found.
    way_out : str
        What to do if it will not do; empty if it will.
    """

    name: str
    ok: bool
    detail: str
    way_out: str = ""


def environment_checks() -> list[Check]:
    """Return what is installed: versions, device adapters, device interface. No device is touched."""
    checks = [Check("Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    for package in PACKAGES:
        try:
            checks.append(Check(package, True, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            checks.append(Check(package, False, "not installed", f"pip install {package}"))
    return [*checks, _adapters()]


def _adapters() -> Check:
    try:
        folder = loading.find_adapters(MicroscopePlan(name="any microscope", config="", needs_demo_adapters=True))
    except HardwareError as error:
        return Check("device adapters", False, str(error), loading.WAY_TO_ADAPTERS)
    core = CMMCorePlus(mm_path=folder, adapter_paths=[folder])
    try:
        core.loadDevice("Camera", "DemoCamera", "DCam")
    except RuntimeError as error:
        return Check("device adapters", False, f"{folder}: {say(error)}", loading.WAY_TO_ADAPTERS)
    finally:
        loading.unload(core)
    return Check("device adapters", True, f"{folder} ({core.getAPIVersionInfo()})")


def hardware_checks(microscope: MicroscopePlan) -> list[Check]:
    """Load a microscope and see whether its parts answer. This initialises devices: stages may home.

    Parameters
    ----------
    microscope : MicroscopePlan
        The microscope file.

    Returns
    -------
    list of Check
        If the configuration does not load, the first and only one says so.
    """
    try:
        core = loading.load_core(microscope)
    except HardwareError as error:
        return [Check("configuration", False, str(error), "Load it in Micro-Manager first")]
    hung = threading.Event()
    try:
        return [
            Check("configuration", True, f"{microscope.config}: {len(core.getLoadedDevices()) - 1} devices"),
            *_parts(core, microscope, hung),
        ]
    finally:
        # Unloading would wait for the camera as well.
        loading.release(core) if hung.is_set() else loading.unload(core)


def _parts(core: CMMCorePlus, microscope: MicroscopePlan, hung: threading.Event) -> Iterator[Check]:
    yield _answer("stage", lambda: _stage(core, microscope), "Check its cable and the line Property,Core,XYStage")
    yield _answer("focus drive", lambda: _focus(core), "Check its cable and the line Property,Core,Focus")
    size = core.getPixelSizeUm()
    way_out = "Give every objective a pixel size in Micro-Manager (Devices > Pixel Size Calibration)"
    yield Check("pixel size", size > 0, f"{size:g} um with the objective in place", "" if size > 0 else way_out)
    yield _answer(
        "snap", lambda: _snap(core, microscope, hung), "Snap in Micro-Manager; check the camera's cable and driver"
    )
    named = [(device, name) for device, name, _ in microscope.safe_state] + list(microscope.record)
    for device, name in named:
        yield _answer(
            f"property {device}-{name}",
            partial(core.getProperty, device, name),
            "Correct `safe_state` or `record` in the microscope file",
        )


def _answer(name: str, ask: Callable[[], str], way_out: str) -> Check:
    try:
        return Check(name, True, ask())
    except Exception as error:  # a device raises whatever its adapter likes
        return Check(name, False, say(error), way_out)


def _stage(core: CMMCorePlus, microscope: MicroscopePlan) -> str:
    """Send the stage to where it is: the whole way of a command, without a move."""
    x, y = core.getXYPosition()
    core.setXYPosition(x, y)
    core.waitForDevice(core.getXYStageDevice())
    there = core.getXYPosition()
    distance = max(abs(there[0] - x), abs(there[1] - y))
    if distance > microscope.stage_tolerance_um:
        raise HardwareError(f"it went {distance:g} um away when sent to where it was")
    return f"answers, at ({x:.1f}, {y:.1f}) um"


def _focus(core: CMMCorePlus) -> str:
    drive = core.getFocusDevice()
    if not drive:
        return "there is none; protocols with planes or autofocus cannot run"
    direction = {1: "towards the sample", -1: "away from the sample"}.get(core.getFocusDirection(drive), "unknown")
    return f"answers, at {core.getZPosition():.2f} um; larger is {direction}"


def _snap(core: CMMCorePlus, microscope: MicroscopePlan, hung: threading.Event) -> str:
    """Take one picture, in a thread of its own, since a camera that hangs obeys no timeout."""
    outcome: list[str | Exception] = []

    def snap() -> None:
        try:
            core.snapImage()
            picture = core.getImage()
            outcome.append(f"{picture.shape[1]} x {picture.shape[0]} pixels, {core.getImageBitDepth()} bit")
        except Exception as error:  # whatever the adapter raises is for the thread that waits, which raises it again
            outcome.append(error)

    thread = threading.Thread(target=snap, name="phenoloop-doctor", daemon=True)
    limit_s = core.getExposure() / 1000 + microscope.timeout_s
    thread.start()
    thread.join(limit_s)
    if not outcome:
        hung.set()
        raise HardwareError(f"the camera has not come back within {limit_s:g} s")
    found = outcome[0]
    if isinstance(found, Exception):
        raise found
    return found
