"""The segmenter `stardist`: which model, and what its answers become."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.errors import PluginError, UsageError
from phenoloop.numerics.images import Plane, as_plane
from phenoloop.ports import Segmentation
from phenoloop.protocol.base import StrictModel
from phenoloop.segmentation.foreign import noise, version_of, worth_a_look
from phenoloop.segmentation.rungs import for_good
from phenoloop.segmentation.stardist_package import import_stardist
from phenoloop.segmentation.weights import SHA256, check_sha256, find_weights, is_path, sha256_of

BUILT_IN: Final = ("2D_versatile_fluo", "2D_paper_dsb2018")
"""Models of one grey channel that stardist gives away."""
_TILE: Final = 1024
"""Longer images go through the network in pieces of about this side, for the memory; the labels are the same."""
_ONE_AT_A_TIME: Final = threading.Lock()
"""Keras models are not made for several threads."""


class StarDist:
    """StarDist 2D: objects as star-convex polygons (Schmidt et al. 2018, doi 10.1007/978-3-030-00934-2_30).

    Nothing is ever downloaded, and a folder without weights, which stardist itself would run with random ones, is
    refused, before any device is touched.

    Parameters
    ----------
    params : StarDist.Params
        Validated parameters.

    Raises
    ------
    PluginError
        If stardist or TensorFlow is not installed.
    UsageError
        If the model is absent, incomplete, of another kind, or its weights are not those of `sha256`.
    """

    class Params(StrictModel):
        """Parameters of the protocol.

        Attributes
        ----------
        model : str
            Name of a model that stardist has downloaded (``~/.keras/models/StarDist2D``), or path of a model's folder
            with ``config.json`` and weights.
        sha256 : str or None
            Hash that the weights file must have.
        prob_threshold, nms_threshold : float or None
            Objects must be this probable, and may overlap this much; None takes what was tuned with the model.
        scale : float
            Images are resized by this factor first, to the size of objects the model knows.
        gpu : bool or "auto"
            True insists on a GPU.
        """

        model: str = Field(default="2D_versatile_fluo", min_length=1, description="name or folder of the model")
        sha256: str | None = Field(default=None, pattern=SHA256, description="hash that the weights file must have")
        prob_threshold: float | None = Field(default=None, gt=0, lt=1, description="least probability of an object")
        nms_threshold: float | None = Field(default=None, ge=0, le=1, description="how much objects may overlap")
        scale: float = Field(default=1.0, gt=0.01, le=20, description="factor by which images are resized first")
        gpu: bool | Literal["auto"] = Field(default="auto", description="true insists on a GPU")

    def __init__(self, params: Params) -> None:
        for package in ("stardist", "tensorflow"):
            if find_spec(package) is None:
                raise PluginError(
                    f"kind: stardist needs the package {package}. Install it: pip install 'phenoloop[stardist]'"
                )
        self.params = params
        self.folder = _folder(params.model)
        self.weights = _checked(self.folder)
        check_sha256(self.weights, params.sha256)

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Find the objects of one image.

        Parameters
        ----------
        image : ndarray, shape (y, x)
            Unsigned integers or floats, finite.

        Returns
        -------
        Segmentation
            Scores are the network's probability that the centre of the object lies where it found it.

        Raises
        ------
        AnalysisError
            If the image is not one finite grey plane, or memory ran out.
        UsageError
            If the model cannot be loaded (see `warm_up`).
        """
        plane = as_plane(image)
        if not worth_a_look(plane):
            return Segmentation(labels=np.zeros(plane.shape, dtype=np.int32), scores=np.zeros(0))
        model = _load(self.folder, self.weights, self.params.gpu)
        with _ONE_AT_A_TIME:
            labels, prob = self._predict(model, plane)
        # a polygon may be hidden beneath others: its number then has no pixel
        present = np.bincount(labels.ravel(), minlength=prob.size + 1) > 0
        present[0] = False
        dense = np.where(present, np.cumsum(present), 0).astype(np.int32)
        return Segmentation(labels=dense[labels], scores=prob[present[1:]])

    def segment_many(self, images: Sequence[NDArray[Any]]) -> list[Segmentation]:
        """Find the objects of some images, one by one: StarDist gains nothing from several."""
        return [self.segment(image) for image in images]

    def warm_up(self, shape: tuple[int, int]) -> None:
        """Load the model and run it once, so that whatever is wrong with it shows before the run.

        Parameters
        ----------
        shape : tuple of int
            (y, x) of the frames to come.

        Raises
        ------
        UsageError
            If its weights do not fit its network, or `gpu: true` finds none.
        AnalysisError
            If there is not the memory for one frame.
        """
        self.segment(noise(shape))

    def describe(self) -> dict[str, Any]:
        """Return what determines the labels: model, hash, thresholds, device, versions."""
        model = _load(self.folder, self.weights, self.params.gpu)
        return {
            "kind": "stardist",
            "model": self.params.model,
            "weights": str(self.weights),
            "sha256": sha256_of(self.weights),
            "prob_threshold": self.params.prob_threshold or float(model.thresholds.prob),
            "nms_threshold": float(model.thresholds.nms)
            if self.params.nms_threshold is None
            else self.params.nms_threshold,
            "device": "gpu" if _gpus() and self.params.gpu is not False else "cpu",
            "stardist": version_of("stardist"),
            "tensorflow": version_of("tensorflow", "tensorflow-cpu"),
        }

    def _predict(self, model: Any, plane: Plane) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        from csbdeep.utils import normalize

        tf, _ = import_stardist()
        scale = self.params.scale
        tiles = tuple(max(1, round(side * scale / _TILE)) for side in plane.shape)
        try:
            labels, found = model.predict_instances(
                normalize(plane, 1, 99.8),  # the percentiles with which stardist's own models were trained
                prob_thresh=self.params.prob_threshold,
                nms_thresh=self.params.nms_threshold,
                scale=None if scale == 1 else scale,
                n_tiles=tiles,
                show_tile_progress=False,
            )
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            shape = " x ".join(map(str, plane.shape))
            raise for_good(f"an image of {shape} px (scale {scale:g})", also="lower `scale`") from error
        return np.asarray(labels, dtype=np.int32), np.asarray(found["prob"], dtype=np.float64)


