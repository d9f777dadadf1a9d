"""What is known of single objects: found by a pre-scan, judged by a second look, and how far a score can be trusted."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Candidate, FieldResult, ObjectSearch, Target, Visit, VisitResult
from phenoloop.numerics.calibration import Calibration, calibrate
from phenoloop.numerics.proportions import log_evidence_less
from phenoloop.numerics.rounding import significant

Array = NDArray[np.float64]

MOST_TRIES: Final = 2
"""Looks at one object that came to nothing (missing, rejected) after which it is given up."""
MOST_DENIALS: Final = 6
"""Denials of one object after which it is given up."""
PATIENCE_S: Final = 60.0
"""After a denial an object waits so long, doubled each time: what forbade it may pass (objective changes per hour)."""
CAUTION: Final = 0.7
"""A chance is an estimate: an object is passed over only when its chance is so far below what would pay."""
ALARM: Final = 0.05
"""Level at which "precise enough" is given up; valid although it is looked at after every object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One object that the pre-scan found, and what became of it.

    Attributes
    ----------
    well, field : str
        Where it was found.
    target : Target
        Its name and place.
    score : float
        ``-inf`` where it has none.
    state : str
        ``waiting``, ``confirmed``, ``refuted`` or ``given up``.
    tries, denials : int
        Looks that came to nothing, and proposals that were refused.
    not_before_s : float
        Run clock before which it is not proposed again.
    """

    well: str
    field: str
    target: Target
    score: float
    state: str = "waiting"
    tries: int = 0
    denials: int = 0
    not_before_s: float = 0.0


Key = tuple[str, str]
"""(well, name) of an object."""


class ObjectsTold:
    """All objects of a run, in the order in which they were found.

    Parameters
    ----------
    search : ObjectSearch
        The two profiles, and how far apart two positions of one object may be.
    min_precision : float
        Share of confirmed objects below which a score counts as too low.
    """

    def __init__(self, search: ObjectSearch, min_precision: float) -> None:
        self._search = search
        self._min_precision = min_precision
        self.objects: dict[Key, Found] = {}
        self.threshold = -math.inf
        """Only objects with a higher score are looked at."""
        self.raised = 0
        """How often the threshold was raised."""
        self.confirmed = 0
        """Objects that the second look confirmed."""
        self.judged = 0
        """Objects that the second look decided about."""
        self._by_well: dict[str, list[Key]] = {}
        # By place in `objects`, and kept up to date look by look: there may be thousands, too many to go through at
        # every ask. Arrays of bare numbers become arrays to compute with in no time.
        self._keys: list[Key] = []
        self._place: dict[Key, int] = {}
        self._scores = array("d")
        self._worth = array("d")
        self._not_before_s = array("d")
        self._waiting = bytearray()
        """1 for those that wait for their look."""
        self._calibration = Calibration()

    def scanned(self, visit: Visit, field: FieldResult) -> int:
        """Take in the candidates of a field of the pre-scan; one that is known already is not counted twice.

        Returns
        -------
        int
            How many are new; they are the last of `objects`.
        """
        before = len(self.objects)
        t = next((place.t for place in visit.fields if place.field == field.field), 0)
        for candidate in field.candidates:
            target = _target(field.field, t, candidate)
            if target is None or (visit.well, target.name) in self.objects:
                continue
            if any(self._same(one.target, target) for one in self._in(visit.well)):
                continue
            score = -math.inf if candidate.score is None else candidate.score
            key = visit.well, target.name
            self._place[key] = len(self.objects)
            self._keys.append(key)
            self.objects[key] = Found(well=visit.well, field=field.field, target=target, score=score)
            self._by_well.setdefault(visit.well, []).append(key)
            self._scores.append(score)
            self._worth.append(0.0)
            self._not_before_s.append(0.0)
            self._waiting.append(self._high(score))
        return len(self.objects) - before

    def looked(self, visit: Visit, result: VisitResult) -> None:
        """Take in what became of second looks."""
        denied = all(field.status == "vetoed" for field in result.fields)
        for field in [FieldResult(field=p.field, status="vetoed") for p in visit.fields] if denied else result.fields:
            key = (visit.well, field.field)
            if key in self.objects:
                before = self.objects[key]
                self.objects[key] = after = self._after(before, field, result.at_s)
                place = self._place[key]
                self._not_before_s[place] = after.not_before_s
                if after.state != before.state:
                    self.confirmed += after.state == "confirmed"
                    self.judged += after.state in ("confirmed", "refuted")
                    if self._waiting[place]:
                        self._waiting[place] = False
                        self._worth[place] = float(after.state == "confirmed")
        if self._watch():
            high = (self._high(score) for score in self._scores)
            self._waiting = bytearray(waits and is_high for waits, is_high in zip(self._waiting, high, strict=True))
        # The chance to be confirmed as a function of the score, learnt from those that were judged.
        judged = self._judged_high()
        self._calibration = calibrate([one.score for one in judged], [one.state == "confirmed" for one in judged])

    @property
    def waiting(self) -> int:
        """Objects that wait for their look."""
        return self._waiting.count(True)

    def chances(self) -> Array:
        """Return the chance of each object as its score has it, in the order of `objects`, judged or not."""
        return self._calibration.at(np.array(self._scores))

    def chances_of(self, keys: Iterable[Key], chances: Array) -> list[float]:
        """Return the chances of some objects out of those of all; 0 for one that waits for no look."""
        places = [self._place.get(key) for key in keys]
        return [float(chances[place]) if place is not None and self._waiting[place] else 0.0 for place in places]

    def queue(self, chances: Array, under_way: Mapping[Key, None], at_s: float, least: float) -> dict[Key, float]:
        """Return the objects that may be looked at now with their chances, most likely first.

        Parameters
        ----------
        chances : ndarray
            From `chances`.
        under_way : mapping
            Those that are looked at already.
        at_s : float
            Run clock.
        least : float
            Chance from which on a look pays.
        """
        may = self._wait() & (chances >= least) & (np.array(self._not_before_s) <= at_s)
        may[[self._place[key] for key in under_way if key in self._place]] = False
        some = np.flatnonzero(may)
        order = some[np.lexsort((some, -np.array(self._scores)[some], -chances[some]))]
        return {self._keys[i]: chance for i, chance in zip(order.tolist(), chances[order].tolist(), strict=True)}

    def least_chance(self, chances: Array, fields: int, field_s: float, look_s: float, change_s: float) -> float:
        """Return the chance below which an object is not worth its look: more pre-scan brings a better one sooner.

        One wanted object costs ``(field_s F + look_s N) / sum(p)`` seconds when `F` fields are pre-scanned and the `N`
        objects in them above some chance are looked at; the best such limit has a cost of c, and then a look pays from
        a chance of ``look_s / c`` on (the marginal value theorem, Charnov 1976, doi:10.1016/0040-5809(76)90040-X).

        Parameters
        ----------
        chances : ndarray
            From `chances`.
        fields : int
            Fields that were pre-scanned.
        field_s, look_s : float
            Seconds of one field, and of one close look.
        change_s : float
            What going back to the pre-scan costs for each object that is still wanted, in seconds.
        """
        if self.threshold > -math.inf:
            chances = chances[np.array(self._scores) > self.threshold]
        if not len(chances):
            return 0.0  # nothing was found yet, so nothing is passed over
        gained = np.cumsum(np.sort(chances)[::-1])
        costs = (field_s * fields + look_s * np.arange(1, len(gained) + 1)) / gained
        return significant(CAUTION * look_s / (float(costs.min()) + change_s))

    def doubt(self) -> float:
        """Return the standard deviation of what is believed of the share of confirmed objects."""
        n = self.judged
        share = (self.confirmed + 1) / (n + 2)
        return significant(math.sqrt(share * (1 - share) / (n + 3)))

    def worth(self, chances: Array) -> Array:
        """Return how much of a wanted one each object is: 1, 0, or its chance; in the order of `objects`."""
        return np.where(self._wait(), chances, np.array(self._worth))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _in(self, well: str) -> list[Found]:
        return [self.objects[key] for key in self._by_well.get(well, ())]

    def _wait(self) -> NDArray[np.bool_]:
        return np.array(self._waiting, dtype=np.bool_)

    def _judged_high(self) -> list[Found]:
        sure = ("confirmed", "refuted")
        return [one for one in self.objects.values() if one.state in sure and self._high(one.score)]

    def _high(self, score: float) -> bool:
        return score > self.threshold or self.threshold == -math.inf

    def _same(self, one: Target, other: Target) -> bool:
        return math.hypot(one.x_um - other.x_um, one.y_um - other.y_um) <= self._search.within_um

    def _after(self, one: Found, field: FieldResult, at_s: float) -> Found:
        if one.state != "waiting":
            return one
        if field.status == "ok":
            places = [_target(field.field, 0, candidate) for candidate in field.candidates]
            seen = any(place is not None and self._same(one.target, place) for place in places)
            return replace(one, state="confirmed" if seen else "refuted")
        if field.status == "vetoed":
            wait_s = PATIENCE_S * 2**one.denials
            state = "given up" if one.denials + 1 >= MOST_DENIALS else "waiting"
            return replace(one, denials=one.denials + 1, not_before_s=at_s + wait_s, state=state)
        return replace(one, tries=one.tries + 1, state="given up" if one.tries + 1 >= MOST_TRIES else "waiting")

    def _watch(self) -> bool:
        """Raise the threshold when too few of the objects above it turn out to be wanted; return whether it was."""
        judged = self._judged_high()
        hits = sum(one.state == "confirmed" for one in judged)
        if log_evidence_less(hits, len(judged), self._min_precision) < math.log(1 / ALARM):
            return False
        self.raised += 1
        scores = sorted({one.score for one in judged})
        for below in scores[:-1]:
            above = [one.state == "confirmed" for one in judged if one.score > below]
            if (sum(above) + 1) / (len(above) + 2) >= self._min_precision and any(above):
                self.threshold = below
                return True
        self.threshold = scores[-1] if math.isfinite(scores[-1]) else math.inf  # nothing that was seen is good enough
        return True


def _target(field: str, t: int, candidate: Candidate) -> Target | None:
    if candidate.x_um is None or candidate.y_um is None:
        return None
    name = f"{field}-{candidate.label}" if t == 0 else f"{field}-{candidate.label}-t{t}"
    return Target(name=name, x_um=candidate.x_um, y_um=candidate.y_um, z_um=candidate.z_um)
