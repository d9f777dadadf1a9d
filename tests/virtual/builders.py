"""A small plate to look at: one row of wells with a dose each, two channels; and a small recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from phenoloop.model import ChannelPlan, FieldPlace, FrameAddress, Plan, ProfilePlan, Scalar, WellPlan
from phenoloop.ports import View

VESICLES = {"vesicles": {"along": "dose", "emax": 6, "ec50": 1.0, "hill": 1.2}}
HEADER = "file,well,field,channel"
PRESETS = {"DNA": "DAPI", "GFP": "FITC"}


def plate(
    doses: Sequence[Scalar] = (0, 0, 0.1, 0.3, 1, 3, 10, 100),
    *,
    seed: int = 1,
    pixel_size_um: float = 0.5,
    properties: Mapping[str, Scalar] | None = None,
    fields: Sequence[str] = ("0", "1", "2"),
    presets: Mapping[str, str] = PRESETS,
    planes: int = 1,
) -> Plan:
    """Wells A1, A2 ... 9 mm apart, fields 300 um apart."""
    wells = tuple(
        WellPlan(
            name=f"A{column + 1}",
            row=0,
            column=column,
            x_um=9000.0 * column,
            y_um=100.0,
            fields=tuple(
                FieldPlace(name=name, x_um=9000.0 * column + 300 * (k - 1), y_um=100.0) for k, name in enumerate(fields)
            ),
            choice=tuple(range(len(fields))),
            properties={"dose": dose, **(properties or {})},
        )
        for column, dose in enumerate(doses)
    )
    channels = tuple(
        ChannelPlan(name=name, group="Channel", config=config, exposure_ms=20 if name == "DNA" else 80)
        for name, config in presets.items()
    )
    profile = ProfilePlan(
        name="main",
        channels=channels,
        pixel_size_um=pixel_size_um,
        z_offsets_um=tuple(float(k) for k in range(planes)) if planes > 1 else (),
    )
    return Plan(name="t", seed=seed, plate_rows=8, plate_columns=12, wells=wells, profiles={"main": profile})


def look(
    plan: Plan, well: str = "A1", field: str = "1", channel: str = "DNA", *, frame: bool = True, **changes: Any
) -> View:
    """The view of a frame as planned, but for what `changes` says (keys of `View`, also ``t``, ``z``, ``visit``)."""
    place = next(place for place in plan.well(well).fields if place.name == field)
    its = next(its for its in plan.profiles["main"].channels if its.name == channel)
    numbers = {name: changes.pop(name, 0) for name in ("t", "z", "visit")}
    address = FrameAddress(profile="main", well=well, field=field, channel=channel, image=0, c=0, **numbers)
    planned = {
        "address": address if frame else None,
        "x_um": place.x_um,
        "y_um": place.y_um,
        "z_um": 0.0,
        "config": its.config,
        "channel": channel,
        "exposure_ms": its.exposure_ms,
        "pixel_size_um": plan.profiles["main"].pixel_size_um,
        "at_s": 0.0,
    }
    return View(**{**planned, **changes})


def picture(shape: tuple[int, ...] = (20, 30), dtype: Any = np.uint8, *, seed: int = 5) -> NDArray[Any]:
    """Random counts."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def write(folder: Path, rows: Sequence[str], header: str = HEADER) -> None:
    """Write a manifest."""
    (folder / "manifest.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def record(folder: Path) -> Path:
    """Write pictures of two wells, two fields and two channels, and their manifest."""
    rows = []
    for well in ("A01", "A02"):
        for field in ("0", "1"):
            for channel in ("DNA", "GFP"):
                file = f"{well}_{field}_{channel}.tif"
                tifffile.imwrite(folder / file, picture(seed=len(rows)))
                rows.append(f"{file},{well},{field},{channel}")
    write(folder, rows)
    return folder
