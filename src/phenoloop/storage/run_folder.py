"""The folder of a run: its name, what lies where in it, and that only one process writes to it."""

from __future__ import annotations

import itertools
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from phenoloop.errors import StorageError, UsageError
from phenoloop.platform import FileLock
from phenoloop.storage.layout import plate_folder

LONGEST_PATH: Final = 140
"""Characters below the run folder, so that Windows tools with their limit of 260 can still open every file."""


class RunFolder:
    """An existing run folder, made by `create` or found by `open`. A context manager: leaving it frees its lock.

    Parameters
    ----------
    path : Path
        The folder.
    lock : FileLock or None
        Held while this process may write.
    """

    def __init__(self, path: Path, lock: FileLock | None = None) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, out: Path | None, name: str, base: Path) -> RunFolder:
        """Make the folder of a new run and lock it.

        Parameters
        ----------
        out : Path or None
            The folder itself, new or empty; None: ``base/<name>-<UTC time>``, which is always new.
        name : str
            Name of the protocol.
        base : Path
            Folder of the runs, ``runs``; made if need be.

        Raises
        ------
        UsageError
            If `out` holds something already or cannot be made.
        """
        try:
            if out is None:
                path = _new(base, f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
            else:
                path = out
                if path.exists() and not path.is_dir():
                    raise UsageError(f"{out} is a file; --out names the folder of the run, new or empty.")
                if path.is_dir() and any(path.iterdir()):
                    hint = f" To go on with the run in it: phenoloop resume {out}." if _is_run(path) else ""
                    raise UsageError(f"{out} is not empty; give --out a new or empty folder.{hint}")
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            where = out if out is not None else base
            raise UsageError(f"{where} cannot be made or written ({error.strerror or error}); choose --out.") from error
        return cls(path, _lock(path))

    @classmethod
    def open(cls, path: Path, *, write: bool = False) -> RunFolder:
        """Return the folder of an existing run.

        Parameters
        ----------
        path : Path
            The run folder.
        write : bool
            Lock it, to go on with the run.

        Raises
        ------
        UsageError
            If it is no run folder, or (with `write`) another process writes to it.
        """
        if not path.exists():
            raise UsageError(f"{path} does not exist. Give the folder of a run, e.g. one of those in runs/.")
        if not path.is_dir():
            raise UsageError(f"{path} is a file. Give the folder of a run, which holds journal.jsonl: {path.parent}?")
        if not _is_run(path):
            runs = sorted(folder.name for folder in path.iterdir() if _is_run(folder))
            hint = f" It holds runs: give one of them, the last is {path / runs[-1]}." if runs else ""
            raise UsageError(f"{path} is no run folder: it holds no journal.jsonl.{hint}")
        return cls(path, _lock(path) if write else None)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def release(self) -> None:
        """Let other processes write; again does nothing."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def name(self) -> str:
        """Name of the run: that of its folder."""
        return self.path.resolve().name

    @property
    def protocol(self) -> Path:
        """The protocol as given."""
        return self.path / "protocol.yaml"

    @property
    def resolved(self) -> Path:
        """The protocol as understood, with versions, hashes, seed, host."""
        return self.path / "resolved.json"

    @property
    def journal(self) -> Path:
        """The source of truth."""
        return self.path / "journal.jsonl"

    @property
    def images_folder(self) -> Path:
        """All plates."""
        return self.path / "images"

    def images(self, profile: str) -> Path:
        """Return the plate of a profile."""
        return plate_folder(self.images_folder, profile)

    @property
    def frames(self) -> Path:
        """One row per planned frame."""
        return self.path / "frames.parquet"

    @property
    def readouts(self) -> Path:
        """One row per field visit."""
        return self.path / "readouts.parquet"

    @property
    def profiles(self) -> tuple[Path, Path]:
        """One row per well, normalised to the controls: for programs, and for spreadsheets."""
        return self.path / "profiles.parquet", self.path / "profiles.csv"

    def objects(self, profile: str) -> Path:
        """Return the folder of a profile's object tables."""
        return self.path / "objects" / profile

    @property
    def report_html(self) -> Path:
        """The report for people."""
        return self.path / "report.html"

    @property
    def report_json(self) -> Path:
        """The report for programs."""
        return self.path / "report.json"

    @property
    def log(self) -> Path:
        """What was logged."""
        return self.path / "log.jsonl"

    def free_bytes(self) -> int:
        """Return how much room the disk of this run has left, in bytes."""
        return shutil.disk_usage(self.path).free

    def require_space(self, needed: int) -> None:
        """Refuse a run that the disk cannot hold.

        Parameters
        ----------
        needed : int
            Bytes.

        Raises
        ------
        StorageError
            If there is less room.
        """
        free = self.free_bytes()
        if free < needed:
            raise StorageError(
                f"{self.path} has {_size(free)} left, the run may need {_size(needed)}. Free space, choose another "
                "disk with --out, or lower limits.frames."
            )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _new(base: Path, name: str) -> Path:
    """Make and return a folder that did not exist, even if two runs begin in the same second."""
    base.mkdir(parents=True, exist_ok=True)
    for attempt in itertools.count(1):
        path = base / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable")


def _is_run(path: Path) -> bool:
    return (path / "journal.jsonl").is_file()


def _lock(path: Path) -> FileLock:
    try:
        return FileLock(path / ".lock")
    except BlockingIOError as error:
        raise UsageError(
            f"another process is writing to {path}. Wait until it has ended, or look at it with `phenoloop report`."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be locked ({error.strerror or error}), so two runs could mix in it. Use a folder on a "
            "local disk that can be written."
        ) from error
