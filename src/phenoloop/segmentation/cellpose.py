"""The segmenter `cellpose`: which weights, on which device, in what batches, and what happens when that goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.errors import PluginError, UsageError
from phenoloop.numerics.images import Plane, as_plane
from phenoloop.ports import Segmentation
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Percent, Pixels
from phenoloop.segmentation.cellpose_network import shared_network
from phenoloop.segmentation.cellpose_package import choose_device, model_folders, use_threads, way_out
from phenoloop.segmentation.cellpose_trust import TRAITS, traits, trust
from phenoloop.segmentation.foreign import noise, version_of, worth_a_look
from phenoloop.segmentation.last_resort import LastResort
from phenoloop.segmentation.rungs import Ladder, Rung, ladder
from phenoloop.segmentation.weights import SHA256, check_sha256, find_weights, sha256_of

_BATCH: Final = {"cuda": 64, "mps": 16, "cpu": 8}
"""Tiles at a time where the protocol does not say: 7 frames of 512 x 512 px on a GPU."""
_CHOOSING: Final = threading.Lock()


class Cellpose:
    """Cellpose 4: Cellpose-SAM as it is given away, weights of one's own, or another network with Cellpose's flows.

    The labels are those of ``CellposeModel.eval``. Nothing is ever downloaded: a model that is not on this computer, or
    whose file does not fit the network tensor by tensor, is refused with the way out, before any device is touched.

    Parameters
    ----------
    params : Cellpose.Params
        Validated parameters.

    Raises
    ------
    PluginError
        If cellpose is not installed.
    UsageError
        If the weights are absent, or are not those of `sha256`.
    """

    fields_at_once: ClassVar[int] = 4
    """Fields that a worker collects, a few milliseconds long, to have their tiles in one batch."""

    class Params(StrictModel):
        """Parameters of the protocol.

        Attributes
        ----------
        model : str
            Name of a model in ``$CELLPOSE_LOCAL_MODELS_PATH`` or ``~/.cellpose/models``, or path of a weights file
            (absolute, ``~/...``, or relative to the working directory).
        sha256 : str or None
            Hash that the file must have.
        network : str or None
            ``module:function`` that builds the network of the weights, where it is not Cellpose-SAM: a torch module
            from tiles (n, 1, 256, 256) to flows and logit (n, 3, 256, 256).
        diameter : float or None
            Typical diameter in px; images are resized to 30 px per object. None leaves them as they are.
        flow_threshold : float
            Objects with a larger flow error are dropped.
        cellprob_threshold : float
            Lower finds more and larger objects.
        min_area : int
            Smallest object in px.
        niter : int or None
            Steps along the flows; None follows the diameter.
        tile_overlap : float
            Share of a tile that neighbours have in common.
        flow_check : bool
            Compute flow errors: they drop wrong objects and give each a score. Most of the time after the network.
        confidence : tuple of float or None
            Intercept and weights that turn the traits of an object into the probability that it is right (see
            `cellpose_trust`); they belong to one network.
        batch_size : int or None
            Tiles of 256 x 256 px at a time; None suits the device.
        gpu : bool or "auto"
            True insists on a GPU.
        bf16 : bool
            Half precision, as Cellpose does.
        threads : int
            Of the processor, for networks that run there. Workers are the parallelism of a run: on two busy cores, two
            threads were five times slower than one.
        fallback : str, mapping or None
            Segmenter that takes over when not even the last resort has enough memory: a kind, or a block with `kind`.
        """

        model: str = Field(default="cpsam_v2", min_length=1, description="name or path of the weights")
        sha256: str | None = Field(default=None, pattern=SHA256, description="hash that the weights file must have")
        network: str | None = Field(
            default=None, pattern=r"^[\w.]+:\w+$", description="module:function that builds another network"
        )
        diameter: Pixels | None = Field(
            default=None, ge=3, description="typical diameter; images stay as they are unless set"
        )
        flow_threshold: float = Field(default=0.4, gt=0, le=10, description="largest flow error of an object")
        cellprob_threshold: float = Field(default=0.0, ge=-20, le=20, description="lower finds more and larger objects")
        min_area: int = Field(default=15, ge=1, description="smallest object, in pixels")
        niter: int | None = Field(default=None, ge=1, le=10_000, description="steps along the flows")
        tile_overlap: Percent = Field(default=0.1, ge=0.05, le=0.5, description="what neighbouring tiles share")
        flow_check: bool = Field(default=True, description="drop and score objects by their flow error")
        confidence: tuple[float, ...] | None = Field(
            default=None,
            min_length=len(TRAITS) + 1,
            max_length=len(TRAITS) + 1,
            description="intercept and weights of the score, fitted to this network by benchmarks/confidence.py",
        )
        batch_size: int | None = Field(
            default=None, ge=1, le=4096, description="tiles at a time; suits the device unless set"
        )
        gpu: bool | Literal["auto"] = Field(default="auto", description="true insists on a GPU")
        bf16: bool = Field(default=True, description="half precision, as Cellpose does")
        threads: int = Field(default=1, ge=1, le=256, description="processor threads of each worker, without a GPU")
        fallback: str | dict[str, Any] | None = Field(
            default=None, description="segmenter that takes over when memory runs out for good"
        )

    def __init__(self, params: Params) -> None:
        if find_spec("cellpose") is None:
            raise PluginError(
                "kind: cellpose needs the package cellpose. Install it: pip install 'phenoloop[cellpose]' "
                "(several GB; with an NVIDIA GPU nothing more is needed)."
            )
        self.params = params
        self.weights = find_weights(params.model, model_folders(), way_out=way_out(params.model))
        if self.weights.is_dir():
            raise UsageError(f"{self.weights} is a folder; `model` must name the weights file itself.")
        check_sha256(self.weights, params.sha256)
        self._last_resort = LastResort(params.fallback, but="cellpose")
        self._ladder: Ladder | None = None

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Find the objects of one image.

        Parameters
        ----------
        image : ndarray, shape (y, x)
            Unsigned integers or floats, finite.

        Returns
        -------
        Segmentation
            Scores are ``outline^2 / (1 + flow error)``, where *outline* says how well the probability of the foreground
            agrees with the outline, 0..1; with `confidence`, probabilities. None without `flow_check`, and from a
            fallback that has none.

        Raises
        ------
        AnalysisError
            If the image is not one finite grey plane, or memory ran out for good.
        UsageError
            If the weights cannot be used (see `warm_up`).
        """
        return self.segment_many([image])[0]

    def segment_many(self, images: Sequence[NDArray[Any]]) -> list[Segmentation]:
        """Find the objects of some images, the tiles of all of them filling the network's batches together.

        Raises
        ------
        AnalysisError
            As `segment`, for any of them; then none is done.
        """
        names = ["image"] if len(images) == 1 else [f"image {i} of {len(images)}" for i in range(1, len(images) + 1)]
        planes = [as_plane(image, name) for image, name in zip(images, names, strict=True)]
        results = [self._nothing(plane) for plane in planes]
        work = [i for i, plane in enumerate(planes) if worth_a_look(plane)]
        if work:
            some = [planes[i] for i in work]
            found = self._last_resort.find(some, lambda: self._rungs().climb(lambda rung: self._attempt(rung, some)))
            for i, result in zip(work, found, strict=True):
                results[i] = result
        return results

    def warm_up(self, shape: tuple[int, int]) -> None:
        """Load the network and run it once, so that whatever is wrong with it shows before the run.

        Parameters
        ----------
        shape : tuple of int
            (y, x) of the frames to come.

        Raises
        ------
        UsageError
            If the file is not exactly the weights of the network, or `gpu: true` finds none.
        AnalysisError
            If there is not even the memory for one frame.
        """
        self._last_resort.tell_later(self.segment(noise(shape)).notes)

    def describe(self) -> dict[str, Any]:
        """Return what determines the labels: model, hash, device, precision, versions."""
        rung = self._rungs().rung
        return {
            "kind": "cellpose",
            "model": self.params.model,
            "weights": str(self.weights),
            "sha256": sha256_of(self.weights),
            "network": self.params.network or "Cellpose-SAM",
            "device": rung.device,
            "batch_size": rung.batch,
            "bf16": self.params.bf16,
            "cellpose": version_of("cellpose"),
            "torch": version_of("torch"),
        }

    # -- inside -------------------------------------------------------------------------------------------------------

    def _nothing(self, plane: Plane) -> Segmentation:
        scores = np.zeros(0) if self.params.flow_check else None
        return Segmentation(labels=np.zeros(plane.shape, dtype=np.int32), scores=scores)

    def _attempt(self, rung: Rung, planes: Sequence[Plane]) -> list[Segmentation]:
        params = self.params
        use_threads(params.threads)
        network = shared_network(self.weights, params.network, rung.device, bf16=params.bf16)
        flows = network.flows(planes, diameter=params.diameter, tile_overlap=params.tile_overlap, batch=rung.batch)
        results = []
        for one in flows:
            labels, errors = network.objects(
                one,
                diameter=params.diameter,
                niter=params.niter,
                cellprob_threshold=params.cellprob_threshold,
                flow_threshold=params.flow_threshold if params.flow_check else None,
                min_area=params.min_area,
            )
            scores = None if errors is None else trust(traits(labels, one, errors), params.confidence)
            results.append(Segmentation(labels=labels, scores=scores))
        return results

    def _rungs(self) -> Ladder:
        if self._ladder is None:
            device = choose_device(None if self.params.gpu == "auto" else self.params.gpu)
            batch = self.params.batch_size or _BATCH[device]
            made = Ladder(ladder(device, batch, processor_too=self.params.gpu == "auto"))
            with _CHOOSING:
                self._ladder = self._ladder or made  # two threads may come here at once; both must use one
        return self._ladder
