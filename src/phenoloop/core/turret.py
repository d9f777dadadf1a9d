"""Which objective is in place and when it was changed, so that no hour sees more changes than are allowed.

A change happens some time between the dispatch of its visit and the visit's end. Until the visit is told it counts as
happening now, after that as happening when the visit ended: never too few in any hour.
"""

from __future__ import annotations

from typing import Final

HOUR_S: Final = 3600.0


class Turret:
    """The changes of objective of a run.

    Parameters
    ----------
    objective : str or None
        Preset of the objective that the microscope begins with; None for a turret that nobody commands.
    """

    def __init__(self, objective: str | None) -> None:
        self.objective = objective
        self._first = objective
        self._batch: dict[str, None] = {}
        self._changes: dict[int, float | None] = {}

    def copy(self) -> Turret:
        """Return a turret that can be turned without turning this one."""
        other = Turret(self._first)
        other.objective = self.objective
        other._batch, other._changes = dict(self._batch), dict(self._changes)
        return other

    @property
    def total(self) -> int:
        """Changes so far, those on their way included."""
        return len(self._changes)

    def differs(self, objective: str | None) -> bool:
        """Return whether a visit under an objective would turn the turret as it stands."""
        return objective is not None and objective != self.objective

    def begin_batch(self) -> None:
        """Forget what was promised to a batch that is on its way, or came to nothing."""
        self._batch = {}

    def promise(self, objective: str | None) -> None:
        """Note that a visit of the present batch uses an objective."""
        if self.differs(objective):
            assert objective is not None
            self._batch[objective] = None

    def changes_with(self, objective: str | None) -> int:
        """Return the changes of the present batch with one more visit: visits of one objective are taken together."""
        return len(self._batch) + (self.differs(objective) and objective not in self._batch)

    def sent(self, visit: int, objective: str | None) -> None:
        """Note a dispatched visit, in the order of the route."""
        if self.differs(objective):
            self._changes[visit] = None
            self.objective = objective

    def reopen(self, at_s: float) -> None:
        """Note that the microscope was opened again, which brings the first objective back."""
        if self.differs(self._first):
            # No visit has this number, and no two openings at the same state of things share it.
            self._changes[-len(self._changes) - 1] = at_s
            self.objective = self._first

    def changed_by(self, visit: int) -> bool:
        """Return whether a visit turned the turret."""
        return visit in self._changes

    def settle(self, visit: int, at_s: float) -> None:
        """Note when a visit ended."""
        if visit in self._changes:
            self._changes[visit] = at_s

    def in_hour_before(self, at_s: float) -> int:
        """Return the changes in the hour up to `at_s`, all those included that are on their way."""
        return sum(ended is None or ended + HOUR_S > at_s for ended in self._changes.values())

    def free_at_s(self, allowed: int) -> float | None:
        """Return when at most `allowed` changes lie within an hour; None while too many are on their way."""
        on_their_way = sum(ended is None for ended in self._changes.values())
        if on_their_way > allowed:
            return None
        ended = sorted(at_s for at_s in self._changes.values() if at_s is not None)
        excess = on_their_way + len(ended) - allowed
        return None if excess <= 0 else ended[excess - 1] + HOUR_S
