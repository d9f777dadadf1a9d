"""Which file of trained weights a name means: found on this computer or not at all, and known by its hash.

Libraries that download what they do not find turn a misspelt path into another model, so finding is done here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from phenoloop.errors import UsageError

SHA256: Final = "^[0-9a-fA-F]{64}$"
"""Pattern of a hash as protocols write it."""


def is_path(model: str) -> bool:
    """Return whether `model` is written as a path (a separator, or ``~``) rather than as the name of a model."""
    return "/" in model or "\\" in model or model.startswith("~")


def find_weights(model: str, folders: Sequence[Path], *, way_out: str) -> Path:
    """Return the file or folder that `model` means.

    Parameters
    ----------
    model : str
        A path (relative ones start at the working directory), or a name to look up in `folders`.
    folders : sequence of Path
        Where models are kept, the first hit counts.
    way_out : str
        One or two sentences on how to get it.

    Raises
    ------
    UsageError
        If there is none; the message names every place that was looked at and what is there instead.
    """
    places = [Path(model).expanduser()] if is_path(model) else [folder / model for folder in folders]
    for place in places:
        if place.exists():
            return place.absolute()
    kept = sorted({entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir()})
    there = f" Models that are here: {', '.join(kept)}." if kept and not is_path(model) else ""
    looked = " nor ".join(str(place.absolute()) for place in places)
    raise UsageError(f"the model {model!r} is not on this computer: there is no {looked}.{there} {way_out}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in lower-case hex; read once as long as its size and date stay the same."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@cache
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_sha256(path: Path, expected: str | None) -> None:
    """Refuse a file whose hash is not the expected one; None expects nothing.

    Raises
    ------
    UsageError
        With both hashes.
    """
    if expected is not None and (found := sha256_of(path)) != expected.lower():
        raise UsageError(
            f"{path} is not the model that was asked for: its SHA-256 is {found}, not {expected.lower()}. Put the "
            "right file there, or, if this one is meant, write its hash into the protocol."
        )
