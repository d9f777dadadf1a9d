"""One batch out of the answers of several policies: who proposed what, and what the next one is asked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from phenoloop.model import Context, Pending, Proposal, Setup, Stop
from phenoloop.ports import Policy


@dataclass(slots=True)
class Tally:
    """What came of the visits that a part asked for."""

    visits: int = 0
    fields: int = 0
    accepted: int = 0
    frames: int = 0
    denied: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A policy inside a policy.

    Attributes
    ----------
    name : str
        Told as the origin of its proposals.
    kind, parameters : str, mapping
        As its block says.
    policy : Policy
        Fresh.
    per_visit : int
        Fields of one of its visits.
    tally : Tally
        Its own tells.
    """

    name: str
    kind: str
    parameters: Mapping[str, Any]
    policy: Policy
    per_visit: int
    tally: Tally

    def own(self, by: str) -> str | None:
        """Return what a visit's origin is inside this part; None for a visit that another one asked for."""
        if by == self.name:
            return ""
        return by.removeprefix(f"{self.name}/") if by.startswith(f"{self.name}/") else None

    def signed(self, proposal: Proposal) -> Proposal:
        """Return a proposal of this part with its name in the reason."""
        return replace(proposal, why=replace(proposal.why, by=self.origin(proposal)))

    def origin(self, proposal: Proposal) -> str:
        """Return what a proposal of this part is told to come from: its name, and what it says itself."""
        return f"{self.name}/{proposal.why.by}" if proposal.why.by else self.name


class Batch:
    """One batch in the making: what was chosen so far, and what the next part is asked with.

    Parameters
    ----------
    k : int
        Visits wanted.
    context : Context
        Of this ask.
    setup : Setup
        For the frames that a field costs.
    parts : int
        How many parts there are: each gets a stream of chance of its own.
    """

    def __init__(self, k: int, context: Context, setup: Setup, parts: int) -> None:
        self._k = k
        self._context = context
        self._setup = setup
        self._seeds = context.rng.integers(2**63, size=2 * parts)
        self._left = dict(context.fields_left)
        self._pending: list[Pending] = []
        # Who asked, and the visit without a name: made once, since every part is asked with all of them.
        self._under_way = [(one.by, _unsigned(one)) for one in context.pending]
        self._frames = 0
        self.chosen: list[Proposal] = []

    @property
    def room(self) -> int:
        """Visits that are still wanted."""
        return self._k - len(self.chosen)

    def ask(
        self, place: int, part: Part, count: int, *, again: bool = False, frames_left: int | None = None
    ) -> Sequence[Proposal] | Stop:
        """Ask a part for up to `count` visits; what it proposes is not chosen yet.

        Parameters
        ----------
        place : int
            Of the part, for its chance.
        part : Part
            Who is asked.
        count : int
            At least 1.
        again : bool
            It was asked in this batch before.
        frames_left : int, optional
            A budget of its own.
        """
        context, seed = self._context, int(self._seeds[2 * place + again])
        left = context.frames_left
        budgets = [left - self._frames] if left is not None else []
        budgets += [frames_left] if frames_left is not None else []
        return part.policy.ask(
            count,
            replace(
                context,
                pending=tuple(
                    replace(unsigned, by=own) if (own := part.own(by)) else unsigned for by, unsigned in self._under_way
                ),
                fields_left=dict(self._left),
                frames_left=max(0, min(budgets)) if budgets else None,
                rng=np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))),
            ),
        )

    def choose(self, part: Part, proposals: Sequence[Proposal], most: int, frames_left: int | None = None) -> int:
        """Take up to `most` proposals of a part into the batch; return how many had a place.

        Parameters
        ----------
        part : Part
            Who proposed.
        proposals : sequence of Proposal
            In its order: highest score first.
        most : int
            Places it has.
        frames_left : int, optional
            Frames that it may still spend.
        """
        taken = 0
        for proposal in sorted(proposals, key=lambda one: -one.score):
            if taken >= min(most, self._k):
                break
            each = self._each(proposal.profile)
            room = None if frames_left is None else frames_left // each
            kept = self._kept(proposal, room)
            if kept is None:
                continue
            taken += 1
            frames_left = None if frames_left is None else frames_left - each * _count(kept)
            self._add(part, kept, each)
        return taken

    def frames_of(self, proposal: Proposal) -> int:
        """Return the frames that a proposal takes at most."""
        return _count(proposal) * self._each(proposal.profile)

    def _each(self, profile: str) -> int:
        found = self._setup.profiles.get(profile)
        return max(1, self._setup.frames_per_field if found is None else found.frames_per_field)

    def _kept(self, proposal: Proposal, room: int | None) -> Proposal | None:
        """Return what of a proposal is not chosen already and can be paid, or nothing."""
        if proposal.targets:
            taken = self._names(proposal)
            targets = tuple(one for one in proposal.targets if one.name not in taken)[:room]
            return replace(proposal, targets=targets, fields=len(targets)) if targets else None
        if isinstance(proposal.fields, tuple):
            taken = self._names(proposal)
            names = tuple(name for name in proposal.fields if name not in taken)[:room]
            return replace(proposal, fields=names) if names else None
        fields = proposal.fields if room is None else min(proposal.fields, room)
        if proposal.profile == "main":
            fields = min(fields, self._left.get(proposal.well, 0))
        if fields < 1:
            return None
        return proposal if fields == proposal.fields else replace(proposal, fields=fields)

    def _names(self, proposal: Proposal) -> dict[str, None]:
        same = (one for one in self._pending if (one.well, one.profile) == (proposal.well, proposal.profile))
        return {name: None for one in same for name in one.names}

    def _add(self, part: Part, proposal: Proposal, each: int) -> None:
        by, count = part.origin(proposal), _count(proposal)
        why = replace(proposal.why, by=by, numbers={"score": proposal.score, **proposal.why.numbers})
        # Scores of different parts have different scales, so the place in the batch is the score of the whole.
        score = float(self._k - len(self.chosen))
        self.chosen.append(replace(proposal, score=score, why=why))
        names: tuple[str, ...] = () if isinstance(proposal.fields, int) else proposal.fields
        if proposal.targets:
            names = tuple(one.name for one in proposal.targets)
        elif proposal.profile == "main":
            self._left[proposal.well] = max(0, self._left.get(proposal.well, 0) - count)
        self._frames += count * each
        pending = Pending(
            visit=0,
            well=proposal.well,
            fields=count,
            names=names,
            profile=proposal.profile,
            not_before_s=proposal.not_before_s,
        )
        self._pending.append(pending)
        self._under_way.append((by, pending))


def _unsigned(visit: Pending) -> Pending:
    return replace(visit, by="") if visit.by else visit


def _count(proposal: Proposal) -> int:
    if proposal.targets:
        return len(proposal.targets)
    return proposal.fields if isinstance(proposal.fields, int) else len(proposal.fields)
