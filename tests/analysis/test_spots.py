from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phenoloop.errors import AnalysisError
from phenoloop.measure import Analysis
from phenoloop.measure.neighbourhood import Neighbourhood
from phenoloop.measure.spots import spot_features
from phenoloop.model import AnalysisPlan, SegmentPlan, SpotsPlan
from phenoloop.numerics.spots import Spots, find_spots

Image = NDArray[Any]


def render(
    seed: int, *, count: int = 150, sigma: tuple[float, float] = (1.4, 1.4), size: int = 256, gradient: float = 0.0
) -> tuple[Image, NDArray[np.float64]]:
    """Gaussian puncta, at least 8 px apart, over cytoplasm, with shot and read noise; and their places (y, x)."""
    rng = np.random.default_rng(seed)
    places: list[NDArray[np.float64]] = []
    while len(places) < count:
        place = rng.uniform(6, size - 6, 2)
        if all(np.hypot(*(place - other)) >= 8 for other in places):
            places.append(place)
    y, x = np.mgrid[:size, :size]
    light = 200 + gradient * x + 40 * np.sin(x / 23) * np.cos(y / 31)
    for place in places:
        width = rng.uniform(*sigma)
        light += rng.uniform(150, 500) * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 2 / width**2)
    return np.clip(rng.poisson(light) + rng.normal(100, 3, light.shape), 0, 65535).astype(np.uint16), np.array(places)


def f1(truth: NDArray[np.float64], spots: Spots, within: float = 2.0) -> float:
    if spots.y.size == 0:
        return 0.0
    distance, nearest = cKDTree(truth).query(np.stack([spots.y, spots.x], axis=1))
    matched = len(set(nearest[distance <= within]))
    return 2 * matched / (len(truth) + spots.y.size)


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param({}, id="plain"),
        pytest.param({"gradient": 1.5}, id="uneven"),
        pytest.param({"count": 20}, id="few"),
        pytest.param({"count": 300}, id="many"),
        pytest.param({"sigma": (1.1, 2.0)}, id="mixed-sizes"),
    ],
)
@pytest.mark.parametrize("threshold", [6.0, 8.0])
def test_rendered_puncta_are_found(scene: dict[str, Any], threshold: float) -> None:
    image, truth = render(3, **scene)
    assert f1(truth, find_spots(image, diameter=4.0, threshold=threshold)) >= 0.95


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.full((64, 64), 9, np.uint8), id="constant"),
        pytest.param(np.zeros((64, 64), np.uint16), id="black"),
        pytest.param(np.full((64, 64), 0.1), id="constant-float"),
        pytest.param(np.ones((1, 1), np.uint8), id="1-px"),
        pytest.param(np.ones((1, 50), np.uint8), id="one-row"),
        pytest.param(np.random.default_rng(0).poisson(100, (512, 512)).astype(np.uint16), id="shot-noise"),
        pytest.param(np.random.default_rng(0).integers(0, 2, (128, 128)).astype(np.uint8), id="one-bit-noise"),
        pytest.param(np.arange(256, dtype=np.uint8) * np.ones((256, 1), np.uint8), id="ramp"),
    ],
)
def test_no_spots_where_there_are_none(image: Image) -> None:
    spots = find_spots(image)
    assert spots.y.size == spots.x.size == spots.area.size == spots.intensity.size == 0
    assert spots.labels.shape == image.shape
    assert spots.labels.max() == 0


def test_colour_is_refused() -> None:
    with pytest.raises(AnalysisError, match="colour"):
        find_spots(np.zeros((32, 32, 3), np.uint8))


def test_area_and_height_of_a_spot() -> None:
    y, x = np.mgrid[:65, :65]
    image = (1000 + 2000 * np.exp(-((y - 30) ** 2 + (x - 40) ** 2) / 2 / 2.0**2)).astype(np.float64)
    spots = find_spots(image, diameter=5.0)
    assert (spots.y.tolist(), spots.x.tolist()) == ([30], [40])
    # half height of a Gaussian of 2 px is a disk of radius 2.35; the light smoothing widens it by a sixth
    assert spots.area[0] == pytest.approx(np.pi * 2.35**2, rel=0.45)
    assert spots.intensity[0] == pytest.approx(2000, rel=0.3)
    assert (spots.labels > 0).sum() == spots.area[0]


def test_a_flat_topped_spot_is_one_spot() -> None:
    image = np.zeros((40, 40), np.uint8)
    image[20:24, 20:24] = 255  # saturated
    assert find_spots(image).y.size == 1


