"""What a profile asks of the stand and the camera: objective, binning, region, and the picture that must come of it.

The first entry of a profile fixes the region and the shape of its frames; a picture of another shape is refused, which
is how a binning or region that somebody else changed is noticed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymmcore_plus import CMMCorePlus

from phenoloop.errors import FrameError
from phenoloop.microscope.proving import Report, never_wrong, nothing
from phenoloop.microscope.steps import Steps
from phenoloop.microscope.virtual.camera import VirtualCamera
from phenoloop.model import CostModel, ProfilePlan

PIXEL_SIZE_TOLERANCE = 0.01
"""Share by which the pixel size of the configuration may differ from the plan's."""

Region = tuple[int, int, int, int]


class Optics:
    """Objective, binning and region of the profile that is in place.

    Parameters
    ----------
    core : CMMCorePlus
        The loaded core.
    steps : Steps
        Brings presets and properties to their place.
    cost : CostModel
        What a change of objective takes on the virtual clock.
    camera : VirtualCamera or None
        Keeps the size of its pictures whatever the binning.
    """

    def __init__(self, core: CMMCorePlus, steps: Steps, cost: CostModel, camera: VirtualCamera | None) -> None:
        self._core = core
        self._steps = steps
        self._cost = cost
        self._camera = camera
        self._inside = ""
        self._binning = 1
        self._regions: dict[str, Region] = {}
        self._safe_z_um: float | None = None
        self._parked_um: float | None = None
        self.shape = (0, 0)
        self.pixel_size_um = 0.0
        self.offset_um = (0.0, 0.0, 0.0)

    def forget(self) -> None:
        """Prove everything again at the next entry."""
        self._inside = ""

    def enter(self, profile: ProfilePlan, report: Report) -> None:
        """Bring objective, binning and region to where a profile wants them.

        Raises
        ------
        FrameError
            If one of them cannot be reached, or the pixel size is not the planned one.
        """
        if self._inside == profile.name:
            return
        self._inside = ""
        if profile.objective_group and profile.objective_config:
            # The first entry belongs to the opening of the microscope; the run clock starts after it.
            cost_s = self._cost.objective_s if self._regions else 0.0
            self._turn(profile, profile.objective_group, profile.objective_config, cost_s, report)
        self._bin(profile.binning, report)
        self._crop(profile.name, report)
        if self._camera is None:
            self._compare_pixel_size(profile)
        self.shape = (self._core.getImageHeight(), self._core.getImageWidth())
        self.pixel_size_um = profile.pixel_size_um
        self.offset_um = profile.offset_um
        self._inside = profile.name

    def wrong_picture(self, pixels: NDArray[Any]) -> str:
        """Return why a picture cannot be a frame of this profile; empty if it can."""
        if pixels.dtype not in (np.uint8, np.uint16):
            return f"the picture has pixels of type {pixels.dtype}, not uint8 or uint16"
        if pixels.shape != self.shape:
            return f"the picture has the shape {pixels.shape}, not {self.shape}"
        return ""

    def _turn(self, profile: ProfilePlan, group: str, config: str, cost_s: float, report: Report) -> None:
        """Change the objective, the focus drive at the safe height of the one that goes and of the one that comes.

        If the change fails, the drive stays there, and the height it came from is remembered for the next attempt.
        """
        safe = dict.fromkeys(z_um for z_um in (self._safe_z_um, profile.safe_z_um) if z_um is not None)
        if not safe or (self._parked_um is None and self._core.getCurrentConfig(group) == config):
            self._steps.config(group, config, report, cost_s=cost_s)
            self._safe_z_um = profile.safe_z_um
            return
        if self._parked_um is None:
            self._parked_um = self._steps.read_z(report)
        if self._parked_um is None:
            raise FrameError("the objectives have a safe height, but the configuration names no focus drive")
        for z_um in safe:
            self._steps.z(z_um, report)
        self._steps.config(group, config, report, cost_s=cost_s)
        self._safe_z_um = profile.safe_z_um
        self._steps.z(self._parked_um, report)
        self._parked_um = None

    def _bin(self, binning: int, report: Report) -> None:
        core = self._core
        camera = core.getCameraDevice()
        if not (camera and core.hasProperty(camera, "Binning")):
            if binning == 1:
                return
            raise FrameError(f"the camera {camera!r} cannot bin; write `binning: 1` in the protocol")
        allowed = core.getAllowedPropertyValues(camera, "Binning") or (str(binning),)
        # Some cameras write "2x2" where others write "2".
        value = next((text for text in allowed if text.split("x")[0].strip() == str(binning)), None)
        if value is None:
            raise FrameError(f"the camera {camera!r} bins by {', '.join(allowed)}, not by {binning}")
        self._steps.property(camera, "Binning", value, report)
        if binning != self._binning:
            self._binning = binning
            if self._camera is not None:
                self._camera.fit(binning)

    def _crop(self, profile: str, report: Report) -> None:
        core = self._core

        def look() -> Region:
            x, y, width, height = core.getROI()
            return x, y, width, height

        if profile not in self._regions:
            self._regions[profile] = self._steps.prover.reach("getROI", nothing, look, never_wrong, report)
            return
        wanted = self._regions[profile]

        def act() -> None:
            if look() != wanted:
                core.clearROI()
                if look() != wanted:
                    core.setROI(*wanted)

        self._steps.prover.reach(
            "setROI", act, look, lambda found: "" if found == wanted else f"the region is {found}, not {wanted}", report
        )

    def _compare_pixel_size(self, profile: ProfilePlan) -> None:
        found = self._core.getPixelSizeUm(True)
        if found > 0 and abs(found - profile.pixel_size_um) > PIXEL_SIZE_TOLERANCE * profile.pixel_size_um:
            raise FrameError(
                f"the configuration gives a pixel of {found:g} um with objective {profile.objective or 'in place'}, "
                f"the plan says {profile.pixel_size_um:g} um; correct it in the .cfg or in the microscope file"
            )
