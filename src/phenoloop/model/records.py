"""The records of the loop: what was decided, and what was judged when a visit was told. Nothing is done by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phenoloop.model.messages import Message
from phenoloop.model.visits import Target, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRecord:
    """One proposal and what became of it.

    Attributes
    ----------
    fields : tuple of str
        The fields it was resolved to; when denied, those it asked for by name.
    verdict : str
        ``"accepted"``, or the sentence with which a guard denied it.
    visit : int
        Number of the visit it became; -1 when denied.
    targets : tuple of Target
        The places of their own that were granted; all that were asked for when denied.
    """

    well: str
    profile: str
    fields: tuple[str, ...]
    score: float
    why: Why
    verdict: str
    visit: int
    targets: tuple[Target, ...] = ()
    not_before_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRecord:
    """What a policy in the shadow answered: nothing of it was done, and it was told only of what the fallback did.

    Attributes
    ----------
    policy, parameters : str, mapping
        As of `Decided`.
    proposals : tuple of ProposalRecord
        With the verdict that the guards would have given; `visit` is always -1.
    stop, error : str
        As of `Decided`.
    """

    policy: str
    parameters: Mapping[str, Any]
    proposals: tuple[ProposalRecord, ...] = ()
    stop: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Message):
    """The record of one ask.

    Attributes
    ----------
    decision : int
        Dense from 1.
    at_s : float
        Run clock of the input that led to it.
    policy : str
        Kind of the policy that decided (the fallback's when it had to take over).
    parameters : mapping
        Its parameters, so that a decision can be read by itself.
    asked : int
        Visits asked for.
    told : int
        Visits whose results were known.
    proposals : tuple of ProposalRecord
        In the order of the policy; the visits' numbers show the order of the router.
    stop : str
        The policy's reason to stop; empty otherwise.
    error : str
        Why the policy could not be used; empty otherwise.
    shadow : ShadowRecord or None
        What the policy would have done; with ``autonomy: shadow`` only, where the fallback acts.
    """

    decision: int
    at_s: float
    policy: str
    parameters: Mapping[str, Any]
    asked: int
    told: int = 0
    proposals: tuple[ProposalRecord, ...] = ()
    stop: str = ""
    error: str = ""
    shadow: ShadowRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Message):
    """The record of a field that is not used because of what other fields of the run look like.

    It stands before the `Decided` that could have used the field. From here on the field's status is ``qc_fail``.

    Attributes
    ----------
    at_s : float
        Run clock of the input that led to it.
    visit : int
        The visit that was told, or an earlier one: a fall of counts is known only after some wells.
    field : str
        Its name.
    reason : str
        In words and numbers.
    numbers : mapping of str to float
        The same numbers by name.
    """

    at_s: float
    visit: int
    field: str
    reason: str
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
