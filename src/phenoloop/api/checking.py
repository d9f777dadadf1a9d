"""`check`: everything that can be known before any device is touched, and what the run would cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phenoloop.plugins import Registry
from phenoloop.protocol import Loaded, forecast, load


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """A protocol that can be run.

    Attributes
    ----------
    loaded : Loaded
        As understood.
    forecast_lines : list of str
        Frames, time, disk, light, and what the question can and cannot call.
    """

    loaded: Loaded
    forecast_lines: list[str]


def check(path: Path, *, simulate: bool = False, hardware: bool = False) -> CheckResult:
    """Validate a protocol and forecast its run.

    Parameters
    ----------
    path : Path
        Protocol file.
    simulate : bool
        As for a run on the virtual plate.
    hardware : bool
        Also load the microscope's configuration and see whether its devices answer. This moves hardware.

    Raises
    ------
    ProtocolError
        With everything that is wrong, each at its line.
    HardwareError
        With `hardware`, if the microscope does not answer.
    """
    registry = Registry()
    loaded = load(path, registry, simulate=simulate)
    lines = forecast(loaded, registry).lines()
    if hardware:
        from phenoloop.errors import HardwareError
        from phenoloop.microscope.doctor import hardware_checks

        checks = hardware_checks(loaded.microscope)
        lines += [f"{'ok  ' if found.ok else 'FAIL'} {found.name}: {found.detail}" for found in checks]
        if failed := [found for found in checks if not found.ok]:
            raise HardwareError("; ".join(f"{found.name}: {found.detail}. {found.way_out}" for found in failed))
    return CheckResult(loaded=loaded, forecast_lines=lines)
