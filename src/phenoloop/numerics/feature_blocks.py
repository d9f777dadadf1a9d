"""Which features belong together: one block per family and channel, and every block has the same weight.

Fifty textures of one channel do not outvote shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import channel_features, object_features, spot_features

_BARE: Final = {feature.name: feature.family for feature in object_features.OBJECT}
_DOTTED: Final = {feature.name: feature.family for feature in (*spot_features.SPOT, *channel_features.CHANNEL)}
_PAIRED: Final = {feature.name: feature.family for feature in channel_features.PAIRS}


def block_of(name: str) -> str:
    """Return the block of a feature: its family, and the channel or spots that it is of (``texture of GFP``)."""
    if name in _BARE:
        return _BARE[name]
    owner, _, rest = name.partition(".")
    if rest in _DOTTED:
        return f"{_DOTTED[rest]} of {owner}"
    pair = rest.partition("_")[0]
    if pair in _PAIRED:
        return f"{_PAIRED[pair]} of {owner}"
    return name.partition("_")[0]  # CellProfiler's names begin with their family


def block_weights(names: Sequence[str]) -> NDArray[np.float64]:
    """Return the weight of each feature: 1 / (blocks x features of its block), so all weights sum to 1."""
    blocks = [block_of(name) for name in names]
    sizes: dict[str, int] = {}
    for block in blocks:
        sizes[block] = sizes.get(block, 0) + 1
    return np.array([1 / (len(sizes) * sizes[block]) for block in blocks])
