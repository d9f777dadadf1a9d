"""A specimen in front of the real core: the demo stand moves, exposes and answers, only the pixels come from elsewhere.

The picture is drawn from the state that the core reports at the moment of the snap, never from what was asked for, so a
fault that slipped through would be seen in the pixels. Methods are replaced on the one core object, so the class of the
core, and all that is called on it, is the same as on a real microscope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pymmcore_plus import CMMCorePlus

from phenoloop.errors import HardwareError
from phenoloop.microscope.clock import Clock
from phenoloop.model import FrameAddress
from phenoloop.ports import Specimen, View

SHORTEST_MS: Final = 0.1
"""What the demo camera really exposes, whatever it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the engine is about to take.

    Attributes
    ----------
    address : FrameAddress or None
        The frame; None for a look that is no frame.
    group, channel : str
        Configuration group of the light path, and the protocol's name of the channel.
    pixel_size_um : float
        Size of a pixel in the sample.
    offset_um : (float, float, float)
        How far from the axis of the stand the objective looks, and how much its focus differs.
    z_um : float or None
        Height the hardware brings by itself during a burst; None: ask the drive.
    salt : int
        Counts looks that are no frame.
    """

    address: FrameAddress | None
    group: str
    channel: str
    pixel_size_um: float
    offset_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    z_um: float | None = None
    salt: int = 0


_REPLACED: Final = ("snapImage", "getImage", "getLastImage", "popNextImageAndMD", "setExposure", "getExposure")
"""Methods of the core that stand aside."""


class VirtualCamera:
    """Replaces what the demo camera sees.

    Parameters
    ----------
    core : CMMCorePlus
        A core with a demo camera, loaded.
    specimen : Specimen
        What is seen.
    clock : Clock
        The time at which it is seen.
    idle : Look
        What a look is that nobody announced (a viewer's live mode).

    Raises
    ------
    HardwareError
        If the camera of the configuration cannot stand in for another.
    """

    def __init__(self, core: CMMCorePlus, specimen: Specimen, clock: Clock, idle: Look) -> None:
        self._core = core
        self._specimen = specimen
        self._clock = clock
        self._looks: list[Look] = [idle]
        self._idle = idle
        self._popped = 0
        self._view: View | None = None
        self._pixels: NDArray[Any] | None = None
        self._exposure_ms = float(core.getExposure())
        # The core's own methods: who replaces them later (a viewer, a test) does not change what the specimen sees.
        self._really_snap = core.snapImage
        self._really_expose = core.setExposure
        self._really_pop = core.popNextImageAndMD
        self._really_xy = core.getXYPosition
        self._really_z = core.getZPosition
        self._really_config = core.getCurrentConfig
        self.fit(1)
        self._really_expose(SHORTEST_MS)
        for name in _REPLACED:
            setattr(core, name, getattr(self, name))

    def leave(self) -> None:
        """Give the core its own methods back; a core that holds ours is held by them, and never freed."""
        for name in _REPLACED:
            vars(self._core).pop(name, None)

    def fit(self, binning: int) -> None:
        """Give the demo camera the size and depth of the specimen's pictures, at a binning."""
        height, width = self._specimen.shape()
        depth = self._specimen.bit_depth()
        camera = self._core.getCameraDevice()
        # FastImage: the pattern that the demo camera would draw is never looked at.
        wanted = {
            "OnCameraCCDXSize": str(width * binning),
            "OnCameraCCDYSize": str(height * binning),
            "PixelType": f"{depth}bit",
            "BitDepth": str(depth),
            "FastImage": "1",
        }
        for name, value in wanted.items():
            if not self._core.hasProperty(camera, name):
                raise HardwareError(
                    f"a simulation needs the demo camera, but {camera!r} "
                    f"({self._core.getDeviceLibrary(camera)}) has no property {name!r}. "
                    "Use a microscope file whose configuration has the DemoCamera, such as `microscope: demo`."
                )
            if self._core.getProperty(camera, name) != value:
                self._core.setProperty(camera, name, value)
        found = (self._core.getImageHeight(), self._core.getImageWidth())
        if found != (height, width):
            raise HardwareError(
                f"the demo camera gives pictures of {found[1]} x {found[0]} pixels, the specimen has {width} x "
                f"{height}. Give the camera no region of interest in the configuration."
            )

    def expect(self, *looks: Look) -> None:
        """Say what will be taken next: one look for a snap, several for a burst."""
        self._looks = list(looks) or [self._idle]
        self._popped = 0

    # -- the methods of the core that it replaces; their names and arguments are the core's --------------------------

    def snapImage(self) -> None:
        """Expose; the state is looked at before the shutter opens."""
        view = self._look(self._looks[0])
        self._really_snap()
        self._view, self._pixels = view, None

    def getImage(self, *_: Any, **__: Any) -> NDArray[Any]:
        """Return the picture of the last snap."""
        if self._view is None:
            raise RuntimeError("Snap an image before getting it.")
        if self._pixels is None:
            self._pixels = np.asarray(self._specimen.render(self._view))
        return self._pixels

    def getLastImage(self, *_: Any, **__: Any) -> NDArray[Any]:
        """Return what a live view would show now."""
        return np.asarray(self._specimen.render(self._look(self._idle)))

    def popNextImageAndMD(self, *args: Any, **kwargs: Any) -> tuple[NDArray[Any], Any]:
        """Take one picture of a burst out of the buffer, with the height that the burst gave it."""
        _, metadata = self._really_pop(*args, **kwargs)
        look = self._looks[min(self._popped, len(self._looks) - 1)]
        self._popped += 1
        return np.asarray(self._specimen.render(self._look(look))), metadata

    def setExposure(self, *args: Any) -> None:
        """Remember the exposure; the demo camera itself keeps its shortest."""
        camera, exposure_ms = _camera_and_exposure(args)
        if camera is not None and camera != self._core.getCameraDevice():
            self._really_expose(*args)
            return
        if not self._core.getCameraDevice():
            self._really_expose(exposure_ms)  # raises what a core without a camera raises
        self._exposure_ms = exposure_ms

    def getExposure(self, *_: Any) -> float:
        """Return the exposure that was asked for."""
        return self._exposure_ms

    def _look(self, look: Look) -> View:
        x, y = self._really_xy()
        height = look.z_um
        if height is None:
            height = float(self._really_z()) if self._core.getFocusDevice() else 0.0
        return View(
            address=look.address,
            x_um=float(x) - look.offset_um[0],
            y_um=float(y) - look.offset_um[1],
            z_um=height - look.offset_um[2],
            config=self._really_config(look.group) if look.group else "",
            channel=look.channel,
            exposure_ms=self._exposure_ms,
            pixel_size_um=look.pixel_size_um,
            at_s=self._clock.now_s(),
            salt=look.salt,
        )


def _camera_and_exposure(args: Sequence[Any]) -> tuple[str | None, float]:
    """Return the arguments of `setExposure`, whose first may be the label of a camera."""
    return (None, float(args[0])) if len(args) == 1 else (str(args[0]), float(args[1]))
