"""Each family of features against scikit-image, scipy or a loop over objects; and only the wanted ones are measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops

from phenoloop.measure import Analysis, measure_field
from phenoloop.measure.features import RING_PX, object_table
from phenoloop.measure.neighbourhood import Neighbourhood
from phenoloop.measure.objects import Objects
from phenoloop.measure.spots import spot_features, spot_field, spot_pattern, spot_sizes
from phenoloop.model import AnalysisPlan, SegmentPlan, SpotsPlan, channel_features, features, object_features
from phenoloop.numerics.bincount import Groups
from phenoloop.numerics.texture import cooccurrence, haralick
from phenoloop.protocol.expressions import object_names
from tests.analysis.test_features import ONE_PIXEL, ROW, WHOLE, ragged

Image = NDArray[Any]
RNG = np.random.default_rng(0)
SPOTS = SpotsPlan(name="foci", channel="GFP")


def blobs(size: int = 160, step: int = 40) -> NDArray[np.int32]:
    """Ellipses of several sizes and directions, two of them touching."""
    rng = np.random.default_rng(1)
    canvas = np.zeros((size, size), np.float32)
    k = 0
    for y in range(step // 2, size, step):
        for x in range(step // 2, size, step):
            k += 1
            axes = (int(rng.integers(6, 16)), int(rng.integers(5, 12)))
            cv2.ellipse(canvas, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, float(k), -1)
    canvas[20:40, 20:24] = 1
    canvas[20:40, 24:30] = 2
    return canvas.astype(np.int32)


LABELS = [
    pytest.param(blobs(), id="ellipses"),
    pytest.param(ragged((60, 80), 20), id="ragged"),
    pytest.param(ONE_PIXEL, id="1-px-object"),
    pytest.param(ROW, id="row"),
    pytest.param(WHOLE, id="whole-image"),
]


def measured(labels: NDArray[np.int32], *families: str, **channels: Image) -> dict[str, NDArray[np.float64]]:
    return object_table(labels, channels, families=families)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_quantiles_by_a_loop(labels: NDArray[np.int32], dtype: type) -> None:
    image = RNG.gamma(2, 40, labels.shape).clip(0, 255).astype(dtype)
    table = measured(labels, "quantiles", GFP=image)
    for k in range(1, labels.max() + 1):
        pixels = image[labels == k].astype(np.float64)
        found = {name: table[f"GFP.{name}"][k - 1] for name in ("median", "mad", "q05", "q25", "q75", "q95")}
        q05, q25, median, q75, q95 = np.percentile(pixels, (5, 25, 50, 75, 95))
        expected = {"q05": q05, "q25": q25, "median": median, "q75": q75, "q95": q95}
        assert found == pytest.approx(expected | {"mad": np.median(np.abs(pixels - median))}, rel=1e-6)
        several = len(np.unique(pixels)) > 2
        for name, oracle in (("skewness", stats.skew), ("kurtosis", stats.kurtosis)):
            expected_moment = oracle(pixels) if several else np.nan
            if several or len(np.unique(pixels)) == 1:
                assert table[f"GFP.{name}"][k - 1] == pytest.approx(expected_moment, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("labels", LABELS)
def test_compartments_by_a_loop(labels: NDArray[np.int32]) -> None:
    image = RNG.poisson(100, labels.shape).astype(np.uint16)
    table = measured(labels, "compartments", GFP=image)
    around = Neighbourhood(labels)
    owner = around.owner(np.arange(labels.size)).reshape(labels.shape)
    band = (around.distance >= RING_PX[0]) & (around.distance <= RING_PX[1])
    cross = ndimage.generate_binary_structure(2, 1)
    for k in range(1, labels.max() + 1):
        ring = image[band & (owner == k)].astype(np.float64)
        outline = image[(labels == k) & ~ndimage.binary_erosion(labels == k, cross)].astype(np.float64)
        expected = {
            "ring_sum": ring.sum(),
            "ring_sd": ring.std() if ring.size else np.nan,
            "ring_area": ring.size,
            "ring_difference": image[labels == k].mean() - ring.mean() if ring.size else np.nan,
            "edge_mean": outline.mean(),
            "edge_sd": outline.std(),
        }
        found = {name: table[f"GFP.{name}"][k - 1] for name in expected}
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("labels", LABELS)
def test_hull_and_moments_against_scikit_image(labels: NDArray[np.int32]) -> None:
    table = measured(labels, "outline", "moments")
    for region in regionprops(labels):
        k = region.label - 1
        assert table["equivalent_diameter"][k] == pytest.approx(region.equivalent_diameter_area)
        assert [table[f"hu_{i}"][k] for i in range(1, 8)] == pytest.approx(region.moments_hu, abs=1e-12)
        corners = (region.coords[:, None, :] + np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]])).reshape(
            -1, 2
        )
        hull = cv2.convexHull(corners.astype(np.float32))
        assert table["convex_area"][k] == pytest.approx(cv2.contourArea(hull), rel=0.03)
        assert table["convex_area"][k] >= cv2.contourArea(hull) * 0.999999
        far = np.hypot(*(corners[:, None] - corners[None]).transpose(2, 0, 1)).max() if len(corners) < 1500 else None
        if far is not None:
            assert table["feret"][k] == pytest.approx(far, rel=0.002)
        turn = np.linspace(0, np.pi, 721)
        reach = hull.reshape(-1, 2) @ np.stack([np.cos(turn), np.sin(turn)])
        narrow = (reach.max(axis=0) - reach.min(axis=0)).min()
        assert narrow * 0.9999 <= table["width"][k] <= narrow * 1.03 + 0.3
        assert 0 < table["solidity"][k] <= 1.0000001
        inside = ndimage.distance_transform_edt(np.pad(labels == region.label, 1))[1:-1, 1:-1]
        assert table["inscribed_radius"][k] == pytest.approx(inside.max(), abs=0.6)
        assert table["mean_radius"][k] == pytest.approx(inside[labels == region.label].mean(), abs=0.5)


def test_a_disk_and_a_square() -> None:
    y, x = np.mgrid[:101, :200]
    labels = np.where(np.hypot(y - 50, x - 50) <= 40, 1, 0).astype(np.int32)
    labels[30:71, 120:161] = 2
    table = measured(labels, "outline", "moments", "zernike")
    assert table["solidity"] == pytest.approx([0.98, 1.0], abs=0.02)
    assert table["feret"] == pytest.approx([81, 41 * np.sqrt(2)], rel=0.01)
    assert table["width"] == pytest.approx([81, 41], rel=0.01)
    assert table["touching"].tolist() == [0, 0]
    assert table["zernike_0_0"][0] == pytest.approx(1, rel=0.03)  # a full disk is the first polynomial
    assert all(table[f"zernike_{n}_{m}"][0] < 0.05 for n, m in object_features.ZERNIKE_ORDERS if n > 0)
    assert table["zernike_4_4"][1] > 0.1  # a square has four corners


def test_touching_is_the_shared_share_of_the_outline() -> None:
    labels = np.kron(np.array([[1, 2], [0, 0]]), np.ones((8, 8))).astype(np.int32)
    assert measured(labels, "outline")["touching"] == pytest.approx([8 / 28, 8 / 28])


@pytest.mark.parametrize("distance", channel_features.TEXTURE_DISTANCES)
def test_cooccurrence_is_scikit_images(distance: int) -> None:
    """Objects that are rectangles, so that scikit-image can be shown each alone."""
    labels = np.zeros((50, 60), np.int32)
    labels[2:22, 3:30], labels[24:49, 30:60], labels[23:24, 0:1] = 1, 2, 3
    level = RNG.integers(0, 16, labels.shape)
    groups = Groups(labels)
    pairs = cooccurrence(groups, groups.take(level), labels, distance)
    found = haralick(pairs)
    for k, box in enumerate((np.s_[2:22, 3:30], np.s_[24:49, 30:60])):
        # its offsets at a diagonal are the rounded sine and cosine, ours the whole distance: the same at 1 only
        angles = [0, np.pi / 2] if distance > 1 else [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
        theirs = graycomatrix(level[box].astype(np.uint8), [distance], angles, 16, symmetric=True).sum(axis=(2, 3))
        if distance == 1:
            assert np.array_equal(pairs[k], theirs)
            normed = (theirs / theirs.sum())[:, :, None, None]
            for name in ("contrast", "correlation", "homogeneity"):
                assert found[name][k] == pytest.approx(graycoprops(normed, name)[0, 0])
            assert found["energy"][k] == pytest.approx(graycoprops(normed, "ASM")[0, 0])
            assert found["entropy"][k] == pytest.approx(stats.entropy(normed.ravel(), base=2))
        else:
            crop, straight = level[box], np.zeros((16, 16))
            for dy, dx in ((distance, distance), (distance, -distance)):
                one = crop[: -dy or None, max(0, -dx) : crop.shape[1] - max(0, dx)]
                two = crop[dy:, max(0, dx) : crop.shape[1] + min(0, dx)]
                np.add.at(straight, (one, two), 1)
            assert np.array_equal(pairs[k], theirs + straight + straight.T)
    assert np.isnan([column[2] for column in found.values()]).all()


@pytest.mark.parametrize(
    ("stripes", "smaller", "larger"),
    [
        pytest.param(1, "contrast_6", "contrast_1", id="fine"),
        pytest.param(6, "contrast_1", "contrast_6", id="coarse"),
    ],
)
def test_texture_sees_the_grain(stripes: int, smaller: str, larger: str) -> None:
    labels = np.ones((60, 60), np.int32)
    y, x = np.mgrid[:60, :60]
    image = (100 + 50 * ((x // stripes + y // stripes) % 2)).astype(np.uint16)
    table = measured(labels, "texture", "granularity", GFP=image)
    assert table[f"GFP.{smaller}"][0] < table[f"GFP.{larger}"][0]


def test_texture_does_not_depend_on_gain_and_offset() -> None:
    labels = blobs()
    image = RNG.poisson(50, labels.shape).astype(np.uint16)
    one, other = (
        measured(labels, "texture", GFP=picture) for picture in (image, image * np.uint16(8) + np.uint16(300))
    )
    for name, _ in ((f"GFP.{feature.name}", feature) for feature in channel_features.TEXTURE if feature.unit == "1"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6, atol=1e-9)


def test_granules_sum_up_the_light_that_openings_take() -> None:
    labels = np.ones((80, 80), np.int32)
    y, x = np.mgrid[:80, :80]
    image = np.full(labels.shape, 100, np.uint16)
    for cy, cx in ((20, 20), (20, 60), (60, 20), (60, 60)):
        image[np.hypot(y - cy, x - cx) <= 3.5] = 400
    table = measured(labels, "granularity", GFP=image)
    spectrum = {radius: table[f"GFP.granules_{radius}"][0] for radius in channel_features.GRANULE_RADII}
    assert max(spectrum, key=lambda radius: spectrum[radius]) in (3, 4)
    assert sum(spectrum.values()) == pytest.approx(1)


def test_light_at_the_centre_and_at_the_rim() -> None:
    y, x = np.mgrid[:90, :200]
    away = [np.hypot(y - 45, x - cx) for cx in (45, 145)]
    labels = np.select([away[0] <= 40, away[1] <= 40], [1, 2]).astype(np.int32)
    image = np.where(away[0] < 10, 1000, 10) + np.where((away[1] > 35) & (away[1] <= 40), 1000, 0)
    image[:, :45] += 1  # a hair more on the left of the first
    table = measured(labels, "radial", GFP=image.astype(np.uint16))
    fractions = np.array([table[f"GFP.{zone}_fraction"] for zone in channel_features.RADIAL_ZONES])
    np.testing.assert_allclose(fractions.sum(axis=0), 1)
    assert fractions[:, 0].argmax() == 0
    assert fractions[:, 1].argmax() == 2
    assert table["GFP.centre_density"][0] > 5
    flat = measured(labels, "radial", GFP=np.full(labels.shape, 7, np.uint8))
    for zone in channel_features.RADIAL_ZONES:
        np.testing.assert_allclose(flat[f"GFP.{zone}_density"], 1)
        np.testing.assert_allclose(flat[f"GFP.{zone}_cv"], 0, atol=1e-12)
    np.testing.assert_allclose(flat["GFP.mass_displacement"], 0, atol=1e-9)


def test_displaced_light() -> None:
    labels = np.zeros((30, 50), np.int32)
    labels[5:26, 5:46] = 1
    image = np.zeros(labels.shape, np.uint16)
    image[15, 35] = 100
    assert measured(labels, "radial", GFP=image)["GFP.mass_displacement"] == pytest.approx([10])


@pytest.mark.parametrize("labels", LABELS)
def test_colocalisation_by_scipy(labels: NDArray[np.int32]) -> None:
    dna = RNG.poisson(30, labels.shape).astype(np.uint16)
    gfp = (dna * 2 + RNG.poisson(50, labels.shape)).astype(np.uint16)
    table = measured(labels, "colocalisation", DNA=dna, GFP=gfp)
    for k in range(1, labels.max() + 1):
        one, two = gfp[labels == k].astype(float), dna[labels == k].astype(float)
        if len(np.unique(one)) < 2 or len(np.unique(two)) < 2:
            assert np.isnan(table["GFP.pearson_DNA"][k - 1])
            continue
        assert table["GFP.pearson_DNA"][k - 1] == pytest.approx(stats.pearsonr(one, two)[0])
        assert table["DNA.pearson_GFP"][k - 1] == pytest.approx(stats.pearsonr(one, two)[0])
        assert table["GFP.spearman_DNA"][k - 1] == pytest.approx(stats.spearmanr(one, two)[0])
        assert table["GFP.slope_DNA"][k - 1] == pytest.approx(stats.linregress(two, one)[0])


def test_neighbours_by_a_loop() -> None:
    labels = ragged((300, 200), 60, 1)
    table = object_table(labels, {}, pixel_size_um=2.0, families=["neighbours"])
    points = np.column_stack([table["y"], table["x"]])
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    ordered = np.sort(distance, axis=1)
    np.testing.assert_allclose(table["nearest"], ordered[:, 1])
    np.testing.assert_allclose(table["second_nearest"], ordered[:, 2])
    assert table["neighbours"].tolist() == ((distance <= 25).sum(axis=1) - 1).tolist()
    inner = (points > 26).all(axis=1) & (points < np.array([273, 173])).all(axis=1)
    np.testing.assert_allclose(table["local_density"][inner], table["neighbours"][inner] / (np.pi * 50**2), rtol=1e-3)


@pytest.mark.parametrize(
    ("places", "spacing", "ripley"),
    [
        pytest.param(np.argwhere(np.ones((10, 10))) * 30 + 15, (1.6, 2.1), (-0.1, 0.9), id="grid"),
        pytest.param(np.argwhere(np.ones((10, 10))) * 6 + 100, (0.2, 0.5), (4.0, 40.0), id="heap"),
    ],
)
def test_cells_of_a_field_on_a_grid_and_in_a_heap(
    places: NDArray[np.int64], spacing: tuple[float, float], ripley: tuple[float, float]
) -> None:
    labels = np.zeros((300, 300), np.int32)
    labels[places[:, 0], places[:, 1]] = np.arange(1, len(places) + 1)
    table = object_table(labels, {}, pixel_size_um=2.0, families=["neighbours"])
    assert spacing[0] < table["spacing"].mean() < spacing[1]
    assert ripley[0] < table["ripley"].mean() < ripley[1]


def test_random_cells_of_a_field() -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        labels = np.zeros((400, 300), np.int32)
        places = rng.choice(labels.size, 80, replace=False)
        labels.ravel()[places] = np.arange(1, 81)
        table = object_table(labels, {}, pixel_size_um=2.0, families=["neighbours"])
        found.append([table["spacing"].mean(), table["ripley"].mean()])
    error = np.std(found, axis=0) / np.sqrt(40)
    assert (np.abs(np.mean(found, axis=0) - 1) < 3.5 * error + 0.005).all()


@pytest.mark.parametrize("labels", [*LABELS, pytest.param(np.zeros((20, 30), np.int32), id="no-objects")])
@pytest.mark.parametrize("value", ["noise", "constant", "black"])
def test_every_family_on_odd_fields(labels: NDArray[np.int32], value: str) -> None:
    """A right answer or unknown, never a warning or an infinite number; and exactly the promised columns."""
    images: dict[str, Image] = {
        "DNA": np.full(labels.shape, 7 if value == "constant" else 0, np.uint8),
        "GFP": np.full(labels.shape, 0.5 if value == "constant" else 0.0),
    }
    if value == "noise":
        images = {name: RNG.poisson(30, labels.shape).astype(image.dtype) for name, image in images.items()}
    objects = Objects(labels)
    table = object_table(labels, images, families=features.FAMILIES, objects=objects)
    columns, found = spot_features(images["GFP"], SPOTS, objects.around, table["area"])
    table |= columns | spot_sizes(found, SPOTS, objects)
    table |= spot_pattern(found, SPOTS, objects) | spot_field(found, SPOTS, objects)
    assert sorted(table) == sorted(["label", *features.columns(["DNA", "GFP"], ["foci"], features.FAMILIES)])
    for name, column in table.items():
        assert column.shape == (labels.max(),), name
        assert not np.isinf(column).any(), name


PLAN = AnalysisPlan(
    channels=("DNA", "GFP"),
    segment=SegmentPlan(kind="threshold", target="phenoloop.segmentation.threshold:Threshold", channel="DNA"),
    spots=(SPOTS,),
    readouts={"foci": "mean(foci.count)"},
)


def cells(seed: int, *, clustered: bool = False, large: float = 0.0) -> dict[str, Image]:
    """Nine cells; 25 foci around each, at random or in a heap, a share of them large."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-50:50, -50:50]
    dna, gfp = np.full((300, 300), 100.0), np.full((300, 300), 150.0)
    for cy in range(50, 300, 100):
        for cx in range(50, 300, 100):
            here = np.s_[cy - 50 : cy + 50, cx - 50 : cx + 50]
            dna[here] += 400 * (np.hypot(y, x) <= 12)
            centre = rng.uniform(-15, 15, 2)
            for _ in range(25):
                angle, far = rng.uniform(0, 2 * np.pi), 36 * np.sqrt(rng.random())  # where they would be this cell's
                away = rng.normal(centre, 5) if clustered else far * np.array([np.cos(angle), np.sin(angle)])
                width = 3.2 if rng.random() < large else 1.4
                gfp[here] += 500 * np.exp(-((y - away[0]) ** 2 + (x - away[1]) ** 2) / 2 / width**2)
    return {"DNA": rng.poisson(dna).astype(np.uint16), "GFP": rng.poisson(gfp).astype(np.uint16)}


