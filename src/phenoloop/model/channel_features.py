"""Features of the light of a channel in and around an object: ``GFP.mean``; of two channels: ``GFP.pearson_DNA``."""

from __future__ import annotations

from typing import Final

from phenoloop.model.feature import CELLPROFILER_PAPER, SKIMAGE, Feature, family
from phenoloop.model.object_features import ZERNIKE_ORDERS

INTENSITY: Final = family(
    "intensity",
    Feature("mean", "counts", "mean over the object", SKIMAGE),
    Feature("sum", "counts", "sum over the object"),
    Feature("min", "counts", "smallest pixel", SKIMAGE),
    Feature("max", "counts", "largest pixel", SKIMAGE),
    Feature("sd", "counts", "standard deviation over the object, n in the denominator", SKIMAGE),
    Feature("ring", "counts", "mean of the background 2 to 8 px from its edge, nearest to it of all objects"),
    Feature("ratio", "1", "(mean - background) / (ring - background); background is the 5th percentile of the field"),
)
"""Named by channel: ``DNA.mean``."""

QUANTILES: Final = family(
    "quantiles",
    Feature("median", "counts", "median over the object"),
    Feature("mad", "counts", "median absolute deviation from the median"),
    *(Feature(f"q{q:02d}", "counts", f"{q}th percentile, linear between ranks") for q in (5, 25, 75, 95)),
    Feature("skewness", "1", "third standardised moment, n in the denominator; unknown where all pixels are alike"),
    Feature("kurtosis", "1", "fourth standardised moment less 3"),
)
"""Named by channel: ``GFP.median``."""

COMPARTMENTS: Final = family(
    "compartments",
    Feature("ring_sum", "counts", "sum over the ring"),
    Feature("ring_sd", "counts", "standard deviation over the ring, n in the denominator"),
    Feature("ring_area", "px", "number of pixels of the ring"),
    Feature("ring_difference", "counts", "mean - ring"),
    Feature("edge_mean", "counts", "mean over its outline's pixels", CELLPROFILER_PAPER),
    Feature(
        "edge_sd", "counts", "standard deviation over its outline's pixels, n in the denominator", CELLPROFILER_PAPER
    ),
)
"""Named by channel: ``GFP.ring_sum``."""

RADIAL_ZONES: Final = ("centre", "middle", "rim")

RADIAL: Final = family(
    "radial",
    Feature(
        "mass_displacement", "px", "distance of the centroid to the centroid weighted by intensity", CELLPROFILER_PAPER
    ),
    *(
        feature
        for k, zone in enumerate(RADIAL_ZONES, 1)
        for feature in (
            Feature(
                f"{zone}_fraction",
                "1",
                f"share of the object's light in zone {k} of 3; a pixel's place is d / (d + e), d its distance to the "
                "centroid, e to its outline's nearest pixel + 1",
                CELLPROFILER_PAPER,
            ),
            Feature(f"{zone}_density", "1", f"{zone}_fraction / share of the area in that zone", CELLPROFILER_PAPER),
            Feature(
                f"{zone}_cv",
                "1",
                "standard deviation / mean of the means of its eight 45 degree wedges",
                CELLPROFILER_PAPER,
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

TEXTURE: Final = family(
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

GRANULARITY: Final = family(
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

ZERNIKE_LIGHT: Final = family(
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

PAIRS: Final = family(
    "colocalisation",
    Feature("pearson", "1", "correlation of the two channels over the object's pixels; unknown where one is constant"),
    Feature("spearman", "1", "the same of the pixels' ranks in the object; ties share their mean rank"),
    Feature("slope", "1", "least-squares slope of this channel on the other over the object's pixels"),
)
"""Named by two channels: ``GFP.pearson_DNA``."""

CHANNEL: Final = (*INTENSITY, *QUANTILES, *COMPARTMENTS, *RADIAL, *TEXTURE, *GRANULARITY, *ZERNIKE_LIGHT)
"""All of one channel, in the order of the object table."""
