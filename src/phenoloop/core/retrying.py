"""What is done about a rejected field: look again where autofocus can help, else image a neighbouring field instead."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass

from phenoloop.core.ledger import Ledger
from phenoloop.model import Plan, Proposal, VisitResult, WellPlan, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rejected:
    well: str
    profile: str
    field: str
    reason: str


class Retries:
    """Remembers rejected fields and proposes replacements, each well only so often.

    A replacement is a visit of its own: the policy hears of both, and nothing of a rejected field is ever averaged in.

    Parameters
    ----------
    plan : Plan
        `retries` says how many replacements a rejected field may cause in all, replacements of replacements included.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._fields = {well.name: {place.name for place in well.fields} for well in plan.wells}
        self._waiting: deque[_Rejected] = deque()
        self._caused: dict[tuple[str, str], int] = {}
        self._origin: dict[tuple[str, str, str], tuple[str, str]] = {}

    def note(self, result: VisitResult) -> None:
        """Take in what was told of a visit."""
        if self._plan.profiles[result.profile].every_s is not None:
            return  # a time-lapse looks again by itself
        for field in result.fields:
            # An object that is looked at by itself has no neighbour that could stand in for it.
            if field.status != "qc_fail" or field.field not in self._fields[result.well]:
                continue
            # A replacement that is rejected too counts against the field that began it.
            origin = self._origin.get((result.well, result.profile, field.field), (result.well, field.field))
            if self._caused.get(origin, 0) >= self._plan.retries:
                continue
            self._caused[origin] = self._caused.get(origin, 0) + 1
            rejected = _Rejected(
                well=result.well, profile=result.profile, field=field.field, reason=field.reason or "rejected"
            )
            self._waiting.append(rejected)

    def proposals(self, ledger: Ledger, count: int) -> list[Proposal]:
        """Return up to `count` replacements that are due; a well without a field left gets none."""
        found: list[Proposal] = []
        taken: set[tuple[str, str, str]] = set()  # two neighbours that were rejected must not share one replacement
        while self._waiting and len(found) < count:
            rejected = self._waiting.popleft()
            well = self._plan.well(rejected.well)
            again = self._plan.profiles[rejected.profile].autofocus is not None and not self._plan.once
            origin = self._origin.get(
                (rejected.well, rejected.profile, rejected.field), (rejected.well, rejected.field)
            )
            # The same place once, since autofocus runs anew; after that, and without autofocus, a place nearby.
            first_time = self._caused.get(origin, 0) == 1
            name = rejected.field if again and first_time else _nearest_unused(well, rejected, ledger, taken)
            if name is None:
                continue
            taken.add((rejected.well, rejected.profile, name))
            self._origin[rejected.well, rejected.profile, name] = origin
            what = "the same field is focused and imaged again" if name == rejected.field else f"field {name} instead"
            found.append(
                Proposal(
                    well=rejected.well,
                    profile=rejected.profile,
                    fields=(name,),
                    score=0.0,
                    why=Why(
                        rule="replace a rejected field",
                        text=f"field {rejected.field} of {rejected.well} was rejected ({rejected.reason}): {what}",
                        numbers={"replacements": float(self._caused[origin])},
                    ),
                )
            )
        return found


def _nearest_unused(
    well: WellPlan, rejected: _Rejected, ledger: Ledger, taken: Container[tuple[str, str, str]]
) -> str | None:
    here, profile = next(place for place in well.fields if place.name == rejected.field), rejected.profile
    unused = [
        place
        for place in well.fields
        if not ledger.was_used(profile, well.name, place.name) and (well.name, profile, place.name) not in taken
    ]
    if not unused:
        return None
    return min(unused, key=lambda place: (place.x_um - here.x_um) ** 2 + (place.y_um - here.y_um) ** 2).name
