"""What a person is asked of a decision, and what becomes of it by the answer.

The question holds the whole decision as it would stand, numbers and fields included. So the answer alone, with the
journal, says what was done: nobody has to ask the policy again after a crash.
"""

from __future__ import annotations

from dataclasses import replace

from phenoloop.core.ledger import Ledger
from phenoloop.model import Answered, Autonomy, Confirm, Decided, Plan, ProposalRecord


def question(record: Decided, plan: Plan, ledger: Ledger, at_s: float) -> Confirm | None:
    """Return what a person is to be asked before a decision is carried out; None where there is nothing to ask.

    Parameters
    ----------
    record : Decided
        The decision as it would stand.
    plan : Plan
        `autonomy` says what is asked about.
    ledger : Ledger
        As before the decision.
    at_s : float
        Run clock.
    """
    autonomy = plan.autonomy
    if not autonomy.asks:
        return None
    about = tuple(made.visit for made in record.proposals if made.visit > 0 and _concerns(made, autonomy, plan, ledger))
    if not about:
        return None
    return Confirm(at_s=at_s, proposed=record, about=about, within_s=autonomy.within_s, otherwise=autonomy.otherwise)


def _concerns(made: ProposalRecord, autonomy: Autonomy, plan: Plan, ledger: Ledger) -> bool:
    acts = autonomy.acts
    if not acts:
        return True
    profile = plan.profiles[made.profile]
    return (
        ("objective" in acts and ledger.turret.differs(profile.objective_config))
        or ("profile" in acts and made.profile != "main")
        or ("revisit" in acts and any(ledger.visits_of(made.well, name) for name in made.fields))
    )


def whole(asked: Confirm) -> Confirm:
    """Return the question widened to every visit of its decision: a run that is stopped makes none of them."""
    return replace(asked, about=tuple(made.visit for made in asked.proposed.proposals if made.visit > 0))


def outcome(asked: Confirm, answered: Answered) -> Decided:
    """Return the decision as it stands after the answer.

    Visits that were asked about and not approved have the answer as their verdict; the others keep their order and are
    numbered anew without gaps.
    """
    record = asked.proposed
    if answered.answer == "go":
        return record
    kept = sorted(made.visit for made in record.proposals if made.visit > 0 and made.visit not in asked.about)
    first = min(made.visit for made in record.proposals if made.visit > 0)
    numbers = {visit: first + place for place, visit in enumerate(kept)}
    verdict = f"vetoed by {answered.by}" if answered.judged else f"not carried out: {answered.by}"

    def judged(made: ProposalRecord) -> ProposalRecord:
        if made.visit < 0:
            return made
        if made.visit in numbers:
            return replace(made, visit=numbers[made.visit])
        return replace(made, visit=-1, verdict=verdict)

    return replace(record, proposals=tuple(judged(made) for made in record.proposals))
