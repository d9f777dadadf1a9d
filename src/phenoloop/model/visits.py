"""What a policy proposes and what becomes of it: proposal, visit, the address of every frame before any light."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

CONFIRM = "confirm"
"""Rule of a proposal, and role of its visit: to see a call again in images that had no part in it."""


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
    by : str
        Which part of a policy made of several proposed it (``"hits"``, ``"rescue/hits"``); empty for a policy of one.
    """

    rule: str
    text: str
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    instead: str | None = None
    by: str = ""

    @property
    def head(self) -> str:
        """The rule, with the part of the policy that it is of."""
        origin = self.by if self.by != self.rule else ""
        return f"{origin.removesuffix(f'/{self.rule}')}: {self.rule}" if origin else self.rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place of its own inside a well: an object that is to be looked at again.

    Attributes
    ----------
    name : str
        Unique in its well, and no name of a field of the plan; the same name is the same object.
    x_um, y_um : float
        Where it lies, as the stage counts under an objective without offset.
    z_um : float or None
        Focus height; None leaves the focus where it is.
    """

    name: str
    x_um: float
    y_um: float
    z_um: float | None = None


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
    not_before_s : float or None
        Run clock before which no light may fall; None: as soon as its turn comes. A visit that waits holds up those
        behind it, so propose what is due soonest.
    targets : tuple of Target
        Places of their own instead of fields; when given, `fields` is ignored.
    """

    well: str
    fields: int | tuple[str, ...]
    score: float
    why: Why
    profile: str = "main"
    not_before_s: float | None = None
    targets: tuple[Target, ...] = ()


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
    """One field of a visit: its name, how often it was given before (`t`), and its image group.

    `x_um`, `y_um` and `z_um` are those of a `Target`; None: the place that the plan gives the field.
    """

    field: str
    t: int
    image: int
    x_um: float | None = None
    y_um: float | None = None
    z_um: float | None = None

    @property
    def target(self) -> Target | None:
        """The place of its own; None for a field of the plan."""
        if self.x_um is None or self.y_um is None:
            return None
        return Target(name=self.field, x_um=self.x_um, y_um=self.y_um, z_um=self.z_um)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One trip to a well: some fields under one profile.

    Attributes
    ----------
    number : int
        Given at dispatch, dense from 1; -1 for a proposal that was denied before it got one.
    decision : int
        The decision it came from.
    not_before_s : float or None
        Run clock before which it may not begin; None: at once.
    every : tuple of int
        For each channel, at which of a field's visits it is imaged: those whose `t` is a multiple. Empty: at all.
    role : str
        ``"confirm"`` for images that judge a call and must not have a part in it; else empty.
    by : str
        Which part of the policy it came from, as in `Why`.
    """

    number: int
    decision: int
    well: str
    profile: str
    fields: tuple[FieldVisit, ...]
    channels: tuple[str, ...]
    planes: int = 1
    not_before_s: float | None = None
    every: tuple[int, ...] = ()
    role: str = ""
    by: str = ""

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
            if not self.every or place.t % self.every[c] == 0
            for z in range(self.planes)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A visit that was dispatched and not yet told: where, how many fields and which, how, when it is due, by whom."""

    visit: int
    well: str
    fields: int
    names: tuple[str, ...] = ()
    profile: str = "main"
    not_before_s: float | None = None
    by: str = ""


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
    started_s : float
        Run clock at which the run began: what a time-lapse counts from.
    """

    decision: int
    at_s: float
    pending: tuple[Pending, ...]
    fields_left: Mapping[str, int]
    frames_left: int | None
    last_well: str | None
    rng: np.random.Generator
    started_s: float = 0.0
