"""The accepted fields of a plate as profiles: which of them count, the space that they give, where each well lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import CONFIRM, FieldReadout, Setup
from phenoloop.numerics.phenotype_fit import phenotype_space
from phenoloop.numerics.phenotype_space import PhenotypeSpace, well_points
from phenoloop.numerics.profiles import well_medians
from phenoloop.numerics.rounding import significant_all

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ProfiledPlate:
    """Fields, in the order of the wells and of their visits, and wells.

    Attributes
    ----------
    profiles : ndarray of float64, shape (fields, features)
        NaN is unknown.
    wells : ndarray of int64, shape (fields,)
        Well of each field.
    is_control : ndarray of bool, shape (wells,)
        Which wells are controls.
    space : PhenotypeSpace
        Of all fields.
    points : ndarray of float64, shape (kept, wells)
        By all fields of each well; NaN without any.
    many : ndarray of int64, shape (wells,)
        Fields of each well.
    noise : ndarray of float64, shape (wells,)
        Variance of the points, where that of one field is 1.
    closely : ndarray of bool, shape (wells,)
        Looked at closely: under another profile, or where no well was, in more than one field. No controls.
    """

    profiles: Floats
    wells: NDArray[np.int64]
    is_control: Bools
    space: PhenotypeSpace
    points: Floats
    many: NDArray[np.int64]
    noise: Floats
    closely: Bools

    @property
    def placed(self) -> Bools:
        """Which wells have a place, shape (wells,)."""
        return np.asarray(np.isfinite(self.points).all(axis=0))

    def far(self) -> Floats:
        """Return how far each well lies from the controls by all its fields, rounded; NaN without any."""
        space = self.space
        return significant_all(space.distances(self.points, space.home(), self.noise, 1 / space.controls))

    def deviations(self) -> Floats:
        """Return the distance of each well from the controls in each kept feature, in SD, shape (wells, kept)."""
        medians, many = well_medians(self.profiles[:, self.space.kept], self.wells, len(self.is_control))
        return self.space.scale.z(medians, np.maximum(many, 1))


def profiled_plate(setup: Setup, fields: Sequence[FieldReadout], *, level: float, strength: float) -> ProfiledPlate:
    """Return the plate that accepted fields give: of each field under ``main`` the earliest look.

    Parameters
    ----------
    setup : Setup
        Wells, controls, features of the profile.
    fields : sequence of FieldReadout
        All accepted fields. Those under other profiles only say which wells were looked at closely.
    level, strength : float
        Of `phenoloop.numerics.phenotype_fit.phenotype_space`.

    Raises
    ------
    ValueError
        With the reason why nothing can be said.
    """
    index = {well: i for i, well in enumerate(setup.wells)}
    controls = set(setup.controls)
    is_control = np.array([well in controls for well in setup.wells], dtype=bool)
    closely = np.zeros(len(setup.wells), dtype=bool)
    first: dict[tuple[int, str], FieldReadout] = {}
    for field in fields:
        i = index[field.well]
        if field.imaging != "main":
            closely[i] = True
        elif field.target is None and field.role != CONFIRM and any(v is not None for v in field.profile):
            before = first.get((i, field.field))
            if before is None or field.visit < before.visit:
                first[i, field.field] = field
    kept = sorted(first.items(), key=lambda item: (item[0][0], item[1].visit, len(item[0][1]), item[0][1]))
    if not kept:
        raise ValueError("no field has a profile: nothing can be said of any well")
    profiles = np.array([field.profile for _, field in kept], dtype=np.float64)
    wells = np.array([i for (i, _), _ in kept], dtype=np.int64)
    try:
        space = phenotype_space(setup.profile_features, profiles, wells, is_control, level=level, strength=strength)
    except ValueError as error:
        raise ValueError(f"{error}: nothing is claimed") from error
    points, many = well_points(space, profiles, wells, len(setup.wells))
    noise = np.array([space.noise(max(1, int(n))) for n in many.tolist()])
    if not closely.any():
        closely = many > 1
    return ProfiledPlate(profiles, wells, is_control, space, points, many, noise, closely & ~is_control)
