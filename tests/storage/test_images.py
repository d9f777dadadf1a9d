from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from yaozarrs import validate_zarr_store

from phenoloop.errors import StorageError
from phenoloop.ports import ImageStore
from phenoloop.storage.images import RunImages
from tests.storage.builders import address, frame, picture, plan

PLAN = plan(profiles=("main", "closeup"))


def test_each_profile_gets_a_plate_of_the_shape_of_its_first_frame(tmp_path: Path) -> None:
    images = RunImages(tmp_path / "images", PLAN)
    store: ImageStore = images
    low, high = address(), address(profile="closeup", visit=2)
    store.write(frame(low), picture(low, (16, 24)))
    store.write(frame(high), picture(high, (32, 32), "uint8"))
    assert not store.settle(1)
    assert not store.settle(2)
    images.write_labels("nuclei", high, np.ones((32, 32), np.int32))
    store.close()
    for profile in ("main", "closeup"):
        validate_zarr_store(str(tmp_path / "images" / f"{profile}.ome.zarr"))
    again = RunImages(tmp_path / "images", PLAN)
    np.testing.assert_array_equal(again.read(low), picture(low, (16, 24)))
    np.testing.assert_array_equal(again.read(high), picture(high, (32, 32), "uint8"))
    np.testing.assert_array_equal(again.read_labels("nuclei", high), np.ones((32, 32)))
    assert again.count_stored() == 2


def test_a_field_without_frames_gets_its_image_with_the_first_frame_of_its_profile(tmp_path: Path) -> None:
    images = RunImages(tmp_path / "images", PLAN)
    images.ensure_field(address("B3", "1"))
    assert not (tmp_path / "images").exists()
    at = address("B3", "2", image=1, visit=2)
    images.write(frame(at), picture(at))
    assert (tmp_path / "images/main.ome.zarr/B/3/0/zarr.json").is_file()
    images.ensure_field(address("A1", "1"))
    assert (tmp_path / "images/main.ome.zarr/A/1/0/zarr.json").is_file()
    assert not images.settle(2)
    images.close()
    validate_zarr_store(str(tmp_path / "images/main.ome.zarr"))


def test_a_run_without_a_frame_leaves_no_images(tmp_path: Path) -> None:
    images = RunImages(tmp_path / "images", PLAN)
    images.ensure_field(address())
    assert images.read(address()) is None
    assert images.read_labels("nuclei", address()) is None
    assert not images.stored(address())
    assert not images.settle(1)
    assert images.count_stored() == 0
    images.close()
    assert not (tmp_path / "images").exists()


def test_what_has_no_place_is_refused(tmp_path: Path) -> None:
    images = RunImages(tmp_path / "images", PLAN)
    with pytest.raises(StorageError, match="no profile 'zoom'"):
        images.write(frame(address(profile="zoom")), picture(address()))
    with pytest.raises(StorageError, match=r"shape \(4, 4, 3\); only single-plane grey"):
        images.write(frame(address()), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(StorageError, match="profile main has no image yet"):
        images.write_labels("nuclei", address(), np.ones((4, 4), np.int32))


def test_all_plates_are_closed_though_the_first_reports_a_loss(tmp_path: Path) -> None:
    images = RunImages(tmp_path / "images", PLAN)
    for profile in ("main", "closeup"):
        at = address(profile=profile)
        images.write(frame(at), picture(at))
    images.write(frame(address(t=2)), np.zeros((2, 2), np.uint16))
    images.write(frame(address("B3", t=1, profile="closeup")), picture(address()))
    with pytest.raises(StorageError, match="1 frames were lost"):
        images.close()
    with pytest.raises(StorageError, match="is closed"):
        images.write(frame(address("C2", profile="closeup")), picture(address()))
