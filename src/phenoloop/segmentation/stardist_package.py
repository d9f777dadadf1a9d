"""How `stardist` and TensorFlow come into a process in which PyTorch works, or will: their compilers must not clash."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.util import find_spec
from typing import Any

from phenoloop.errors import PluginError


def import_stardist() -> tuple[Any, Any]:
    """Import TensorFlow and stardist, so that PyTorch can be used in the same process before and after.

    TensorFlow and PyTorch's compiler, triton, each carry an LLVM. Loaded after TensorFlow, that of triton finds its
    command-line options taken and ends the process ("Option registered more than once"), with the lamp on; loaded
    before it, both work. PyTorch loads triton late, some way into the first network, so it is loaded here first.

    Returns
    -------
    tensorflow, stardist.models : module
        The two modules.

    Raises
    ------
    PluginError
        If one of them is not installed or cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow tells its build on standard error
    if "tensorflow" not in sys.modules and find_spec("triton") is not None:
        with contextlib.suppress(ImportError):  # a triton that cannot be imported cannot clash
            import triton  # noqa: F401
    try:
        import tensorflow as tf
        from stardist import models
    except ImportError as error:
        raise PluginError(
            f"kind: stardist cannot be imported here ({error}). Install it: pip install 'phenoloop[stardist]'"
        ) from error
    return tf, models
