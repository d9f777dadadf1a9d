"""Which features there are, by the names that an expression may use, and which are measured; `measure` computes them.

Features come in families. Those of `BASIC` cost little and are always measured; another family is measured when a
readout names one of its features, or the protocol lists it under ``analysis: features``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from phenoloop.model.channel_features import CHANNEL, PAIRS
from phenoloop.model.feature import Feature
from phenoloop.model.object_features import OBJECT
from phenoloop.model.spot_features import SPOT

BASIC: Final = frozenset({"shape", "segmentation", "intensity", "spots"})
"""Families that are always measured."""
FAMILIES: Final = tuple(dict.fromkeys(feature.family for feature in (*OBJECT, *CHANNEL, *PAIRS, *SPOT)))
"""All families of our own, in the order of the table."""
CELLPROFILER: Final = "cellprofiler"
"""The family that the extra ``profile`` brings: the features of cp_measure, by CellProfiler's names."""

_NO_PHENOTYPE: Final = re.compile(
    "label|visit|well|field|x|y|orientation|edge|confidence|AreaShape_(Orientation|Center_[XY]|BoundingBoxM.*)"
    r"|.*\.Location_.*"
)


def columns(channels: Sequence[str], spots: Iterable[str], families: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the columns of the object table (``label`` left out) that `BASIC` and some more families give, in order.

    Parameters
    ----------
    channels, spots : sequence of str
        Names of the channels and of the spots.
    families : iterable of str
        Of `FAMILIES`.
    """
    wanted = BASIC | set(families)
    return tuple(name for name, feature in catalogue(channels, spots).items() if feature.family in wanted)


def catalogue(channels: Sequence[str], spots: Iterable[str]) -> dict[str, Feature]:
    """Return every name that an expression may use, with its feature, in the order of the object table."""
    found = {feature.name: feature for feature in OBJECT}
    for channel in channels:
        found.update({f"{channel}.{feature.name}": feature for feature in CHANNEL})
        for other in channels:
            if other != channel:
                found.update({f"{channel}.{feature.name}_{other}": feature for feature in PAIRS})
    for name in spots:
        found.update({f"{name}.{feature.name}": feature for feature in SPOT})
    return found


def of_phenotype(names: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of an object table that may stand in a profile, in order.

    Left out is what says where an object lies or how it is turned in the image, and what the segmenter thinks of it:
    none of that is the cell's.
    """
    return tuple(name for name in names if not _NO_PHENOTYPE.fullmatch(name))
