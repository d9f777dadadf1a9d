"""Features of the spots of an object: how many, how large and bright, and how they lie. Named ``vesicles.count``."""

from __future__ import annotations

from typing import Final

from phenoloop.model.feature import Feature, family

SPOTS: Final = family(
    "spots",
    Feature("count", "1", "number of spots that belong to the object"),
    Feature("area", "px", "mean area of its spots above half their height; unknown without spots"),
    Feature("intensity", "counts", "mean of its spots' peak height above the local background; unknown without spots"),
    Feature("total_area", "px", "summed area of its spots"),
    Feature("density", "1/px", "count / area of the object"),
)
"""Named by the spots' name: ``vesicles.count``."""

LARGE_SPOT: Final = 1.5

SPOT_SIZES: Final = family(
    "spot_sizes",
    Feature("area_median", "px", "median area of its spots; unknown without spots"),
    Feature("area_max", "px", "area of its largest spot; unknown without spots"),
    Feature("area_sd", "px", "standard deviation of its spots' areas, n in the denominator; unknown without spots"),
    Feature(
        "large",
        "1",
        f"share of its spots larger than a disk of {LARGE_SPOT:g} times the diameter looked for; unknown without spots",
    ),
    Feature("total_intensity", "counts", "sum of its spots' peak heights"),
    Feature("max_intensity", "counts", "highest of its spots' peak heights; unknown without spots"),
    Feature("volume", "counts", "sum of the heights above the local background of all pixels of its spots"),
    Feature("distance", "px", "mean distance of its spots to its centroid; unknown without spots"),
    Feature("inside", "1", "share of its spots whose peak lies in the object itself; unknown without spots"),
)
"""Named by the spots' name: ``vesicles.area_max``."""

SPOT_PATTERN_LEAST: Final = 5

SPOT_PATTERN: Final = family(
    "spot_pattern",
    Feature(
        "nearest",
        "px",
        f"mean distance of its spots to its nearest other spot; unknown under {SPOT_PATTERN_LEAST} spots",
    ),
    Feature(
        "clustering",
        "1",
        "1 - nearest / its mean over 39 patterns of as many spots at random where the object could have spots, none "
        "nearer to another than 0.85 diameters, which the detector sees as one: 0 random, above clustered, below "
        "regular; does not depend on their number",
        "Clark and Evans 1954, doi 10.2307/1931034; Besag and Diggle 1977, doi 10.2307/2346974",
    ),
    Feature("clustering_z", "1", "(mean of the 39 - nearest) / their standard deviation", "Besag and Diggle 1977"),
    Feature(
        "ripley",
        "1",
        "pairs of its spots within 3 diameters / mean of the 39 patterns - 1, that is K(r) / K_random(r) - 1: "
        "0 random, above clustered, below regular",
        "Ripley 1977",
    ),
    Feature("ripley_z", "1", "(pairs within 3 diameters - mean of the 39) / their standard deviation", "Ripley 1977"),
)
"""Named by the spots' name: ``vesicles.clustering``."""

SPOT_FIELD: Final = family(
    "spot_field",
    Feature(
        "field_clustering",
        "1",
        "as clustering, of all spots of the field, against as many at random near its objects; one number for all",
        "Clark and Evans 1954; Besag and Diggle 1977",
    ),
    Feature("field_clustering_z", "1", "the same in standard deviations of the 39 patterns", "Besag and Diggle 1977"),
    Feature("field_ripley", "1", "as ripley, of all spots of the field; one number for all", "Ripley 1977"),
    Feature("field_ripley_z", "1", "the same in standard deviations of the 39 patterns", "Ripley 1977"),
)
"""Named by the spots' name: ``vesicles.field_clustering``."""

SPOT: Final = (*SPOTS, *SPOT_SIZES, *SPOT_PATTERN, *SPOT_FIELD)
"""All of one kind of spots, in the order of the object table."""
