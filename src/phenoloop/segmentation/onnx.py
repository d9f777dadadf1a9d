"""The segmenter that runs a lab's own network: any ONNX file whose output head is declared."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.errors import PluginError
from phenoloop.ports import Segmentation
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Pixels
from phenoloop.segmentation.finding import TRAITS, Settings, find
from phenoloop.segmentation.heads import MAPS, Head
from phenoloop.segmentation.runtime import Network, network
from phenoloop.segmentation.weights import SHA256, check_sha256

PREFIX: Final = "phenoloop."
"""Of the metadata in a model's file with which it declares itself."""


class NetworkParams(StrictModel):
    """What the segmenters that run a network have in common.

    Attributes
    ----------
    diameter : float or None
        Typical diameter in px; None estimates it from each image.
    threshold : float
        Probability above which a pixel belongs to an object.
    seed : float
        Height of the middle of an object in the distance map, 0..1; lower divides more.
    min_area : float
        Smallest object in px.
    tta : bool
        Look at each image twice, once upside down.
    """

    diameter: Pixels | None = Field(
        default=None, ge=3, description="typical diameter; estimated from each image unless set"
    )
    threshold: float = Field(default=0.5, gt=0, lt=1, description="probability above which a pixel is an object's")
    seed: float = Field(default=0.5, ge=0, lt=1, description="height of a peak of the distance map; lower divides more")
    min_area: float = Field(default=0.0, ge=0, description="smallest object, in pixels")
    tta: bool = Field(default=False, description="look at each image twice, once upside down: slower, surer")


class NetworkSegmenter(ABC):
    """A model and its settings; loads the model with the first image, once per process.

    Parameters
    ----------
    file : Path
        The model.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        if not file.is_file():
            raise PluginError(f"model {file}: there is no such file. Correct the path.")

    @abstractmethod
    def settings(self, model: Network) -> Settings:
        """Return how the model is used."""

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Find the objects of one image.

        Parameters
        ----------
        image : ndarray, shape (y, x)
            Unsigned integers or floats, finite.

        Returns
        -------
        Segmentation
            Scores, where the model's file holds the weights for them, are probabilities that an object overlaps a true
            one by half, learned on degraded images.

        Raises
        ------
        AnalysisError
            If the image is not one finite grey plane.
        PluginError
            If the model cannot be loaded, or is not what it is declared to be.
        """
        model = network(self._file)
        return find(image, model, self.settings(model))

    def segment_many(self, images: Sequence[NDArray[Any]]) -> list[Segmentation]:
        """Return what `segment` returns of each image, one after the other: a network this small gains no more."""
        return [self.segment(image) for image in images]

    def warm_up(self, shape: tuple[int, int]) -> None:
        """Load the model and run it once."""
        self.segment(np.random.default_rng(0).poisson(20, shape).astype(np.uint16))

    def describe(self) -> Mapping[str, Any]:
        """Return file name, hash, device and version of what is run."""
        model = network(self._file)
        return {
            "model": self._file.name,
            "sha256": model.sha256,
            "provider": model.provider,
            "onnxruntime": model.runtime,
        }


