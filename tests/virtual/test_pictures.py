"""Picture files: their counts bit for bit, or a sentence that says what is wrong with them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from phenoloop.microscope.virtual.pictures import picture_shape, read_picture
from tests.virtual.builders import picture


def png(path: Path, pixels: NDArray[Any]) -> None:
    done, data = cv2.imencode(".png", pixels)
    assert done
    path.write_bytes(data.tobytes())


GREY8, GREY16 = picture(), picture(dtype=np.uint16)


@pytest.mark.parametrize(
    ("name", "pixels", "expected"),
    [
        pytest.param("a.tif", GREY8, GREY8, id="tiff 8"),
        pytest.param("a.TIFF", GREY16, GREY16, id="tiff 16"),
        pytest.param("a.tif", GREY16.astype(">u2"), GREY16, id="tiff of a big-endian machine"),
        pytest.param("a.tif", GREY8[None], GREY8, id="tiff with an axis of length one"),
        pytest.param("a.tif", np.dstack([GREY8] * 3), GREY8, id="grey tiff in colour"),
        pytest.param("a.png", GREY8, GREY8, id="png 8"),
        pytest.param("a.png", GREY16, GREY16, id="png 16"),
        pytest.param("a.png", np.dstack([GREY8] * 3), GREY8, id="grey png in colour"),
        pytest.param("a.png", np.dstack([GREY8] * 3 + [255 - GREY8]), GREY8, id="grey png with transparency"),
    ],
)
def test_pictures_are_read_bit_for_bit(tmp_path: Path, name: str, pixels: NDArray[Any], expected: NDArray[Any]) -> None:
    path = tmp_path / f"ä {name}"
    if name.endswith("png"):
        png(path, pixels)
    else:
        colour = {"photometric": "rgb"} if pixels.ndim == 3 and pixels.shape[-1] == 3 else {"photometric": "minisblack"}
        tifffile.imwrite(path, pixels, byteorder=pixels.dtype.byteorder.replace("|", "<").replace("=", "<"), **colour)
    read = read_picture(path)
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == expected.dtype
    assert read.dtype.isnative
    assert picture_shape(path) == (expected.shape, expected.dtype)


def test_a_palette_tiff_gives_its_indices(tmp_path: Path) -> None:
    palette = picture((3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GREY8, photometric="palette", colormap=palette)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), GREY8)


def test_a_big_picture_keeps_its_shape(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1, 700), np.uint8))
    assert picture_shape(tmp_path / "a.tif")[0] == read_picture(tmp_path / "a.tif").shape == (1, 700)


def binary_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, 2, 1, 0, 0, 0, 0)
    body = zlib.compress(b"\0\xaa\0\x55")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param(
            "a.tif", np.dstack([GREY8, GREY8, 255 - GREY8]), "a picture in colour; save each channel", id="tiff"
        ),
        pytest.param(
            "a.png", np.dstack([GREY8, GREY8, 255 - GREY8]), "a picture in colour; save each channel", id="png"
        ),
        pytest.param(
            "a.tif", picture((5, 20, 30)), r"holds a stack of shape \(5, 20, 30\); save each plane", id="stack"
        ),
        pytest.param("a.tif", GREY8.astype(np.float32), "pixels are float32, not counts of a camera", id="float"),
        pytest.param("a.tif", GREY8.astype(np.int16), "pixels are int16, not counts of a camera", id="signed"),
        pytest.param(
            "a.tif", b"not a tiff", r"a.tif: cannot be read as TIFF, it may be damaged .* copy it again", id="text"
        ),
        pytest.param("a.tif", b"", "cannot be read as TIFF", id="empty"),
        pytest.param(
            "a.jpg", b"\xff\xd8\xff\xe0", "neither TIFF nor PNG; save it as one of these, without loss", id="jpeg"
        ),
        pytest.param(
            "a.png", b"\x89PNG\r\n\x1a\n" + bytes(30), "cannot be read as PNG, it may be damaged", id="damaged"
        ),
        pytest.param("a.png", binary_png(), "has 1 bits per pixel; save it with 8 or 16 bits", id="one bit"),
    ],
)
def test_pictures_refused_with_the_way_out(tmp_path: Path, name: str, content: Any, message: str) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif name.endswith("png"):
        png(path, content)
    else:
        rgb = content.ndim == 3 and content.shape[-1] == 3
        tifffile.imwrite(path, content, photometric="rgb" if rgb else "minisblack")
    for read in (read_picture, picture_shape):
        with pytest.raises(ValueError, match=message):
            read(path)


def test_a_cut_png_is_refused(tmp_path: Path) -> None:
    png(tmp_path / "a.png", picture((200, 200)))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cannot be read as PNG, it may be damaged"):
        read_picture(tmp_path / "a.png")
