"""How large a readout is, per well and per group of the plate map, with the well as the unit of replication."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final

import numpy as np
from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Answer, FieldReadout, Interval, Scalar, Setup, WellAnswer
from phenoloop.numerics.intervals import anytime_half_width, fixed_half_width
from phenoloop.numerics.rounding import significant
from phenoloop.numerics.well_sums import WellSums, summarise
from phenoloop.protocol.base import QuestionParams
from phenoloop.protocol.quantities import Percent
from phenoloop.questions.plate_checks import check_plate
from phenoloop.questions.values import by_well, left_out, number

_METHOD: Final = {False: "t interval, right for a number fixed beforehand", True: "t-mixture confidence sequence"}
_IN_WELL: Final = "over the fields of this one well (pseudo-replicates), field SD pooled over wells"


class MeanQuestion:
    """Estimates means. Makes no calls.

    Parameters
    ----------
    params : MeanQuestion.Params
        As in the protocol.
    setup : Setup
        Wells and their rows of the plate map.

    Raises
    ------
    ProtocolError
        If `by` names no column of the plate map.
    """

    kind: ClassVar[str] = "mean"

    class Params(QuestionParams):
        """Keys of ``question: {kind: mean}``."""

        by: str | None = Field(default=None, description="column of the plate map whose values make the groups")
        controls: str | None = Field(
            default=None,
            description="wells that hold the same thing: the plate is checked on them for edge effect and drift",
        )
        confidence: Annotated[Percent, Field(gt=0, lt=1)] = Field(default=0.95, description="coverage of the intervals")
        anytime: bool = Field(
            default=False, description="intervals that stay valid when looked at after every batch (about 1.6 x wider)"
        )

    def __init__(self, params: Params, setup: Setup) -> None:
        self._params = params
        self._setup = setup
        self._wells = setup.wells
        rows: Sequence[Mapping[str, Scalar]] = setup.properties or [{} for _ in setup.wells]
        columns = dict.fromkeys(name for row in rows for name in row)
        if params.by is not None and params.by not in columns:
            known = f"it has {', '.join(columns)}" if columns else "there is none"
            raise ProtocolError(
                Problem(where="question.by", message=f"the plate map has no column {params.by!r}; {known}")
            )
        self._groups: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            if params.by is not None and row.get(params.by) is not None:
                self._groups.setdefault(str(row[params.by]), []).append(i)

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Answer from all accepted fields; see `phenoloop.ports.Question`."""
        values, unknown = by_well(self._wells, fields, self._params.readout)
        sums = summarise(values)
        order = [i for i in range(len(self._wells)) if sums.n[i] > 0]
        order.sort(key=lambda i: (-significant(float(sums.mean[i])), i))
        rank = {i: place for place, i in enumerate(order, start=1)}
        wells = {
            well: WellAnswer(call=None, evidence=None, rank=rank.get(i), interval=self._well(sums, i))
            for i, well in enumerate(self._wells)
        }
        plate, found = check_plate(self._setup, self._setup.controls, fields, self._params.readout)
        summary = {
            "readout": self._params.readout,
            "plate_effects": plate,
            "plate": self._group(sums, range(len(self._wells))),
            "by": self._params.by,
            "groups": {name: self._group(sums, members) for name, members in self._groups.items()},
        }
        notes = ["a group's interval counts wells, not fields; a well alone has no interval for its treatment"]
        if not self._params.anytime:
            notes.append("intervals are right for a number of images fixed beforehand, not for one that they stopped")
        if unknown:
            notes.append(left_out(unknown, self._params.readout))
        return Answer(wells=wells, summary=summary, notes=(*notes, *found))

    def _half(self, sd: float, freedom: float, n: float) -> float:
        """Return a half-width; infinity where there is no spread to judge by."""
        if freedom < 1 or n < 1:
            return math.inf
        width = anytime_half_width if self._params.anytime else fixed_half_width
        return float(width(sd, freedom, np.array([n]), self._params.confidence)[0])

    def _well(self, sums: WellSums, i: int) -> Interval | None:
        if sums.n[i] < 1:
            return None
        half = self._half(sums.field_sd, sums.freedom, float(sums.n[i]))
        mean = float(sums.mean[i])
        return Interval(
            mean=number(mean),
            low=number(mean - half),
            high=number(mean + half),
            n=int(sums.n[i]),
            level=self._params.confidence,
            kind=f"{_METHOD[self._params.anytime]}, {_IN_WELL}",
            unit="field",
            valid_when_peeking=self._params.anytime,
        )

    def _group(self, sums: WellSums, members: Sequence[int]) -> dict[str, object]:
        """Return mean and band over the means of the wells of a group, each well counting once; JSON-ready."""
        seen = [i for i in members if sums.n[i] > 0]
        means = summarise([[float(sums.mean[i]) for i in seen]])
        half = self._half(means.field_sd, means.freedom, float(means.n[0]))
        mean = float(means.mean[0])
        return {
            "mean": number(mean),
            "low": number(mean - half),
            "high": number(mean + half),
            "wells": len(seen),
            "fields": int(sum(sums.n[i] for i in seen)),
            "level": self._params.confidence,
            "kind": f"{_METHOD[self._params.anytime]}, over well means",
            "unit": "well",
            "valid_when_peeking": self._params.anytime,
        }

    @staticmethod
    def forecast(params: Params, setup: Setup) -> list[str]:
        """Return, in sentences, how narrow the intervals can become."""
        deepest = max(setup.fields)
        width = anytime_half_width if params.anytime else fixed_half_width
        freedom = max(1, sum(fields - 1 for fields in setup.fields))
        half = float(width(1.0, freedom, np.array([float(deepest)]), params.confidence)[0])
        return [
            f"with all {deepest} fields the {params.confidence:.0%} interval of one well is about "
            f"± {half:.2f} field SDs; a group's interval depends on how much its wells differ"
        ]