def test_clustering_and_size_are_readouts_that_answer() -> None:
    """Through the expression language, as ``question: mean`` gets them: one number per field, told apart."""
    plan = replace(
        PLAN,
        readouts={
            "clustering": "mean(foci.clustering)",
            "ripley": "mean(foci.ripley)",
            "size": "mean(foci.area)",
            "large": "mean(foci.large)",
            "of_the_field": "mean(foci.field_clustering)",
        },
    )
    analysis = Analysis(plan)
    random = [analysis.measure(cells(seed)).readouts for seed in range(3)]
    heaps = [analysis.measure(cells(seed, clustered=True)).readouts for seed in range(3)]
    swollen = [analysis.measure(cells(seed, large=0.5)).readouts for seed in range(3)]

    def of(fields: list[Any], name: str) -> list[float]:
        return [float(readouts[name]) for readouts in fields]

    assert np.abs(np.mean(of(random, "clustering"))) < 0.08
    assert np.abs(np.mean(of(random, "of_the_field"))) < 0.08
    assert min(of(heaps, "of_the_field")) > max(of(random, "of_the_field")) + 0.2
    assert min(of(heaps, "clustering")) > max(of(random, "clustering")) + 0.2
    assert min(of(heaps, "ripley")) > max(of(random, "ripley")) + 1
    assert min(of(swollen, "size")) > 1.3 * max(of(random, "size"))
    assert min(of(swollen, "large")) > max(of(random, "large"))


