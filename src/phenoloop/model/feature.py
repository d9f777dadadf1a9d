"""What is said of a feature: its name, unit, formula, source, and the family with which it is measured."""

from __future__ import annotations

from typing import Final, NamedTuple

SKIMAGE: Final = "scikit-image regionprops"
CELLPROFILER_PAPER: Final = "after CellProfiler, doi 10.1186/s12859-021-04344-9"


class Feature(NamedTuple):
    """One column of the object table."""

    name: str
    unit: str
    formula: str
    source: str = "definition"
    family: str = "shape"


def family(name: str, *features: Feature) -> tuple[Feature, ...]:
    """Return features as those of a family."""
    return tuple(feature._replace(family=name) for feature in features)