@pytest.mark.parametrize(
    ("place", "within", "counts"),
    [
        pytest.param((20, 20), 10, [1, 0], id="inside"),
        pytest.param((20, 30), 10, [1, 0], id="beside-the-first"),
        pytest.param((20, 38), 10, [0, 1], id="nearer-to-the-second"),
        pytest.param((60, 20), 10, [0, 0], id="too-far"),
        pytest.param((50, 20), 40, [1, 0], id="far-but-allowed"),
    ],
)
def test_a_spot_belongs_to_the_nearest_object_within_reach(
    place: tuple[int, int], within: float, counts: list[int]
) -> None:
    labels = np.zeros((80, 80), np.int32)
    labels[15:26, 15:26] = 1
    labels[15:26, 45:56] = 2
    image = np.random.default_rng(0).poisson(100, labels.shape).astype(np.float64)
    y, x = np.mgrid[:80, :80]
    image += 400 * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 2 / 1.4**2)
    plan = SpotsPlan(name="foci", channel="GFP", within_px=within)
    columns, _ = spot_features(image, plan, Neighbourhood(labels), np.array([121.0, 121.0]))
    assert columns["foci.count"].tolist() == counts
    assert columns["foci.density"].tolist() == [count / 121 for count in counts]
    assert np.isnan(columns["foci.area"]).tolist() == [count == 0 for count in counts]
    assert columns["foci.total_area"].tolist() == np.nan_to_num(columns["foci.area"]).tolist()


def test_empty_glass_does_not_raise_the_count() -> None:
    """Half of the field without cells and without their noise: the cells keep the spots they had."""
    image, truth = render(5)
    labels = np.zeros(image.shape, np.int32)
    labels[100:150, 100:150] = 1
    sparse = np.full((image.shape[0] * 3, image.shape[1]), 100, np.uint16)
    sparse[: image.shape[0]] = image
    sparse_labels = np.zeros(sparse.shape, np.int32)
    sparse_labels[: image.shape[0]] = labels
    plan = SpotsPlan(name="foci", channel="GFP", within_px=60)
    dense, _ = spot_features(image, plan, Neighbourhood(labels), np.array([2500.0]))
    alone, _ = spot_features(sparse, plan, Neighbourhood(sparse_labels), np.array([2500.0]))
    assert len(truth) > dense["foci.count"][0] > 30
    assert alone["foci.count"][0] == dense["foci.count"][0]


RESPONDING = ("O01", "O05", "O06", "O07", "O08", "O09")
"""Wells of the pictures that respond; the analysis is handed pixels only and never sees a name."""
SEGMENT = SegmentPlan(kind="threshold", target="phenoloop.segmentation.threshold:Threshold", channel="DNA")
DEFAULT = SpotsPlan(name="foci", channel="GFP")
Fields = dict[tuple[str, str], dict[str, Image]]


@pytest.fixture(scope="module")
def fields(data_folder: Path) -> Fields:
    """Frames by channel, by well and field."""
    folder = data_folder / "bbbc016"
    found: Fields = {}
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            channel = "DNA" if row["channel"] == "DNA" else "GFP"
            found.setdefault((row["well"], row["field"]), {})[channel] = tifffile.imread(folder / row["file"])
    return found


@pytest.fixture(scope="module")
def nuclei(fields: Fields) -> dict[tuple[str, str], NDArray[np.int32]]:
    """Labels by well and field, by the default segmentation."""
    analysis = Analysis(AnalysisPlan(channels=("DNA", "GFP"), segment=SEGMENT))
    return {place: analysis.measure(frames).labels[SEGMENT.name] for place, frames in fields.items()}


def gap(per_field: dict[tuple[str, str], float]) -> float:
    """Lowest mean of a responding well over the highest of the others."""
    wells = {well for well, _ in per_field}
    mean = {well: np.mean([value for (its, _), value in per_field.items() if its == well]) for well in wells}
    assert len(mean) == 24
    return float(min(mean[well] for well in RESPONDING) / max(mean[well] for well in wells - set(RESPONDING)))


@pytest.mark.real_data
def test_responding_wells_rank_above_all_others(fields: Fields) -> None:
    plan = AnalysisPlan(
        channels=("DNA", "GFP"), segment=SEGMENT, spots=(DEFAULT,), readouts={"foci": "mean(foci.count)"}
    )
    analysis = Analysis(plan)
    readouts = {place: analysis.measure(frames).readouts["foci"] for place, frames in fields.items()}
    assert gap({place: value for place, value in readouts.items() if value is not None}) >= 3


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("diameter", "threshold", "within"),
    [
        pytest.param(2.5, 8.0, 25.0, id="small"),
        pytest.param(8.0, 8.0, 25.0, id="large"),
        pytest.param(4.0, 5.0, 25.0, id="sensitive"),
        pytest.param(4.0, 15.0, 25.0, id="strict"),
        pytest.param(4.0, 8.0, 10.0, id="near"),
        pytest.param(4.0, 8.0, 50.0, id="far"),
        pytest.param(8.0, 5.0, 50.0, id="large-sensitive-far"),
        pytest.param(2.5, 12.0, 10.0, id="small-strict-near"),
    ],
)
def test_they_do_so_at_any_sensible_setting(
    fields: Fields, nuclei: dict[tuple[str, str], NDArray[np.int32]], diameter: float, threshold: float, within: float
) -> None:
    plan = SpotsPlan(name="foci", channel="GFP", diameter_px=diameter, threshold=threshold, within_px=within)
    counts = {}
    for place, labels in nuclei.items():
        area = np.bincount(labels.ravel())[1:].astype(np.float64)
        columns, _ = spot_features(fields[place]["GFP"], plan, Neighbourhood(labels), area)
        counts[place] = float(columns["foci.count"].mean())
    assert gap(counts) >= 2