def test_only_what_is_named_is_measured() -> None:
    frames = cells(0)
    basic = measure_field(PLAN, frames)
    named = measure_field(replace(PLAN, readouts={"x": "mean(GFP.entropy_1) + mean(foci.area_max)"}), frames)
    listed = measure_field(replace(PLAN, families=("texture", "spot_sizes")), frames)
    every = measure_field(replace(PLAN, families=features.FAMILIES), frames)
    assert sorted(basic.objects) == sorted(["label", *features.columns(PLAN.channels, ["foci"])])
    assert list(named.objects) == list(listed.objects)
    assert len(basic.objects) < len(named.objects) < len(every.objects)
    assert len(every.objects) > 250
    for name, column in basic.objects.items():
        for more in (named, listed, every):
            np.testing.assert_array_equal(more.objects[name], column, err_msg=name)


def test_every_name_of_the_language_is_a_column_of_some_family() -> None:
    names = object_names(PLAN.channels, ["foci"])
    assert set(names) == set(features.columns(PLAN.channels, ["foci"], features.FAMILIES))
    assert len(names) == len(set(names))


def test_the_same_field_gives_the_same_pattern() -> None:
    plan = replace(PLAN, families=("spot_pattern",))
    one, other = (measure_field(plan, cells(4)).objects for _ in range(2))
    assert np.isfinite(one["foci.clustering_z"]).any()
    for name, column in one.items():
        np.testing.assert_array_equal(column, other[name])


