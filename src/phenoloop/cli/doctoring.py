"""`doctor`: named checks of this computer and, on request, of a microscope, each with a way out."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from phenoloop.cli.telling import DONE, FAILED, HARDWARE, say
from phenoloop.errors import PluginError
from phenoloop.microscope.doctor import Check, environment_checks, hardware_checks
from phenoloop.model import MicroscopePlan
from phenoloop.platform import sync_file
from phenoloop.plugins import Registry

SYNCS: Final = 20
SLOW_SYNC_MS: Final = 50.0
"""A decision waits for one sync; slower than this it is felt."""
LITTLE_SPACE: Final = 10e9


def examine(microscope: str | None) -> int:
    """Print what was found.

    Parameters
    ----------
    microscope : str or None
        Name of a microscope file, or its path; its devices are then initialised.

    Returns
    -------
    int
        0 when all will do, 1 for the computer, 3 for the microscope.
    """
    here = [*environment_checks(), *_plugins(), _network(), _disk(Path.cwd()), _space(Path.cwd()), _terminal()]
    _print(here)
    failed = FAILED if any(not found.ok for found in here) else DONE
    if microscope is None:
        return failed
    say()
    checks = hardware_checks(_microscope(microscope))
    _print(checks)
    return HARDWARE if any(not found.ok for found in checks) else failed


def _print(checks: list[Check]) -> None:
    width = max(len(found.name) for found in checks)
    for found in checks:
        say(f"{'ok  ' if found.ok else 'FAIL'}  {found.name.ljust(width)}  {found.detail}")
        if found.way_out:
            say(f"      {' ' * width}  {found.way_out}")


def _plugins() -> Iterator[Check]:
    """Load every plug-in: one that cannot be imported is better known before the night."""
    for plugin in Registry():
        name = f"{plugin.group} {plugin.kind}"
        try:
            plugin.load()
        except PluginError as error:
            yield Check(name, False, str(error), f"install what {plugin.origin} needs, or do without this kind")
        else:
            yield Check(name, True, plugin.target)


def _network() -> Check:
    """Say on what the network of `unet` runs here: the build of ONNX Runtime decides, and whether its driver works."""
    from phenoloop.segmentation.runtime import network
    from phenoloop.segmentation.unet import SHIPPED, model_file

    try:
        model = network(model_file(SHIPPED))
    except PluginError as error:
        return Check("network", False, str(error), "install phenoloop again")
    return Check("network", True, f"unet runs on {model.provider} (ONNX Runtime {model.runtime})")


def _disk(folder: Path) -> Check:
    """Time what every decision waits for: one journal line made durable."""
    times = []
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".phenoloop-doctor-") as stream:
            for _ in range(SYNCS):
                began = time.perf_counter()
                stream.write(b"x" * 300)
                stream.flush()
                sync_file(stream.fileno())
                times.append((time.perf_counter() - began) * 1000)
    except OSError as error:
        return Check("disk", False, f"{folder} cannot be written: {error}", "go to a folder that you may write to")
    middle = statistics.median(times)
    detail = f"a durable line takes {middle:.1f} ms in {folder}"
    slow = "every decision waits for it; a local disk is faster than a network folder" if middle > SLOW_SYNC_MS else ""
    return Check("disk", True, detail, slow)


def _space(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    way_out = "little for images; `phenoloop check` says what a protocol needs" if free < LITTLE_SPACE else ""
    return Check("free space", True, f"{free / 1e9:.1f} GB in {folder}", way_out)


def _terminal() -> Check:
    encoding = (sys.stdout.encoding or "unknown").lower()
    kind = "a terminal: live view" if sys.stdout.isatty() else "no terminal: plain lines"
    plain = "" if "utf" in encoding else f"signs that {encoding} lacks are replaced; PYTHONUTF8=1 shows them"
    return Check("output", True, f"{kind}, {encoding}, TERM={os.environ.get('TERM', '')}", plain)


def _microscope(name: str) -> MicroscopePlan:
    from phenoloop.protocol.microscope_file import open_microscope
    from phenoloop.protocol.problems import Problems
    from phenoloop.protocol.yaml_source import Source

    problems = Problems()
    found = open_microscope(name, Path.cwd(), Source("doctor", []), problems)
    return problems.need(found).plan()
