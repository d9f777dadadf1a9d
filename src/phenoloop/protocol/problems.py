"""From what pydantic says to what a user reads: each error at its key in the file, with the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from phenoloop.errors import Problem, ProtocolError
from phenoloop.protocol.complaints import complaint
from phenoloop.protocol.model_keys import keys_at
from phenoloop.protocol.names import nearest_word
from phenoloop.protocol.quantities import STRICT
from phenoloop.protocol.yaml_source import Path, Source

Model = TypeVar("Model", bound=BaseModel)
Part = TypeVar("Part")


class Problems:
    """Collects what is wrong, so that a user sees all of it at once."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, *problems: Problem) -> None:
        """Take in problems; one that was told already is not told twice."""
        self._found.extend(problem for problem in problems if problem not in self._found)

    def need(self, part: Part | None) -> Part:
        """Return a part without which nothing more can be checked; where it is missing, its problem is raised."""
        if part is None:
            self.stop()
            raise RuntimeError("a part of the protocol is missing and no problem was told")
        return part

    def stop(self) -> None:
        """Raise all of them, in the order of the files' lines, if there are any."""
        if self._found:
            files = list(dict.fromkeys(problem.file for problem in self._found))
            raise ProtocolError(*sorted(self._found, key=lambda one: (files.index(one.file), one.line or 0)))


def validate(
    model: type[Model],
    data: Mapping[str, Any],
    source: Source,
    problems: Problems,
    path: Path = (),
    also: Iterable[str] = (),
) -> Model | None:
    """Validate one part of a file against a model.

    Parameters
    ----------
    model : type
        A pydantic model.
    data : mapping
        The part, plain.
    source : Source
        The file, for places.
    problems : Problems
        Gets what is wrong.
    path : tuple
        Where the part stands in the file.
    also : iterable of str
        Keys that stand there and belong to another model.

    Returns
    -------
    BaseModel or None
        None if anything was wrong.
    """
    try:
        made = model.model_validate(dict(data), context={STRICT: True})
    except ValidationError as error:
        details = error.errors(include_url=False)
        known = list(also)
        explained = {meant for detail in details if (meant := _meant(model, detail, known))}
        forms = _forms(details, source, path)
        for detail in details:
            others = forms.get(source.find((*path, *detail["loc"])), [])
            # A misspelt key is one mistake, not an unknown key and a missing one; nor is a list too short because what
            # stands in it is wrong, nor is a word that is none of several forms wrong in several ways.
            wrong_inside = _stands_for(detail) and _has_inside(detail, details, source, path)
            told = detail["type"] == "missing" and detail["loc"] in explained
            if not (wrong_inside or told or detail in others):
                problems.add(complaint(model, detail, source, path, known, others))
        return None
    taken = list(_taken_for_numbers(made, data, path))
    for place, truth in taken:
        problems.add(source.problem(place, f"{str(truth).lower()} stands where a number is needed"))
    return None if taken else made


def _taken_for_numbers(made: Any, given: Any, path: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each truth value that pydantic took for a number: ``frames: true`` would be one frame."""
    if isinstance(given, bool) and isinstance(made, int | float) and not isinstance(made, bool):
        yield path, given
    elif isinstance(given, Mapping):
        for key, value in given.items():
            inner = made.get(key) if isinstance(made, Mapping) else getattr(made, str(key), None)
            yield from _taken_for_numbers(inner, value, (*path, key))
    elif isinstance(given, list) and isinstance(made, list | tuple):
        for index, (inner, value) in enumerate(zip(made, given, strict=False)):
            yield from _taken_for_numbers(inner, value, (*path, index))


def _stands_for(detail: ErrorDetails) -> bool:
    """Return whether an error of a whole may only say that one of its parts is wrong."""
    block = isinstance(detail["input"], Mapping | list | tuple)
    return detail["type"] == "too_short" or (detail["type"] == "literal_error" and block)


def _has_inside(whole: ErrorDetails, details: Sequence[ErrorDetails], source: Source, path: Path) -> bool:
    def place(loc: Path) -> Path:
        return source.find((*path, *loc))

    outer = place(whole["loc"])
    # A key that is missing has no place of its own, but the last part of its path is no tag.
    return any(
        one is not whole
        and (one["type"] == "missing" or len(place(one["loc"])) > len(outer))
        and place(one["loc"])[: len(outer)] == outer
        for one in details
    )


def _meant(model: type[BaseModel], detail: ErrorDetails, also: Sequence[str]) -> Path | None:
    if detail["type"] != "extra_forbidden":
        return None
    near = nearest_word(str(detail["loc"][-1]), [*keys_at(model, detail["loc"][:-1]), *also])
    return None if near is None else (*detail["loc"][:-1], near)


def _forms(details: Sequence[ErrorDetails], source: Source, path: Path) -> dict[Path, list[ErrorDetails]]:
    """Return, for each word that is none of the words that are known, why it is nothing else that it could be."""
    at = [(source.find((*path, *detail["loc"])), detail) for detail in details]
    words = {found for found, detail in at if detail["type"] == "literal_error"}
    return {
        word: [detail for found, detail in at if found == word and detail["type"].endswith(("_type", "_parsing"))]
        for word in words
    }
