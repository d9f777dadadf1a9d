"""Telling and asking take turns: only this file knows the order in which a policy hears results and is asked again.

After every single tell, and only then, the policy is asked, exactly when dispatched-but-untold visits have fallen to
``in_flight - batch``. Together with the order of the tells this makes decisions independent of how fast anything was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from phenoloop.core.budgets import budget_spent
from phenoloop.core.confirming import whole
from phenoloop.core.deciding import Decider
from phenoloop.core.decision import Decision
from phenoloop.core.dispatch import Dispatcher
from phenoloop.core.ledger import Ledger
from phenoloop.core.phases import IllegalInput
from phenoloop.core.retrying import Retries
from phenoloop.core.trust import Trust
from phenoloop.core.visit_book import VisitBook
from phenoloop.core.visiting import VisitState
from phenoloop.model import Answered, Confirm, Decided, Message, Plan, Visit, VisitResult

_FRUITLESS_ASKS: Final = 3
"""With nothing in flight a policy hears its denials and may ask again this often before the run ends."""


class Ending(NamedTuple):
    """How a run ends: `exit` (completed, budget, stopped or failed) and the reason, in words."""

    exit: str
    reason: str


class Turns:
    """Tells results and asks for more until there is nothing more to ask for.

    Parameters
    ----------
    plan : Plan
        `in_flight` and `batch` say when it is time to ask.
    decider : Decider
        Who is asked.
    ledger : Ledger
        Spent here.
    """

    def __init__(self, plan: Plan, decider: Decider, ledger: Ledger) -> None:
        self._plan = plan
        self._decider = decider
        self._ledger = ledger
        self._retries = Retries(plan)
        self._trust = Trust(plan)
        self._dispatcher = Dispatcher(plan, decider, ledger, self._retries)
        self._fruitless = 0  # asks since the last tell that led to no visit
        self.book = VisitBook()
        self.told: list[VisitResult] = []
        """What the policy was told, denials included."""
        self.question: Confirm | None = None
        """What a person is asked and has not answered; until then nothing is told and nobody is asked."""
        self.ending: Ending | None = None
        """Why nothing more is asked for; None while something may be."""

    @property
    def untold(self) -> tuple[Visit, ...]:
        """Visits that were dispatched and not yet told, by number."""
        return tuple(state.visit for state in self.book.untold())

    def start(self, at_s: float) -> None:
        """Note when the run began."""
        self._dispatcher.started_s = at_s

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan
        self._ledger.use(plan)
        self._dispatcher.use(plan)

    def follow(self, records: Sequence[Decided | Confirm], *, then_ask: bool) -> None:
        """Take the next decisions from a journal; when they run out ask again, or nobody at all."""
        self._dispatcher.follow(records, then_ask=then_ask)

    def go_on(self, at_s: float, *, asks: bool) -> list[Message]:
        """Tell what is due and, where the run still `asks`, ask after every tell."""
        messages = self._ask_while_due(at_s) if asks else []
        while (state := self.book.tell_next()) is not None:
            messages += self._tell(state, at_s)
            if asks:
                messages += self._ask_while_due(at_s)
        return messages

    def answer(self, answered: Answered) -> list[Message]:
        """Carry out what is left of a decision after a person has answered.

        Raises
        ------
        IllegalInput
            If nobody was asked about it.
        """
        decision = self._dispatcher.settle(self._close_question(answered), answered)
        messages = self._take_in(decision)
        self._judge(decision)
        if answered.answer == "stop":
            self.ending = Ending("stopped", answered.by)
        return messages

    def withdraw(self, answered: Answered, why: str) -> list[Message]:
        """Make no visit of the decision that a person was asked about: whatever was answered came too late.

        Raises
        ------
        IllegalInput
            If nobody was asked about it.
        """
        late = replace(answered, answer="skip", by=why, judged=False)
        return self._take_in(self._dispatcher.settle(whole(self._close_question(answered)), late))

    def _close_question(self, answered: Answered) -> Confirm:
        asked = self.question
        if asked is None or asked.proposed.decision != answered.decision:
            raise IllegalInput(f"nobody was asked about decision {answered.decision}")
        self.question = None
        return asked

    def _tell(self, state: VisitState, at_s: float) -> list[Message]:
        self._fruitless = 0
        # Settled here and not when the visit ended: what the guards see must not depend on who was faster.
        if state.ended is not None:
            self._ledger.settle(state.visit, state.ended)
        verdicts = self._trust.judge(state.visit, state.good(), at_s)
        for verdict in verdicts:
            self.book.state(verdict.visit).reject(verdict)
        result = state.result(at_s)
        self.told.append(result)
        self._retries.note(result)
        self._decider.tell(state.visit, result)
        return [*verdicts]

    def _ask_while_due(self, at_s: float) -> list[Message]:
        messages: list[Message] = []
        due = self._plan.in_flight - self._plan.batch
        while self.ending is None and self.question is None and len(self.untold) <= due:
            if spent := budget_spent(self._plan, self._ledger, at_s):
                # A visit under way may give back what it did not take.
                if not self.untold:
                    self.ending = Ending("budget", spent)
                break
            decision = self._dispatcher.decide(self.untold, at_s)
            if decision.question is not None:
                self.question = decision.question
                return [*messages, decision.question]
            messages += self._take_in(decision)
            self._judge(decision)
            if not decision.acquires and self.untold:
                break  # the next result may change the policy's mind
        return messages

    def _take_in(self, decision: Decision) -> list[Message]:
        """Note the visits of a decision, and tell the policy what was denied."""
        self._fruitless = 0 if decision.acquires else self._fruitless + 1
        if decision.record is None:
            return []
        for acquire in decision.acquires:
            self.book.open(acquire.visit, self._plan.profiles[acquire.visit.profile])
        for never, result in decision.vetoed:
            self.told.append(result)
            self._decider.tell(never, result)
        return [decision.record, *decision.acquires]

    def _judge(self, decision: Decision) -> None:
        """Say whether a decision was the last one."""
        record = decision.record
        if record is not None and record.stop:
            self.ending = Ending("completed", record.stop)
        elif self._decider.broken:
            reason = record.error if record is not None else ""
            self.ending = Ending("failed", f"nobody is left to decide: {reason}")
        elif decision.acquires or self.untold:
            return
        elif record is None or not record.proposals:
            self.ending = Ending("completed", "the policy has nothing more to propose")
        elif self._fruitless >= _FRUITLESS_ASKS:
            self.ending = Ending("completed", f"every proposal was denied: {record.proposals[0].verdict}")
