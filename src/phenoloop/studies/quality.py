"""How good an answer is, as one number per kind of question, against the truth or against what all the data say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from scipy.stats import rankdata

from phenoloop.errors import UsageError
from phenoloop.model import Answer, Setup

TRUTH: Final = "the truth of the virtual plate"
ALL_DATA: Final = "the answer from all recorded fields"

Bounds = tuple[float, float]
SHARE: Final[Bounds] = (0.0, 1.0)
POSITIVE: Final[Bounds] = (0.0, math.inf)


class Measure(Protocol):
    """A number that says how good something is."""

    @property
    def title(self) -> str:
        """What the number is, for an axis."""
        ...

    @property
    def against(self) -> str:
        """What it is held against."""
        ...

    @property
    def higher(self) -> bool:
        """Whether more is better."""
        ...

    @property
    def bounds(self) -> Bounds:
        """Least and most that it can be; an interval does not reach beyond."""
        ...


class Quality(Measure, Protocol):
    """Judges answers."""

    def of(self, answer: Answer) -> float | None:
        """Return the number; None where the answer says too little for one."""
        ...

    def beside(self, answer: Answer) -> dict[str, float]:
        """Return further numbers by name; all of them are shares."""
        ...


def f1(called: frozenset[str], true: frozenset[str]) -> float:
    """Return the harmonic mean of precision and recall; 1 where there is nothing to find and nothing was called."""
    total = len(called) + len(true)
    return 2 * len(called & true) / total if total else 1.0


@dataclass(frozen=True)
class Calls:
    """F1 of the calls; beside it, the share of the true hits among as many first wells of the ranking."""

    true: frozenset[str]
    controls: frozenset[str]
    against: str = TRUTH
    title: str = "F1 of the calls"
    higher: bool = True
    bounds: Bounds = SHARE

    def of(self, answer: Answer) -> float | None:
        """Return F1; controls are no calls."""
        return f1(hits_of(answer, self.controls), self.true)

    def beside(self, answer: Answer) -> dict[str, float]:
        """Return the top-k recall."""
        if not self.true:
            return {}
        ranked = sorted((said.rank, well) for well, said in answer.wells.items() if said.rank is not None)
        first = [well for _, well in ranked if well not in self.controls][: len(self.true)]
        return {"top-k recall": sum(well in self.true for well in first) / len(self.true)}


@dataclass(frozen=True)
class Ranking:
    """Rank correlation (Spearman) of the wells' order with another order; wells without data share the middle."""

    wanted: Mapping[str, int]
    against: str = ALL_DATA
    title: str = "rank correlation of the wells"
    higher: bool = True
    bounds: Bounds = (-1.0, 1.0)

    def of(self, answer: Answer) -> float | None:
        """Return the correlation; None while no well has a rank, or all orders are ties."""
        ranks = {well: said.rank for well, said in answer.wells.items() if well in self.wanted}
        known = [rank for rank in ranks.values() if rank is not None]
        if not known:
            return None
        middle = sum(known) / len(known)
        ours = rankdata([middle if rank is None else rank for rank in ranks.values()])
        theirs = rankdata([self.wanted[well] for well in ranks])
        if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
            return None
        return float(np.corrcoef(ours, theirs)[0, 1])

    def beside(self, answer: Answer) -> dict[str, float]:
        """Return nothing."""
        return {}


@dataclass(frozen=True)
class Width:
    """Width of the interval of a typical group of wells, or of a typical well where there are no groups."""

    against: str = "nothing: narrower is better"
    title: str = "median width of the intervals"
    higher: bool = False
    bounds: Bounds = POSITIVE

    def of(self, answer: Answer) -> float | None:
        """Return the median, an interval that is not there being infinitely wide; None while that is infinite."""
        groups: Any = answer.summary.get("groups") or {}
        bands = [(band["low"], band["high"]) for band in groups.values()] or [
            (None, None) if said.interval is None else (said.interval.low, said.interval.high)
            for said in answer.wells.values()
        ]
        widths = [math.inf if low is None or high is None else high - low for low, high in bands]
        median = float(np.median(widths)) if widths else math.inf
        return median if math.isfinite(median) else None

    def beside(self, answer: Answer) -> dict[str, float]:
        """Return the share of the wells that have an interval."""
        known = [said.interval is not None for said in answer.wells.values()]
        return {"wells with an interval": sum(known) / max(1, len(known))}


