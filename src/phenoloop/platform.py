"""What differs between operating systems: durable files, keys of a terminal. Nothing else asks for the system."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

WINDOWS = sys.platform == "win32"


def sync_file(descriptor: int) -> None:
    """Wait until what was written to `descriptor` is on the disk."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Make a new or renamed entry of a folder durable; Windows has no such call and does not need it."""
    if WINDOWS:
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(source: Path, target: Path, *, attempts: int = 20, pause_s: float = 0.05) -> None:
    """Put `source` in the place of `target` in one step.

    On Windows a viewer or a virus scanner that holds the target makes this fail for a moment, so it is tried again.
    """
    for attempt in range(attempts):
        try:
            os.replace(source, target)
        except PermissionError:
            if not WINDOWS or attempt == attempts - 1:
                raise
            time.sleep(pause_s)
        else:
            return


def write_atomically(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a whole file so that a reader sees the old content or the new one, never a half.

    Parameters
    ----------
    path : Path
        Target; its folder must exist.
    data : bytes
        Whole new content.
    durable : bool
        Also wait for the disk.
    """
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as stream:
        stream.write(data)
        if durable:
            stream.flush()
            sync_file(stream.fileno())
    replace_file(temporary, path)
    if durable:
        sync_folder(path.parent)
