"""Readers that others wrote find what we wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from yaozarrs import validate_zarr_store

from phenoloop.storage.plate import PlateStore
from tests.storage.builders import address, frame, picture, plan

SHAPE = (16, 24)


@pytest.fixture
def plate(tmp_path: Path) -> PlateStore:
    """Wells out of order, of unequal length, one with a gap in its images and one without a frame."""
    store = PlateStore(tmp_path / "main.ome.zarr", plan(), "main", SHAPE, np.uint16)
    for at in (
        address("B3", visit=1),
        address("B3", visit=1, c=1),
        address("D6", "2", visit=2, image=1),
        address("B3", t=2, visit=3),
        address("A1", "1", visit=4, c=1),
    ):
        store.write(frame(at), picture(at))
        assert not store.settle(at.visit)
        if at == address("B3"):
            store.write_labels("nuclei", at, np.full(SHAPE, 5, np.int32))
    store.ensure_field(address("C2", visit=5))
    return store


def test_ome_zarr_py_opens_the_plate_as_one_mosaic_once_it_is_closed(plate: PlateStore) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Plate, Reader

    plate.close()
    validate_zarr_store(str(plate.folder))
    location = parse_url(plate.folder)
    assert location is not None
    nodes = list(Reader(location)())
    assert any(isinstance(spec, Plate) for spec in nodes[0].specs)
    mosaic = nodes[0].data[0]
    assert mosaic.shape == (3, 2, 4 * 16, 6 * 24)
    pixels = mosaic.compute()

    def tile(well: str, t: int, c: int) -> np.ndarray:
        row, column = "ABCD".index(well[0]), int(well[1:]) - 1
        return pixels[t, c, row * 16 : row * 16 + 16, column * 24 : column * 24 + 24]

    np.testing.assert_array_equal(tile("B3", 0, 1), picture(address("B3", c=1)))
    np.testing.assert_array_equal(tile("B3", 2, 0), picture(address("B3", t=2)))
    np.testing.assert_array_equal(tile("A1", 0, 1), picture(address("A1", c=1)))
    for well, t, c in [("B3", 1, 0), ("A1", 0, 0), ("A1", 2, 1), ("C2", 0, 0), ("D6", 0, 0), ("A2", 0, 0)]:
        assert not tile(well, t, c).any(), (well, t, c)
    assert nodes[0].metadata["channel_names"] == ["DNA", "GFP"]


def test_ome_zarr_py_opens_one_image_with_its_labels(plate: PlateStore) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    plate.close()
    location = parse_url(plate.folder / "B/3/0")
    assert location is not None
    image, *others = Reader(location)()
    assert image.data[0].shape == (3, 2, *SHAPE)
    assert image.metadata["channel_names"] == ["DNA", "GFP"]
    labels = [node for node in others if node.data and node.metadata["name"] == "nuclei"]
    assert len(labels) == 1
    assert labels[0].data[0].shape == (3, *SHAPE)
    assert labels[0].data[0].dtype == np.uint32
    np.testing.assert_array_equal(labels[0].data[0][0].compute(), np.full(SHAPE, 5))


@pytest.mark.parametrize("closed", [pytest.param(False, id="during the run"), pytest.param(True, id="after it")])
def test_zarr_python_reads_the_same_pixels(plate: PlateStore, closed: bool) -> None:
    import zarr

    if closed:
        plate.close()
    group = zarr.open_group(plate.folder, mode="r")
    assert group.attrs["phenoloop"] == {"profile": "main"}
    array = group["B/3/0/0"]
    assert isinstance(array, zarr.Array)
    assert array.shape == (3, 2, *SHAPE)
    np.testing.assert_array_equal(array[2, 0], picture(address("B3", t=2)))
    assert not np.any(array[1, 0])
