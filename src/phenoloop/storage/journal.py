"""The journal: one line per message, a checksum as the last key of each, durable in batches. The source of truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from phenoloop.errors import StorageError
from phenoloop.model.codec import from_dict, to_dict
from phenoloop.model.messages import Message
from phenoloop.platform import sync_file, sync_folder
from phenoloop.storage.lines import bad, checked, line_of

FORMAT: Final = "phenoloop.journal/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message and where it stands: `line` from 1 (the header is line 1), `offset` of its first byte."""

    line: int
    offset: int
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContent:
    """All that a journal holds.

    Attributes
    ----------
    path : Path
        The file.
    wall : mapping
        What its header says of this run beside the format: name, time, host, versions.
    entries : tuple of Entry
        In the order in which they were written.
    torn : bool
        The last line was cut off in the middle of a write. It was never acknowledged, so nothing acted on it.
    end : int
        Bytes that can be trusted: where the next line goes.
    """

    path: Path
    wall: Mapping[str, Any]
    entries: tuple[Entry, ...]
    torn: bool
    end: int

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages without their places."""
        return tuple(entry.message for entry in self.entries)


class Journal:
    """An open journal. Used by one thread; made by `create` or `reopen`.

    `append` hands lines to the system (they survive the process), `sync` waits for the disk (they survive the power).
    After a refused write the file may end in half a line, so nothing more is written.
    """

    def __init__(self, path: Path, lines: int) -> None:
        self.path = path
        self._lines = lines
        self._waiting: list[bytes] = []
        self._broken = ""
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise self._refused(error) from error

    @classmethod
    def create(cls, path: Path, *, wall: Mapping[str, Any]) -> Journal:
        """Begin a new journal; its header is on the disk when this returns.

        Parameters
        ----------
        path : Path
            New file in an existing folder.
        wall : mapping
            JSON-ready facts of this one run (name, time, host, versions): two runs of one protocol differ only here.

        Raises
        ------
        StorageError
            If the file exists or cannot be written.
        """
        if path.exists():
            raise StorageError(f"{path} exists already; a journal is never overwritten. Choose another run folder.")
        journal = cls(path, 0)
        journal._put({"n": 0, "type": "Journal", "format": FORMAT, "wall": dict(wall)})
        journal.sync()
        sync_folder(path.parent)
        return journal

    @classmethod
    def reopen(cls, path: Path) -> tuple[Journal, JournalContent]:
        """Take up a journal where it ends, after cutting a torn last line (``content.torn`` says so).

        Raises
        ------
        JournalError
            If any other line cannot be trusted.
        StorageError
            If the file cannot be opened for writing.
        """
        content = read(path)
        journal = cls(path, len(content.entries) + 1)
        if content.torn:
            try:
                journal._file.truncate(content.end)
                sync_file(journal._file.fileno())
            except OSError as error:
                raise journal._refused(error) from error
        return journal, content

    def append(self, messages: Sequence[Message]) -> None:
        """Add messages, in one write.

        Raises
        ------
        TypeError
            If a message holds a value that JSON cannot; none of `messages` is then added.
        StorageError
            If the system refuses them. They may or may not be there.
        """
        plain = [to_dict(message) for message in messages]
        for document in plain:
            self._put({"n": self._lines, **document})
        # At once, and not with the next decision: a process that is killed must not take with it what visits ended in.
        self._hand_over()

    def _hand_over(self) -> None:
        if self._broken:
            raise StorageError(self._broken)
        if not self._waiting:
            return
        block = memoryview(b"".join(self._waiting))
        try:
            while block:
                block = block[self._file.write(block) :]
        except OSError as error:
            raise self._refused(error) from error
        self._waiting.clear()

    def sync(self) -> None:
        """Wait until all that was appended is on the disk.

        Raises
        ------
        StorageError
            If it is refused. What was appended since the last sync may or may not be there.
        """
        self._hand_over()
        try:
            sync_file(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Sync and close; again does nothing."""
        if self._file.closed:
            return
        try:
            if not self._broken:
                self.sync()
        finally:
            self._file.close()

    def _put(self, document: Mapping[str, Any]) -> None:
        self._waiting.append(line_of(document))
        self._lines += 1

    def _refused(self, error: OSError) -> StorageError:
        self._broken = (
            f"{self.path}: the journal could not be written ({error.strerror or error}). Free space on the disk or "
            "restore access to it, then take the run up again with `phenoloop resume`."
        )
        return StorageError(self._broken)


def read(path: Path) -> JournalContent:
    """Read and check a whole journal.

    A last line without its end of line is torn: left out, and told. Every other line must be whole, unchanged and in
    its place.

    Raises
    ------
    JournalError
        Naming the file, the line, its first byte and the way out.
    """
    lines = checked(path)
    first = next(lines, None)
    if first is None:
        raise bad(path, 1, 0, "it holds no complete header, so nothing was done yet; start the run again")
    header = first.document
    if header.get("type") != "Journal" or header.get("format") != FORMAT:
        found = header.get("format", header.get("type"))
        raise bad(path, 1, 0, f"the header says {found!r}, this version reads {FORMAT!r}; read it with the version "
                   "that wrote it")  # fmt: skip
    entries: list[Entry] = []
    torn, end = first.torn_after, first.end
    for line in lines:
        document = line.document
        del document["n"]
        try:
            message = from_dict(document)
        except ValueError as error:
            raise bad(path, line.number, line.offset, f"{error}; read it with the version that wrote it") from error
        entries.append(Entry(line=line.number, offset=line.offset, message=message))
        torn, end = line.torn_after, line.end
    return JournalContent(path=path, wall=header.get("wall", {}), entries=tuple(entries), torn=torn, end=end)