def model_folder() -> Path:
    """Return where stardist keeps what it downloads: ``$KERAS_HOME`` or ``~/.keras``, then ``models/StarDist2D``."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models" / "StarDist2D"


def _folder(model: str) -> Path:
    root = model_folder()
    if is_path(model):
        way_out = "Correct the path: it must be the folder that holds config.json."
    elif model in BUILT_IN:
        way_out = (
            'Get it once, where there is internet: python -c "from stardist.models import StarDist2D; '
            f"StarDist2D.from_pretrained('{model}')\""
        )
    else:
        way_out = f"Give the folder of a model of your own, or the name of a model of stardist: {', '.join(BUILT_IN)}."
    # two layers of folders, or one: it depends on the version of Keras that downloaded it
    found = find_weights(model, [root] if is_path(model) else [root / model, root], way_out=way_out)
    unpacked = found / f"{found.name}_extracted"
    return unpacked if unpacked.is_dir() else found


def _checked(folder: Path) -> Path:
    """Return the weights file of a model's folder, which must be complete and of the right kind."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder} is no StarDist model: its config.json cannot be read ({error}). A model is a folder with "
            "config.json, thresholds.json and weights_best.h5."
        ) from error
    if not isinstance(config, dict) or config.get("n_dim") != 2 or config.get("n_channel_in") != 1:
        raise UsageError(
            f"{folder} is a model for images of {config.get('n_dim')} dimensions and {config.get('n_channel_in')} "
            "channels; objects are looked for in one 2-D grey image."
            if isinstance(config, dict)
            else f"{folder}/config.json is no configuration of a StarDist model."
        )
    files = sorted(path for pattern in ("*.h5", "*.hdf5") for path in folder.glob(pattern))
    best = [path for path in files if path.name == "weights_best.h5"] or files
    if len(best) == 1:
        return best[0]
    said = f"several weights files ({', '.join(path.name for path in best)})" if best else "no weights (*.h5)"
    raise UsageError(f"{folder} holds {said}; a model needs one, called weights_best.h5.")


def _gpus() -> list[Any]:
    tf, _ = import_stardist()
    return list(tf.config.list_physical_devices("GPU"))


def _load(folder: Path, weights: Path, gpu: bool | str) -> Any:
    """Return the model, loaded once per process."""
    with _ONE_AT_A_TIME:
        return _loaded(folder, weights, weights.stat().st_mtime_ns, gpu)


@cache
def _loaded(folder: Path, weights: Path, _mtime_ns: int, gpu: bool | str) -> Any:
    tf, models = import_stardist()
    if gpu is True and not _gpus():
        raise UsageError(
            f"gpu: true, but TensorFlow {tf.__version__} finds no GPU. On Linux, pip install 'tensorflow[and-cuda]'; "
            "or write gpu: auto."
        )
    with contextlib.suppress(RuntimeError):  # once a GPU is in use, its memory and visibility are settled
        if gpu is False:
            tf.config.set_visible_devices([], "GPU")
        for device in _gpus():
            tf.config.experimental.set_memory_growth(device, True)  # else it takes all there is
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints, and standard output may be JSON
            model = models.StarDist2D(None, name=folder.name, basedir=str(folder.parent))
            model.load_weights(weights.name)
    except Exception as error:  # Keras and h5py fail in many ways on files that do not fit
        raise UsageError(
            f"{weights} does not fit the network of {folder / 'config.json'} ({str(error).splitlines()[0][:200]}). "
            "Copy the whole folder of the model again."
        ) from error
    model.basedir = None  # read-only from now on
    return model
