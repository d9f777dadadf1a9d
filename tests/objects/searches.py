"""The small plate on which the policy `rare` is tested, and candidates drawn for its fields."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from phenoloop.model import Setup
from phenoloop.policies.rare import Rare
from phenoloop.testing.searches import Things, search_plate

WELLS = tuple(f"{row}{column}" for row in "ABC" for column in range(1, 5))
SIDE = 6


def setup(target: int = 10, **changes: Any) -> Setup:
    """Twelve wells of 6 x 6 fields, 1 mm apart."""
    return dataclasses.replace(search_plate(WELLS, SIDE, target), **changes)


def policy(plate: Setup, **params: Any) -> Rare:
    return Rare(Rare.Params(**{"wells_per_batch": 6, "fields_per_visit": 2, **params}), plate)


def poisson(
    seed: int, wanted: float, wrong: float, *, apart: float = 0.0, rich: frozenset[str] = frozenset()
) -> Things:
    """Candidates of a field: Poisson numbers of wanted and wrong ones, scores so many SD apart."""

    def draw(well: str, field: str) -> list[tuple[bool, float | None]]:
        rng = np.random.default_rng([seed, WELLS.index(well), int(field)])
        share = wanted * (8 if well in rich else 1)
        kinds = [True] * rng.poisson(share) + [False] * rng.poisson(wrong)
        return [(kind, float(rng.normal(apart if kind else 0.0))) for kind in kinds]

    return draw
