"""A small plate of phenotypes as numbers, and the policy `novelty` let loose on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import ChannelPlan, FieldReadout, FieldResult, ProfilePlan, Setup, Visit
from phenoloop.policies.novelty import Novelty
from phenoloop.testing import Played, play

NAMES = (
    "area", "eccentricity", "form_factor", "DNA.mean", "DNA.sd", "DNA.ratio", "GFP.mean", "GFP.sd", "GFP.ratio",
    *(f"GFP.{name}_{k}" for name in ("contrast", "entropy", "energy") for k in (1, 3, 6)),
    "vesicles.count", "vesicles.density",
)  # fmt: skip
CHANNEL = ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=20)
Look = Callable[[int, int], FieldResult | None]
"""(well, how many looks it had) -> what comes back instead of the truth, or None."""


def setup(rows: int = 8, controls: int = 8, fields: int = 4, *, closeup: bool = False, batch: int = 4) -> Setup:
    """Twelve columns; controls are spread over the plate."""
    wells = tuple(f"{'ABCDEFGH'[i // 12]}{i % 12 + 1}" for i in range(12 * rows))
    ways = ("main", "closeup") if closeup else ("main",)
    return Setup(
        wells=wells,
        fields=(fields,) * len(wells),
        controls=tuple(wells[i * len(wells) // controls] for i in range(controls)),
        batch=batch,
        profile_features=NAMES,
        profiles={name: ProfilePlan(name=name, channels=(CHANNEL,), pixel_size_um=1.0) for name in ways},
    )


def moved(kinds: Mapping[int, Mapping[str, float]], plate: Setup, seed: int) -> NDArray[np.float64]:
    """Level of each feature in each well, field SD 1: what a kind moves, by well, and the well's own deviation."""
    rng = np.random.default_rng([17, seed])
    level = 50 + rng.normal(0, 0.3, (len(plate.wells), len(NAMES)))
    for well, moves in kinds.items():
        for name, by in moves.items():
            level[well, NAMES.index(name)] += by
    return np.asarray(level)


def run(
    plate: Setup,
    level: NDArray[np.float64],
    seed: int,
    params: Mapping[str, object] | None = None,
    instead: Look | None = None,
    close: Callable[[int], str] | None = None,
) -> tuple[Novelty, Played]:
    """Let the policy look until it stops; return it, and what was done.

    `instead` may replace what a field of the overview shows; `close` gives the status of a close look at a well.
    """
    policy = Novelty(Novelty.Params.model_validate({"wells_per_batch": plate.batch} | dict(params or {})), plate)
    looks = [0] * len(plate.wells)
    chance = np.random.default_rng([19, seed])

    def look(visit: Visit) -> list[FieldResult]:
        i = plate.wells.index(visit.well)
        if visit.profile != "main":
            return [FieldResult(field=f.field, status="ok" if close is None else close(i)) for f in visit.fields]
        results = []
        for place in visit.fields:
            shown = level[i] + chance.normal(size=len(NAMES))
            other = None if instead is None else instead(i, looks[i])
            looks[i] += 1
            if other is None:
                other = FieldResult(field="", status="ok", profile=tuple(shown.tolist()))
            results.append(replace(other, field=place.field))
        return results

    return policy, play(policy, plate, look, seed=seed, most_asks=2000)


def fields(plate: Setup, level: NDArray[np.float64], seed: int, many: Sequence[int]) -> list[FieldReadout]:
    """Return so many accepted fields of each well, as a question sees them."""
    chance = np.random.default_rng([23, seed])
    return [
        FieldReadout(
            well=well, field=str(f), visit=1 + i + f * len(plate.wells), readouts={},
            profile=tuple((level[i] + chance.normal(size=len(NAMES))).tolist()),
        )
        for i, well in enumerate(plate.wells)
        for f in range(many[i])
    ]  # fmt: skip
