"""`segment`: any installed segmenter over image files of one's own; labels that ImageJ and napari open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.cli.telling import say
from phenoloop.errors import UsageError
from phenoloop.plugins import Registry
from phenoloop.ports import Image, Segmenter
from phenoloop.watch.verdict import count


def segment_images(images: Sequence[Path], *, kind: str, out: Path, parameters: Sequence[str] = ()) -> None:
    """Segment image files; write ``<name>_labels.tif`` for each and print how many objects it has.

    Parameters
    ----------
    images : sequence of Path
        Each with one 2-D image (or a colour image whose colours are equal).
    kind : str
        Segmenter.
    out : Path
        Folder for the labels; made if need be.
    parameters : sequence of str
        ``name=value``, as in a protocol.

    Raises
    ------
    PluginError, ProtocolError
        For an unknown segmenter or parameter.
    UsageError
        For a file that is no such image, or two of the same name.
    """
    import tifffile

    segmenter = build_segmenter(kind, parameters)
    targets = _targets(images, out)
    out.mkdir(parents=True, exist_ok=True)
    total = 0
    for path, target in targets.items():
        labels = segmenter.segment(read_image(path)).labels
        found = int(labels.max(initial=0))
        total += found
        dtype = np.uint16 if found < 2**16 else np.uint32
        tifffile.imwrite(target, labels.astype(dtype), compression="zlib")
        say(f"{path}: {count(found, 'object')} -> {target}")
    if len(targets) > 1:
        say(f"{count(len(targets), 'image')}: {count(total, 'object')}")


def build_segmenter(kind: str, parameters: Sequence[str]) -> Segmenter:
    """Return a segmenter by kind, its ``name=value`` parameters checked as in a protocol."""
    from phenoloop.protocol.problems import Problems, validate
    from phenoloop.protocol.yaml_reader import read
    from phenoloop.protocol.yaml_source import Source

    chosen: Any = Registry().load("segmenters", kind)
    if malformed := [text for text in parameters if "=" not in text]:
        raise UsageError(f"--param {malformed[0]!r} cannot be used: write NAME=VALUE.")
    lines = ["{}: {}".format(*(part.strip() for part in text.split("=", 1))) for text in parameters]
    source = read("\n".join(lines), "--param", what="list of parameters") if lines else Source("--param", [])
    problems = Problems()
    params = validate(chosen.Params, source.data, source, problems)
    problems.stop()
    segmenter: Segmenter = chosen(params)
    return segmenter


def read_image(path: Path) -> Image:
    """Return the 2-D image of a file, in the type in which it is stored.

    Raises
    ------
    UsageError
        If there is none, or more than one.
    """
    if not path.is_file():
        raise UsageError(f"{path} is no file. Give image files, e.g. images/*.tif.")
    image = _read_tiff(path) if path.suffix.lower() in (".tif", ".tiff") else _read_other(path)
    if image.ndim == 3 and image.shape[2] in (3, 4) and bool((image[:, :, :3] == image[:, :, :1]).all()):
        image = image[:, :, 0]
    if image.ndim != 2:
        shape = " x ".join(str(size) for size in image.shape)
        raise UsageError(f"{path} holds {shape} values; a segmenter takes one 2-D image: split its channels or planes.")
    return image


def _read_tiff(path: Path) -> NDArray[Any]:
    import tifffile

    try:
        image: NDArray[Any] = tifffile.imread(path)
    except (tifffile.TiffFileError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as TIFF ({error}).") from error
    return np.squeeze(image)


def _read_other(path: Path) -> NDArray[Any]:
    import cv2

    # Through memory, because OpenCV opens no path with letters outside the code page on Windows.
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UsageError(f"{path} is no image that can be read; give TIFF, PNG or JPEG.")
    decoded: NDArray[Any] = np.asarray(image)
    return decoded


def _targets(images: Sequence[Path], out: Path) -> dict[Path, Path]:
    targets: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for path in images:
        name = f"{path.stem}_labels.tif"
        if name in taken and taken[name] != path:
            raise UsageError(f"{taken[name]} and {path} would both become {out / name}; segment them in two calls.")
        taken[name] = path
        targets[path] = out / name
    return targets
