"""The feature table: each number an expression may name, its unit, formula and source. `measure` computes these.

Features come in families. Those of `BASIC` cost little and are always measured; another family is measured when a
readout names one of its features, or the protocol lists it under ``analysis: features``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

_SKIMAGE: Final = "scikit-image regionprops"
_CELLPROFILER: Final = "after CellProfiler, doi 10.1186/s12859-021-04344-9"


class Feature(NamedTuple):
    """One column of the object table."""

    name: str
    unit: str
    formula: str
    source: str = "definition"
    family: str = "shape"


def _family(family: str, *features: Feature) -> tuple[Feature, ...]:
    return tuple(feature._replace(family=family) for feature in features)


SHAPE: Final = _family(
    "shape",
    Feature("area", "px", "number of pixels", _SKIMAGE),
    Feature("area_um2", "um^2", "area times the squared pixel size"),
    Feature("x", "px", "column of the centroid", _SKIMAGE),
    Feature("y", "px", "row of the centroid", _SKIMAGE),
    Feature("major_axis", "px", "4 sqrt of the larger eigenvalue of the coordinates' covariance", _SKIMAGE),
    Feature("minor_axis", "px", "4 sqrt of the smaller eigenvalue of the coordinates' covariance", _SKIMAGE),
    Feature("eccentricity", "1", "sqrt(1 - smaller / larger eigenvalue); unknown for a single pixel", _SKIMAGE),
    Feature("orientation", "rad", "angle of the major axis to the rows' axis, as in scikit-image", _SKIMAGE),
    Feature("extent", "1", "area / area of the bounding box", _SKIMAGE),
    Feature(
        "perimeter",
        "px",
        "length of the outline, 4-neighbour crossings weighted as in scikit-image",
        "Benkrid and Crookes 2000; " + _SKIMAGE,
    ),
    Feature("form_factor", "1", "4 pi area / perimeter^2; unknown without an outline", _CELLPROFILER),
    Feature("edge", "1", "1 if the object touches the border of the image, else 0"),
)
"""Named bare: ``area``."""

OUTLINE: Final = _family(
    "outline",
    Feature("equivalent_diameter", "px", "sqrt(4 area / pi)", _SKIMAGE),
    Feature("convex_area", "px", "area of the convex hull of the pixels' corners, by its support in 64 directions"),
    Feature("solidity", "1", "area / convex_area; scikit-image counts the hull's pixels instead"),
    Feature("feret", "px", "largest distance of parallel tangents over 32 directions, from pixel corners"),
    Feature("width", "px", "smallest distance of parallel tangents over 32 directions, from pixel corners"),
    Feature("inscribed_radius", "px", "largest distance of a pixel to its outline's nearest pixel, + 1"),
    Feature("mean_radius", "px", "mean distance of its pixels to its outline's nearest pixel, + 1", _CELLPROFILER),
    Feature("touching", "1", "share of its outline's pixels that have a pixel of another object beside them"),
)
"""Named bare: ``solidity``."""

MOMENTS: Final = _family(
    "moments",
    *(
        Feature(
            f"hu_{k}", "1", f"Hu's moment invariant {k} of the binary shape", "Hu 1962, doi 10.1109/TIT.1962.1057692"
        )
        for k in range(1, 8)
    ),
)
"""Named bare: ``hu_1``."""

ZERNIKE_ORDERS: Final = tuple((n, m) for n in range(10) for m in range(n % 2, n + 1, 2))
"""(n, m) of the Zernike polynomials up to order 9, as CellProfiler takes them."""

ZERNIKE_SHAPE: Final = _family(
    "zernike",
    *(
        Feature(
            f"zernike_{n}_{m}",
            "1",
            f"magnitude of the Zernike moment ({n}, {m}) of the binary shape, on the disk around its centroid",
            "Zernike 1934; Boland et al. 1998, doi 10.1002/(SICI)1097-0320(19981101)33:3<366::AID-CYTO12>3.0.CO;2-R",
        )
        for n, m in ZERNIKE_ORDERS
    ),
)
"""Named bare: ``zernike_2_0``."""

NEIGHBOUR_RADIUS_UM: Final = 50.0

NEIGHBOURS: Final = _family(
    "neighbours",
    Feature("nearest", "px", "distance to the nearest other centroid; unknown for a lone object"),
    Feature("second_nearest", "px", "distance to the second nearest other centroid"),
    Feature("neighbours", "1", f"number of other centroids within {NEIGHBOUR_RADIUS_UM:g} um"),
    Feature(
        "local_density",
        "1/um^2",
        f"neighbours / area of the disk of {NEIGHBOUR_RADIUS_UM:g} um that lies in the field",
        "border correction by area",
    ),
    Feature(
        "spacing",
        "1",
        "nearest / what is expected of as many points at random in the field; its mean is the Clark-Evans ratio: "
        "1 random, below clustered, above regular",
        "Clark and Evans 1954, doi 10.2307/1931034; Donnelly 1978",
    ),
    Feature(
        "ripley",
        "1",
        f"local K / (pi r^2), r = {NEIGHBOUR_RADIUS_UM:g} um but half the field at most, translation correction; its "
        "mean is Ripley's K against random: 1 random, above clustered, below regular",
        "Ripley 1977; Getis and Franklin 1987, doi 10.2307/1938452; Ohser 1983",
    ),
)
"""Named bare: ``nearest``."""

INTENSITY: Final = _family(
    "intensity",
    Feature("mean", "counts", "mean over the object", _SKIMAGE),
    Feature("sum", "counts", "sum over the object"),
    Feature("min", "counts", "smallest pixel", _SKIMAGE),
    Feature("max", "counts", "largest pixel", _SKIMAGE),
    Feature("sd", "counts", "standard deviation over the object, n in the denominator", _SKIMAGE),
    Feature("ring", "counts", "mean of the background 2 to 8 px from its edge, nearest to it of all objects"),
    Feature("ratio", "1", "(mean - background) / (ring - background); background is the 5th percentile of the field"),
)
"""Named by channel: ``DNA.mean``."""

QUANTILES: Final = _family(
    "quantiles",
    Feature("median", "counts", "median over the object"),
    Feature("mad", "counts", "median absolute deviation from the median"),
    *(Feature(f"q{q:02d}", "counts", f"{q}th percentile, linear between ranks") for q in (5, 25, 75, 95)),
    Feature("skewness", "1", "third standardised moment, n in the denominator; unknown where all pixels are alike"),
    Feature("kurtosis", "1", "fourth standardised moment less 3"),
)
"""Named by channel: ``GFP.median``."""

COMPARTMENTS: Final = _family(
    "compartments",
    Feature("ring_sum", "counts", "sum over the ring"),
    Feature("ring_sd", "counts", "standard deviation over the ring, n in the denominator"),
    Feature("ring_area", "px", "number of pixels of the ring"),
    Feature("ring_difference", "counts", "mean - ring"),
    Feature("edge_mean", "counts", "mean over its outline's pixels", _CELLPROFILER),
    Feature("edge_sd", "counts", "standard deviation over its outline's pixels, n in the denominator", _CELLPROFILER),
)
"""Named by channel: ``GFP.ring_sum``."""

RADIAL_ZONES: Final = ("centre", "middle", "rim")

RADIAL: Final = _family(
    "radial",
    Feature("mass_displacement", "px", "distance of the centroid to the centroid weighted by intensity", _CELLPROFILER),
    *(
        feature
        for k, zone in enumerate(RADIAL_ZONES, 1)
        for feature in (
            Feature(
                f"{zone}_fraction",
                "1",
                f"share of the object's light in zone {k} of 3; a pixel's place is d / (d + e), d its distance to the "
                "centroid, e to its outline's nearest pixel + 1",
                _CELLPROFILER,
            ),
            Feature(f"{zone}_density", "1", f"{zone}_fraction / share of the area in that zone", _CELLPROFILER),
            Feature(
                f"{zone}_cv", "1", "standard deviation / mean of the means of its eight 45 degree wedges", _CELLPROFILER
            ),
        )
    ),
)
"""Named by channel: ``GFP.rim_fraction``."""

TEXTURE_DISTANCES: Final = (1, 3, 6)

_HARALICK: Final = (
    ("contrast", "sum p (i - j)^2"),
    ("correlation", "sum p (i - mean) (j - mean) / variance; 1 where all pixels are alike"),
    ("energy", "sum p^2 (angular second moment)"),
    ("homogeneity", "sum p / (1 + (i - j)^2)"),
    ("entropy", "- sum p log2 p"),
    ("sum_entropy", "entropy of i + j"),
    ("difference_entropy", "entropy of |i - j|"),
    ("difference_variance", "variance of |i - j|"),
)

TEXTURE: Final = _family(
    "texture",
    *(
        Feature(
            f"{name}_{distance}",
            "1",
            f"{formula}; p: pairs of pixels of the object {distance} px apart, four directions together, 16 grey "
            "levels from its 1st to its 99th percentile",
            "Haralick et al. 1973, doi 10.1109/TSMC.1973.4309314",
        )
        for distance in TEXTURE_DISTANCES
        for name, formula in _HARALICK
    ),
    Feature("gradient", "counts/px", "mean of the gradient's magnitude (Sobel / 8)"),
    Feature("laplacian_sd", "counts", "standard deviation of the Laplacian (4 neighbours)"),
)
"""Named by channel: ``GFP.contrast_1``."""

GRANULE_RADII: Final = (1, 2, 3, 4, 5, 6, 8)

GRANULARITY: Final = _family(
    "granularity",
    *(
        Feature(
            f"granules_{radius}",
            "1",
            f"share of the object's light above background that an opening by a disk of radius {radius} px takes away, "
            "less what the next smaller takes",
            "Matheron 1975; Maragos 1989, doi 10.1109/34.192465",
        )
        for radius in GRANULE_RADII
    ),
)
"""Named by channel: ``GFP.granules_2``."""

ZERNIKE_LIGHT: Final = _family(
    "zernike_light",
    *(
        Feature(
            f"zernike_{n}_{m}",
            "1",
            f"magnitude of the Zernike moment ({n}, {m}) of the light, on the disk around the object's centroid, per "
            "light",
            "Zernike 1934; Teague 1980, doi 10.1364/JOSA.70.000920",
        )
        for n, m in ZERNIKE_ORDERS
    ),
)
"""Named by channel: ``GFP.zernike_2_0``."""

PAIRS: Final = _family(
    "colocalisation",
    Feature("pearson", "1", "correlation of the two channels over the object's pixels; unknown where one is constant"),
    Feature("spearman", "1", "the same of the pixels' ranks in the object; ties share their mean rank"),
    Feature("slope", "1", "least-squares slope of this channel on the other over the object's pixels"),
)
"""Named by two channels: ``GFP.pearson_DNA``."""

SPOTS: Final = _family(
    "spots",
    Feature("count", "1", "number of spots that belong to the object"),
    Feature("area", "px", "mean area of its spots above half their height; unknown without spots"),
    Feature("intensity", "counts", "mean of its spots' peak height above the local background; unknown without spots"),
    Feature("total_area", "px", "summed area of its spots"),
    Feature("density", "1/px", "count / area of the object"),
)
"""Named by the spots' name: ``vesicles.count``."""

LARGE_SPOT: Final = 1.5

SPOT_SIZES: Final = _family(
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

SPOT_PATTERN: Final = _family(
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

SPOT_FIELD: Final = _family(
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

SEGMENTATION: Final = _family(
    "segmentation",
    Feature("confidence", "1", "how sure the segmenter is of the object, 0 to 1; unknown where it does not say"),
)
"""Named bare: ``confidence``."""

OBJECT: Final = (*SHAPE, *OUTLINE, *MOMENTS, *ZERNIKE_SHAPE, *NEIGHBOURS, *SEGMENTATION)
CHANNEL: Final = (*INTENSITY, *QUANTILES, *COMPARTMENTS, *RADIAL, *TEXTURE, *GRANULARITY, *ZERNIKE_LIGHT)
SPOT: Final = (*SPOTS, *SPOT_SIZES, *SPOT_PATTERN, *SPOT_FIELD)

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
