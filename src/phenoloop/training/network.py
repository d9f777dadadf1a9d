"""The architecture: a small residual U-Net at half the resolution of its input, and how it becomes an ONNX file."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import UsageError

WIDTHS: Final = (16, 40, 80, 128)
"""Channels at a half, a quarter, an eighth and a sixteenth of the input's resolution."""
MULTIPLE: Final = 16
"""Height and width of an input are multiples of this."""


def torch_or_error() -> Any:
    """Return PyTorch.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            f"training needs PyTorch and ONNX ({error}): pip install 'phenoloop[train]'. "
            "Nothing else does; a trained model runs without them."
        ) from error
    return torch


def build(outputs: int, widths: Sequence[int] = WIDTHS) -> Any:
    """Return the untrained network, (n, 1, y, x) to (n, outputs, y, x).

    A U-Net (Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28) of residual blocks whose skips are added, not
    concatenated. Pixels are folded two by two into channels at the entrance and unfolded at the exit, which costs a
    quarter of a network at full resolution.
    """
    torch = torch_or_error()
    nn = torch.nn

    def layer(inside: int, outside: int, stride: int = 1) -> Any:
        return nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outside)
        )

    class Block(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, width: int) -> None:
            super().__init__()
            self.one, self.two = layer(width, width), layer(width, width)

        def forward(self, x: Any) -> Any:
            return torch.relu(x + self.two(torch.relu(self.one(x))))

    class UNet(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.fold, self.unfold = nn.PixelUnshuffle(2), nn.PixelShuffle(2)
            self.stem = layer(4, widths[0])
            self.first = layer(widths[0], widths[0])
            self.down = nn.ModuleList(layer(a, b, 2) for a, b in itertools.pairwise(widths))
            self.blocks = nn.ModuleList(Block(width) for width in widths[1:])
            self.lift = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in itertools.pairwise(widths))
            self.join = nn.ModuleList(layer(width, width) for width in widths[:-1])
            self.after = layer(widths[-2], widths[-2])
            self.grow = nn.Upsample(scale_factor=2, mode="nearest")
            self.head = nn.Conv2d(widths[0], 4 * outputs, 3, padding=1)

        def forward(self, x: Any) -> Any:
            x = torch.relu(self.stem(self.fold(x)))
            x = torch.relu(self.first(x)) + x
            skips = [x]
            for down, block in zip(self.down, self.blocks, strict=True):
                x = block(torch.relu(down(x)))
                skips.append(x)
            for level in reversed(range(len(widths) - 1)):
                x = self.grow(self.lift[level](x)) + skips[level]
                x = torch.relu(self.join[level](x))
                if level == len(widths) - 2:
                    x = torch.relu(self.after(x)) + x
            return self.unfold(self.head(x))

    return UNet()


def export(network: Any, out: Path) -> None:
    """Write a trained network as ONNX, its batch norms folded into the convolutions.

    Input ``image`` (n, 1, y, x) and output ``maps`` (n, outputs, y, x), float32, y and x multiples of `MULTIPLE`.
    """
    torch = torch_or_error()
    network.eval()
    example = torch.zeros(1, 1, 8 * MULTIPLE, 12 * MULTIPLE)
    axes = {0: "n", 2: "y", 3: "x"}
    with warnings.catch_warnings():
        # the exporter by tracing is old and told to be so; it writes the smaller graph
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (example,),
            str(out),
            input_names=["image"],
            output_names=["maps"],
            dynamic_axes={"image": axes, "maps": axes},
            opset_version=17,
            dynamo=False,
        )


def quantise(source: Path, out: Path, images: Iterable[NDArray[np.float32]]) -> None:
    """Write an exported network with whole numbers of 8 bits inside: half the time, a third of the size.

    The first and the last convolution stay as they are, since outlines depend on them. Weights keep to 7 bits, so that
    processors without the newest instructions do not overflow.

    Parameters
    ----------
    source, out : Path
        ONNX files.
    images : iterable of ndarray of float32, each of shape (n, 1, y, x)
        Typical inputs, from which the ranges of all activations are learned.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = iter(images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"image": batch}

    prepared = out.with_suffix(".prepared.onnx")
    try:
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(str(prepared)).graph.node if node.op_type == "Conv"]
        quantize_static(
            str(prepared),
            str(out),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
        )
    finally:
        prepared.unlink(missing_ok=True)


def declare(file: Path, metadata: Mapping[str, str]) -> None:
    """Write into an ONNX file what it says of itself, in place of what it said before."""
    import onnx

    model = onnx.load(str(file))
    del model.metadata_props[:]
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def count_weights(file: Path) -> int:
    """Return how many weights an exported (not quantised) network has."""
    import onnx

    return sum(math.prod(tensor.dims) for tensor in onnx.load(str(file)).graph.initializer)
