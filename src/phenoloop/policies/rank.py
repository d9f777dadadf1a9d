"""A policy of a lab's own in a few lines: a score for each well; what all policies need is done here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, Proposal, Scalar, Setup, Stop, Visit, VisitResult, Why
from phenoloop.numerics.rounding import significant
from phenoloop.policies.plate_table import Column, PlateTable
from phenoloop.policies.told import MAX_VETOED
from phenoloop.protocol.base import PolicyParams


class Wells:
    """What is known of the wells: a table to read, one row per well in plate order.

    Parameters
    ----------
    setup : Setup
        The plate.
    table : PlateTable
        What was seen.
    coming : ndarray of int, shape (wells,)
        Fields under way.
    left : ndarray of int, shape (wells,)
        Fields that may still be asked for.
    """

    def __init__(self, setup: Setup, table: PlateTable, coming: NDArray[np.int64], left: NDArray[np.int64]) -> None:
        self._setup = setup
        self._table = table
        self.names: tuple[str, ...] = setup.wells
        """Names of the wells."""
        self.n: Column = table.accepted
        """Accepted fields."""
        self.coming: Column = coming.astype(np.float64)
        """Fields under way."""
        self.left: Column = left.astype(np.float64)
        """Fields that may still be asked for."""
        self.is_control: NDArray[np.bool_] = np.isin(np.array(setup.wells), np.array(setup.controls, dtype=str))
        """Whether the question names the well as a control."""

    def __len__(self) -> int:
        return len(self.names)

    def mean(self, readout: str) -> Column:
        """Return the mean of a readout over the accepted fields of each well; NaN is unknown."""
        return self._table.mean(self._known(readout))

    def sd(self, readout: str) -> Column:
        """Return the standard deviation of a readout between the fields of each well; NaN below two fields."""
        return self._table.sd(self._known(readout))

    def controls(self, readout: str) -> tuple[float, float]:
        """Return mean and standard deviation of the control wells, each as its mean; NaN where too few are known."""
        return self._table.mean_of(self._known(readout), self._setup.controls)

    def numbers(self, column: str) -> Column:
        """Return a column of the plate map as numbers; NaN where it is empty or a word."""
        found = self.column(column)
        numeric = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in found]
        return np.array([cell if yes else np.nan for cell, yes in zip(found, numeric, strict=True)], dtype=np.float64)

    def column(self, column: str) -> tuple[Scalar, ...]:
        """Return a column of the plate map as it stands there; None is an empty cell.

        Raises
        ------
        KeyError
            If the map has no such column.
        """
        if not any(column in row for row in self._setup.properties):
            raise KeyError(f"the plate map has no column {column!r}")
        return tuple(row.get(column) for row in self._setup.properties)

    def _known(self, readout: str) -> str:
        if readout not in self._table.readouts:
            raise KeyError(f"there is no readout {readout!r}; there are {', '.join(self._table.readouts) or 'none'}")
        return readout


class RankPolicy(ABC):
    """Images the wells with the highest score. A subclass gives the score, and no more is needed.

    Every well gets `first_fields` first; then, at every ask, the wells are ordered by what `scores` says of them. Wells
    in which images fail or are denied again and again are left alone.

    Parameters
    ----------
    params : RankPolicy.Params
        As in the protocol; a subclass may have more keys in a `Params` of its own.
    setup : Setup
        The plate.
    """

    kind: ClassVar[str] = "rank"

    class Params(PolicyParams):
        """Keys of a policy that ranks wells."""

        first_fields: int = Field(default=1, ge=0, description="fields that every well gets before scores count")
        most_fields: int | None = Field(default=None, ge=1, description="fields that a well gets at most")

    def __init__(self, params: Params, setup: Setup) -> None:
        self.params = params
        self.setup = setup
        self._table = PlateTable(setup)
        self._vetoed = [0] * len(setup.wells)

    @abstractmethod
    def scores(self, wells: Wells) -> Column:
        """Return how much the next fields of each well are wanted.

        Parameters
        ----------
        wells : Wells
            What is known.

        Returns
        -------
        ndarray of float, shape (wells,)
            The highest come first; a well whose score is NaN or infinite is not wanted now.
        """

    def because(self, wells: Wells, i: int, score: float) -> str:
        """Return the reason for well `i` in a sentence; override it to say more."""
        return f"its score is {score:.3g} after {wells.n[i]:g} fields"

    # -- the policy -------------------------------------------------------------------------------------------------

    def try_out(self) -> None:
        """Ask for scores once before anything was seen; called when a protocol is loaded.

        Raises
        ------
        ProtocolError
            If `scores` fails, or does not return one number per well.
        """
        none = np.zeros(len(self.setup.wells), dtype=np.int64)
        try:
            self._scored(Wells(self.setup, self._table, none, np.array(self.setup.fields, dtype=np.int64)))
        except Exception as error:  # foreign code: whatever it raises is told at its place
            said = error.args[0] if isinstance(error, KeyError) and error.args else error
            message = f"scores() of {type(self).__name__} fails: {type(error).__name__}: {said}"
            raise ProtocolError(Problem(where="policy.kind", message=message)) from error

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose the `k` best wells; see `phenoloop.ports.Policy`."""
        wells = self._wells(context)
        have = wells.n + wells.coming
        new = (wells.left > 0) & (have < self.params.first_fields)
        # A well is judged by what is known of it, so one that is under way waits for its result.
        free = (wells.left > 0) & ~new & (wells.coming == 0)
        scores = self._scored(wells)
        wanted = free & np.isfinite(scores)
        first = sorted((float(have[i]), int(i)) for i in np.flatnonzero(new))
        ranked = sorted((-float(scores[i]), int(i)) for i in np.flatnonzero(wanted))
        order = [i for _, i in (*first, *ranked)]
        if not order:
            return [] if context.pending else Stop(reason=self._why_stop(wells, scores))
        instead = self.setup.wells[order[k]] if len(order) > k else None
        found = []
        for rank, i in enumerate(order[:k]):
            if new[i]:
                text = f"{have[i]:g} of the {self.params.first_fields} fields that every well gets first"
                why = Why(rule="first look", text=text, numbers={"fields": float(have[i])}, instead=instead)
            else:
                score = float(scores[i])
                why = Why(
                    rule=type(self).__name__,
                    text=self.because(wells, i, score),
                    numbers={"score": score, "fields": float(wells.n[i]), **self._means(wells, i)},
                    instead=instead,
                )
            fields = int(min(self.params.fields_per_visit, wells.left[i]))
            found.append(Proposal(well=self.setup.wells[i], fields=fields, score=float(-rank), why=why))
        return found

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        i = self._table.place(visit.well)
        if i is not None and visit.profile == "main":
            denied = all(field.status == "vetoed" for field in result.fields)
            self._vetoed[i] = self._vetoed[i] + 1 if denied else 0
        self._table.tell(visit, result)

    def report(self) -> Mapping[str, Any]:
        """Return fields and means of each well."""
        means = {name: self._table.mean(name) for name in self._table.readouts}
        wells = {
            name: {"fields": len(seen.fields)}
            | {readout: float(mean[i]) for readout, mean in means.items() if np.isfinite(mean[i])}
            for i, (name, seen) in enumerate(zip(self.setup.wells, self._table.wells, strict=True))
            if seen.fields
        }
        return {"wells": wells, "left_alone": self._table.left_alone()}

    # -- inside -----------------------------------------------------------------------------------------------------

    def _wells(self, context: Context) -> Wells:
        left = self._table.left(context)
        coming = self._table.pending(context)
        left[np.array(self._vetoed) >= MAX_VETOED] = 0
        most = self.params.most_fields
        if most is not None:
            left = np.maximum(0, np.minimum(left, most - self._table.accepted.astype(np.int64) - coming))
        return Wells(self.setup, self._table, coming, left)

    def _scored(self, wells: Wells) -> Column:
        with np.errstate(all="ignore"):  # what cannot be computed is NaN: not wanted
            found = np.asarray(self.scores(wells), dtype=np.float64)
        if found.shape != (len(wells),):
            raise ValueError(f"scores() must return one number per well, {len(wells)}, not an array of {found.shape}")
        return np.array([significant(float(score)) for score in found])

    def _means(self, wells: Wells, i: int) -> dict[str, float]:
        means = {name: float(wells.mean(name)[i]) for name in self._table.readouts}
        return {name: value for name, value in means.items() if np.isfinite(value)}

    def _why_stop(self, wells: Wells, scores: Column) -> str:
        if not np.any(wells.left > 0):
            return "no field is left that may be asked for"
        return "no well with fields left has a score"
