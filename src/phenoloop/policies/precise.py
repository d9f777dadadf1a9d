"""More images where a mean is still uncertain, until every interval is as narrow as asked for.

Of wells, each on its own; or, where the question makes groups of wells, of those groups: then the well is the unit, and
a replicate well comes before another field of the same well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.numerics.intervals import fixed_half_width
from phenoloop.numerics.rounding import significant, significant_all
from phenoloop.numerics.well_sums import WellSums
from phenoloop.policies.precise_groups import GroupWidths, GroupWish, group_wishes
from phenoloop.policies.told import Told
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.quantities import Percent

_FIRST: Final = 1e6
"""Score above every width: fields that each well gets first."""
_BORROWED: Final = 4.0
"""Degrees of freedom lent by the other wells to the spread of one: three fields alone guess it far too low."""


class Precise:
    """Images the well, or the group of wells, whose interval is widest, relative to what is asked for.

    The width steers; what the report claims is the question's business. Its half-width uses the field SD of the well,
    moderated by that of the plate (``(4 s_plate² + (n - 1) s_well²) / (n + 3)``), so that a stop rule does not fall
    for a well whose first fields happen to agree.

    Parameters
    ----------
    params : Precise.Params
        As in the protocol.
    setup : Setup
        Wells; its readout is used where the parameters name none.

    Raises
    ------
    ProtocolError
        If neither the policy nor a question names a readout, or `by` is no column of the plate map.
    """

    kind: ClassVar[str] = "precise"

    class Params(PolicyParams):
        """Keys of ``policy: {kind: precise}``."""

        readout: str | None = Field(default=None, description="readout to be precise in; the question's unless set")
        half_width: float | None = Field(
            default=None, gt=0, allow_inf_nan=False, description="half-width asked for, in units of the readout"
        )
        relative: Annotated[Percent, Field(gt=0)] | None = Field(
            default=None, description="half-width asked for, as a share of the well's mean"
        )
        by: str | None = Field(
            default=None,
            description="column of the plate map whose groups are to be precise; the question's unless set",
        )
        min_fields: int = Field(default=2, ge=2, description="fields that every well gets first")

        @model_validator(mode="after")
        def _one_target(self) -> Precise.Params:
            if (self.half_width is None) == (self.relative is None):
                raise PydanticCustomError("target", "give either half_width or relative, the precision to stop at")
            return self

    def __init__(self, params: Params, setup: Setup) -> None:
        readout = params.readout or setup.readout
        if readout is None:
            message = "precise needs a readout: name it here, or add a question that does"
            raise ProtocolError(Problem(where="policy.readout", message=message))
        self._params = params
        self._setup = setup
        self._told = Told(setup, readout)
        self._groups = _groups(setup, params.by or (setup.by if setup.along is None else None))

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        left = self._told.left(context)
        sums = self._told.sums()
        coming = sums.n + self._told.pending(context)
        if self._groups:
            return self._ask_for_groups(k, sums, coming, left, context)
        width = significant_all(self._width(sums, coming))
        few = (left > 0) & (coming < self._params.min_fields)
        wide = (left > 0) & ~few & (sums.n > 0) & (width > 1)
        wanted = np.flatnonzero(few | wide)
        score = np.where(few, _FIRST + self._params.min_fields - coming, np.minimum(width, _FIRST))[wanted]
        order = np.lexsort((wanted, -score))
        if not len(order):
            if context.pending:
                return []
            done = not np.any(np.isnan(sums.mean) | (width > 1))
            return Stop(
                reason="every interval is as narrow as asked for" if done else "no field is left where more are needed"
            )
        instead = self._setup.wells[wanted[order[k]]] if len(order) > k else None
        return [
            self._proposal(int(wanted[j]), float(score[j]), float(width[wanted[j]]), sums, coming, left, instead)
            for j in order[:k]
        ]

    def _proposal(
        self,
        i: int,
        score: float,
        width: float,
        sums: WellSums,
        coming: NDArray[np.float64],
        left: NDArray[np.int64],
        instead: str | None,
    ) -> Proposal:
        numbers = {"fields": float(sums.n[i])}
        if coming[i] < self._params.min_fields:
            rule, numbers = "first pass", {"fields": float(coming[i])}
            text = f"{coming[i]:g} of the {self._params.min_fields} fields that every well gets first"
        else:
            rule = "widest interval"
            numbers = {"mean": significant(float(sums.mean[i])), **numbers, "width_ratio": score}
            text = f"its interval will be {width:.2f} times as wide as asked for with {coming[i]:g} fields"
            if not math.isfinite(width):
                text = "its mean is 0, so no share of it is a width that could be reached"
            elif width > score:
                numbers["width_ratio"] = width
        return Proposal(
            well=self._setup.wells[i],
            fields=int(min(self._params.fields_per_visit, left[i])),
            score=score,
            why=Why(rule=rule, text=text, numbers=numbers, instead=instead),
        )

    def _ask_for_groups(
        self, k: int, sums: WellSums, coming: NDArray[np.float64], left: NDArray[np.int64], context: Context
    ) -> Sequence[Proposal] | Stop:
        widths, targets = self._group_widths(sums)
        wishes = group_wishes(widths, self._groups, targets, coming, left, self._params.fields_per_visit, k + 1)
        if not wishes:
            return [] if context.pending else Stop(reason=self._why_stop(sums, left))
        instead = self._setup.wells[wishes[k].well] if len(wishes) > k else None
        left = left.copy()
        proposals = []
        for wish in wishes[:k]:
            fields = int(min(self._params.fields_per_visit, left[wish.well]))
            left[wish.well] -= fields
            proposals.append(self._group_proposal(wish, fields, widths, instead))
        return proposals

    def _group_proposal(self, wish: GroupWish, fields: int, widths: GroupWidths, instead: str | None) -> Proposal:
        known = math.isfinite(wish.ratio)
        place = "a replicate well not yet imaged" if not wish.fields else f"{wish.fields} fields of it before"
        said = (
            f"its interval will be {wish.ratio:.2f} times as wide as asked for" if known else "its spread is not known"
        )
        numbers = {"wells": float(wish.wells), "fields": float(wish.fields)}
        mean = widths.mean(self._groups[wish.group])
        more = {"width_ratio": wish.ratio} if known else {}
        more |= {"mean": significant(mean)} if math.isfinite(mean) else {}
        return Proposal(
            well=self._setup.wells[wish.well],
            fields=fields,
            score=min(wish.ratio, 1e6),
            why=Why(
                rule="widest group" if known else "first wells of a group",
                text=f"{wish.group}: {said} with {wish.wells} wells; {place}",
                numbers=numbers | more,
                instead=instead,
            ),
        )

    def _group_widths(self, sums: WellSums) -> tuple[GroupWidths, dict[str, float]]:
        widths = GroupWidths(sums, self._groups, 1 - self._setup.level)
        relative = self._params.relative or 0.0
        return widths, {
            name: self._params.half_width or relative * abs(widths.mean(wells)) for name, wells in self._groups.items()
        }

    def _why_stop(self, sums: WellSums, left: NDArray[np.int64]) -> str:
        widths, targets = self._group_widths(sums)
        wide = [name for name in self._groups if not widths.half_width(name, sums.n.tolist()) <= targets[name]]
        if not wide:
            return "the interval of every group is as narrow as asked for"
        if any(left[i] > 0 for name in wide for i in self._groups[name]):
            return f"more fields would not narrow {', '.join(wide)}: its wells differ; it takes more replicate wells"
        return f"no field is left where more are needed: {', '.join(wide)}"

    def _width(self, sums: WellSums, n: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the half-width each well would have with `n` fields, over the one asked for; NaN without data."""
        plate = sums.field_sd
        ratio = np.full(len(n), math.nan)
        seen = np.flatnonzero(sums.n > 0)
        ratio[seen] = math.inf
        if math.isnan(plate):
            return ratio
        target = np.full(len(n), self._params.half_width or 0.0)
        if not self._params.half_width:
            target = (self._params.relative or 0.0) * np.abs(sums.mean)
        seen = seen[target[seen] > 0]
        freedom = _BORROWED + sums.n[seen] - 1
        sd = np.sqrt((_BORROWED * plate**2 + sums.scatter[seen]) / freedom)
        ratio[seen] = fixed_half_width(sd, freedom, n[seen], 1 - self._setup.level) / target[seen]
        return ratio

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        self._told.tell(visit, result)

    def report(self) -> Mapping[str, Any]:
        """Return each well's fields, mean and width over the width asked for."""
        sums = self._told.sums()
        width = self._width(sums, sums.n)
        wells = {
            well: {
                "fields": int(sums.n[i]),
                "mean": significant(float(sums.mean[i])),
                "width_ratio": significant(float(width[i])) if math.isfinite(width[i]) else None,
            }
            for i, well in enumerate(self._setup.wells)
            if sums.n[i] > 0
        }
        said: dict[str, Any] = {"wells": wells, "left_alone": self._told.left_alone()}
        if self._groups:
            widths, targets = self._group_widths(sums)
            halves = {
                name: widths.half_width(name, sums.n.tolist()) / (targets[name] or math.nan) for name in self._groups
            }
            said["groups"] = {name: significant(x) if math.isfinite(x) else None for name, x in halves.items()}
        return said


def _groups(setup: Setup, by: str | None) -> dict[str, list[int]]:
    """Return the wells of each value of a column; empty without one."""
    if by is None:
        return {}
    columns = dict.fromkeys(name for row in setup.properties for name in row)
    if by not in columns:
        known = f"it has {', '.join(columns)}" if columns else "there is none"
        raise ProtocolError(Problem(where="policy.by", message=f"the plate map has no column {by!r}; {known}"))
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(setup.properties):
        if row.get(by) is not None:
            groups.setdefault(str(row[by]), []).append(i)
    return groups
