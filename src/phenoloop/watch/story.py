"""What a story of a well holds: each proposal about it, what became of it, what was known before and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from phenoloop.model import Target

SCHEMA: Final = "phenoloop.story/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the question said of the well at one time.

    Attributes
    ----------
    call, evidence, rank : str, float, int or None
        As of `WellAnswer`.
    mean, low, high : float or None
        Its interval of the question's readout.
    fields : int
        Fields behind the mean; where there is none, accepted fields of the well, under any profile.
    said : str
        What else the answer says: the effect of a called well, by images that had no part in its call; of the group of
        this well (the EC50 of its compound); of the objects or events in it. Empty where it says nothing.
    """

    call: str | None
    evidence: float | None
    rank: int | None
    mean: float | None
    low: float | None
    high: float | None
    fields: int
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one field of a visit.

    Attributes
    ----------
    status : str
        ``ok``, ``qc_fail``, ``failed``, ``late``, ``missing``, or ``under way`` where the journal says no more.
    readouts : mapping of str to float or None
        What it measured.
    replaced_by : int or None
        The visit in which it was looked at again, or another field instead of it.
    """

    field: str
    status: str
    reason: str = ""
    readouts: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    objects: int = 0
    target: Target | None = None
    replaced_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One proposal for the well, granted or not.

    Attributes
    ----------
    decision, at_s, policy : int, float, str
        As of `Decided`.
    rule, why, numbers, by : str, str, mapping, str
        As of `Why`.
    instead : str or None
        The well that came next and was not taken.
    beside : tuple of str
        The other wells of the same batch.
    verdict : str
        ``accepted``, the sentence of a denial, or of a policy in the shadow what would have become of it.
    shadow : bool
        It was only thought of: another policy acted.
    person : str
        What a person, or a time-out, said of the batch; empty where nobody was asked.
    visit : int
        -1 where it came to nothing.
    outcomes : tuple of Outcome
        One per field.
    exposures, light_s : int, float
        What the visit gave to the sample.
    before, after : Known or None
        What was known when it was decided, and when its results were told; None without a question, or not yet.
    """

    decision: int
    at_s: float
    policy: str
    rule: str
    why: str
    numbers: Mapping[str, float]
    by: str
    instead: str | None
    beside: tuple[str, ...]
    verdict: str
    shadow: bool
    person: str
    visit: int
    profile: str
    outcomes: tuple[Outcome, ...]
    exposures: int = 0
    light_s: float = 0.0
    before: Known | None = None
    after: Known | None = None

    @property
    def taken(self) -> bool:
        """Whether it became a visit."""
        return self.visit > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The story of a well.

    Attributes
    ----------
    well, control, properties : str, bool, mapping
        Which, and its row of the plate map.
    readout : str or None
        What the question is about.
    band : str
        What its intervals claim: level, unit of replication, and whether they hold when one looks often; empty where
        there is none.
    ended : str
        Why the run ended; empty while it has not.
    chapters : tuple of Chapter
        In order.
    passed_over : tuple of (int, tuple of str)
        Decisions in which it came next and was not taken, with the wells that were taken before it.
    now : Known or None
        What is known at the end of the journal.
    wells : int
        Wells of the run.
    """

    run: str
    well: str
    control: bool
    properties: Mapping[str, Any]
    readout: str | None
    chapters: tuple[Chapter, ...]
    passed_over: tuple[tuple[int, tuple[str, ...]], ...]
    now: Known | None
    wells: int
    band: str = ""
    ended: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-ready values, schema ``phenoloop.story/1``."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}
