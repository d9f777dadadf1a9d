"""A coarse look for candidates, a close look at each: which of the two is worth the next minute, and where.

The pre-scan goes where candidates are dense. Close looks go to the candidates that are most likely to be confirmed, all
that are wanted at once, because changing the objective costs time. When too few candidates turn out to be wanted ones,
the score that a candidate must have is raised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.numerics.rounding import significant
from phenoloop.policies.object_search import Array, Key, ObjectsTold
from phenoloop.policies.pre_scan import PreScan
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.quantities import Percent

WORTH_A_CHANGE: Final = 2.0
"""Close looks are begun when they take at least so many times as long as changing the objective there and back."""

FIRST_LOOKS: Final = 10
"""Looks under way at most while fewer objects than that were judged."""


class Rare:
    """Finds, revisits and confirms rare objects.

    Parameters
    ----------
    params : Rare.Params
        As in the protocol.
    setup : Setup
        Wells, places, what things cost, and the question's search.

    Raises
    ------
    ProtocolError
        If the question is not about objects.
    """

    kind: ClassVar[str] = "rare"

    class Params(PolicyParams):
        """Keys of ``policy: {kind: rare}``."""

        fields_per_visit: int = Field(default=4, ge=1, description="fields of the pre-scan in one trip to a well")
        wells_per_batch: int = Field(
            default=24, ge=1, description="trips to wells that make a batch: of the pre-scan, then of close looks"
        )
        revisits_per_well: int = Field(default=10, ge=1, description="objects looked at closely in one trip to a well")
        min_precision: Annotated[Percent, Field(gt=0, lt=1)] = Field(
            default=0.2, description="share of confirmed objects below which a candidate needs a higher score"
        )
        lattice: int = Field(
            default=3, ge=1, le=20, description="a well is first looked at in every n-th field of both directions"
        )

    def __init__(self, params: Params, setup: Setup) -> None:
        if setup.objects is None:
            message = "the policy rare needs a question about objects: add `question: {kind: objects, ...}`"
            raise ProtocolError(Problem(where="policy.kind", message=message))
        self._params = params
        self._setup = setup
        self._search = setup.objects
        self._wells = frozenset(setup.wells)
        self._objects = ObjectsTold(setup.objects, params.min_precision)
        self._overview = PreScan(
            setup, setup.objects.found_by, params.lattice, params.fields_per_visit, params.wells_per_batch
        )
        self._profile = setup.objects.found_by
        self._round = 0

    # -- the policy -------------------------------------------------------------------------------------------------

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        confirmed, wanted = self._objects.confirmed, self._search.target
        if confirmed >= wanted:
            return Stop(reason=f"{confirmed} objects are confirmed, as many as were wanted")
        chances = self._objects.chances()
        close = [visit for visit in context.pending if visit.profile == self._search.confirmed_by]
        under_way = {(visit.well, name): None for visit in close for name in visit.names}
        waiting = self._objects.chances_of(under_way, chances)
        need = wanted - confirmed - sum(waiting)
        room = self._overview.room(k, context)
        scans, density = self._overview.scans(self._objects, chances, context, room + 1)
        least = self._least_chance(chances, context, need) if scans else 0.0
        queue = self._objects.queue(chances, under_way, context.at_s, least)
        hoped = math.fsum(queue.values())
        if self._close_now(context, len(queue), hoped, need, bool(scans)):
            return self._close_looks(k, queue, wanted - confirmed, waiting)
        proposals = self._overview.proposals(scans, density, need - hoped, room, context)
        if proposals or context.pending:
            return proposals
        return Stop(reason=self._nothing_left())

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        if visit.well not in self._wells:
            return
        if result.profile == self._search.confirmed_by:
            self._objects.looked(visit, result)
            if visit.number > 0:
                self._profile, self._round = result.profile, 0
        elif result.profile == self._search.found_by and self._overview.tell(visit, result, self._objects):
            self._profile, self._round = result.profile, self._round + 1

    def report(self) -> Mapping[str, Any]:
        """Return what it believes now."""
        found = self._objects
        fields = self._overview.fields
        return {
            "confirmed": found.confirmed,
            "wanted": self._search.target,
            "looked_at": found.judged,
            "waiting": found.waiting,
            "fields_pre_scanned": fields,
            "candidates_per_field": significant(len(found.objects) / fields) if fields else None,
            "score_needed": found.threshold if math.isfinite(found.threshold) else None,
            "score_raised": found.raised,
        }

    # -- which of the two -------------------------------------------------------------------------------------------

    def _close_now(self, context: Context, queue: int, hoped: float, need: float, can_scan: bool) -> bool:
        """Return whether close looks come next; they go on until nothing pays any more, and begin when it pays."""
        if self._in_place(context) == self._search.confirmed_by and (queue or (need <= 0 and context.pending)):
            return True
        if not queue:
            return False
        scanning = sum(visit.profile == self._search.found_by for visit in context.pending)
        enough = hoped >= need or not can_scan
        full = self._round + scanning >= self._params.wells_per_batch
        look_s = queue * self._seconds(self._search.confirmed_by)
        return enough or (full and look_s >= WORTH_A_CHANGE * 2 * self._change_s())

    def _in_place(self, context: Context) -> str:
        """Return the profile of the last visit that was sent."""
        return context.pending[-1].profile if context.pending else self._profile

    def _change_s(self) -> float:
        profiles = self._setup.profiles
        both = (profiles.get(name) for name in (self._search.found_by, self._search.confirmed_by))
        change = len({profile.objective_config for profile in both if profile is not None}) > 1
        return self._setup.cost.objective_s if change else 0.0

    def _seconds(self, name: str) -> float:
        profile = self._setup.profiles.get(name)
        return profile.seconds(self._setup.cost, self._setup.wells[0]) if profile is not None else 1.0

    def _nothing_left(self) -> str:
        found = self._objects
        said = f"{found.confirmed} of {self._search.target} objects are confirmed; every field was pre-scanned"
        if found.raised:
            return (
                f"{said}, and of {found.judged} candidates that were looked at closely too few were wanted ones "
                f"(less than {self._params.min_precision:.0%} below the score that is now needed)"
            )
        return f"{said} and every candidate was looked at"

    # -- close looks ------------------------------------------------------------------------------------------------

    def _least_chance(self, chances: Array, context: Context, need: float) -> float:
        """Return the chance from which on a look pays, while there is something left to pre-scan."""
        fields = self._overview.fields
        change_s = 2 * self._change_s() / max(1.0, need) if self._in_place(context) != self._search.found_by else 0.0
        scan_s, look_s = self._seconds(self._search.found_by), self._seconds(self._search.confirmed_by)
        return self._objects.least_chance(chances, fields, scan_s, look_s, change_s)

    def _close_looks(self, k: int, queue: Mapping[Key, float], need: int, waiting: Sequence[float]) -> list[Proposal]:
        """Propose looks by well, at as many objects as are enough with some luck; the next results say what is lacking.

        Together with those under way (`waiting`): one standard deviation above the expected number reaches `need`.
        """
        doubt = self._objects.doubt()
        hoped, spread, looks = math.fsum(waiting), math.fsum(chance * (1 - chance) for chance in waiting), len(waiting)
        # What a score is worth must be learnt before much is staked on it.
        most = max(FIRST_LOOKS, self._objects.judged)
        chosen: dict[str, list[Key]] = {}
        for key, chance in queue.items():
            if hoped + math.sqrt(spread + (doubt * looks) ** 2) >= need or looks >= most:
                break
            members = chosen.setdefault(key[0], []) if len(chosen) < k or key[0] in chosen else None
            if members is not None and len(members) < self._params.revisits_per_well:
                members.append(key)
                hoped, spread, looks = hoped + chance, spread + chance * (1 - chance), looks + 1
        taken = {key: None for keys in chosen.values() for key in keys}
        later = [key[0] for key in queue if key not in taken]
        return [self._close_look(keys, queue, later) for keys in chosen.values()]

    def _close_look(self, keys: Sequence[Key], chances: Mapping[Key, float], later: Sequence[str]) -> Proposal:
        found, objects = self._objects, [self._objects.objects[key] for key in keys]
        hoped = sum(chances[key] for key in keys)
        numbers = {
            "objects": float(len(keys)),
            "chance": significant(hoped / len(keys)),
            "confirmed": float(found.confirmed),
            "looked_at": float(found.judged),
            "wanted": float(self._search.target),
        }
        if math.isfinite(objects[0].score):
            numbers["best_score"] = objects[0].score
        so_far = f"{found.confirmed} of {found.judged} so far" if found.judged else "none was looked at yet"
        count = "1 candidate" if len(keys) == 1 else f"{len(keys)} candidates"
        return Proposal(
            well=keys[0][0],
            fields=len(keys),
            targets=tuple(one.target for one in objects),
            profile=self._search.confirmed_by,
            score=hoped,
            why=Why(
                rule="look closely",
                text=f"{count} here, each confirmed with a chance of about {hoped / len(keys):.0%} ({so_far})",
                numbers=numbers,
                instead=next((well for well in later if well != keys[0][0]), None),
            ),
        )
