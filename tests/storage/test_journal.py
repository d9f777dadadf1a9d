from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phenoloop.errors import JournalError, StorageError
from phenoloop.model import Measured, Message, RunEnded, RunStarted
from phenoloop.storage.journal import Journal, read
from phenoloop.storage.lines import line_of
from tests.storage.builders import acquire, ended
from tests.storage.journals import equal_but_wall

VISIT = acquire(1, "B3", ("0", 0, 0), ("1", 0, 1))
MESSAGES: tuple[Message, ...] = (
    RunStarted(at_s=0.0, plan_hash="abc"),
    VISIT,
    ended(VISIT),
    Measured(
        at_s=0.5, visit=1, field="0", readouts={"vesicles": 0.1 + 0.2, "größe µm": None}, wall={"segment_ms": 3.5}
    ),
    RunEnded(at_s=1.0, exit="completed", reason="line\nbreak, \u2028 and half a pair \udc80"),
)


def write(path: Path, messages: tuple[Message, ...] = MESSAGES, **wall: Any) -> Path:
    journal = Journal.create(path, wall=wall)
    journal.append(messages)
    journal.close()
    return path


@pytest.fixture(scope="module")
def whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "journal.jsonl", run="r1").read_bytes()


def test_what_was_appended_is_read_with_its_lines(tmp_path: Path) -> None:
    content = read(write(tmp_path / "journal.jsonl", run="r1", host="h"))
    assert content.messages == MESSAGES
    assert [entry.line for entry in content.entries] == [2, 3, 4, 5, 6]
    assert content.wall == {"run": "r1", "host": "h"}
    assert not content.torn
    raw = content.path.read_bytes()
    assert content.end == len(raw)
    for entry in content.entries:
        line = raw[entry.offset :].split(b"\n")[0]
        plain = json.loads(line)
        assert plain["n"] == entry.line - 1
        assert list(plain)[:2] == ["n", "type"]
        assert list(plain)[-1] == "crc"


def test_what_was_appended_outlives_the_process(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "journal.jsonl", wall={})
    journal.append(MESSAGES[:2])
    assert read(journal.path).messages == MESSAGES[:2], "nobody had time for a sync"
    journal.append(MESSAGES[2:3])
    journal.append(MESSAGES[3:])
    journal.sync()
    assert read(journal.path).messages == MESSAGES
    journal.close()
    journal.close()


def test_a_message_that_cannot_be_written_leaves_the_batch_out(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "journal.jsonl", wall={})
    with pytest.raises(TypeError, match=r"RunStarted\.wall"):
        journal.append([MESSAGES[0], RunStarted(at_s=0.0, wall={"x": object()})])
    journal.append(MESSAGES)
    journal.close()
    assert read(journal.path).messages == MESSAGES


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_names_its_line(whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) - 1), label="byte")
    value = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]), label="value")
    changed = whole[:at] + bytes([value]) + whole[at + 1 :]
    line = whole[:at].count(b"\n") + 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(changed)
        with pytest.raises(JournalError, match=rf"journal\.jsonl, line {line} \(from byte \d+\): .*\.$"):
            read(path)


