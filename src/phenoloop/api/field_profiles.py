"""The profile of each accepted field of a run: from its journal, or where that has none, from its tables of objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phenoloop.api.resolved import Resolved
from phenoloop.core import fold
from phenoloop.errors import UsageError
from phenoloop.measure.profile import field_profile
from phenoloop.model import Acquire, FieldProfilePlan, FieldReadout, Measured
from phenoloop.model.features import of_phenotype
from phenoloop.numerics.profiles import median
from phenoloop.storage.journal import read
from phenoloop.storage.run_folder import RunFolder
from phenoloop.storage.tables import read_objects

Row = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class FieldProfiles:
    """The fields of a run.

    Attributes
    ----------
    names : tuple of str
        Features.
    wells : tuple of str
        The well of each field; a field that was visited again is one field.
    values : ndarray of float64, shape (fields, features)
        Medians over the visits of a field; NaN is unknown.
    objects : tuple of float
        Objects of each field, mean over its visits.
    notes : tuple of str
        What could not be used.
    """

    names: tuple[str, ...]
    wells: tuple[str, ...]
    values: NDArray[np.float64]
    objects: tuple[float, ...]
    notes: tuple[str, ...]


def field_profiles(folder: RunFolder, resolved: Resolved) -> FieldProfiles:
    """Return the profiles of all accepted fields that were imaged under ``main``.

    Raises
    ------
    UsageError
        If there is none.
    """
    messages = read(folder.journal).messages
    main = {
        message.visit.number for message in messages if isinstance(message, Acquire) and message.visit.profile == "main"
    }
    accepted = fold(messages, resolved.plan, resolved.decider()).machine.accepted() if messages else []
    accepted = [field for field in accepted if field.visit in main]
    if not accepted:
        raise UsageError(f"{folder.path} has no accepted field yet, so there is nothing to make profiles of.")
    notes: list[str] = []
    if resolved.setup.profile_features:
        names, rows = resolved.setup.profile_features, [field.profile for field in accepted]
    else:
        names, rows = _of_tables(folder, accepted)
        absent = sum(not row for row in rows)
        if absent:
            notes.append(f"{absent} of {len(rows)} fields have no table of objects and are left out")
    counts = {(message.visit, message.field): message.objects for message in messages if isinstance(message, Measured)}
    places: dict[tuple[str, str], list[tuple[Row, int]]] = {}
    for field, row in zip(accepted, rows, strict=True):
        if row:
            places.setdefault((field.well, field.field), []).append((row, counts[field.visit, field.field]))
    if not places:
        raise UsageError(
            f"{folder.path} holds no profile: its protocol has no `analysis: profile`, and there are no tables of "
            "objects under objects/main. Add `profile: {}` to analysis and run again."
        )
    return FieldProfiles(
        names=names,
        wells=tuple(well for well, _ in places),
        values=np.stack([median(np.array([row for row, _ in visits], dtype=np.float64)) for visits in places.values()]),
        objects=tuple(float(np.mean([count for _, count in visits])) for visits in places.values()),
        notes=tuple(notes),
    )


def _of_tables(folder: RunFolder, accepted: Sequence[FieldReadout]) -> tuple[tuple[str, ...], list[Row]]:
    """Return the features of the tables, and a row per field; an empty one where its table is absent."""
    parts = [read_objects(folder.objects("main"), field.visit, field.field) for field in accepted]
    names = of_phenotype(dict.fromkeys(name for part in parts if part is not None for name in part))
    rows: list[Row] = []
    for part in parts:
        if part is None:
            rows.append(())
            continue
        here = tuple(name for name in names if name in part)
        known = dict(zip(here, field_profile(part, FieldProfilePlan(columns=here)), strict=True))
        rows.append(tuple(known.get(name) for name in names))
    return names, rows
