"""Every visit that was dispatched, by number: which are under way, which is told next.

Numbers are dense, and results are told in their order: a visit that is complete early waits for those before it. So
what is decided does not depend on how fast anything was.
"""

from __future__ import annotations

from collections.abc import Iterator

from phenoloop.core.phases import IllegalInput
from phenoloop.core.visiting import VisitState
from phenoloop.model import FieldReadout, Measured, MeasurementFailed, ProfilePlan, Visit, VisitEnded


class VisitBook:
    """The visits of a run, and up to which of them they were told."""

    def __init__(self) -> None:
        self._states: dict[int, VisitState] = {}
        self._next_to_tell = 1

    def open(self, visit: Visit, profile: ProfilePlan) -> None:
        """Enter a visit that is being dispatched."""
        self._states[visit.number] = VisitState(visit, profile)

    def state(self, number: int) -> VisitState:
        """Return what is known of a visit that was dispatched; KeyError otherwise."""
        return self._states[number]

    def states(self) -> Iterator[VisitState]:
        """Yield all visits, by number."""
        yield from self._states.values()

    def untold(self) -> Iterator[VisitState]:
        """Yield the visits that are not told, by number. A time-lapse has very many that are: they are not walked."""
        for number in range(self._next_to_tell, len(self._states) + 1):
            yield self._states[number]

    def heard_of_untold(self) -> list[tuple[Visit, VisitEnded | None]]:
        """Return the visits that are not told, each with its end; None where that has not come."""
        return [(state.visit, state.ended) for state in self.untold()]

    def not_ended(self) -> tuple[Visit, ...]:
        """Return the visits of which the microscope has not said that they are over."""
        return tuple(state.visit for state in self.untold() if state.ended is None)

    def awaited(self) -> tuple[tuple[int, str], ...]:
        """Return the fields (visit, name) that were given to the analysis and have no result."""
        return tuple((number, name) for number, state in self._states.items() for name in state.awaited())

    def accepted(self) -> list[FieldReadout]:
        """Return every field with status ``ok``, by visit."""
        return [readout for state in self._states.values() for readout in state.accepted()]

    def under_way(self, number: int) -> VisitState:
        """Return a visit that has not ended.

        Raises
        ------
        IllegalInput
            If there is no such visit.
        """
        state = self._states.get(number)
        if state is None or state.ended is not None:
            raise IllegalInput(f"visit {number} was not under way")
        return state

    def take(self, happened: Measured | MeasurementFailed) -> None:
        """Take in the result of a field.

        Raises
        ------
        IllegalInput
            If none was expected.
        """
        state = self._states.get(happened.visit)
        if state is None or not state.take(happened):
            raise IllegalInput(f"field {happened.field!r} of visit {happened.visit} was not being measured")

    def tell_next(self) -> VisitState | None:
        """Return the next visit if it is complete, and count it as told; None while its turn has not come."""
        state = self._states.get(self._next_to_tell)
        if state is None or not state.complete:
            return None
        self._next_to_tell += 1
        return state
