"""ONNX Runtime: one session per model and process, the fastest provider there is, any image in bounded memory."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import PluginError
from phenoloop.numerics.images import Plane

PROVIDERS: Final = ("CUDAExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider")
"""In the order in which they are tried. Which of them an installation holds depends on its build of ONNX Runtime."""
THREADS_VARIABLE: Final = "PHENOLOOP_ORT_THREADS"
"""Threads that one image is spread over, 1 unless set: the analysis has workers, and pools that compete are slower."""
_TILE: Final = 1024
_MARGIN: Final = 96
"""Of a tile, thrown away: further than this from its border, a network of some five levels no longer sees it."""
_WHOLE: Final = 1536**2
"""Pixels up to which an image goes through in one piece."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's file says of its input: channels, and height and width where they are fixed."""

    channels: int | None
    height: int | None
    width: int | None


class Network:
    """A model in memory; safe to share between threads. Get it from `network`, which loads each file once.

    Parameters
    ----------
    file : Path
        ONNX, with one input (n, 1, y, x) and one output (n, k, y, x) of float32.

    Raises
    ------
    PluginError
        If ONNX Runtime or the file is missing, or the file is no such model.
    """

    def __init__(self, file: Path) -> None:
        runtime = _runtime()
        try:
            content = file.read_bytes()
        except OSError as error:
            raise PluginError(f"model {file}: cannot be read ({error.strerror}). Correct the path.") from error
        self.file = file
        self.runtime: str = runtime.__version__
        self.sha256 = hashlib.sha256(content).hexdigest()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get(THREADS_VARIABLE, "1"))
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # a thread that waits by spinning would take a core from the other worker
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(content, options, providers=available_providers())
        except Exception as error:  # ONNX Runtime raises several types of its own for a file that is no model
            raise PluginError(f"model {file}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error
        self.provider: str = self._session.get_providers()[0]
        meta = self._session.get_modelmeta()
        self.metadata: Mapping[str, str] = dict(meta.custom_metadata_map)
        self._input, self.input_shape = self._check_input()
        self._output, self.outputs = self._check_output()

    def _check_input(self) -> tuple[str, Shape]:
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise PluginError(
                f"model {self.file}: one input of float32 and shape (n, 1, y, x) is needed; it has {found}."
            )
        sides = [side if isinstance(side, int) else None for side in inputs[0].shape[1:]]
        if sides[0] not in (1, None):
            raise PluginError(
                f"model {self.file}: its input has {sides[0]} channels; one grey channel is needed. "
                "Export it for one channel, or write a segmenter of your own (`kind: module:Class`)."
            )
        return inputs[0].name, Shape(*sides)

    def _check_output(self) -> tuple[str, int | None]:
        outputs = self._session.get_outputs()
        if len(outputs) != 1 or (outputs[0].shape is not None and len(outputs[0].shape) != 4):
            found = ", ".join(f"{o.name} {o.shape}" for o in outputs)
            raise PluginError(f"model {self.file}: one output of shape (n, k, y, x) is needed; it has {found}.")
        maps = outputs[0].shape[1] if outputs[0].shape is not None else None
        return outputs[0].name, maps if isinstance(maps, int) else None

    def predict(self, image: Plane, multiple: int) -> NDArray[np.float32]:
        """Return the maps of an image of any size.

        An image of more than some 2 megapixels goes through in tiles that overlap; each keeps its middle.

        Parameters
        ----------
        image : ndarray of float32, shape (y, x)
            As the network was trained to see it.
        multiple : int
            The network takes heights and widths that are multiples of this; the image is mirrored up to there.

        Returns
        -------
        ndarray of float32, shape (k, y, x)

        Raises
        ------
        PluginError
            If the output has not the size of the input.
        """
        height, width = image.shape
        fixed = self.input_shape
        if fixed.height is None and fixed.width is None and height * width <= _WHOLE:
            return self._run(_padded(image, multiple))[:, :height, :width]
        tile = (fixed.height or _TILE, fixed.width or _TILE)
        return self._tiled(image, tile)

    def _tiled(self, image: Plane, tile: tuple[int, int]) -> NDArray[np.float32]:
        height, width = image.shape
        margin = tuple(min(_MARGIN, side // 4) for side in tile)
        step = tuple(side - 2 * m for side, m in zip(tile, margin, strict=True))
        rows, columns = -(-height // step[0]), -(-width // step[1])
        below, right = rows * step[0] - height, columns * step[1] - width
        wide = _mirrored(image, (margin[0], margin[0] + below), (margin[1], margin[1] + right))
        maps: NDArray[np.float32] | None = None
        for top in range(0, rows * step[0], step[0]):
            for left in range(0, columns * step[1], step[1]):
                found = self._run(wide[top : top + tile[0], left : left + tile[1]])
                if maps is None:
                    maps = np.empty((found.shape[0], height, width), dtype=np.float32)
                here = maps[:, top : top + step[0], left : left + step[1]]
                here[...] = found[:, margin[0] :, margin[1] :][:, : here.shape[1], : here.shape[2]]
        assert maps is not None  # an image has at least one pixel
        return maps

    def _run(self, image: Plane) -> NDArray[np.float32]:
        try:
            (found,) = self._session.run([self._output], {self._input: np.ascontiguousarray(image)[None, None]})
        except Exception as error:  # ONNX Runtime raises several types of its own
            raise PluginError(
                f"model {self.file}: fails on an image of shape {image.shape}: {str(error).splitlines()[0]}. "
                "If it needs sides that are multiples of some number, say so with `multiple`."
            ) from error
        if found.ndim != 4 or found.shape[2:] != image.shape:
            raise PluginError(
                f"model {self.file}: an image of shape {image.shape} came out as {found.shape}; an output (n, k, y, x) "
                "of the same height and width is needed. Export the model with its output at full resolution."
            )
        maps: NDArray[np.float32] = np.asarray(found[0], dtype=np.float32)
        return maps


def available_providers() -> list[str]:
    """Return the providers of this build of ONNX Runtime that phenoloop uses, fastest first."""
    there = _runtime().get_available_providers()
    return [provider for provider in PROVIDERS if provider in there]


_LOADED: dict[tuple[str, int, int], Network] = {}
_LOADING = threading.Lock()


def network(file: Path) -> Network:
    """Return the model of a file, loaded once per process (again when the file has changed).

    Raises
    ------
    PluginError
        See `Network`.
    """
    try:
        stat = file.stat()
    except OSError as error:
        raise PluginError(f"model {file}: there is no such file. Correct the path.") from error
    key = (str(file.resolve()), stat.st_mtime_ns, stat.st_size)
    with _LOADING:
        if key not in _LOADED:
            _LOADED[key] = Network(file)
        return _LOADED[key]


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise PluginError(
            f"ONNX Runtime cannot be imported ({error}): pip install onnxruntime, or on a GPU onnxruntime-gpu (NVIDIA) "
            "or onnxruntime-directml (Windows); have only one of them installed."
        ) from error
    return onnxruntime


def _padded(image: Plane, multiple: int) -> Plane:
    below, right = (-side % multiple for side in image.shape)
    return _mirrored(image, (0, below), (0, right))


def _mirrored(image: Plane, rows: tuple[int, int], columns: tuple[int, int]) -> Plane:
    if not any((*rows, *columns)):
        return image
    mirrored: Plane = np.pad(image, (rows, columns), mode="symmetric")  # unlike "reflect" also of a single pixel
    return mirrored
