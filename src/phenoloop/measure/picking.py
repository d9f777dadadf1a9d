"""Which objects of a field are told of by themselves: those that pass a condition, best first, and where they lie."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from phenoloop.measure.shape import Columns
from phenoloop.model import Candidate, PickPlan
from phenoloop.numerics.rounding import significant
from phenoloop.protocol.expressions import compile_object


class Picker:
    """The compiled expressions of a plan.

    Parameters
    ----------
    plan : PickPlan
        Condition and order.
    names : iterable of str
        Columns that the object table may have.

    Raises
    ------
    ExpressionError
        If an expression names what the table will not have.
    """

    def __init__(self, plan: PickPlan, names: Iterable[str]) -> None:
        known = tuple(names)
        self._most = plan.most
        self._where = compile_object(plan.where, known, condition=True)
        self._order = None if plan.best_first is None else compile_object(plan.best_first, known, condition=False)
        used = (*self._where.names_used, *(() if self._order is None else self._order.names_used))
        self.names_used = tuple(dict.fromkeys(used))

    def pick(self, table: Columns, shape: tuple[int, int]) -> tuple[Candidate, ...]:
        """Return the objects that pass; one of which it is unknown does not.

        Parameters
        ----------
        table : mapping of str to ndarray, each of shape (n,)
            Feature table, with ``label``, ``x`` and ``y``.
        shape : (int, int)
            (height, width) of the frame in pixels.

        Returns
        -------
        tuple of Candidate
            Highest score first, unknown scores last, ties in the order of the labels; numbers rounded to nine
            significant digits, because decisions compare them.
        """
        n = len(table["label"])
        passed = np.flatnonzero(self._where.evaluate(table, n) == 1)
        scores = np.full(n, np.nan) if self._order is None else self._order.evaluate(table, n)
        found = [
            Candidate(
                label=int(table["label"][i]),
                x_px=significant(float(table["x"][i]) - (shape[1] - 1) / 2),
                y_px=significant(float(table["y"][i]) - (shape[0] - 1) / 2),
                score=_known(scores[i]),
                values={name: _known(table[name][i]) for name in self.names_used},
            )
            for i in passed
        ]
        found.sort(key=lambda one: (one.score is None, 0.0 if one.score is None else -one.score, one.label))
        return tuple(found[: self._most])


def _known(value: float) -> float | None:
    return significant(float(value)) if np.isfinite(value) else None
