"""A small StarDist model, trained in seconds."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[Any], NDArray[np.int32]]


def train(pairs: Sequence[Pair], folder: Path, *, steps: int = 240) -> None:
    """Train on images and labels, and leave the model in `folder`."""
    import keras
    from csbdeep.utils import normalize
    from stardist.models import Config2D, StarDist2D

    keras.utils.set_random_seed(0)
    config = Config2D(
        n_rays=16,
        grid=(2, 2),
        n_channel_in=1,
        unet_n_depth=2,
        unet_n_filter_base=16,
        net_conv_after_unet=32,
        train_patch_size=(128, 128),
        train_batch_size=4,
        train_learning_rate=3e-3,
        train_tensorboard=False,
        train_sample_cache=True,
    )
    images = [normalize(image, 1, 99.8) for image, _ in pairs]
    labels = [truth for _, truth in pairs]
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`shuffle=True` was passed", UserWarning)  # between stardist and Keras
        model = StarDist2D(config, name=folder.name, basedir=str(folder.parent))
        model.train(images[2:], labels[2:], (images[:2], labels[:2]), epochs=1, steps_per_epoch=steps)
        model.optimize_thresholds(images[:2], labels[:2], nms_threshs=[0.4])