def test_every_changed_end_of_line_and_checksum_names_its_line(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    tails = [at for match in re.finditer(rb',"crc":"[0-9a-f]{8}"\}\n', whole) for at in range(*match.span())]
    assert len(tails) == 6 * 19
    for at in tails:
        for value in b"x\n0}\r":
            if whole[at] == value:
                continue
            path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            with pytest.raises(JournalError, match=rf", line {whole[:at].count(10) + 1} \("):
                read(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_journal_cut_anywhere_is_taken_up_at_the_last_whole_line(whole: bytes, data: st.DataObject) -> None:
    header = whole.index(b"\n") + 1
    length = data.draw(st.integers(header, len(whole)), label="bytes left")
    tail = data.draw(st.sampled_from([b"", b"\0\0\0"]), label="what the file system made of the rest")
    # Something else in the place of a newline is a change, not a torn line.
    assume(not (tail and whole[length : length + 1] == b"\n"))
    left = whole[:length] + tail
    lines = whole[:length].count(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(left)
        content = read(path)
        assert content.torn == (not left.endswith(b"\n"))
        assert content.messages == MESSAGES[: lines - 1]
        journal, again = Journal.reopen(path)
        assert again == content
        journal.append(MESSAGES[lines - 1 :])
        journal.close()
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("damage", "line", "what"),
    [
        pytest.param(lambda lines: [], 1, "no complete header", id="empty file"),
        pytest.param(lambda lines: [lines[0][:20]], 1, "no complete header", id="half a header"),
        pytest.param(lambda lines: lines[1:], 1, "has the number 1, not 0: a line is missing", id="no header"),
        pytest.param(lambda lines: lines[:2] + lines[3:], 3, "number 3, not 2: a line is missing", id="missing line"),
        pytest.param(lambda lines: lines[:3] + lines[2:], 4, "number 2, not 3: a line stands twice", id="twice"),
        pytest.param(lambda lines: [lines[0], lines[2], lines[1]], 2, "a line is missing before it", id="swapped"),
        pytest.param(lambda lines: [*lines[:2], b"\n", *lines[2:]], 3, "does not end in its checksum", id="empty line"),
        pytest.param(
            lambda lines: [lines[0], lines[1].replace(b"\n", b"\r\n"), *lines[2:]], 2, "checksum", id="other line ends"
        ),
    ],
)
def test_lines_out_of_place_are_named(
    whole: bytes, tmp_path: Path, damage: Callable[[list[bytes]], list[bytes]], line: int, what: str
) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(damage(whole.splitlines(keepends=True))))
    for look in (read, Journal.reopen):
        with pytest.raises(JournalError, match=rf"line {line} .*{what}"):
            look(path)


def _resigned(line: bytes, old: bytes, new: bytes) -> bytes:
    document = json.loads(line.replace(old, new))
    del document["crc"]
    return line_of(document)


@pytest.mark.parametrize(
    ("index", "old", "new", "what"),
    [
        pytest.param(0, b"journal/1", b"journal/9", r"'phenoloop\.journal/9', this version reads", id="format"),
        pytest.param(2, b'"Acquire"', b'"Acquired"', "unknown type 'Acquired'", id="unknown type"),
        pytest.param(3, b'"z_um"', b'"z_mm"', r"VisitEnded\.frames\[0\]: unknown field 'z_mm'", id="unknown field"),
    ],
)
def test_a_journal_of_another_version_is_refused_by_line(
    whole: bytes, tmp_path: Path, index: int, old: bytes, new: bytes, what: str
) -> None:
    lines = whole.split(b"\n")
    lines[index] = _resigned(lines[index], old, new)[:-1]
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError, match=rf"line {index + 1} .*{what}"):
        read(path)


def test_an_existing_journal_is_not_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "journal.jsonl")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="never overwritten"):
        Journal.create(path, wall={})
    assert path.read_bytes() == before


def test_no_journal_at_all_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="Give the folder of a run"):
        read(tmp_path / "journal.jsonl")


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not be written"):
        Journal.create(tmp_path / "absent" / "journal.jsonl", wall={})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_and_nothing_is_written_after_it(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "journal.jsonl", wall={})
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._file.fileno())
    os.close(full)
    with pytest.raises(StorageError, match="No space left on device"):
        journal.append(MESSAGES)
    with pytest.raises(StorageError, match="No space left on device"):
        journal.sync()
    journal.close()
    assert read(journal.path).messages == ()


# -- comparison ---------------------------------------------------------------------------------------------------


def test_two_runs_that_differ_in_wall_times_only_are_equal(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", run="a", started="10:00")
    slower = (*MESSAGES[:3], Measured(**{**_fields(MESSAGES[3]), "wall": {}}), MESSAGES[4])
    two = write(tmp_path / "two.jsonl", slower, run="b", started="11:00")
    assert one.read_bytes() != two.read_bytes()
    assert equal_but_wall(one, two) is None


def _fields(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__dataclass_fields__}


MEASURED = _fields(MESSAGES[3])


@pytest.mark.parametrize(
    ("other", "told"),
    [
        pytest.param(
            (*MESSAGES[:3], Measured(**{**MEASURED, "readouts": {"vesicles": 0.3, "größe µm": None}}), MESSAGES[4]),
            "line 5: Measured.readouts.vesicles: 0.30000000000000004 in the first, 0.3 in the second",
            id="last bit of a number",
        ),
        pytest.param(
            (*MESSAGES[:3], Measured(**{**MEASURED, "readouts": {"vesicles": 0.1 + 0.2}}), MESSAGES[4]),
            "line 5: Measured.readouts.größe µm: None in the first, absent in the second",
            id="a key too few",
        ),
        pytest.param(
            (*MESSAGES[:2], MESSAGES[3], *MESSAGES[3:]),
            "line 4: VisitEnded.type: 'VisitEnded' in the first, 'Measured' in the second",
            id="other message",
        ),
        pytest.param(
            (*MESSAGES[:2], ended(acquire(1, "B3", ("0", 0, 0))), *MESSAGES[3:]),
            "line 4: VisitEnded.frames: length: 4 in the first, 2 in the second",
            id="fewer frames",
        ),
        pytest.param(
            MESSAGES[:4], "line 6: message: 'RunEnded' in the first, absent in the second", id="second is shorter"
        ),
        pytest.param(
            (*MESSAGES, MESSAGES[4]),
            "line 7: message: absent in the first, 'RunEnded' in the second",
            id="second is longer",
        ),
    ],
)
def test_the_first_difference_is_told(tmp_path: Path, other: tuple[Message, ...], told: str) -> None:
    difference = equal_but_wall(write(tmp_path / "one.jsonl"), write(tmp_path / "two.jsonl", other))
    assert str(difference) == told
