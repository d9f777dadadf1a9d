"""What a guard is asked about, and the two things it may answer: the fields that may stay, or a denial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phenoloop.core.ledger import Ledger
from phenoloop.model import FieldPlace, Plan, ProfilePlan, Target, WellPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why a proposal may not be carried out, in a sentence.

    Attributes
    ----------
    sentence : str
        For the record, and for the policy.
    until_s : float or None
        Run clock at which the same proposal would pass; None: waiting does not help.
    """

    sentence: str
    until_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A proposal with its names resolved and its fields clipped to what is allowed.

    Where it asks for objects, `fields` are their names and `targets` says where they lie.
    """

    well: WellPlan
    profile: ProfilePlan
    fields: tuple[str, ...]
    targets: tuple[Target, ...] = ()

    def place(self, name: str) -> FieldPlace:
        """Return where a field or object lies."""
        for target in self.targets:
            if target.name == name:
                return FieldPlace(name=name, x_um=target.x_um, y_um=target.y_um, z_um=target.z_um)
        return next(place for place in self.well.fields if place.name == name)


Clip = Callable[[Granted, Plan, Ledger, float], tuple[str, ...] | Denial]
"""A guard: (proposal, plan, ledger, run clock at which the visit begins at the earliest) -> fields that may stay."""
