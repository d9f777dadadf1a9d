"""Each piece of microscope state: how it is commanded, how it is waited for, and what is read back to prove it.

A step that is not proven after the last attempt is a `FrameError`. What was proven is remembered only until something
goes wrong or the visit ends.
"""

from __future__ import annotations

from pymmcore_plus import CMMCorePlus

from phenoloop.microscope.clock import Clock
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.proving import Prover, Report, never_wrong, nothing
from phenoloop.model import CostModel, MicroscopePlan

EXPOSURE_TOLERANCE = 0.02
"""Cameras count exposure in line times; a larger share than this off is another exposure."""
EXPOSURE_TOLERANCE_MS = 0.1


def wrong_exposure(asked_ms: float, found_ms: float) -> str:
    """Return what is wrong with an exposure that was read back; empty if nothing."""
    if abs(found_ms - asked_ms) <= max(EXPOSURE_TOLERANCE_MS, EXPOSURE_TOLERANCE * asked_ms):
        return ""
    return f"the camera is set to {found_ms:g} ms, not {asked_ms:g} ms"


class Steps:
    """The state of the microscope, as far as it is proven.

    Parameters
    ----------
    core : CMMCorePlus
        The loaded core.
    microscope : MicroscopePlan
        Tolerances.
    cost : CostModel
        What each step takes on the virtual clock.
    clock : Clock
        Told of every step.
    gate : Gate
        Ends a rest when the run is stopped.
    prover : Prover
        Tries each step.
    settle_s : float
        Wall seconds of rest after a stage move.
    """

    def __init__(
        self,
        core: CMMCorePlus,
        microscope: MicroscopePlan,
        cost: CostModel,
        clock: Clock,
        gate: Gate,
        prover: Prover,
        settle_s: float,
    ) -> None:
        self.core = core
        self.prover = prover
        self._microscope = microscope
        self._cost = cost
        self._clock = clock
        self._gate = gate
        self._settle_s = settle_s
        # What the cost model believes: where the last command went, whether or not it is still proven.
        self._sent_xy: tuple[float, float] = core.getXPosition(), core.getYPosition()
        self._stood_xy: tuple[float, float] | None = None
        self._sent_z: float | None = None
        self._sent_config: dict[str, str] = {}
        self._shut = False
        self.forget()

    def forget(self) -> None:
        """Trust nothing any more; every step is commanded and proven anew."""
        self._xy: tuple[tuple[float, float], tuple[float, float]] | None = None
        self._z: tuple[float, float] | None = None
        self._config: dict[str, str] = {}
        self._exposure: tuple[float, float] | None = None

    def xy(self, x_um: float, y_um: float, report: Report) -> tuple[float, float]:
        """Bring the stage to a place; return where it says it is."""
        target = (x_um, y_um)
        if self._xy is not None and self._xy[0] == target:
            return self._xy[1]
        self._xy = None
        core, near = self.core, self._microscope.stage_tolerance_um
        moved = self._sent_xy != target

        def act() -> None:
            if self._stood_xy == target and not wrong(look()):
                return  # proven there before and still there: nothing to wait for
            self._stood_xy = None
            self._clock.spend(self._cost.move_s(x_um - self._sent_xy[0], y_um - self._sent_xy[1]))
            core.setXYPosition(x_um, y_um)
            self._sent_xy = target
            core.waitForDevice(core.getXYStageDevice())
            if moved and self._settle_s:
                self._gate.nap(self._settle_s)

        def look() -> tuple[float, float]:
            x, y = core.getXYPosition()
            return float(x), float(y)

        def wrong(found: tuple[float, float]) -> str:
            if abs(found[0] - x_um) <= near and abs(found[1] - y_um) <= near:
                return ""
            return f"the stage stands at ({found[0]:g}, {found[1]:g}) um, not at ({x_um:g}, {y_um:g}) um"

        found = self.prover.reach("setXYPosition", act, look, wrong, report)
        self._xy = (target, found)
        self._stood_xy = target
        return found

    def z(self, z_um: float, report: Report) -> float:
        """Bring the focus drive to a height; return where it says it is."""
        if self._z is not None and self._z[0] == z_um:
            return self._z[1]
        self._z = None
        core, near = self.core, self._microscope.z_tolerance_um

        def act() -> None:
            if self._sent_z != z_um:
                self._clock.spend(self._cost.z_s)
            core.setZPosition(z_um)
            self._sent_z = z_um
            core.waitForDevice(core.getFocusDevice())

        def wrong(found: float) -> str:
            return "" if abs(found - z_um) <= near else f"the focus drive stands at {found:g} um, not at {z_um:g} um"

        found = self.prover.reach("setZPosition", act, lambda: float(core.getZPosition()), wrong, report)
        self._z = (z_um, found)
        return found

    def read_z(self, report: Report) -> float | None:
        """Return where the focus drive says it is; None where there is none."""
        if self._z is not None:
            return self._z[1]
        if not self.core.getFocusDevice():
            return None
        found = self.prover.reach("getZPosition", nothing, lambda: float(self.core.getZPosition()), never_wrong, report)
        self._z = (found, found)
        return found

    def config(self, group: str, config: str, report: Report, *, cost_s: float | None = None) -> None:
        """Bring a configuration group to a preset; every property of it is compared."""
        if self._config.get(group) == config:
            return
        self._config.pop(group, None)
        core = self.core

        def act() -> None:
            if self._sent_config.get(group) != config:
                self._clock.spend(self._cost.channel_s if cost_s is None else cost_s)
            # A preset that is already in place is not sent again: that is a walk through every wheel of the stand.
            if core.getCurrentConfig(group) != config:
                core.setConfig(group, config)
                core.waitForConfig(group, config)
            self._sent_config[group] = config

        def wrong(found: str) -> str:
            return "" if found == config else self._difference(group, config)

        self.prover.reach("setConfig", act, lambda: core.getCurrentConfig(group), wrong, report)
        self._config[group] = config
        self._exposure = None  # a preset may hold the exposure

    def exposure(self, exposure_ms: float, report: Report) -> float:
        """Set the exposure; return what the camera says it is."""
        if self._exposure is not None and self._exposure[0] == exposure_ms:
            return self._exposure[1]
        self._exposure = None
        core = self.core
        found = self.prover.reach(
            "setExposure",
            lambda: core.setExposure(exposure_ms),
            lambda: float(core.getExposure()),
            lambda found: wrong_exposure(exposure_ms, found),
            report,
        )
        self._exposure = (exposure_ms, found)
        return found

    def property(self, device: str, name: str, value: str, report: Report) -> None:
        """Set a property, unless it already has the value."""
        core = self.core

        def act() -> None:
            if not same_value(core.getProperty(device, name), value):
                core.setProperty(device, name, value)
                core.waitForDevice(device)

        def wrong(found: str) -> str:
            return "" if same_value(found, value) else f"{device}-{name} is {found}, not {value}"

        self.prover.reach("setProperty", act, lambda: core.getProperty(device, name), wrong, report)

    def rest(self, report: Report) -> None:
        """Keep light from the sample while nothing is imaged, where the core does not do so by itself."""
        core = self.core

        def act() -> None:
            if core.getShutterDevice() and not core.getAutoShutter() and core.getShutterOpen():
                core.setShutterOpen(False)
                core.waitForDevice(core.getShutterDevice())
                self._shut = True

        self.prover.reach("setShutterOpen", act, lambda: "", never_wrong, report)

    def wake(self, report: Report) -> None:
        """Open the shutter again that `rest` closed."""
        if not self._shut:
            return
        core = self.core

        def act() -> None:
            core.setShutterOpen(True)
            core.waitForDevice(core.getShutterDevice())

        self.prover.reach(
            "setShutterOpen", act, core.getShutterOpen, lambda found: "" if found else "the shutter stays shut", report
        )
        self._shut = False

    def _difference(self, group: str, config: str) -> str:
        """Return which property keeps a group from being at a preset; empty if none (two presets may be equal)."""
        for device, name, value in self.core.getConfigData(group, config):
            found = self.core.getProperty(device, name)
            if not same_value(found, value):
                return f"{group} is not at {config}: {device}-{name} is {found}, not {value}"
        return ""


def same_value(found: str, asked: str) -> bool:
    """Return whether two property values are the same text or the same number."""
    if found == asked:
        return True
    try:
        return float(found) == float(asked)
    except ValueError:
        return False
