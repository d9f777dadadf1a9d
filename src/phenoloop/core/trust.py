"""Fields against the other fields of their run: far from all controls, or amid a sudden fall of counts.

What a frame shows by itself was judged where it was measured. Here it is compared, when it is told and therefore in the
order of the visits, from numbers that the journal holds: the same on a replay, and whoever was faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from phenoloop.model import Judged, Measured, Plan, Visit
from phenoloop.model.quality import METRICS
from phenoloop.numerics.outlying import Axis, farness
from phenoloop.numerics.rounding import significant

ENOUGH_CONTROLS: Final = 8
"""Accepted fields of controls from which on others are compared with them."""
_REMEMBERED: Final = 200
"""Latest fields of controls that are compared with: drift over days is no outlier."""
_WELLS_THAT_FALL: Final = 3
"""Wells in succession whose counts must have fallen, one of them a control or seen before."""
_ENOUGH_COUNTS: Final = 8
"""Accepted fields before a fall can be told from the first wells being sparse."""
_SPARSE: Final = 10.0
"""Fields that are expected to hold fewer objects fall by chance."""


class Trust:
    """Hears of every field that passed the gates of its own frame, in the order of the tells.

    Parameters
    ----------
    plan : Plan
        `Plan.trust` says what is compared and how far is too far.
    """

    def __init__(self, plan: Plan) -> None:
        self._trust = plan.trust
        self._controls = frozenset(plan.controls)  # only looked up in, never walked through
        self._metrics = [metric for metric in METRICS if metric.name in plan.trust.metrics]
        self._axes = [Axis(name=metric.name, bad=metric.bad, floor=metric.floor) for metric in self._metrics]
        # by imaging profile: another objective shows other frames
        self._good: dict[str, deque[tuple[float | None, ...]]] = {}
        self._falls: dict[str, _Fall] = {}

    def judge(self, visit: Visit, measured: Sequence[Measured], at_s: float) -> list[Judged]:
        """Return the fields to reject, those of `visit` and, after a fall of counts, of the visits that began it.

        Parameters
        ----------
        visit : Visit
            What is being told.
        measured : sequence of Measured
            Its fields with status ``ok``, in the order of the visit.
        at_s : float
            Run clock.
        """
        good = self._good.setdefault(visit.profile, deque(maxlen=_REMEMBERED))
        fall = self._falls.setdefault(visit.profile, _Fall(self._trust.max_count_drop, self._controls))
        verdicts: list[Judged] = []
        for field in measured:
            if (far := self._far(field, good, at_s)) is not None:
                verdicts.append(far)
                continue
            fallen = fall.hear(visit.well, field, at_s)
            verdicts += fallen
            if visit.well in self._controls and not any(one.field == field.field for one in fallen):
                good.append(self._point(field))
        return verdicts

    def _point(self, field: Measured) -> tuple[float | None, ...]:
        return tuple(metric.scaled(field.quality.get(metric.name)) for metric in self._metrics)

    def _far(self, field: Measured, good: Sequence[tuple[float | None, ...]], at_s: float) -> Judged | None:
        limit = self._trust.max_distance
        if limit is None or not self._axes or len(good) < ENOUGH_CONTROLS:
            return None
        found = farness(self._point(field), good, self._axes)
        if found.distance <= limit:
            return None
        worst = sorted(found.deviations, key=lambda name: -abs(found.deviations[name]))[:2]
        said = ", ".join(f"{name} {field.quality[name]:.3g} ({found.deviations[name]:+.1f} SD)" for name in worst)
        return Judged(
            at_s=at_s,
            visit=field.visit,
            field=field.field,
            reason=(
                f"unlike the controls: {found.distance:.1f} SD from {len(good)} of their fields, "
                f"at most {limit:g} is allowed; most by {said}"
            ),
            numbers={"distance": found.distance, "limit": limit, "controls": float(len(good))},
        )


class _Fall:
    """Watches the number of objects per field from well to well.

    One well that loses its cells is a result. Several in succession, a control or a well that was seen full among them,
    are the lamp, the water of the objective, or the stage.
    """

    def __init__(self, limit: float | None, controls: frozenset[str]) -> None:
        self._limit = limit
        self._controls = controls
        self._counts: deque[int] = deque(maxlen=_REMEMBERED)
        self._of_well: dict[str, deque[int]] = {}
        self._suspects: list[tuple[str, Measured, float]] = []
        self._fallen = False

    def hear(self, well: str, field: Measured, at_s: float) -> list[Judged]:
        if self._limit is None:
            return []
        own = self._of_well.get(well)
        expected = _median(own) if own else _median(self._counts) if self._counts else 0.0
        low = len(self._counts) >= _ENOUGH_COUNTS and expected >= _SPARSE
        if not (low and field.objects < (1 - self._limit) * expected):
            for earlier, suspect, _ in self._suspects:
                self._keep(earlier, suspect.objects)
            self._suspects.clear()
            self._fallen = False
            self._keep(well, field.objects)
            return []
        if self._fallen:
            return [self._verdict(field, expected, at_s)]
        self._suspects.append((well, field, expected))
        wells = dict.fromkeys(name for name, _, _ in self._suspects)
        known = any(name in self._controls or name in self._of_well for name in wells)
        if len(wells) < _WELLS_THAT_FALL or not known:
            return []
        self._fallen = True
        verdicts = [self._verdict(suspect, before, at_s) for _, suspect, before in self._suspects]
        self._suspects.clear()
        return verdicts

    def _keep(self, well: str, objects: int) -> None:
        self._counts.append(objects)
        self._of_well.setdefault(well, deque(maxlen=8)).append(objects)

    def _verdict(self, field: Measured, expected: float, at_s: float) -> Judged:
        assert self._limit is not None
        return Judged(
            at_s=at_s,
            visit=field.visit,
            field=field.field,
            reason=(
                f"counts fell in {_WELLS_THAT_FALL} or more wells in succession, one of them known to hold cells: "
                f"{field.objects} objects where {expected:g} were expected, a fall of {self._limit:.0%} is allowed"
            ),
            numbers={"objects": float(field.objects), "expected": significant(expected), "limit": self._limit},
        )


def _median(values: Sequence[int]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
