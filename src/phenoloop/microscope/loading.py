"""From a microscope file to a core that answers: which device adapters, which configuration, and what must be there.

Loading a configuration is a hardware act (stages home, turrets turn), so everything that can be checked as text was
checked before. The core is also made safe to leave: without that the process aborts at exit in one start of three.
"""

from __future__ import annotations

import atexit
import importlib.util
import logging
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pymmcore_plus
from pymmcore_plus import CMMCorePlus
from pymmcore_plus.mda import MDAEngine

from phenoloop.errors import HardwareError
from phenoloop.microscope.proving import say
from phenoloop.model import MicroscopePlan, Plan

log = logging.getLogger(__name__)

WAY_TO_ADAPTERS = (
    "Install the demo devices with `pip install 'phenoloop[demo]'`, or set MICROMANAGER_PATH to the folder of a "
    "Micro-Manager installation with the same device interface (see `mmcore list`)."
)


def find_adapters(microscope: MicroscopePlan) -> str:
    """Return the folder of the device adapters.

    An installation that the user chose comes first; the demo adapters of the `mm-test-adapters` package stand in where
    the configuration needs no others and the installation lacks them.

    Raises
    ------
    HardwareError
        If there is none that fits.
    """
    finder = logging.getLogger("pymmcore-plus")
    level = finder.level
    finder.setLevel(logging.CRITICAL)  # it reports a missing installation as an error of its own; ours says the way out
    try:
        found = pymmcore_plus.find_micromanager()
    finally:
        finder.setLevel(level)
    if found and (not microscope.needs_demo_adapters or _has_demo_camera(Path(found))):
        return str(found)
    if microscope.needs_demo_adapters and importlib.util.find_spec("mm_test_adapters") is not None:
        import mm_test_adapters

        folder = str(mm_test_adapters.device_adapter_path())
        if _has_demo_camera(Path(folder)):
            return folder
    lacking = f"; {found} has no DemoCamera" if found else ""
    raise HardwareError(f"no device adapters fit {microscope.name!r}{lacking}. {WAY_TO_ADAPTERS}")


def _has_demo_camera(folder: Path) -> bool:
    return any("DemoCamera" in entry.name for entry in folder.glob("*mmgr_dal_*"))


def release(core: CMMCorePlus) -> None:
    """Take the core's callback away, so that its thread no longer enters Python; safe to call twice.

    MMCore delivers its callbacks from a thread of its own. If that thread enters Python while the interpreter ends,
    the process aborts ("FATAL: exception not rethrown"). `registerCallback` of pymmcore-plus is closed to its users,
    hence the call of the class below it.
    """
    super(CMMCorePlus, core).registerCallback(None)


def part(core: CMMCorePlus) -> None:
    """Give the core an engine of its own back, which holds it weakly.

    The garbage collector does not see the attributes of a core, since its type is made by SWIG. So a core that holds,
    over its runner, an engine that holds the core stays in memory for ever, with all that the engine knows.
    """
    core.mda.set_engine(MDAEngine(core))


_LOADED: Final[weakref.WeakSet[CMMCorePlus]] = weakref.WeakSet()
"""Cores of this process that are not gone yet."""


def _release_all() -> None:
    for core in list(_LOADED):
        release(core)


def _release_at_exit(core: CMMCorePlus) -> None:
    _LOADED.add(core)
    atexit.unregister(_release_all)
    atexit.register(_release_all)  # the last to be registered is the first to be called


def load_core(microscope: MicroscopePlan) -> CMMCorePlus:
    """Return a core with the configuration of a microscope file loaded and its start-up properties set.

    Raises
    ------
    HardwareError
        If adapters are missing, a device does not answer, or a property is refused; with what the core said.
    """
    folder = find_adapters(microscope)
    config = Path(microscope.config)
    if not config.is_file():
        raise HardwareError(f"the configuration {config} of microscope {microscope.name!r} is not a file")
    core = CMMCorePlus(mm_path=folder, adapter_paths=[folder])
    _release_at_exit(core)
    try:
        core.setTimeoutMs(round(microscope.timeout_s * 1000))
        core.loadSystemConfiguration(str(config))
        # Again: a configuration may set the core's own timeout.
        core.setTimeoutMs(round(microscope.timeout_s * 1000))
        core.setCircularBufferMemoryFootprint(microscope.buffer_mb)
        for device, name, value in microscope.startup:
            core.setProperty(device, name, value)
        core.waitForSystem()
    except Exception as error:  # an adapter raises whatever it likes while it loads; what has loaded is let go
        unload(core)
        raise HardwareError(
            f"{config.name} cannot be loaded with the device adapters in {folder}: {say(error)}. "
            "Load it in Micro-Manager first; if it works there, compare the device interfaces (`mmcore info`)."
        ) from error
    return core


def unload(core: CMMCorePlus) -> None:
    """Let all devices go, then the core's callback."""
    try:
        core.unloadAllDevices()
        core.setCircularBufferMemoryFootprint(1)  # a core that somebody still holds need not hold its pictures
    except Exception as error:  # whatever the adapter raises on its way out, the callback must still go
        log.warning("a device could not be unloaded: %s", say(error))
    release(core)


def require(core: CMMCorePlus, plan: Plan) -> None:
    """Compare the loaded configuration with the plan.

    Raises
    ------
    HardwareError
        If there is no camera or stage, the camera gives no plain grey pictures, or a preset is missing.
    """
    for what, label in (("Camera", core.getCameraDevice()), ("XYStage", core.getXYStageDevice())):
        if not label:
            raise HardwareError(
                f"the configuration names no {what}; add the line `Property,Core,{what},<label>` to it, or set it in "
                "the Hardware Configuration Wizard"
            )
    if core.getNumberOfComponents() != 1 or core.getNumberOfCameraChannels() != 1:
        raise HardwareError(
            "the camera gives colour or several pictures at once; choose a grey mode, and one physical camera"
        )
    for profile in plan.profiles.values():
        wanted = [(channel.group, channel.config) for channel in profile.channels]
        if profile.objective_group and profile.objective_config:
            wanted.append((profile.objective_group, profile.objective_config))
        for group, config in wanted:
            if config not in core.getAvailableConfigs(group):
                known = ", ".join(core.getAvailableConfigs(group)) or "no preset at all"
                raise HardwareError(f"the configuration group {group!r} has no preset {config!r}; it has {known}")


def describe(core: CMMCorePlus, microscope: MicroscopePlan) -> Mapping[str, Any]:
    """Return what `resolved.json` keeps of the machinery: versions, devices, camera."""
    devices = {}
    for label in core.getLoadedDevices():
        with suppress(RuntimeError):
            devices[label] = f"{core.getDeviceLibrary(label)}/{core.getDeviceName(label)}"
    return {
        "name": microscope.name,
        "config": microscope.config,
        "config_sha256": microscope.config_sha256,
        "adapters": ", ".join(core.getDeviceAdapterSearchPaths()),
        "pymmcore_plus": pymmcore_plus.__version__,
        "core": core.getVersionInfo(),
        "device_interface": core.getAPIVersionInfo(),
        "devices": devices,
        "camera": {
            "device": core.getCameraDevice(),
            "height": core.getImageHeight(),
            "width": core.getImageWidth(),
            "bit_depth": core.getImageBitDepth(),
        },
        "stage": core.getXYStageDevice(),
        "focus": core.getFocusDevice(),
        "pixel_size_um": core.getPixelSizeUm(True),
    }
