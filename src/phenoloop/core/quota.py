"""When a control is due again: drift, bleaching and a tired lamp show in wells whose answer is known.

A control takes a new field while it has one, since a field that was exposed before is no honest comparison; after that
the field that was given least often. The quota only ever stands beside what the policy asks for: where the policy asks
for nothing, controls alone do not keep a run alive.
"""

from __future__ import annotations

from typing import Final

from phenoloop.core.ledger import Ledger
from phenoloop.model import Decided, Plan, Proposal, WellPlan, Why

RULE: Final = "controls on their quota"
"""Name of the rule in the why of such a visit."""


class Quota:
    """Proposes the controls that are due.

    Parameters
    ----------
    plan : Plan
        `limits.controls_every_s`, `limits.controls_every_visits` and the controls.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._refused: dict[str, None] = {}

    def proposals(self, ledger: Ledger, at_s: float, room: int) -> list[Proposal]:
        """Return controls that are due, the longest unseen first; one place of the room is left to the policy.

        Parameters
        ----------
        ledger : Ledger
            Says when each control was sent for last.
        at_s : float
            Run clock.
        room : int
            Visits of this batch.
        """
        limits = self._plan.limits
        if limits.controls_every_s is None and limits.controls_every_visits is None:
            return []
        due: list[tuple[float, int, Proposal]] = []
        for place, name in enumerate(self._plan.controls):
            if name in self._refused:
                continue
            visits, seconds = ledger.since(name, at_s)
            # Asked before the batch that would make it late: this batch and the next one may both come first.
            ahead = visits + 2 * self._plan.batch
            late_visits = limits.controls_every_visits is not None and ahead > limits.controls_every_visits
            late_s = limits.controls_every_s is not None and seconds >= limits.controls_every_s
            if not (late_visits or late_s):
                continue
            well = self._plan.well(name)
            field = _next_field(well, ledger, once=self._plan.once)
            if field is None:
                continue
            why = Why(
                rule=RULE,
                text=f"control {name} was sent for {visits} visits and {seconds:.0f} s ago; {_said(self._plan)}",
                numbers={"visits_ago": float(visits), "seconds_ago": seconds},
            )
            due.append((-seconds, place, Proposal(well=name, fields=(field,), score=0.0, why=why)))
        due.sort(key=lambda one: one[:2])
        return [proposal for *_, proposal in due[: max(1, room - 1)]]

    def note(self, record: Decided) -> None:
        """Take in a decision: a control that a guard refused is not proposed again, or it would be for ever."""
        for made in record.proposals:
            if made.visit < 0 and made.why.rule == RULE:
                self._refused[made.well] = None


def _next_field(well: WellPlan, ledger: Ledger, *, once: bool) -> str | None:
    unused = ledger.next_fields(well, "main", 1)
    if unused:
        return unused[0]
    if once:
        return None
    names = [well.fields[i].name for i in well.choice]
    return min(names, key=lambda name: ledger.times_given("main", well.name, name))


def _said(plan: Plan) -> str:
    limits = plan.limits
    if limits.controls_every_visits is not None:
        return f"limits.controls_every is {limits.controls_every_visits} visits"
    return f"limits.controls_every is {limits.controls_every_s:g} s"
