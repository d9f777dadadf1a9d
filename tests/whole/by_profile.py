"""A policy and a question that go by profiles, as a lab would write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from phenoloop.model import Answer, Context, FieldReadout, Proposal, Setup, Stop, Visit, VisitResult, WellAnswer, Why
from phenoloop.numerics.profiles import control_scale, well_medians
from phenoloop.numerics.rounding import significant
from phenoloop.protocol.base import PolicyParams, QuestionParams


class Furthest:
    """Every well once, then the wells that lie furthest from the controls."""

    needs: ClassVar[tuple[str, ...]] = ("profile",)

    class Params(PolicyParams):
        """No keys of its own."""

    def __init__(self, params: Params, setup: Setup) -> None:
        self.setup = setup
        self.rows: list[tuple[float, ...]] = []
        self.wells: list[int] = []

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Keep the profiles."""
        for field in result.fields:
            if field.status == "ok":
                assert len(field.profile) == len(self.setup.profile_features)
                self.rows.append(tuple(np.nan if value is None else value for value in field.profile))
                self.wells.append(self.setup.wells.index(visit.well))

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose unseen wells, then far ones."""
        far = self.distances()
        asked = {pending.well for pending in context.pending}
        left = [w for w in self.setup.wells if context.fields_left[w] > 0 and w not in asked]
        if not left:
            return [] if context.pending else Stop(reason="every field was imaged")
        left.sort(key=lambda well: (-far.get(well, np.inf), self.setup.wells.index(well)))
        return [
            Proposal(
                well=well,
                fields=1,
                score=min(far.get(well, 1e9), 1e9),
                why=Why(rule="furthest", text="furthest from the controls", numbers={}),
            )
            for well in left[:k]
        ]

    def distances(self) -> dict[str, float]:
        """Root mean square z of each well that was seen, once two controls were."""
        controls = np.array([well in self.setup.controls for well in self.setup.wells])
        if len({well for well in self.wells if controls[well]}) < 2:
            return dict.fromkeys((self.setup.wells[well] for well in self.wells), 0.0)
        rows, which = np.array(self.rows), np.array(self.wells)
        medians, fields = well_medians(rows, which, controls.size)
        z = control_scale(rows, which, controls).z(medians, np.maximum(fields, 1))
        total = np.where(np.isfinite(z), z, 0.0) ** 2
        return {self.setup.wells[w]: significant(float(np.sqrt(sum(total[w].tolist())))) for w in dict.fromkeys(which)}

    def report(self) -> Mapping[str, Any]:
        """Return the distances."""
        return self.distances()


class Seen:
    """Answers how many profiles it got."""

    needs: ClassVar[tuple[str, ...]] = ("profile",)

    class Params(QuestionParams):
        """Names the controls."""

        controls: str

    def __init__(self, params: Params, setup: Setup) -> None:
        self.setup = setup

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Count."""
        nothing = WellAnswer(call=None, evidence=None, rank=None, interval=None)
        lengths = sorted({len(field.profile) for field in fields})
        return Answer(
            wells=dict.fromkeys(self.setup.wells, nothing),
            summary={"fields": len(fields), "lengths": lengths},
            notes=(),
        )
