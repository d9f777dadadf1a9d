"""Rare cells of the synthetic specimen: as many as were said, bright at any magnification, told apart only up close."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from phenoloop.microscope.virtual.synthetic import Synthetic
from tests.virtual.builders import look, plate

RARE = {"share": 0.02, "lookalikes": 0.03, "vesicles": 14}
MORE: dict[str, Any] = {"width": 512, "height": 512, "cells_per_field": 200}


def specimen(rare: dict[str, Any] | None, seed: int = 1, pixel_um: float = 1.0, **more: Any) -> Synthetic:
    values = {**MORE, **more} | ({"rare": rare} if rare else {})
    return Synthetic(values, plate(seed=seed, pixel_size_um=pixel_um))


def kinds(synthetic: Synthetic, well: str, at: int = 12) -> np.ndarray:
    """Kinds of the cells of some places of a well."""
    plan = synthetic._plan
    middle = plan.well(well)
    chance = np.random.default_rng(9)
    found = []
    for _ in range(at):
        x, y = (float(v) for v in chance.uniform(-2000, 2000, 2))
        view = dataclasses.replace(look(plan, well), x_um=middle.x_um + x, y_um=middle.y_um + y)
        found.append(synthetic.truth(view)["rare"])
    return np.concatenate(found)


def test_their_shares_are_as_said() -> None:
    found = np.concatenate([kinds(specimen(RARE), well) for well in ("A1", "A3", "A5")])
    assert np.mean(found == 1) == pytest.approx(0.02, abs=0.006)
    assert np.mean(found == 2) == pytest.approx(0.03, abs=0.007)


def test_without_them_nothing_changes() -> None:
    """The other cells are drawn as before: where they lie, and what each holds."""
    plain, mixed = specimen(None), specimen(RARE)
    view = look(plain._plan, "A2")
    one, other = plain.truth(view), mixed.truth(view)
    assert (one["centres"] == other["centres"]).all()
    common = other["rare"] == 0
    assert (one["vesicles"][common] == other["vesicles"][common]).all()
    assert not one["rare"].any()


def test_both_kinds_have_bright_nuclei_and_only_one_has_the_vesicles() -> None:
    synthetic = specimen(RARE)
    view = look(synthetic._plan, "A2")
    truth, light = synthetic.truth(view), synthetic.light(view)
    rows, columns = np.round(truth["centres"]).astype(int).clip(0, 511).T
    bright = light[rows, columns]
    usual = np.median(bright[truth["rare"] == 0])
    assert (bright[truth["rare"] > 0] > 1.5 * usual).all()
    assert (truth["vesicles"][truth["rare"] == 1] == 14).all()
    assert truth["vesicles"][truth["rare"] == 2].mean() < 4


def test_the_same_cells_under_another_objective() -> None:
    synthetic = specimen(RARE)
    wide = look(synthetic._plan, "A2")
    truth = synthetic.truth(wide)
    row, column = truth["centres"][np.flatnonzero(truth["rare"] == 1)[0]]
    x, y = wide.x_um + (column - 255.5), wide.y_um - (row - 255.5)
    near = synthetic.truth(dataclasses.replace(wide, x_um=x, y_um=y, pixel_size_um=1 / 6))
    away = np.hypot(*(near["centres"] - 255.5).T)
    assert away.min() < 0.01
    assert near["rare"][np.argmin(away)] == 1


def test_wells_can_be_uneven() -> None:
    even = [np.mean(kinds(specimen({"share": 0.1}), f"A{n}") == 1) for n in range(1, 9)]
    uneven = [np.mean(kinds(specimen({"share": 0.1, "uneven": 2.0}), f"A{n}") == 1) for n in range(1, 9)]
    assert np.std(uneven) > 4 * np.std(even)