class Onnx(NetworkSegmenter):
    """Run a lab's own network.

    The file has one input (n, 1, y, x) and one output (n, k, y, x) of float32, at the same resolution; k is what the
    head needs: ``distance`` 2, ``flows`` 3 or 4, ``probability`` 1 (see `phenoloop.segmentation.heads`). It is shown
    the image as `phenoloop.segmentation.preparing.normalised` makes it. A file of ``phenoloop train`` declares all.

    Parameters
    ----------
    params : Onnx.Params
        Validated parameters.

    Raises
    ------
    PluginError
        If the file is missing or not what it is declared to be.
    UsageError
        If it is not the file whose hash the protocol gives.
    """

    class Params(NetworkParams):
        """Parameters of the protocol.

        Attributes
        ----------
        model : str
            Path of the ONNX file.
        head : str or None
            What its output means; None: the file says so itself.
        trained_diameter : float or None
            Typical diameter that the network was trained on, px; images are scaled to it. None: the file says so, or
            images are shown at their own size.
        multiple : int
            The network takes heights and widths that are multiples of this.
        sha256 : str or None
            Hash that the file must have.
        """

        model: str = Field(description="path of the ONNX file")
        head: Head | None = Field(default=None, description="what its output means; None: the file declares it")
        trained_diameter: Pixels | None = Field(
            default=None, ge=3, description="diameter it was trained on; images are scaled to it"
        )
        multiple: int = Field(default=16, ge=1, le=512, description="its sides are multiples of this")
        sha256: str | None = Field(default=None, pattern=SHA256, description="hash the file must have")

    def __init__(self, params: Params) -> None:
        self.params = params
        super().__init__(Path(params.model).expanduser())
        check_sha256(self._file, params.sha256)
        model = network(self._file)  # a wrong file is better known before the first frame
        check_maps(model, self.settings(model).head)

    def settings(self, model: Network) -> Settings:
        """Return how the model is used: what the protocol says, else what the file declares."""
        params = self.params
        declared = declared_settings(model, params)
        if params.head is None and declared is None:
            raise PluginError(
                f"model {self._file}: does not declare its output; say `head:` {', '.join(MAPS)}, whichever it is."
            )
        trained = params.trained_diameter
        working = (trained, trained) if trained is not None else (declared.working if declared else None)
        head = params.head or (declared.head if declared else None)
        assert head is not None
        return Settings(
            head=head,
            working=working,
            diameter=params.diameter,
            threshold=params.threshold,
            seed=params.seed,
            min_area=params.min_area,
            multiple=params.multiple,
            confidence=declared.confidence if declared is not None and declared.head == head else (),
            twice=params.tta,
        )


def declared_settings(model: Network, params: NetworkParams) -> Settings | None:
    """Return the settings that a file of ``phenoloop train`` declares, with the protocol's own; None of other files.

    Raises
    ------
    PluginError
        If the declaration cannot be read, or is of a later version of phenoloop.
    """
    said = {key.removeprefix(PREFIX): value for key, value in model.metadata.items() if key.startswith(PREFIX)}
    if "head" not in said:
        return None
    try:
        head = said["head"]
        low, high = (float(side) for side in json.loads(said["working"]))
        weights = tuple(float(w) for w in json.loads(said["confidence"]))
        known = head in MAPS and (not weights or tuple(json.loads(said["traits"])) == TRAITS)
        multiple = int(said["multiple"])
    except (KeyError, ValueError, TypeError) as error:
        raise PluginError(
            f"model {model.file}: its declaration is damaged ({error!r}); train or copy it again."
        ) from error
    if not known:
        raise PluginError(
            f"model {model.file}: declares the head {head!r}, which this version does not know; update it."
        )
    return Settings(
        head=head,  # type: ignore[arg-type]  # just looked up
        working=(low, high),
        diameter=params.diameter,
        threshold=params.threshold,
        seed=params.seed,
        min_area=params.min_area,
        multiple=multiple,
        confidence=weights,
        twice=params.tta,
    )


def check_maps(model: Network, head: Head) -> None:
    """Refuse a model whose output has not the channels of its head; where its file does not say, it is run once.

    Raises
    ------
    PluginError
        With both numbers.
    """
    maps = model.outputs
    if maps is None:
        side = model.input_shape.height or 256
        maps = int(model.predict(np.zeros((side, model.input_shape.width or 256), np.float32), 1).shape[0])
    if maps not in MAPS[head]:
        fits = [repr(name) for name, counts in MAPS.items() if maps in counts]
        way_out = f"It could be {' or '.join(fits)}." if fits else f"Heads and their channels: {MAPS}."
        needs = " or ".join(str(count) for count in MAPS[head])
        raise PluginError(f"model {model.file}: the head {head!r} has {needs} channels, its output {maps}. {way_out}")
