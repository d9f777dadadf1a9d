"""How each object lies among the others of its field."""

from __future__ import annotations

import numpy as np

from phenoloop.measure.objects import Objects
from phenoloop.measure.shape import Columns
from phenoloop.model.object_features import NEIGHBOUR_RADIUS_UM
from phenoloop.numerics.spatial import disk_in_rectangle, expected_nearest, local_ripley, nearest_distances, tree_of
from phenoloop.numerics.windows import Rectangle


def neighbours(objects: Objects) -> Columns:
    """Return the columns of `phenoloop.model.object_features.NEIGHBOURS`.

    The field is the rectangle of the image. Nuclei have an extent, so even nuclei that know nothing of one another are
    a little regular at the scale of their size: compare with control wells, not with 1.
    """
    n = objects.n
    height, width = objects.labels.shape
    field = Rectangle(height, width)
    points = np.column_stack(objects.centroid) + 0.5  # pixel centres, from the corner of the field
    radius = NEIGHBOUR_RADIUS_UM / objects.pixel_size_um
    nearest, second = (nearest_distances(points, k) for k in (1, 2))
    around = np.zeros(n)
    if n:
        around = tree_of(points).query_ball_point(points, radius, return_length=True).astype(np.float64) - 1
    expected = expected_nearest(n, field)[0] if n > 1 else np.nan
    # as far as the corner at most: beyond, no pair can be and the correction has nothing to go by
    reach = min(radius, 0.5 * min(height, width))
    return {
        "nearest": np.where(np.isfinite(nearest), nearest, np.nan),
        "second_nearest": np.where(np.isfinite(second), second, np.nan),
        "neighbours": around,
        "local_density": around / (disk_in_rectangle(points, field, radius) * objects.pixel_size_um**2),
        "spacing": np.where(np.isfinite(nearest), nearest / expected, np.nan),
        "ripley": local_ripley(points, field, reach),
    }
