"""What comes back: the status of each field, and what a question answers about each well."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

Statuses = ("ok", "qc_fail", "missing", "late", "vetoed")


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
    """

    field: str
    status: str
    readouts: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    reason: str = ""


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
    """One accepted field, as a question sees it (`value` of every readout; None is unknown)."""

    well: str
    field: str
    visit: int
    readouts: Mapping[str, float | None]


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
    """

    call: str | None
    evidence: float | None
    rank: int | None
    interval: Interval | None


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
