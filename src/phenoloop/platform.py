"""What differs between operating systems: durable files, keys of a terminal. Nothing else asks for the system."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

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


def cache_folder() -> Path:
    """Return where results are kept that can be made again; it need not exist. ``PHENOLOOP_CACHE`` names another."""
    if named := os.environ.get("PHENOLOOP_CACHE"):
        return Path(named)
    if WINDOWS:
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "phenoloop" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "phenoloop"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "phenoloop"


class FileLock:
    """A lock on a file, held by this process until `release` or its end, however it ends.

    Parameters
    ----------
    path : Path
        A file that holds nothing else; it stays there, because deleting it could free a lock of somebody else.

    Raises
    ------
    BlockingIOError
        If another process (or another lock of this one) holds it.
    OSError
        If the file cannot be made, or its file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self._stream = path.open("ab")
        try:
            _lock(self._stream.fileno())
        except OSError:
            self._stream.close()
            raise

    def release(self) -> None:
        """Let it go; again does nothing."""
        self._stream.close()


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class RawKeys:
    """Single keys of a terminal, without Enter and without echo; Ctrl-C still interrupts. A context manager.

    Where standard input is no terminal there are no keys: `available` is False and `read` returns None.
    """

    def __init__(self) -> None:
        self.available = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
        self._saved: list[Any] | None = None

    def __enter__(self) -> RawKeys:
        if self.available and sys.platform != "win32":
            import termios
            import tty

            descriptor = sys.stdin.fileno()
            self._saved = termios.tcgetattr(descriptor)
            tty.setcbreak(descriptor, termios.TCSANOW)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._saved is not None and sys.platform != "win32":
            import termios

            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._saved)
            self._saved = None

    def read(self, timeout_s: float) -> str | None:
        """Return the next key, or None when none was pressed in time (or the terminal is gone)."""
        if not self.available:
            return None
        if sys.platform == "win32":
            import msvcrt

            end = time.monotonic() + timeout_s
            while not msvcrt.kbhit():
                if time.monotonic() >= end:
                    return None
                time.sleep(0.02)
            return msvcrt.getwch()
        import select

        ready, _, _ = select.select([sys.stdin.fileno()], [], [], timeout_s)
        if not ready:
            return None
        pressed = os.read(sys.stdin.fileno(), 1)
        if not pressed:  # the terminal was closed
            self.available = False
            return None
        return pressed.decode("ascii", "ignore") or None


def keep_freed_memory() -> bool:
    """Let this process keep the memory of arrays up to 32 MiB for the next ones; return whether that took effect.

    By default glibc hands an image back to the system as soon as it is freed and gets the next one page by page,
    zeroed: a quarter of the time of measuring a field. Other allocators have no such switch, and most no such habit.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; musl has none
    if mallopt is None:
        return False
    trim_threshold, mmap_threshold = -1, -3
    return bool(mallopt(mmap_threshold, 32 << 20) and mallopt(trim_threshold, 256 << 20))


def give_back_memory() -> bool:
    """Hand memory that was freed, but lies in pieces, back to the system; return whether there was a way to.

    Where arrays of ever new sizes are made in one thread and freed in another, as batches for a training are, glibc
    keeps the holes: 7 GB after two hours, of which 1 GB was in use.
    """
    if sys.platform != "linux":
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has none
    return bool(trim is not None and trim(0))


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has held so far, in MB; None where the system does not say (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes there, else kB
