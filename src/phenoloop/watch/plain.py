"""The view for what is no terminal: plain lines, and only signs that the stream can write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TextIO

from phenoloop.model import Message
from phenoloop.ports import Question
from phenoloop.watch.feed import Feed, Watched

PLAIN: Final = str.maketrans(
    {"·": ".", "–": "-", "µ": "u", "≥": ">=", "≤": "<=", "×": "x", "²": "2", "…": "...", "□": "#"}
)
"""For consoles that cannot show these signs (Windows code pages)."""


class View(Protocol):
    """Shows a run. All methods are called from one thread."""

    @property
    def attended(self) -> bool:
        """Whether a person can answer here."""
        ...

    def attach(self, run: Watched, *, question: Question | None = None, history: Sequence[Message] = ()) -> None:
        """Begin to watch a run.

        Parameters
        ----------
        run : Watched
            The run.
        question : Question, optional
            For the calls as they stand.
        history : sequence of Message
            What its journal held before, when it is taken up again.
        """
        ...

    def refresh(self) -> None:
        """Show what is new and act on keys; called a few times per second."""
        ...

    def close(self) -> None:
        """Show the last of it and give the terminal back; again does nothing."""
        ...

    def abandon(self) -> None:
        """Give the terminal back and draw nothing, because the process leaves at once."""
        ...


class PlainView:
    """One line per visit, decision, rejected field and fault; no control codes.

    Parameters
    ----------
    stream : text file
        Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._feed: Feed | None = None

    @property
    def attended(self) -> bool:
        """Nobody can answer plain lines."""
        return False

    def attach(self, run: Watched, *, question: Question | None = None, history: Sequence[Message] = ()) -> None:
        """Begin to watch a run; lines tell no calls, so the question is not asked."""
        self._feed = Feed(run, history, lines=True)

    def refresh(self) -> None:
        """Write the lines since the last call."""
        if self._feed is None:
            return
        lines = self._feed.take_lines()
        for line in lines:
            self._stream.write(encodable(line, self._stream.encoding) + "\n")
        if lines:
            self._stream.flush()

    def close(self) -> None:
        """Write what is left."""
        self.refresh()

    def abandon(self) -> None:
        """Lines leave nothing to give back."""


def encodable(text: str, encoding: str | None) -> str:
    """Return a text that a stream of this encoding can write: other signs become plain ones, or ``?``."""
    encoding = encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    return text
