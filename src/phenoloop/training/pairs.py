"""Annotated images on the disk: which image belongs to which labels, what is in them, and which are held out."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import UsageError

SUFFIXES: Final = (".png", ".tif", ".tiff")
TRAIN: Final = "train"
TEST: Final = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An image and its labels.

    Attributes
    ----------
    name : str
        File name of the image without its folder.
    image : ndarray, shape (y, x)
        Grey, as on the disk.
    labels : ndarray of int32, shape (y, x)
        0 is background.
    sha256 : str
        Of the bytes of both files, image first.
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[np.int32]
    sha256: str

    @property
    def size(self) -> str:
        """Height and width, as ``"512x640"``."""
        return f"{self.image.shape[0]}x{self.image.shape[1]}"


def read_pairs(folder: Path) -> list[Pair]:
    """Return all pairs of a folder that holds ``images/`` and ``labels/`` with equal names, in the order of the names.

    Parameters
    ----------
    folder : Path
        Images are PNG or TIFF, grey (or colour whose colours are equal); labels are integers, one value per object.

    Raises
    ------
    UsageError
        If a folder is missing or empty, an image has no labels, or the two differ in shape.
    """
    images, labels = folder / "images", folder / "labels"
    for place in (images, labels):
        if not place.is_dir():
            raise UsageError(f"{place}: there is no such folder; training needs {folder}/images and {folder}/labels.")
    files = sorted(path for path in images.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise UsageError(f"{images}: holds no PNG or TIFF image.")
    return [_read_pair(path, _partner(path, labels)) for path in files]


def read_split(file: Path) -> dict[str, tuple[str, str]]:
    """Return part (``train`` or ``test``) and hash of each image that a split file lists, by name.

    Raises
    ------
    UsageError
        If it cannot be read or lacks a column.
    """
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return {row["file"]: (row["part"], row["sha256"]) for row in csv.DictReader(stream)}
    except (OSError, KeyError) as error:
        raise UsageError(f"{file}: no split file ({error!r}); it is a CSV with columns file, part, sha256.") from error


def divide(pairs: Sequence[Pair], split: Mapping[str, tuple[str, str]]) -> tuple[list[Pair], list[Pair]]:
    """Return the images to train on and those held out.

    Raises
    ------
    UsageError
        If an image is not in the split, or is not the one that the split was made of.
    """
    parts: dict[str, list[Pair]] = {TRAIN: [], TEST: []}
    for pair in pairs:
        part, sha256 = split.get(pair.name, ("", ""))
        if part not in parts:
            raise UsageError(f"{pair.name}: the split does not say whether it is for {TRAIN} or {TEST}.")
        if sha256 != pair.sha256:
            raise UsageError(f"{pair.name}: image or labels are not those the split was made of (SHA-256 differs).")
        parts[part].append(pair)
    return parts[TRAIN], parts[TEST]


def make_split(pairs: Sequence[Pair], share: float, seed: int) -> dict[str, tuple[str, str]]:
    """Return a split that holds out `share` of the images of each size (rounded), drawn with a seed."""
    rng = np.random.default_rng(seed)
    sizes: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.name):
        sizes.setdefault(pair.size, []).append(pair)
    split = {}
    for size in sorted(sizes):
        group = sizes[size]
        held_out = set(rng.permutation(len(group))[: round(share * len(group))].tolist())
        for k, pair in enumerate(group):
            split[pair.name] = (TEST if k in held_out else TRAIN, pair.sha256)
    return dict(sorted(split.items()))


def write_split(file: Path, split: Mapping[str, tuple[str, str]]) -> None:
    """Write a split as `read_split` reads it."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("file", "part", "sha256"))
        writer.writerows((name, *entry) for name, entry in split.items())


def _partner(image: Path, labels: Path) -> Path:
    for suffix in (image.suffix, *SUFFIXES):
        if (found := labels / f"{image.stem}{suffix}").is_file():
            return found
    raise UsageError(f"{image}: has no labels; {labels}/{image.stem}.png or .tif is missing.")


def _read_pair(image_file: Path, labels_file: Path) -> Pair:
    digest = hashlib.sha256()
    arrays = []
    for file in (image_file, labels_file):
        content = file.read_bytes()
        digest.update(content)
        arrays.append(_grey(file, content))
    image, labels = arrays
    if image.shape != labels.shape:
        raise UsageError(f"{labels_file}: labels of shape {labels.shape} for an image of shape {image.shape}.")
    if labels.dtype.kind not in "ui":
        raise UsageError(f"{labels_file}: labels of type {labels.dtype}; integers are needed.")
    return Pair(name=image_file.name, image=image, labels=labels.astype(np.int32), sha256=digest.hexdigest())


def _grey(file: Path, content: bytes) -> NDArray[Any]:
    if file.suffix.lower() in (".tif", ".tiff"):
        import io

        import tifffile

        picture = np.squeeze(np.asarray(tifffile.imread(io.BytesIO(content))))
    else:
        # OpenCV's stub does not say that it returns None for what it cannot read
        decoded: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise UsageError(f"{file}: cannot be read as an image.")
        picture = np.asarray(decoded)
    if picture.ndim == 3 and picture.shape[-1] in (3, 4) and (picture[..., :3] == picture[..., :1]).all():
        picture = picture[..., 0]
    if picture.ndim != 2:
        raise UsageError(f"{file}: shape {picture.shape}; one grey plane (y, x) is needed.")
    return picture
