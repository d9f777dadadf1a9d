"""Small plates and answers that several tests of this folder need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Context, FieldReadout, FieldResult, FieldVisit, Pending, Setup, Visit, VisitResult

WELLS = tuple(f"{row}{column}" for row in "ABCD" for column in range(1, 7))
CONTROLS = WELLS[::3]
TREATED = tuple(well for well in WELLS if well not in CONTROLS)
READOUT = "signal"


def setup(**changes: object) -> Setup:
    """24 wells, 8 of them controls, 6 fields each."""
    values: dict[str, object] = {
        "wells": WELLS,
        "fields": (6,) * len(WELLS),
        "controls": CONTROLS,
        "readout": READOUT,
        "properties": tuple({"treatment": "vehicle" if well in CONTROLS else "drug"} for well in WELLS),
    }
    return Setup(**(values | changes))  # type: ignore[arg-type]


def draw(seed: int, effects: Mapping[str, float], fields: int = 6, well_sd: float = 0.3) -> NDArray[np.float64]:
    """Readouts of all fields, shape (wells, fields), field SD 1."""
    rng = np.random.default_rng(seed)
    effect = np.array([effects.get(well, 0.0) for well in WELLS])
    values: NDArray[np.float64] = (
        effect[:, None] + rng.normal(0, well_sd, (len(WELLS), 1)) + rng.normal(size=(len(WELLS), fields))
    )
    return values


def readouts(values: NDArray[np.float64], n: Sequence[int] | None = None) -> list[FieldReadout]:
    """The first `n` fields of each well as accepted fields."""
    counts = n or [values.shape[1]] * len(values)
    return [
        FieldReadout(well=well, field=str(f), visit=1, readouts={READOUT: float(values[i, f])})
        for i, well in enumerate(WELLS)
        for f in range(counts[i])
    ]


def context(
    decision: int = 1,
    *,
    left: Mapping[str, int] | None = None,
    pending: Sequence[Pending] = (),
    frames_left: int | None = None,
) -> Context:
    """What a policy is asked with; all fields are left unless said otherwise."""
    return Context(
        decision=decision,
        at_s=0.0,
        pending=tuple(pending),
        fields_left=dict.fromkeys(WELLS, 6) | dict(left or {}),
        frames_left=frames_left,
        last_well=None,
        rng=np.random.default_rng([1, decision]),
    )


def told(
    well: str, values: Mapping[str, float | None], status: str = "ok", number: int = 1
) -> tuple[Visit, VisitResult]:
    """A visit and its result: one value per field name."""
    names = tuple(values)
    visit = Visit(
        number=number,
        decision=1,
        well=well,
        profile="main",
        fields=tuple(FieldVisit(field=name, t=0, image=0) for name in names),
        channels=("GFP",),
    )
    results = tuple(FieldResult(field=name, status=status, readouts={READOUT: values[name]}) for name in names)
    return visit, VisitResult(visit=number, well=well, profile="main", fields=results, at_s=0.0)
