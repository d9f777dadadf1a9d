"""What the synthetic specimen shows is what its truth says: nuclei, vesicles, focus, light, walls, motion."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import feature, filters, measure, segmentation

from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.model import Plan
from tests.virtual.builders import VESICLES, look, plate

PLAN = plate()
SPECIMEN = Synthetic({"phenotype": VESICLES}, PLAN)


def many(count: int, dose: float = 0.0, **changes: Any) -> Plan:
    return plate([dose] * count, **changes)


def nuclei(picture: NDArray[Any]) -> NDArray[np.int32]:
    """A plain pipeline: Otsu, distance transform, watershed."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.5)
    inside = ndimage.binary_fill_holes(smooth > filters.threshold_otsu(smooth))
    depth = cv2.GaussianBlur(cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5), (0, 0), 1.5)
    peaks = feature.peak_local_max(depth, min_distance=7, labels=measure.label(inside), exclude_border=False)
    markers = np.zeros(picture.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(segmentation.watershed(-depth, markers, mask=inside), np.int32)


def puncta(picture: NDArray[Any]) -> NDArray[np.int64]:
    """A plain detector: difference of Gaussians, robust threshold, local maxima."""
    flat = picture.astype(np.float32)
    contrast = cv2.GaussianBlur(flat, (0, 0), 1.0) - cv2.GaussianBlur(flat, (0, 0), 2.5)
    noise = 1.4826 * np.median(np.abs(contrast - np.median(contrast)))
    found = feature.peak_local_max(contrast, min_distance=1, threshold_abs=max(8 * noise, 60), exclude_border=False)
    return np.asarray(found, np.int64)


def well_inside(points: NDArray[np.float64], margin: float = 12) -> NDArray[np.bool_]:
    return ((points > margin) & (points < 511 - margin)).all(axis=1)


def test_a_plain_pipeline_finds_the_nuclei_that_are_there() -> None:
    true, found, hit = 0, 0, 0
    for well in ("A1", "A5", "A8"):
        for field in "012":
            labels = nuclei(SPECIMEN.render(look(PLAN, well, field)))
            centres = SPECIMEN.truth(look(PLAN, well, field))["centres"]
            whole = centres[well_inside(centres)]
            under = labels[tuple(np.rint(whole).astype(int).T)]
            middles = np.array([region.centroid for region in measure.regionprops(labels)])
            true += len(whole)
            hit += len(set(under.tolist()) - {0})
            found += int(well_inside(middles).sum())
    assert true > 300
    assert hit >= 0.97 * true
    assert abs(found - true) <= 0.03 * true


def test_a_plain_detector_finds_the_vesicles_that_are_there() -> None:
    for well in ("A1", "A4", "A8"):
        true, hit, found = 0, 0, 0
        for field in "012":
            spots = puncta(SPECIMEN.render(look(PLAN, well, field, "GFP")))
            there = np.concatenate(SPECIMEN.truth(look(PLAN, well, field, "GFP"))["spots"])
            there = there[well_inside(there)]
            far = np.hypot(*(there[:, None, :] - spots[None, :, :]).transpose(2, 0, 1))
            true += len(there)
            hit += int((far.min(axis=1) < 2).sum())
            found += int(well_inside(spots.astype(np.float64)).sum())
        assert true > 50
        assert hit >= 0.95 * true
        # Vesicles of cells whose centre is beside the frame are seen too, so a few more are found.
        assert found <= 1.15 * true


def test_truth_agrees_with_the_pixels() -> None:
    view = look(PLAN, "A5")
    light, truth = SPECIMEN.light(view), SPECIMEN.truth(view)
    rows, columns = np.mgrid[0:512, 0:512]
    covered = np.zeros((512, 512), bool)
    for (y, x), (a, b), angle in zip(truth["centres"], truth["half_axes"], truth["angles"], strict=True):
        u = (columns - x) * math.cos(angle) + (rows - y) * math.sin(angle)
        v = -(columns - x) * math.sin(angle) + (rows - y) * math.cos(angle)
        ellipse = (u / a) ** 2 + (v / b) ** 2
        covered |= ellipse < 1.6
        assert light[ellipse < 0.7].mean() > 8
    inner = np.s_[40:-40, 40:-40]
    assert light[inner][~covered[inner]].mean() < 1.0


def test_nuclei_keep_a_distance_and_some_touch() -> None:
    centres = [SPECIMEN.truth(look(PLAN, f"A{k}", "1"))["centres"] for k in range(1, 9)]
    nearest = []
    for points in centres:
        far = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
        np.fill_diagonal(far, np.inf)
        nearest.extend(far.min(axis=1))
    assert min(nearest) >= 1.75 * 14 - 1e-6
    assert 0.02 < np.mean(np.array(nearest) < 2.1 * 14) < 0.4


def test_density_is_as_asked() -> None:
    plan = many(60)
    counts = {}
    for wanted in (20, 60, 100):
        specimen = Synthetic({"cells_per_field": wanted}, plan)
        counts[wanted] = np.mean([len(specimen.truth(look(plan, f"A{k}"))["centres"]) for k in range(1, 61)])
    for wanted, mean in counts.items():
        assert mean == pytest.approx(wanted, rel=0.05)


def test_wells_are_bounded() -> None:
    specimen = Synthetic({"well_diameter": "1 mm", "illumination": 0.0, "background": 1.0}, PLAN)
    middle = PLAN.well("A2")
    for far_um in (0.0, 250.0, 400.0, 500.0, 700.0):
        view = look(PLAN, "A2", x_um=middle.x_um + far_um, y_um=middle.y_um)
        truth = specimen.truth(view)
        x = view.x_um + (truth["centres"][:, 1] - 255.5) * 0.5 - middle.x_um
        y = view.y_um - (truth["centres"][:, 0] - 255.5) * 0.5 - middle.y_um
        assert (np.hypot(x, y) + 2.3 * 7 <= 500 + 1e-6).all()
    assert len(truth["centres"]) == 0
    np.testing.assert_allclose(specimen.light(view), 0.3)


def test_up_in_the_picture_is_up_on_the_stage() -> None:
    low, high = look(PLAN, "A1"), look(PLAN, "A1", y_um=PLAN.well("A1").y_um + 20)
    moved = {tuple(np.round(centre + np.array((40, 0)), 6)) for centre in SPECIMEN.truth(low)["centres"]}
    seen = {tuple(np.round(centre, 6)) for centre in SPECIMEN.truth(high)["centres"]}
    assert len(moved & seen) > 30


def test_blur_grows_with_the_distance_from_focus() -> None:
    specimen = Synthetic({"phenotype": VESICLES, "focus": "4 um"}, PLAN)
    for channel in ("DNA", "GFP"):
        for side in (1, -1):
            sharpness = []
            for away in (0, 0.5, 1, 2, 4, 8, 16, 24, 32, 64):
                light = specimen.light(look(PLAN, "A6", channel=channel, z_um=4 + side * away))
                sharpness.append(float(np.hypot(*np.gradient(light)).mean()))
            assert sharpness == sorted(sharpness, reverse=True)
            assert len(set(sharpness)) == len(sharpness)


def test_a_tilted_plate_has_its_focus_higher_to_the_right() -> None:
    specimen = Synthetic({"tilt": "10 um"}, PLAN)
    heights = np.arange(-4.0, 16.0)
    best = {
        well: heights[np.argmax([specimen.light(look(PLAN, well, z_um=float(z))).std() for z in heights])]
        for well in ("A1", "A2")
    }
    assert best == {"A1": 0.0, "A2": 9.0}


def test_light_falls_off_towards_the_corner_of_the_camera() -> None:
    flat = Synthetic({"illumination": 0.0}, PLAN)
    for share in (0.15, 0.5):
        ratio = Synthetic({"illumination": share}, PLAN).light(look(PLAN)) / flat.light(look(PLAN))
        assert ratio.min() == pytest.approx(1 - share, abs=1e-3)
        assert ratio.max() == pytest.approx(1, abs=1e-3)


def test_cells_wander_only_when_asked_and_slowly() -> None:
    walking = Synthetic({"motion": "3 um", "motion_period": "1 h"}, PLAN)
    start, soon, later = (walking.truth(look(PLAN, at_s=at))["centres"] for at in (0.0, 10.0, 1200.0))
    far = np.abs(start[:, None] - soon[None]).max(axis=2).min(axis=1)
    assert 0 < np.median(far) < 0.2
    assert np.median(np.abs(start[:, None] - later[None]).max(axis=2).min(axis=1)) > 1
    np.testing.assert_array_equal(
        SPECIMEN.truth(look(PLAN))["centres"], SPECIMEN.truth(look(PLAN, at_s=1e6))["centres"]
    )