@dataclass(frozen=True)
class CurveError:
    """Root mean square error of log10 EC50 over the compounds that have one.

    Where an answer claims no EC50 of a compound, its best guess counts; a compound without even that counts as wrong by
    `missing`, half of the tested range in decades.
    """

    log10_ec50: Mapping[str, float]
    missing: Mapping[str, float]
    against: str = TRUTH
    title: str = "RMSE of log10 EC50"
    higher: bool = False
    bounds: Bounds = POSITIVE

    def of(self, answer: Answer) -> float | None:
        """Return the error; None before any compound has an estimate."""
        found = estimates(answer, claimed=False)
        if not any(name in found for name in self.log10_ec50):
            return None
        errors = [found[name] - true if name in found else self.missing[name] for name, true in self.log10_ec50.items()]
        return math.sqrt(sum(error**2 for error in errors) / len(errors))

    def beside(self, answer: Answer) -> dict[str, float]:
        """Return the share of these compounds that have an estimate."""
        found = estimates(answer)
        return {"compounds estimated": sum(name in found for name in self.log10_ec50) / len(self.log10_ec50)}


@dataclass(frozen=True)
class Found:
    """Share of the objects that were wanted, and are confirmed."""

    against: str = "the number that was asked for"
    title: str = "share of the wanted objects that are confirmed"
    higher: bool = True
    bounds: Bounds = SHARE

    def of(self, answer: Answer) -> float | None:
        """Return the share."""
        summary: Any = answer.summary
        return min(1.0, float(summary["confirmed"]) / float(summary["wanted"]))

    def beside(self, answer: Answer) -> dict[str, float]:
        """Return nothing."""
        return {}


def hits_of(answer: Answer, controls: frozenset[str]) -> frozenset[str]:
    """Return the wells that an answer calls, controls left out."""
    return frozenset(well for well, said in answer.wells.items() if said.call == "hit" and well not in controls)


def estimates(answer: Answer, *, claimed: bool = True) -> dict[str, float]:
    """Return log10 EC50 by compound, of those whose EC50 is claimed; otherwise of all that have a curve."""
    compounds: Any = answer.summary.get("compounds", {})
    return {
        name: float(one["log10_ec50"]["mean"])
        for name, one in compounds.items()
        if one["finding"] == "estimated" or (not claimed and "log10_ec50" in one)
    }


def half_ranges(answer: Answer) -> dict[str, float]:
    """Return half of each compound's range of doses, in decades."""
    compounds: Any = answer.summary.get("compounds", {})
    return {name: math.log10(max(one["doses"]) / min(one["doses"])) / 2 for name, one in compounds.items()}


def against_all(kind: str, setup: Setup, everything: Answer) -> Quality:
    """Return the quality of an answer that is held against the one from all data.

    Parameters
    ----------
    kind : str
        Of the question.
    setup : Setup
        Its wells.
    everything : Answer
        From all recorded fields.

    Raises
    ------
    UsageError
        If that answer says nothing that another could agree with.
    """
    controls = frozenset(setup.controls)
    if kind == "mean":
        return Width()
    if kind == "dose_response":
        if not (found := estimates(everything)):
            raise UsageError(
                "all recorded fields together give no EC50, so there is nothing to compare estimates with."
            )
        return CurveError(found, half_ranges(everything), against=ALL_DATA)
    if kind == "hits" and (hits := hits_of(everything, controls)):
        return Calls(hits, controls, against=ALL_DATA)
    ranks = {well: said.rank for well, said in everything.wells.items() if said.rank is not None}
    if len(ranks) < 3:
        raise UsageError(
            f"a question of kind {kind!r} gives these fields no order, so answers cannot be compared. Ask one of hits, "
            "mean or dose_response."
        )
    return Ranking(ranks)
