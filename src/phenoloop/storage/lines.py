"""One line of a journal: its number first, its checksum last, and what can be wrong with it."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from phenoloop.errors import JournalError

# Compact, UTF-8 as it is, and never NaN. One encoder for all lines: `json.dumps` builds a new one for each.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_TAIL: Final = re.compile(rb',"crc":"([0-9a-f]{8})"\}')
_TAIL_LENGTH: Final = len(b',"crc":"00000000"}')
_RESTORE: Final = "restore the file from a copy (the images are not touched by this)"


class Line(NamedTuple):
    """A checked line: its number from 1, first byte, end, content, and whether half a line follows it."""

    number: int
    offset: int
    end: int
    document: dict[str, Any]
    torn_after: bool


def line_of(document: Mapping[str, Any]) -> bytes:
    """Return a document as a line: the CRC-32 of all bytes before it is the value of its last key, ``crc``."""
    # Half a surrogate pair (a file name in an operating system's message) is kept as the JSON escape it is.
    body = _ENCODER.encode(document)[:-1].encode("utf-8", "backslashreplace")
    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def checked(path: Path) -> Iterator[Line]:
    """Yield the whole lines of a journal, each checked for its bytes and its place.

    Raises
    ------
    JournalError
        At the first line that cannot be trusted. Half a line at the end is no error.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(
            f"{path} cannot be read ({error.strerror or error}). Give the folder of a run, which holds journal.jsonl."
        ) from error
    *whole, rest = content.split(b"\n")
    if any(m.end() < len(rest) and int(m[1], 16) == zlib.crc32(rest[: m.start()]) for m in _TAIL.finditer(rest)):
        # A write that was cut off ends before its newline; here something else stands in the newline's place.
        offset = len(content) - len(rest)
        raise bad(path, len(whole) + 1, offset, f"its end of line was changed; {_RESTORE}")
    offset = 0
    for index, raw in enumerate(whole):
        end = offset + len(raw) + 1
        document = _parse(path, index, offset, raw)
        yield Line(index + 1, offset, end, document, bool(rest) and index == len(whole) - 1)
        offset = end


def _parse(path: Path, index: int, offset: int, raw: bytes) -> dict[str, Any]:
    line = index + 1
    tail = _TAIL.fullmatch(raw, max(0, len(raw) - _TAIL_LENGTH))
    if tail is None:
        raise bad(path, line, offset, f"it does not end in its checksum; {_RESTORE}")
    body = raw[: tail.start()]
    if zlib.crc32(body) != int(tail[1], 16):
        raise bad(path, line, offset, f"its checksum does not fit, so it was changed after it was written; {_RESTORE}")
    try:
        document = json.loads(body + b"}")
    except ValueError as error:
        raise bad(path, line, offset, f"it is no JSON ({error}); {_RESTORE}") from error
    if not isinstance(document, dict) or document.get("n") != index:
        number = document.get("n") if isinstance(document, dict) else None
        why = "a line is missing before it" if isinstance(number, int) and number > index else "a line stands twice"
        raise bad(path, line, offset, f"it has the number {number}, not {index}: {why}; {_RESTORE}")
    return document


def bad(path: Path, line: int, offset: int, what: str) -> JournalError:
    """Return the error that names a line, from 1, and its first byte."""
    return JournalError(f"{path}, line {line} (from byte {offset}): {what}.")