def rendered(seed: int, per_cell: int, diameter: float) -> tuple[NDArray[np.int32], Image]:
    """Sixteen cells and foci at random in them, closer together than the optics can tell in part."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:400, :400]
    labels, light = np.zeros(y.shape, np.int32), np.full(y.shape, 200.0)
    for k, (cy, cx) in enumerate((cy, cx) for cy in range(50, 400, 100) for cx in range(50, 400, 100)):
        cell = ((y - cy) / 38) ** 2 + ((x - cx) / 44) ** 2 <= 1
        labels[cell] = k + 1
        pixels = np.argwhere(cell)
        for place in pixels[rng.integers(len(pixels), size=rng.poisson(per_cell))] + rng.uniform(-0.5, 0.5, 2):
            near = np.s_[int(place[0]) - 10 : int(place[0]) + 11, int(place[1]) - 10 : int(place[1]) + 11]
            away = (y[near] - place[0]) ** 2 + (x[near] - place[1]) ** 2
            light[near] += rng.uniform(300, 600) * np.exp(-away / 2 / (diameter / 2.83) ** 2)
    return labels, rng.poisson(light).astype(np.uint16)


@pytest.mark.parametrize("per_cell", [10, 25])
@pytest.mark.parametrize("diameter", [3.0, 4.0, 6.0])
def test_random_foci_that_were_rendered_and_found_are_random(per_cell: int, diameter: float) -> None:
    """A detector merges close spots; that must not pass for regularity."""
    plan = SpotsPlan(name="foci", channel="GFP", diameter_px=diameter, within_px=0)
    effects: list[float] = []
    for seed in range(2):
        labels, image = rendered(seed, per_cell, diameter)
        objects = Objects(labels)
        _, found = spot_features(image, plan, objects.around, objects.area)
        effects.extend(spot_pattern(found, plan, objects)["foci.clustering"])
    known = np.array(effects)[np.isfinite(effects)]
    print("mean", known.mean(), "sd", known.std(), "n", known.size)
    assert abs(known.mean()) < 0.06 + 2.5 * known.std() / np.sqrt(known.size)
