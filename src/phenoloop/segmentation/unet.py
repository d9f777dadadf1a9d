"""The segmenter that comes with the package: a small network for fluorescent nuclei of any size, no download."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import ClassVar, Final

from pydantic import Field

from phenoloop.errors import PluginError
from phenoloop.segmentation.finding import Settings
from phenoloop.segmentation.onnx import NetworkParams, NetworkSegmenter, check_maps, declared_settings
from phenoloop.segmentation.runtime import Network, network

SHIPPED: Final = "nuclei"


class Unet(NetworkSegmenter):
    """A U-Net of 0.7 million weights, trained on the annotated nuclei of DSB 2018 and on rendered ones.

    How well it does, image by image, stands in the card beside its weights (``phenoloop/weights/nuclei.json``). It is
    trained by ``phenoloop train``, and so is yours: give its path as `model`.

    Parameters
    ----------
    params : Unet.Params
        Validated parameters.

    Raises
    ------
    PluginError
        If `model` is a path without a model of ``phenoloop train``.
    """

    least_confidence: ClassVar[float] = 0.7
    """What ``confidence: auto`` asks of a field's mean; measured by ``benchmarks/trust.py`` (docs/trust.md)."""

    class Params(NetworkParams):
        """Parameters of the protocol.

        Attributes
        ----------
        model : str
            Name of a model that comes with the package, or path of one of your own.
        """

        model: str = Field(default=SHIPPED, description="`nuclei`, or the path of a model of `phenoloop train`")

    def __init__(self, params: Params) -> None:
        self.params = params
        super().__init__(model_file(params.model))
        if params.model != SHIPPED:  # a wrong file is better known before the first frame
            model = network(self._file)
            check_maps(model, self.settings(model).head)

    def settings(self, model: Network) -> Settings:
        """Return how the model is used: what its file declares, and what the protocol says."""
        declared = declared_settings(model, self.params)
        if declared is None:
            raise PluginError(
                f"model {self._file}: was not made by `phenoloop train`; a network of another origin is `kind: onnx`."
            )
        return declared


def model_file(name: str) -> Path:
    """Return the file of a model: one that comes with the package, by its name, or a path."""
    if name != SHIPPED:
        return Path(name).expanduser()
    with as_file(files("phenoloop") / "weights" / f"{SHIPPED}.onnx") as file:
        return file
