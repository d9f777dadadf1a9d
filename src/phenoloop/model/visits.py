"""What a policy proposes and what becomes of it: proposal, visit, the address of every frame before any light."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The reason of a proposal, complete enough to be told to a stranger.

    Attributes
    ----------
    rule : str
        Short name of the rule that fired (``"controls first"``).
    text : str
        One sentence.
    numbers : mapping of str to float
        What the rule looked at.
    instead : str or None
        The well that came next and was not taken.
    """

    rule: str
    text: str
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    instead: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A wish of a policy: go to a well, image some fields.

    Attributes
    ----------
    well : str
        Where.
    fields : int or tuple of str
        How many of the next unused fields, or which ones by name.
    score : float
        What it was ordered by (higher is more wanted); rounded to nine significant digits by the core.
    why : Why
        Its reason.
    profile : str
        Way of imaging.
    """

    well: str
    fields: int | tuple[str, ...]
    score: float
    why: Why
    profile: str = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A policy's word that nothing more is worth imaging."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAddress:
    """Where one frame belongs: the sample side (well, field, channel) and the array slot it will be written to.

    Attributes
    ----------
    visit : int
        Number of the visit that takes it.
    profile, well, field, channel : str
        Names of the protocol.
    t : int
        How many visits this field was given before under this profile, failed ones too.
    z : int
        Plane.
    image : int
        Name of the image group inside the well (``0, 1, 2 ...``).
    c : int
        Index of the channel in the array.
    """

    visit: int
    profile: str
    well: str
    field: str
    channel: str
    t: int
    z: int
    image: int
    c: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldVisit:
    """One field of a visit: its name, how often it was given before (`t`), and its image group."""

    field: str
    t: int
    image: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One trip to a well: some fields under one profile.

    Attributes
    ----------
    number : int
        Given at dispatch, dense from 1; -1 for a proposal that was denied before it got one.
    decision : int
        The decision it came from.
    """

    number: int
    decision: int
    well: str
    profile: str
    fields: tuple[FieldVisit, ...]
    channels: tuple[str, ...]
    planes: int = 1

    def frames(self) -> tuple[FrameAddress, ...]:
        """Return the address of every frame in the order of exposure: field, channel, plane."""
        return tuple(
            FrameAddress(
                visit=self.number,
                profile=self.profile,
                well=self.well,
                field=place.field,
                channel=channel,
                t=place.t,
                z=z,
                image=place.image,
                c=c,
            )
            for place in self.fields
            for c, channel in enumerate(self.channels)
            for z in range(self.planes)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A visit that was dispatched and not yet told: where, and how many fields."""

    visit: int
    well: str
    fields: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All a policy may know beside what it was told. Built from inputs only.

    Attributes
    ----------
    decision : int
        Number of this decision, from 1.
    at_s : float
        Run clock of the last input.
    pending : tuple of Pending
        Dispatched and not yet told.
    fields_left : mapping of str to int
        Fields of each well that may still be asked for under ``main``.
    frames_left : int or None
        Frames the budget still holds; None is unlimited.
    last_well : str or None
        Target of the last visit that was dispatched.
    rng : numpy.random.Generator
        Chance of this decision, keyed by the seed and the decision's number, so a policy has no hidden state.
    """

    decision: int
    at_s: float
    pending: tuple[Pending, ...]
    fields_left: Mapping[str, int]
    frames_left: int | None
    last_well: str | None
    rng: np.random.Generator
