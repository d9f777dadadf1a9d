"""Weights and the network they belong to: read from a file, compared tensor by tensor, put on a device."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from phenoloop.errors import PluginError, UsageError
from phenoloop.segmentation.cellpose_package import memory, packages

_METADATA: Final = frozenset({"diam_labels", "diam_mean"})
"""Tensors that a file may lack: they say how the network was trained, and no step of the inference reads them."""


def network_with(path: Path, builder: str | None, device: str, *, bf16: bool) -> Any:
    """Load weights into the network they belong to, on a device.

    Parameters
    ----------
    path : Path
        A state_dict.
    builder : str or None
        ``"module:function"`` that returns the network; None is Cellpose-SAM.
    device : str
        See `choose_device`.
    bf16 : bool
        Halve the precision.

    Raises
    ------
    UsageError
        If the file is not exactly the weights of this network.
    PluginError
        If a package is missing.
    OutOfMemory
        If the network alone does not fit on the device.
    """
    torch = packages().torch
    state = read_weights(path)
    net = _cellpose_sam(state, path) if builder is None else _built_by(builder)
    _same_tensors(net, state, path)
    dtype = torch.bfloat16 if bf16 else torch.float32
    empty = {name: torch.zeros(1) for name in _METADATA if name in net.state_dict()}
    with memory():
        # copied, so that nothing depends on the file any more
        moved = {
            name: value.to(device, dtype if value.is_floating_point() else value.dtype, copy=True)
            for name, value in {**empty, **state}.items()
        }
        net.load_state_dict(moved, strict=True, assign=True)
        return net.to(device, dtype)


def read_weights(path: Path) -> dict[str, Any]:
    """Return the tensors of a weights file by name, still on the disk.

    Raises
    ------
    UsageError
        If it is no such file.
    """
    torch = packages().torch
    try:
        state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # a damaged file fails in pickle, zipfile or torch, each with errors of its own
        raise UsageError(
            f"{path} cannot be read as weights of a network ({str(error).splitlines()[0][:200]}). If a download was "
            "cut off, delete the file and get it again."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UsageError(f"{path} holds no plain list of tensors (a state_dict); save the network with its save_model.")
    return {name.removeprefix("module."): value for name, value in state.items()}  # saved by several GPUs at once


def _cellpose_sam(state: Mapping[str, Any], path: Path) -> Any:
    """Return Cellpose-SAM without memory for its tensors, which come from the file."""
    if "encoder.cls_token" in state:
        raise UsageError(
            f"{path} holds a cpdino network, which needs the package dinov3 and is not supported; use cpsam_v2, "
            "or weights that were trained from it."
        )
    if "W2" not in state:
        raise UsageError(
            f"{path} is no model of Cellpose 4 (Cellpose-SAM): it lacks the tensor W2. Models of Cellpose 1 to 3 do "
            "not run in version 4; train again from cpsam_v2. For a network of your own, name its builder: network: "
            "my_package.my_module:build"
        )
    package = packages()
    with package.torch.device("meta"):
        return package.vit.CPSAM()


def _built_by(builder: str) -> Any:
    """Return the network that a function of somebody's makes."""
    module, _, attribute = builder.partition(":")
    try:
        build: Callable[[], Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"network: {builder} cannot be loaded: {error}. Install the package that holds it."
        ) from error
    return build()


def _same_tensors(net: Any, state: Mapping[str, Any], path: Path) -> None:
    """Refuse a file that does not hold exactly the tensors of the network; cellpose itself would load it in silence."""
    needed = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    problems = {
        "missing": [name for name in needed if name not in given and name not in _METADATA],
        "unknown": [name for name in given if name not in needed],
        "of another shape": [name for name, shape in needed.items() if given.get(name, shape) != shape],
    }
    said = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in problems.items()
        if names
    ]
    if said:
        raise UsageError(
            f"{path} does not fit the network {type(net).__name__}: of its {len(needed)} tensors, {'; '.join(said)}. "
            "Parts of the network would stay random, so it is not used. Give the file of this very network."
        )
