"""The packages behind `kind: cellpose`: imported only here; where they keep models, what device they see."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

from phenoloop.errors import PluginError, UsageError
from phenoloop.segmentation.rungs import OutOfMemory
from phenoloop.segmentation.weights import is_path

BUILT_IN: Final = ("cpsam_v2", "cpsam")
"""Models that cellpose gives away."""
_MEMORY_WORDS: Final = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


@dataclass(frozen=True, slots=True)
class Packages:
    """The modules that are used."""

    torch: ModuleType
    dynamics: ModuleType
    transforms: ModuleType
    utils: ModuleType
    fastremap: ModuleType
    vit: ModuleType


@cache
def packages() -> Packages:
    """Import cellpose and torch, or say why that fails and what helps.

    Raises
    ------
    PluginError
        If cellpose is missing, or torch and torchvision do not fit each other.
    """
    logging.getLogger("cellpose").setLevel(logging.ERROR)  # it warns of models that nobody asked for
    names = ("torch", "cellpose.dynamics", "cellpose.transforms", "cellpose.utils", "fastremap", "cellpose.vit")
    try:
        package = Packages(*(importlib.import_module(name) for name in names))
    except ImportError as error:
        raise PluginError(
            f"kind: cellpose needs the package cellpose, which cannot be imported here ({error}). "
            "Install it: pip install 'phenoloop[cellpose]'"
        ) from error
    except (RuntimeError, OSError) as error:
        if "torchvision" not in str(error):
            raise
        raise PluginError(
            f"kind: cellpose: torch and torchvision are built for different devices ({error}). Usually torch was "
            "installed for the processor only, and torchvision came for CUDA. Install both from one place: for a "
            "computer without NVIDIA GPU, pip install --force-reinstall torch torchvision --index-url "
            "https://download.pytorch.org/whl/cpu; for one with, pip install --force-reinstall torch torchvision"
        ) from error
    if hasattr(package.torch.sparse.check_sparse_tensor_invariants, "disable"):
        package.torch.sparse.check_sparse_tensor_invariants.disable()  # the default, said aloud, or torch warns
    return package


def use_threads(count: int) -> None:
    """Give the networks that run on the processor this many threads, the same for all of them in this process."""
    torch = packages().torch
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def choose_device(gpu: bool | None) -> str:
    """Return ``"cuda"``, ``"mps"`` or ``"cpu"``.

    Parameters
    ----------
    gpu : bool or None
        True insists on a GPU, None takes one where there is one.

    Raises
    ------
    UsageError
        If a GPU is asked for and there is none that torch can use.
    """
    torch = packages().torch
    if gpu is not False:
        if torch.cuda.is_available():
            return "cuda"
        if torch.backends.mps.is_available():
            return "mps"
    if gpu:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the processor only"
        raise UsageError(
            f"gpu: true, but torch {torch.__version__} ({built}) finds no GPU. See whether nvidia-smi shows it and "
            "the driver is recent enough, install a torch that is built for it, or write gpu: auto."
        )
    return "cpu"


@contextmanager
def memory() -> Iterator[None]:
    """Turn whatever a library raises for want of memory into `OutOfMemory`, and give back what can be given back."""
    torch = packages().torch
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own error is a RuntimeError
        said = str(error).lower()
        if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or any(w in said for w in _MEMORY_WORDS)):
            raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory(str(error).split("\n")[0][:200]) from error


def model_folders() -> list[Path]:
    """Return where Cellpose keeps models: ``$CELLPOSE_LOCAL_MODELS_PATH``, else ``~/.cellpose/models``."""
    named = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
    return [Path(named)] if named else [Path.home() / ".cellpose" / "models"]


def way_out(model: str) -> str:
    """Return how to get a model that is absent, in one or two sentences."""
    if is_path(model):
        return "Correct the path, or give the name of a model instead."
    folder = model_folders()[0]
    if model in BUILT_IN:
        return (
            f'Get it once, where there is internet (1.2 GB): python -c "from cellpose.models import cache_model_path; '
            f"cache_model_path('{model}')\", or put https://huggingface.co/mouseland/cellpose-sam/resolve/main/{model} "
            f"into {folder}. The weights have a licence of their own: read it before commercial use."
        )
    return (
        f"For weights of your own, put the file into {folder} or give its path; the models of Cellpose itself are "
        f"{' and '.join(BUILT_IN)}."
    )
