"""The image store is valid at every moment of a run, and other programs can read it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import yaozarrs

from phenoloop import api
from tests.whole.plates import write_protocol

pytestmark = pytest.mark.mm


def test_valid_during_and_after_the_run_and_opens_in_ome_zarr(tmp_path: Path) -> None:
    out = tmp_path / "run"
    plate = out / "images" / "main.ome.zarr"
    looks: list[str] = []

    def look() -> None:
        if (plate / "zarr.json").is_file():
            yaozarrs.validate_zarr_store(str(plate))
            looks.append("valid")

    result = api.run(write_protocol(tmp_path), out=out, on_wait=look)
    assert result.exit_code == 0
    assert len(looks) >= 3
    yaozarrs.validate_zarr_store(str(plate))

    with warnings.catch_warnings():
        # ome-zarr-py 0.18 calls a zarr function that zarr 3 deprecates.
        warnings.simplefilter("ignore")
        from ome_zarr.io import parse_url
        from ome_zarr.reader import Reader

        location = parse_url(str(plate))
        assert location is not None
        nodes = list(Reader(location)())
        mosaic = nodes[0].data[0]
        assert mosaic.shape[1] == 2
        assert int(mosaic[0, 0].max().compute()) > 0
