"""The feature table: each number an expression may name, its unit and its formula. `measure` computes exactly these."""

from __future__ import annotations

from typing import Final, NamedTuple


class Feature(NamedTuple):
    """One column of the object table."""

    name: str
    unit: str
    formula: str


SHAPE: Final[tuple[Feature, ...]] = (
    Feature("area", "px", "number of pixels"),
    Feature("area_um2", "um^2", "area times the squared pixel size"),
    Feature("x", "px", "column of the centroid"),
    Feature("y", "px", "row of the centroid"),
    Feature("major_axis", "px", "4 sqrt of the larger eigenvalue of the coordinates' covariance"),
    Feature("minor_axis", "px", "4 sqrt of the smaller eigenvalue of the coordinates' covariance"),
    Feature("eccentricity", "1", "sqrt(1 - smaller / larger eigenvalue); unknown for a single pixel"),
    Feature("orientation", "rad", "angle of the major axis to the rows' axis, as in scikit-image"),
    Feature("extent", "1", "area / area of the bounding box"),
    Feature("perimeter", "px", "length of the outline, 4-neighbour crossings weighted as in scikit-image"),
    Feature("form_factor", "1", "4 pi area / perimeter^2; unknown without an outline"),
    Feature("edge", "1", "1 if the object touches the border of the image, else 0"),
)
"""Named bare: ``area``."""

INTENSITY: Final[tuple[Feature, ...]] = (
    Feature("mean", "counts", "mean over the object"),
    Feature("sum", "counts", "sum over the object"),
    Feature("min", "counts", "smallest pixel"),
    Feature("max", "counts", "largest pixel"),
    Feature("sd", "counts", "standard deviation over the object, n in the denominator"),
    Feature("ring", "counts", "mean of the background 2 to 8 px from its edge, nearest to it of all objects"),
    Feature("ratio", "1", "(mean - background) / (ring - background); background is the 5th percentile of the field"),
)
"""Named by channel: ``DNA.mean``."""

SPOTS: Final[tuple[Feature, ...]] = (
    Feature("count", "1", "number of spots that belong to the object"),
    Feature("area", "px", "mean area of its spots above half their height; unknown without spots"),
    Feature("intensity", "counts", "mean of its spots' peak height above the local background; unknown without spots"),
    Feature("total_area", "px", "summed area of its spots"),
    Feature("density", "1/px", "count / area of the object"),
)
"""Named by the spots' name: ``vesicles.count``."""
