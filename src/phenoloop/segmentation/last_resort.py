"""When memory has run out for good: the segmenter that takes over, and every step down told with the next result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from phenoloop.errors import AnalysisError, UsageError
from phenoloop.numerics.images import Plane
from phenoloop.plugins import Registry
from phenoloop.ports import Segmentation, Segmenter


class LastResort:
    """Lets a network work as long as it has the memory, then another segmenter, for good.

    Parameters
    ----------
    named : str, mapping or None
        The other segmenter: a kind, or a block with `kind`; None is none.
    but : str
        Kind that it must not be.

    Raises
    ------
    UsageError
        If it cannot be built.
    PluginError
        If there is no such kind.
    """

    def __init__(self, named: str | Mapping[str, Any] | None, *, but: str) -> None:
        self._named = named
        self._segmenter = _build(named, but)
        self._gave_up = False
        self._untold: tuple[str, ...] = ()

    def find(
        self, planes: Sequence[Plane], attempt: Callable[[], tuple[list[Segmentation], list[str]]]
    ) -> list[Segmentation]:
        """Return the objects of some images, with what there is to tell in the notes of the first.

        Parameters
        ----------
        planes : sequence of ndarray of float32, shape (y, x)
            Not empty.
        attempt : callable
            Returns the results of the network, and a sentence for each step down that it took.

        Raises
        ------
        AnalysisError
            If memory ran out and there is no other segmenter.
        """
        untold, self._untold = self._untold, ()
        notes: list[str] = []
        if not self._gave_up:
            try:
                found, notes = attempt()
            except AnalysisError as error:
                if self._segmenter is None:
                    raise
                self._gave_up = True
                notes = [f"{error} From now on: {self._named}"]
            else:
                return _noted(found, [*untold, *notes])
        assert self._segmenter is not None
        return _noted([self._segmenter.segment(plane) for plane in planes], [*untold, *notes])

    def tell_later(self, notes: tuple[str, ...]) -> None:
        """Keep notes of a result that nobody reads: the next one takes them along."""
        self._untold = notes


def _build(named: str | Mapping[str, Any] | None, but: str) -> Segmenter | None:
    if named is None:
        return None
    given = {"kind": named} if isinstance(named, str) else dict(named)
    kind = str(given.pop("kind", ""))
    if kind in ("", but):
        raise UsageError("fallback: name another segmenter, for example fallback: threshold")
    found: Any = Registry().load("segmenters", kind)
    try:
        segmenter: Segmenter = found(found.Params(**given))
    except ValueError as error:
        raise UsageError(f"fallback: {error}") from error
    return segmenter


def _noted(results: list[Segmentation], notes: Sequence[str]) -> list[Segmentation]:
    if not notes:
        return results
    first = results[0]
    return [Segmentation(labels=first.labels, scores=first.scores, notes=(*notes, *first.notes)), *results[1:]]
