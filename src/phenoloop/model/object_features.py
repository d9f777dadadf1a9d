"""Features of an object by itself and among its neighbours: named bare, ``area``. No channel's light is in them."""

from __future__ import annotations

from typing import Final

from phenoloop.model.feature import CELLPROFILER_PAPER, SKIMAGE, Feature, family

SHAPE: Final = family(
    "shape",
    Feature("area", "px", "number of pixels", SKIMAGE),
    Feature("area_um2", "um^2", "area times the squared pixel size"),
    Feature("x", "px", "column of the centroid", SKIMAGE),
    Feature("y", "px", "row of the centroid", SKIMAGE),
    Feature("major_axis", "px", "4 sqrt of the larger eigenvalue of the coordinates' covariance", SKIMAGE),
    Feature("minor_axis", "px", "4 sqrt of the smaller eigenvalue of the coordinates' covariance", SKIMAGE),
    Feature("eccentricity", "1", "sqrt(1 - smaller / larger eigenvalue); unknown for a single pixel", SKIMAGE),
    Feature("orientation", "rad", "angle of the major axis to the rows' axis, as in scikit-image", SKIMAGE),
    Feature("extent", "1", "area / area of the bounding box", SKIMAGE),
    Feature(
        "perimeter",
        "px",
        "length of the outline, 4-neighbour crossings weighted as in scikit-image",
        "Benkrid and Crookes 2000; " + SKIMAGE,
    ),
    Feature("form_factor", "1", "4 pi area / perimeter^2; unknown without an outline", CELLPROFILER_PAPER),
    Feature("edge", "1", "1 if the object touches the border of the image, else 0"),
)
"""Named bare: ``area``."""

OUTLINE: Final = family(
    "outline",
    Feature("equivalent_diameter", "px", "sqrt(4 area / pi)", SKIMAGE),
    Feature("convex_area", "px", "area of the convex hull of the pixels' corners, by its support in 64 directions"),
    Feature("solidity", "1", "area / convex_area; scikit-image counts the hull's pixels instead"),
    Feature("feret", "px", "largest distance of parallel tangents over 32 directions, from pixel corners"),
    Feature("width", "px", "smallest distance of parallel tangents over 32 directions, from pixel corners"),
    Feature("inscribed_radius", "px", "largest distance of a pixel to its outline's nearest pixel, + 1"),
    Feature("mean_radius", "px", "mean distance of its pixels to its outline's nearest pixel, + 1", CELLPROFILER_PAPER),
    Feature("touching", "1", "share of its outline's pixels that have a pixel of another object beside them"),
)
"""Named bare: ``solidity``."""

MOMENTS: Final = family(
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

ZERNIKE_SHAPE: Final = family(
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

NEIGHBOURS: Final = family(
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

SEGMENTATION: Final = family(
    "segmentation",
    Feature("confidence", "1", "how sure the segmenter is of the object, 0 to 1; unknown where it does not say"),
)
"""Named bare: ``confidence``."""

OBJECT: Final = (*SHAPE, *OUTLINE, *MOMENTS, *ZERNIKE_SHAPE, *NEIGHBOURS, *SEGMENTATION)
"""All of them, in the order of the object table."""
