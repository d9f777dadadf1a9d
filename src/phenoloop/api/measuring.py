"""Fields of a specimen through the protocol's analysis, without a microscope; what was measured once is kept.

The picture of a field is a pure function of where and when, so a field that is rendered here measures what it would
have measured in a run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import phenoloop
from phenoloop.api.resolved import Resolved
from phenoloop.measure.batching import measure_fields
from phenoloop.model import FieldPlace, FrameAddress, Measured, MeasurementFailed
from phenoloop.model.codec import from_dict, to_dict
from phenoloop.platform import cache_folder, write_atomically
from phenoloop.ports import Specimen, View

Field = tuple[str, str]
"""Well and field."""
Result = Measured | MeasurementFailed
OnField = Callable[[int, int], None]
"""Called with how many fields are measured, of how many."""

_AT_ONCE: Final = 8


def measure(resolved: Resolved, fields: Sequence[Field], on_field: OnField | None = None) -> dict[Field, Result]:
    """Measure fields under ``main``, or look up what they measured before.

    Parameters
    ----------
    resolved : Resolved
        With a specimen.
    fields : sequence of (well, field)
        Which.
    on_field : callable, optional
        Told how far it is.

    Returns
    -------
    dict
        In the order of `fields`; `visit` and `at_s` are 0.
    """
    specimen = resolved.build_specimen()
    assert specimen is not None
    kept = cache_folder() / "measured" / f"{_key(resolved, specimen)}.jsonl"
    known = _read(kept)
    todo = [one for one in fields if one not in known]
    for start in range(0, len(todo), _AT_ONCE):
        batch = todo[start : start + _AT_ONCE]
        frames = [_frames(resolved, specimen, *one) for one in batch]
        for one, outcome in zip(batch, measure_fields(resolved.analysis, frames), strict=True):
            known[one] = _result(one[1], outcome)
        if on_field is not None:
            on_field(min(start + _AT_ONCE, len(todo)), len(todo))
    if todo:
        _write(kept, known)
    return {one: known[one] for one in fields}


def _frames(resolved: Resolved, specimen: Specimen, well: str, field: str) -> Mapping[str, NDArray[Any]]:
    plan = resolved.plan
    profile = plan.profiles["main"]
    place = next(place for place in plan.well(well).fields if place.name == field)
    height = _height(resolved, place)
    found: dict[str, list[NDArray[Any]]] = {}
    for c, channel in enumerate(profile.channels):
        for z, offset in enumerate(profile.z_offsets_um or (0.0,)):
            address = FrameAddress(
                visit=0, profile="main", well=well, field=field, channel=channel.name, t=0, z=z, image=0, c=c
            )
            view = View(
                address=address,
                x_um=place.x_um,
                y_um=place.y_um,
                z_um=height + offset,
                config=channel.config,
                channel=channel.name,
                exposure_ms=channel.exposure_in(well),
                pixel_size_um=profile.pixel_size_um,
                at_s=0.0,
            )
            found.setdefault(channel.name, []).append(specimen.render(view))
    return {name: planes[0] if len(planes) == 1 else np.stack(planes) for name, planes in found.items()}


def _height(resolved: Resolved, place: FieldPlace) -> float:
    """Return where the focus drive stands: at the focus, where the protocol has an autofocus that finds it."""
    simulation = resolved.simulation
    if simulation is not None and resolved.plan.profiles["main"].autofocus is not None:
        focus, tilt = (float(simulation.parameters.get(name, 0.0)) for name in ("focus", "tilt"))
        return focus + tilt * place.x_um / 10_000
    return 0.0 if place.z_um is None else place.z_um


def _result(field: str, outcome: Any) -> Result:
    if isinstance(outcome, Exception):
        return MeasurementFailed(at_s=0.0, visit=0, field=field, reason=f"{type(outcome).__name__}: {outcome}")
    return Measured(
        at_s=0.0,
        visit=0,
        field=field,
        status=outcome.status,
        readouts=outcome.readouts,
        quality=outcome.quality,
        reason=outcome.reason,
        objects=len(outcome.objects.get("label", ())),
        profile=outcome.profile,
        candidates=outcome.candidates,
    )


def _key(resolved: Resolved, specimen: Specimen) -> str:
    """Return the hash of all that decides what a field measures."""
    simulation = resolved.simulation
    assert simulation is not None
    analysis = {name: repr(getattr(resolved.analysis, name)) for name in resolved.analysis.__dataclass_fields__}
    for name in ("workers", "executor"):
        analysis.pop(name, None)
    files = getattr(specimen, "stamps", None)
    content = {
        "version": phenoloop.__version__,
        "analysis": analysis,
        "simulation": [simulation.kind, simulation.target, dict(simulation.parameters)],
        "sources": dict(resolved.sources),
        "files": None if files is None else files(),
        "seed": resolved.plan.seed,
        "imaging": repr(resolved.plan.profiles["main"]),
        "wells": repr(resolved.plan.wells),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _read(path: Path) -> dict[Field, Result]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        found = {(row["well"], row["field"]): from_dict(row["result"]) for row in rows}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):  # another version wrote it, or it was cut: then it is measured again
        return {}
    return {one: result for one, result in found.items() if isinstance(result, Measured | MeasurementFailed)}


def _write(path: Path, known: Mapping[Field, Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"well": well, "field": field, "result": to_dict(result)} for (well, field), result in known.items())
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
