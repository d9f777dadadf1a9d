"""ONNX files of a few nodes, written byte by byte: no package but ONNX Runtime is needed to test what runs them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

Dims = Sequence[int | str]


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int | Sequence[int]) -> bytes:
    """One operation; attributes are whole numbers or lists of them."""
    parts = [_bytes(1, name) for name in inputs] + [_bytes(2, output), _bytes(4, kind)]
    for name, value in attributes.items():
        said = _number(3, value) + _number(20, 2) if isinstance(value, int) else b"".join(_number(8, v) for v in value)
        parts.append(_bytes(5, _bytes(1, name) + said + (b"" if isinstance(value, int) else _number(20, 7))))
    return b"".join(parts)


def _value(name: str, dims: Dims, kind: int) -> bytes:
    shape = b"".join(_bytes(1, _number(1, d) if isinstance(d, int) else _bytes(2, d)) for d in dims)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, shape)))


def write(
    file: Path,
    nodes: Sequence[bytes],
    *,
    constants: Mapping[str, float] | None = None,
    image: Dims = ("n", 1, "y", "x"),
    maps: Dims = ("n", 1, "y", "x"),
    metadata: Mapping[str, str] | None = None,
    kind: int = 1,
) -> Path:
    """Write a model from ``image`` to ``maps``; `kind` is the element type (1 float32, 11 float64)."""
    graph = b"".join(_bytes(1, n) for n in nodes) + _bytes(2, "small")
    for name, value in (constants or {}).items():
        graph += _bytes(5, _number(2, 1) + _bytes(8, name) + _bytes(9, struct.pack("<f", value)))
    graph += _bytes(11, _value("image", image, kind)) + _bytes(12, _value("maps", maps, kind))
    model = _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 17))
    for key, text in (metadata or {}).items():
        model += _bytes(14, _bytes(1, key) + _bytes(2, text))
    file.write_bytes(model)
    return file


def brightness(file: Path, *, copies: int = 1, **more: object) -> Path:
    """A model whose foreground logit is 24 (image - 0.5), in as many channels as are asked for."""
    nodes = [node("Sub", ["image", "half"], "above"), node("Mul", ["above", "steep"], "logit")]
    nodes.append(node("Concat", ["logit"] * copies, "maps", axis=1))
    options = {"maps": ("n", copies, "y", "x"), **more}
    return write(file, nodes, constants={"half": 0.5, "steep": 24.0}, **options)  # type: ignore[arg-type]
