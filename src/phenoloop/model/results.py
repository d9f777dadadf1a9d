"""What comes back: the status of each field, and what a question answers about each well."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from phenoloop.model.visits import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An object that passed the expression by which its profile picks objects.

    Attributes
    ----------
    label : int
        Its value in the labels of its field.
    x_px, y_px : float
        Columns and rows of its centroid from the middle of the frame.
    score : float or None
        What orders candidates, higher first; None where the protocol names nothing, or it is unknown.
    values : mapping of str to float or None
        The columns that the expressions look at.
    x_um, y_um : float or None
        Where it lies, as the stage counts under an objective without offset; None while only the frame is known.
    z_um : float or None
        Focus height of its frame; None where the profile commands no focus.
    """

    label: int
    x_px: float
    y_px: float
    score: float | None = None
    values: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    x_um: float | None = None
    y_um: float | None = None
    z_um: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldResult:
    """What became of one field of a visit.

    Attributes
    ----------
    field : str
        Its name.
    status : str
        ``ok``, ``qc_fail``, ``missing``, ``late`` or ``vetoed``.
    readouts : mapping of str to float or None
        Present for ``ok`` and ``qc_fail``; None is unknown (no objects to average, say).
    reason : str
        Empty for ``ok``.
    profile : tuple of float or None
        Its morphological profile, by `Setup.profile_features`; present with the readouts where the protocol has
        ``analysis: profile``, else empty. (`VisitResult.profile` is another thing: the name of a way of imaging.)
    at_s : float or None
        Run clock at the end of its first exposure; None where no frame of it was kept.
    candidates : tuple of Candidate
        Objects that passed the expression of the question, best first; empty where none is asked for.
    """

    field: str
    status: str
    readouts: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    reason: str = ""
    profile: tuple[float | None, ...] = ()
    at_s: float | None = None
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitResult:
    """What a policy is told: one status per field; `visit` is -1 for a proposal that was denied."""

    visit: int
    well: str
    profile: str
    fields: tuple[FieldResult, ...]
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldReadout:
    """One look at a field that was accepted, as a question sees it.

    Attributes
    ----------
    readouts : mapping of str to float or None
        Value of every readout; None is unknown.
    profile : tuple of float or None
        Morphological profile, as in `FieldResult`.
    imaging : str
        Name of the way of imaging, as in `VisitResult.profile`.
    at_s : float or None
        Run clock at the end of its first exposure, as in `FieldResult`.
    candidates : tuple of Candidate
        As in `FieldResult`.
    target : Target or None
        The object it was taken for; None for a field of the plan.
    image, t : int
        Its image group in the well, and how many visits it was given before.
    role : str
        As in `Visit`.
    """

    well: str
    field: str
    visit: int
    readouts: Mapping[str, float | None]
    profile: tuple[float | None, ...] = ()
    imaging: str = "main"
    at_s: float | None = None
    candidates: tuple[Candidate, ...] = ()
    target: Target | None = None
    image: int = 0
    t: int = 0
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and its band, with what the band assumes.

    Attributes
    ----------
    mean, low, high : float or None
        None where there is too little data.
    n : int
        Fields behind it.
    level : float
        Coverage claimed.
    kind : str
        Method, in words.
    unit : str
        Unit of replication: ``"well"`` or ``"field"``.
    valid_when_peeking : bool
        Whether the claim survives looking after every batch.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    level: float
    kind: str
    unit: str
    valid_when_peeking: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WellAnswer:
    """What the question says of one well.

    Attributes
    ----------
    call : str or None
        ``"hit"``, ``"no_hit"``, ``"undecided"`` or None where no call can be made.
    evidence : float or None
        E-value against "as the controls".
    rank : int or None
        1 is the strongest response; None for a well without data.
    interval : Interval or None
        Of the question's readout.
    effect : Interval or None
        Distance from the controls, of a called well, from images that had no part in its call; None without any.
    """

    call: str | None
    evidence: float | None
    rank: int | None
    interval: Interval | None
    effect: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the question says of the plate.

    Attributes
    ----------
    wells : mapping of str to WellAnswer
        Every selected well.
    summary : mapping
        Numbers for the whole plate (null mean and SD, groups of `mean` ...), JSON-ready.
    notes : tuple of str
        What a reader must know: assumptions, and what could not be claimed and why.
    """

    wells: Mapping[str, WellAnswer]
    summary: Mapping[str, object]
    notes: tuple[str, ...]
