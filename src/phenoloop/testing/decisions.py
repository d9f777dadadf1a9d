"""Contracts of policies and questions: small plates with good and failing images, and what must hold on them."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from phenoloop.model import (
    Answer,
    Context,
    FieldReadout,
    FieldResult,
    FieldVisit,
    Pending,
    Proposal,
    Setup,
    Stop,
    Visit,
    VisitResult,
)
from phenoloop.ports import Policy, Question

READOUT: Final = "signal"
"""Name of the readout of the plates below."""
PROFILE: Final = ("area", "DNA.mean", "DNA.entropy_1", "DNA.rim_fraction")
"""Features of the profile that each field of the plates below brings; the second follows the readout."""
_FATES: Final = {
    "good": {"ok": 1.0},
    "failing": {"ok": 0.5, "qc_fail": 0.2, "missing": 0.15, "late": 0.15},
    "hopeless": {"missing": 1.0},
}
_PLATES: Final = (
    ("good", 4, 6, 0.0),
    ("good", 2, 6, 0.2),
    ("good", 5, 2, 0.2),
    ("failing", 4, 6, 0.2),
    ("hopeless", 8, 6, 0.0),
)
"""Fate of the images, visits per ask, control wells, share of proposals that are denied."""


def small_plate(*, controls: int = 6, fields: int = 4, batch: int = 4) -> Setup:
    """Return 24 wells whose first column-wise `controls` are controls; every third of the others responds."""
    wells = tuple(f"{row}{column}" for row in "ABCD" for column in range(1, 7))
    chosen = wells[:: max(1, len(wells) // controls)][:controls] if controls else ()
    return Setup(
        wells=wells,
        fields=(fields,) * len(wells),
        controls=chosen,
        readout=READOUT,
        batch=batch,
        properties=tuple({"treatment": "vehicle" if well in chosen else "drug"} for well in wells),
        profile_features=PROFILE,
    )


def assert_policy(factory: Callable[[Setup], Policy]) -> None:
    """Run a policy over small plates and check its contract (`phenoloop.ports.Policy`) at every ask.

    At most `k` proposals, each for a selected well, for fields that are left, with a finite score and a reason that can
    be read; `ask` changes nothing and gives the same answer to the same context; two policies that were told the same
    propose the same; `report` is JSON; failed images and denials are lived with; in the end it stops.

    Parameters
    ----------
    factory : callable
        Makes a fresh policy for a setup.

    Raises
    ------
    AssertionError
        With the rule that was broken.
    """
    for fate, k, controls, deny in _PLATES:
        plate = small_plate(controls=controls, batch=k)
        _Loop(factory, plate, _FATES[fate], deny, label=f"{fate} plate, k={k}").run()


def assert_question(factory: Callable[[Setup], Question]) -> None:
    """Check the contract of a question (`phenoloop.ports.Question`).

    An answer names every selected well, also on no data; nothing is called on no data; it is JSON-ready; it does not
    depend on the order of the fields; it comes out alike twice.

    Parameters
    ----------
    factory : callable
        Makes a fresh question for a setup.

    Raises
    ------
    AssertionError
        With the rule that was broken.
    """
    setup = small_plate()
    rng = np.random.default_rng(1)
    data = []
    for f in range(4):
        for i, name in enumerate(setup.wells):
            value = float(3 * (i % 3) + rng.normal())
            profile = _profile(value, f, i)
            data.append(FieldReadout(well=name, field=str(f), visit=1 + f, readouts={READOUT: value}, profile=profile))
    unknown = FieldReadout(well="A1", field="9", visit=9, readouts={}, profile=(None,) * len(PROFILE))
    for some in ([], data[:1], data[:30], data, [*data, unknown]):
        answer = factory(setup).answer(some)
        assert isinstance(answer, Answer), f"answer() returned {type(answer).__name__}, not Answer"
        assert tuple(answer.wells) == setup.wells, "an answer names every selected well, in plate order"
        assert all(isinstance(note, str) and note for note in answer.notes), "notes are sentences"
        json.dumps(answer.summary, allow_nan=False)
        seen = {field.well for field in some}
        for name, well in answer.wells.items():
            assert well.call in ("hit", "no_hit", "undecided", None), f"unknown call {well.call!r}"
            assert name in seen or well.call in ("undecided", None), f"{name} was called without any data"
            assert name in seen or well.rank is None, f"{name} was ranked without any data"
            assert well.evidence is None or (math.isfinite(well.evidence) and well.evidence >= 0), (
                "evidence is a number"
            )
        shuffled = [some[i] for i in rng.permutation(len(some))]
        assert factory(setup).answer(shuffled) == answer, "the order of the fields changed the answer"


class _Loop:
    """A loop in small: two batches under way, results told in the order of the visits."""

    def __init__(
        self, factory: Callable[[Setup], Policy], setup: Setup, fates: dict[str, float], deny: float, label: str
    ) -> None:
        self.setup, self.fates, self.deny, self.label = setup, fates, deny, label
        self.policy, self.twin = factory(setup), factory(setup)
        self.chance = np.random.default_rng(7)
        self.left = dict(zip(setup.wells, setup.fields, strict=True))
        self.pending: list[Visit] = []
        self.visits = self.asks = 0

    def run(self) -> None:
        """Go on until the policy stops, or has had more asks than any plate needs."""
        most = 4 * sum(self.setup.fields)
        while self.asks < most:
            answer = self._ask()
            if isinstance(answer, Stop):
                assert answer.reason, self._said("a Stop must give its reason")
                return
            if not answer and not self.pending:
                return
            for proposal in answer:
                self._dispatch(proposal)
            while self.pending and (not answer or len(self.pending) > self.setup.batch):
                self._tell(self.pending.pop(0))
                if not answer:
                    break
        raise AssertionError(self._said(f"no end after {most} asks"))

    def _said(self, rule: str) -> str:
        return f"{type(self.policy).__name__} on a {self.label}, ask {self.asks}: {rule}"

    def _context(self) -> Context:
        return Context(
            decision=self.asks,
            at_s=float(self.asks),
            pending=tuple(
                Pending(
                    visit=v.number,
                    well=v.well,
                    fields=len(v.fields),
                    names=tuple(place.field for place in v.fields),
                    profile=v.profile,
                    not_before_s=v.not_before_s,
                    by=v.by,
                )
                for v in self.pending
            ),
            fields_left=dict(self.left),
            frames_left=sum(self.left.values()),
            last_well=self.pending[-1].well if self.pending else None,
            rng=np.random.default_rng([3, self.asks]),
        )

    def _ask(self) -> Sequence[Proposal] | Stop:
        self.asks += 1
        before = pickle.dumps(self.policy)
        answer = self.policy.ask(self.setup.batch, self._context())
        assert pickle.dumps(self.policy) == before, self._said("ask changed the policy")
        if not isinstance(answer, Stop):
            self._check(answer)
        again = self.policy.ask(self.setup.batch, self._context())
        assert again == answer, self._said("asked twice, answered otherwise")
        assert self.twin.ask(self.setup.batch, self._context()) == answer, self._said("told the same, its twin differs")
        json.dumps(self.policy.report(), allow_nan=False)
        return answer

    def _check(self, proposals: Sequence[Proposal]) -> None:
        assert len(proposals) <= self.setup.batch, self._said(f"{len(proposals)} proposals for k={self.setup.batch}")
        left = dict(self.left)
        for proposal in proposals:
            assert proposal.well in left, self._said(f"{proposal.well!r} is not a selected well")
            count = proposal.fields if isinstance(proposal.fields, int) else len(proposal.fields)
            known = left[proposal.well]
            assert 1 <= count <= known, self._said(f"{count} fields of {proposal.well}, which has {known} left")
            left[proposal.well] -= count
            assert math.isfinite(proposal.score), self._said(f"score {proposal.score}")
            why = proposal.why
            assert why.rule, self._said("a reason needs the name of its rule")
            assert why.text, self._said("a reason needs a sentence")
            assert all(math.isfinite(v) for v in why.numbers.values()), self._said(f"numbers {dict(why.numbers)}")
            assert why.instead is None or why.instead in left, self._said(f"instead of {why.instead!r}")

    def _dispatch(self, proposal: Proposal) -> None:
        names: tuple[str, ...] | None = None if isinstance(proposal.fields, int) else proposal.fields
        if names is None:
            done = dict(zip(self.setup.wells, self.setup.fields, strict=True))[proposal.well] - self.left[proposal.well]
            assert isinstance(proposal.fields, int)
            names = tuple(str(done + f) for f in range(proposal.fields))
        denied = self.chance.random() < self.deny
        self.visits += not denied
        visit = Visit(
            number=-1 if denied else self.visits,
            decision=self.asks,
            well=proposal.well,
            profile=proposal.profile,
            fields=tuple(FieldVisit(field=name, t=0, image=0) for name in names),
            channels=("DNA",),
            not_before_s=proposal.not_before_s,
            by=proposal.why.by,
        )
        if denied:
            self._hand(visit, tuple(FieldResult(field=n, status="vetoed", reason="a guard said no") for n in names))
        else:
            self.left[proposal.well] -= len(names)
            self.pending.append(visit)

    def _tell(self, visit: Visit) -> None:
        place = self.setup.wells.index(visit.well)
        results = []
        for field in visit.fields:
            status = str(self.chance.choice(list(self.fates), p=list(self.fates.values())))
            value = float(3 * (place % 3) + self.chance.normal())
            readouts = {READOUT: value if self.chance.random() < 0.95 else None}
            measured = status in ("ok", "qc_fail")
            results.append(
                FieldResult(
                    field=field.field,
                    status=status,
                    readouts=readouts if measured else {},
                    profile=_profile(value, visit.number, place) if measured else (),
                )
            )
        self._hand(visit, tuple(results))

    def _hand(self, visit: Visit, fields: tuple[FieldResult, ...]) -> None:
        result = VisitResult(
            visit=visit.number, well=visit.well, profile=visit.profile, fields=fields, at_s=float(self.asks)
        )
        self.policy.tell(visit, result)
        self.twin.tell(visit, result)


def _profile(value: float, *field: int) -> tuple[float | None, ...]:
    """Return a profile that follows a readout in one feature, is unknown in one now and then, and constant in one."""
    noise = np.random.default_rng([5, *field]).normal(size=3)
    return (200.0 + float(noise[0]), 100.0 + value, None if noise[2] > 1.5 else float(noise[1]), 0.25)
