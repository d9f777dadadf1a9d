"""What the question `novelty` tells beside its calls: groups in words, how much of the plate is covered, a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from phenoloop.model import Setup
from phenoloop.numerics.feature_blocks import block_of
from phenoloop.numerics.phenotype_groups import Group, flat_map
from phenoloop.numerics.rounding import significant_all
from phenoloop.questions.profiled_plate import ProfiledPlate
from phenoloop.questions.values import number

REPRESENTATIVES: Final = 3


def summary(setup: Setup, plate: ProfiledPlate | None, found: Sequence[Group]) -> dict[str, Any]:
    """Return what is told.

    Parameters
    ----------
    setup : Setup
        Names of the wells.
    plate : ProfiledPlate or None
        None where nothing can be said.
    found : sequence of Group
        Of the wells that were called different.
    """
    if plate is None:
        return {"groups": [], "covered": None, "space": None, "map": None}
    space, similar = plate.space, _similar(plate, found)
    return {
        "groups": [_group(setup.wells, group, place, similar[place - 1]) for place, group in enumerate(found, start=1)],
        "covered": _covered(plate, found),
        "space": {
            "features": list(space.names),
            "blocks": len({block_of(name) for name in space.names}),
            "controls": space.controls,
            "alike": space.alike,
        },
        "map": _map(setup.wells, plate, found),
    }


def _similar(plate: ProfiledPlate, found: Sequence[Group]) -> list[list[int]]:
    """Return, for each group, the wells that were not called, lie away from the controls, and are most like it."""
    space, alike = plate.space, plate.space.alike or 0.0
    similar: list[list[int]] = [[] for _ in found]
    if not found:
        return similar
    called = {i for group in found for i in group.members}
    middles = [group.members[0] for group in found]
    for i in np.flatnonzero(np.nan_to_num(plate.far()) > alike).tolist():
        if i in called or plate.is_control[i]:
            continue
        point, noise = plate.points[:, i], float(plate.noise[i])
        to_it = space.distances(plate.points[:, middles], point, plate.noise[middles], noise)
        nearest = int(np.argmin(significant_all(to_it)))
        if to_it[nearest] <= alike:
            similar[nearest].append(i)
    return similar


def _group(wells: Sequence[str], group: Group, place: int, similar: Sequence[int]) -> dict[str, Any]:
    return {
        "group": place,
        "wells": [wells[i] for i in group.members],
        "representatives": [wells[i] for i in group.members[:REPRESENTATIVES]],
        "alike": [wells[i] for i in similar],
        "apart": [{"feature": name, "sd": number(z)} for name, z in group.apart],
        "said": ", ".join(f"{name} {'higher' if z > 0 else 'lower'} by {abs(z):.3g} SD" for name, z in group.apart),
    }


def _covered(plate: ProfiledPlate, found: Sequence[Group]) -> dict[str, Any]:
    """Return the share of the wells that lie near the controls or near a well that was looked at closely."""
    space, placed = plate.space, plate.placed
    seen = np.flatnonzero(placed & ~plate.is_control)
    away = plate.far()[seen]
    for i in np.flatnonzero(plate.closely & placed).tolist():
        to_it = space.distances(plate.points[:, seen], plate.points[:, i], plate.noise[seen], float(plate.noise[i]))
        away = np.minimum(away, np.where(seen == i, 0.0, to_it))
    single = sum(len(group.members) == 1 for group in found)
    alike = space.alike
    return {
        "wells": int(seen.size),
        "looked_at_closely": int(plate.closely.sum()),
        "share": number(float((away <= alike).mean())) if seen.size and alike is not None else None,
        "radius": number(float(away.max())) if seen.size else None,
        "alike": alike,
        # Good 1953, doi 10.1093/biomet/40.3-4.237: the chance that one more well shows what no other has.
        "chance_of_another_phenotype": number(single / seen.size) if seen.size else None,
    }


def _map(wells: Sequence[str], plate: ProfiledPlate, found: Sequence[Group]) -> dict[str, Any]:
    where = {well: place for place, group in enumerate(found, start=1) for well in group.members}
    seen = np.flatnonzero(plate.placed)
    places, shares = flat_map(plate.points[:, seen])
    far = plate.far()
    return {
        "shown": [float(share) for share in shares],
        "wells": [
            {
                "well": wells[i],
                "x": float(x),
                "y": float(y),
                "group": where.get(i),
                "control": bool(plate.is_control[i]),
                "distance": number(float(far[i])),
                "fields": int(plate.many[i]),
                "closely": bool(plate.closely[i]),
            }
            for i, (x, y) in zip(seen.tolist(), places.tolist(), strict=True)
        ],
    }
