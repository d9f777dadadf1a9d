"""What was recorded, whoever wrote it down: pictures by well, field, channel, time and plane, picked by a protocol."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from phenoloop.protocol.wells import well_name, well_place

_NUMBER: Final = re.compile(r"(\d+)")

Key = tuple[str, str, str]
"""Well, field and channel."""


class Picture(Protocol):
    """One plane that was recorded; hashable, and told by ``str`` as a person would find it."""

    def shape(self) -> tuple[tuple[int, int], np.dtype[Any]]:
        """Return shape (height, width) and dtype, without the pixels where that is possible.

        Raises
        ------
        ValueError
            If it cannot be used; the message names it and the way out.
        """
        ...

    def read(self) -> NDArray[Any]:
        """Return its counts, uint8 or uint16, shape (y, x).

        Raises
        ------
        ValueError
            If it cannot be read; the message names it and the way out.
        """
        ...

    @property
    def path(self) -> Path:
        """The file, or the folder of the files, that holds it."""
        ...


Stack = tuple[tuple[Picture, ...], ...]
"""Pictures of one well, field and channel: by time point, then by plane."""


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key under which names sort as people count: ``2`` before ``10``, ``f2`` before ``f10``."""
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in _NUMBER.split(text) if part)


def amount(text: str) -> tuple[float, tuple[tuple[int, int, str], ...]]:
    """Return a key that sorts times and planes: numbers by size (``-1`` before ``0.5``), other text after them."""
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    return (value, ()) if math.isfinite(value) else (math.inf, natural(text))


def same_well(text: str) -> str:
    """Return one spelling for every way of writing a well: ``o1`` and ``O01`` are ``O1``; other names are kept."""
    try:
        return well_name(*well_place(text))
    except ValueError:
        return text.strip()


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'? recorded: ...`` for an error message."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return (f"did you mean {near[0]!r}? " if near else "") + f"recorded: {shown or 'nothing'}"


class Recording:
    """All pictures of a plate.

    Parameters
    ----------
    source : Path
        Where this is written down, for error messages.
    stacks : mapping of (str, str, str) to Stack
        By well (as `same_well` spells it), field and channel.
    remedy : str
        What to do about a field that lacks a channel.
    defined_by : sequence of Path
        Files that say what was recorded, for their hashes.
    pixel_um : float or None
        Size of a pixel in the sample; None where the recording does not say.
    also : sequence of str
        Wells that are there beside those of the stacks: without a picture, or not looked into.

    Attributes
    ----------
    wells, channels : tuple of str
        Names, naturally sorted.
    """

    def __init__(
        self,
        source: Path,
        stacks: Mapping[Key, Stack],
        *,
        remedy: str,
        defined_by: Sequence[Path],
        pixel_um: float | None = None,
        also: Sequence[str] = (),
    ) -> None:
        self.source = source
        self.defined_by = tuple(defined_by)
        self.pixel_um = pixel_um
        self.wells: tuple[str, ...] = tuple(sorted({*also, *(well for well, _, _ in stacks)}, key=natural))
        self.channels: tuple[str, ...] = tuple(sorted({channel for _, _, channel in stacks}, key=natural))
        self._stacks = dict(stacks)
        self._remedy = remedy
        fields: dict[str, set[str]] = {}
        for well, field, _ in stacks:
            fields.setdefault(well, set()).add(field)
        self._fields = {well: tuple(sorted(found, key=natural)) for well, found in fields.items()}

    def fields(self, well: str) -> tuple[str, ...]:
        """Return the fields of a well, naturally sorted."""
        return self._fields.get(well, ())

    def stack(self, well: str, field: str, channel: str) -> Stack:
        """Return the pictures of a well, field and channel.

        Raises
        ------
        ValueError
            If they were not recorded.
        """
        stack = self._stacks.get((well, field, channel))
        if stack is None:
            raise ValueError(f"{self.source}: well {well}, field {field} has no channel {channel!r}; {self._remedy}")
        return stack

    def pick(
        self,
        wells: Sequence[str],
        channels: Sequence[str],
        *,
        well_names: Mapping[str, str],
        channel_names: Mapping[str, str],
    ) -> dict[Key, Stack]:
        """Return the pictures a protocol uses, under the protocol's own names of well and channel.

        Parameters
        ----------
        wells, channels : sequence of str
            Names in the protocol.
        well_names, channel_names : mapping of str to str
            Name in the protocol to name in the recording; a name that is missing here is the same in both.

        Raises
        ------
        ValueError
            If a well, a channel, or a channel of some field was not recorded, or two wells would show the same one.
        """
        to_well = {same_well(ours): same_well(theirs) for ours, theirs in well_names.items()}
        for channel in channels:
            theirs = channel_names.get(channel, channel)
            if theirs not in self.channels:
                raise ValueError(
                    f"{self.source}: channel {theirs!r} was not recorded; {nearest(theirs, self.channels)}. "
                    f"Name it as it is called there, or map it: simulation.channels: {{{channel}: ...}}"
                )
        picked: dict[Key, Stack] = {}
        shown_as: dict[str, str] = {}
        for well in wells:
            theirs = to_well.get(same_well(well), same_well(well))
            if theirs not in self.wells:
                raise ValueError(
                    f"{self.source}: well {theirs} was not recorded; {nearest(theirs, self.wells)}. "
                    f"Leave it out of plate.wells, or map it: simulation.wells: {{{well}: ...}}"
                )
            if (twin := shown_as.setdefault(theirs, well)) != well:
                raise ValueError(
                    f"simulation.wells: {twin} and {well} would both show well {theirs}, as if it had been recorded "
                    "twice; map each to a well of its own"
                )
            if not self.fields(theirs):
                raise ValueError(f"{self.source}: well {theirs} holds no field; leave it out of plate.wells")
            for field in self.fields(theirs):
                for channel in channels:
                    picked[well, field, channel] = self.stack(theirs, field, channel_names.get(channel, channel))
        return picked
