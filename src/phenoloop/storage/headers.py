"""How a ``zarr.json`` is written: at once for readers, soon after on the disk, never at the cost of the old one."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from phenoloop.errors import StorageError
from phenoloop.platform import replace_file, sync_file, sync_folder

_THREADS: Final = 4
"""Syncs that run at a time; a file system takes several together for little more than the price of one."""


class Headers:
    """Writes the headers of one plate; its owner calls `put` from one thread at a time.

    A new field takes three or four files. Waiting for the disk after each would hold up the frames behind it, so `put`
    only renames the file into its place, in the order in which readers must see them, and `wait` is where durability
    is promised. A header that replaces another one is synced before it does, so that a power cut leaves one of the two.

    Parameters
    ----------
    synced : bool
        Whether `wait` waits for the disk at all.
    """

    def __init__(self, *, synced: bool) -> None:
        self._synced = synced
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._syncing: list[tuple[Path, Future[None]]] = []

    def put(self, folder: Path, document: Mapping[str, Any]) -> None:
        """Write the ``zarr.json`` of a group or an array; a reader sees the old one or the new one, never a half.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        path = folder / "zarr.json"
        temporary = folder / "zarr.json.tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                stream.write(json.dumps(document, allow_nan=False).encode())
                stream.flush()
                if path.exists():
                    sync_file(stream.fileno())
            replace_file(temporary, path)
        except OSError as error:
            raise _refused(folder, error) from error
        if self._synced:
            with self._lock:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="headers")
                self._syncing.append((folder, self._pool.submit(_sync, path)))

    def wait(self) -> None:
        """Wait until all headers that were put before this call are on the disk.

        Raises
        ------
        StorageError
            If the disk refuses one of them.
        """
        with self._lock:
            syncing, self._syncing = self._syncing, []
        failed = [(folder, error) for folder, future in syncing if (error := future.exception()) is not None]
        for folder, error in failed:
            raise _refused(folder, error) from error

    def close(self) -> None:
        """Wait as `wait` does, and end the threads."""
        try:
            self.wait()
        finally:
            if self._pool is not None:
                self._pool.shutdown()
                self._pool = None


def read_header(folder: Path) -> dict[str, Any]:
    """Return the ``zarr.json`` of a folder.

    Raises
    ------
    StorageError
        If it is absent or no JSON.
    """
    try:
        document: dict[str, Any] = json.loads((folder / "zarr.json").read_bytes())
    except (OSError, ValueError) as error:
        raise StorageError(f"{folder / 'zarr.json'} cannot be read ({error}). Restore it from a copy.") from error
    return document


def _sync(path: Path) -> None:
    # Windows syncs only what is open for writing.
    with path.open("r+b") as stream:
        sync_file(stream.fileno())
    sync_folder(path.parent)


def _refused(folder: Path, error: BaseException) -> StorageError:
    reason = getattr(error, "strerror", None) or error
    return StorageError(
        f"{folder} could not be written ({reason}). Free space on the disk or restore access to it, then take the run "
        "up again with `phenoloop resume`."
    )
