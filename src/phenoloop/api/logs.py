"""``log.jsonl``: what happened to the machinery, one JSON object per line, written by a thread of its own."""

from __future__ import annotations

import json
import logging
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path

_LOGGERS = ("phenoloop", "pymmcore-plus")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "source": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        elif record.exc_text:
            entry["traceback"] = record.exc_text
        return json.dumps(entry, ensure_ascii=False)


class _LogFile(logging.FileHandler):
    """A log that a full disk silences: what the disk refused is told by the run itself, once, with the way out."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave out a line that cannot be written, instead of a traceback for each over the view."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close; what is still buffered may be lost, and must not hide why the run ended."""
        with suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Append what the loggers of phenoloop and of pymmcore-plus say to a file, from INFO and WARNING up.

    The loop only puts a record into a queue; a slow disk slows nobody.
    """
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(_JsonLines())
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = QueueListener(records, handler)
    ours = QueueHandler(records)
    ours.setLevel(logging.INFO)
    theirs = QueueHandler(records)
    theirs.setLevel(logging.WARNING)
    attached = dict(zip(_LOGGERS, (ours, theirs), strict=True))
    previous = logging.getLogger("phenoloop").level
    for name, entrance in attached.items():
        logging.getLogger(name).addHandler(entrance)
    logging.getLogger("phenoloop").setLevel(logging.INFO)
    listener.start()
    try:
        yield
    finally:
        for name, entrance in attached.items():
            logging.getLogger(name).removeHandler(entrance)
        logging.getLogger("phenoloop").setLevel(previous)
        listener.stop()
        handler.close()
