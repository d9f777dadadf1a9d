"""The nearest valid name: what a message offers to whoever misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """Return the known word nearest to `word`, whatever its case, or None where none is near."""
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(candidate.casefold(), candidate)
    given = word.casefold()
    near = difflib.get_close_matches(given, list(folded), n=1, cutoff=0.6)
    if not near and len(given) >= 4:  # the beginning of a longer word
        near = [one for one in folded if one.startswith(given)]
    return folded[near[0]] if near else None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word nearest to `word`, or nothing."""
    near = nearest_word(word, known)
    return f"; did you mean {near!r}?" if near is not None else ""
