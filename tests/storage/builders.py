"""A small plan, its frames, and pictures that tell where they belong."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from phenoloop.model import (
    Acquire,
    ChannelPlan,
    FieldPlace,
    FieldVisit,
    FrameAddress,
    Plan,
    ProfilePlan,
    StoredFrame,
    Visit,
    VisitEnded,
    WellPlan,
)
from phenoloop.ports import Image
from phenoloop.storage.layout import row_name

CHANNELS = ("DNA", "GFP")


def plan(
    *,
    rows: int = 4,
    columns: int = 6,
    wells: Sequence[tuple[int, int]] = ((0, 0), (1, 2), (2, 1), (3, 5)),
    z_offsets_um: tuple[float, ...] = (),
    profiles: Sequence[str] = ("main",),
    channels: Sequence[str] = CHANNELS,
) -> Plan:
    fields = tuple(FieldPlace(name=str(index), x_um=100.0 * index, y_um=-3.5) for index in range(4))
    return Plan(
        name="storage-test",
        seed=1,
        plate_rows=rows,
        plate_columns=columns,
        wells=tuple(
            WellPlan(
                name=f"{row_name(row)}{column + 1}",
                row=row,
                column=column,
                x_um=9000.0 * column,
                y_um=9000.0 * row,
                fields=fields,
                choice=(0, 1, 2, 3),
            )
            for row, column in wells
        ),
        profiles={
            name: ProfilePlan(
                name=name,
                channels=tuple(
                    ChannelPlan(name=channel, group="Channel", config=channel, exposure_ms=10.0) for channel in channels
                ),
                pixel_size_um=0.65,
                z_offsets_um=z_offsets_um,
            )
            for name in profiles
        },
    )


def address(
    well: str = "A1",
    field: str = "0",
    *,
    visit: int = 1,
    t: int = 0,
    c: int = 0,
    z: int = 0,
    image: int = 0,
    profile: str = "main",
) -> FrameAddress:
    return FrameAddress(
        visit=visit, profile=profile, well=well, field=field, channel=CHANNELS[c], t=t, z=z, image=image, c=c
    )


def frame(at: FrameAddress) -> StoredFrame:
    return StoredFrame(address=at, exposure_ms=10.0, x_um=1.0, y_um=2.0, z_um=None, at_s=3.0)


def picture(at: FrameAddress, shape: tuple[int, int] = (16, 24), dtype: str = "uint16") -> Image:
    """Noise keyed by the slot: two frames that were mixed up cannot look alike."""
    key = f"{at.profile} {at.well} {at.image} {at.t} {at.c} {at.z}".encode()
    rng = np.random.default_rng(zlib.crc32(key))
    return rng.integers(1, np.iinfo(dtype).max, shape, dtype=dtype)


def acquire(number: int, well: str, *fields: tuple[str, int, int], planes: int = 1, decision: int = 1) -> Acquire:
    """A visit to fields, each given as (name, t, image)."""
    return Acquire(
        at_s=float(number),
        visit=Visit(
            number=number,
            decision=decision,
            well=well,
            profile="main",
            fields=tuple(FieldVisit(field=name, t=t, image=image) for name, t, image in fields),
            channels=CHANNELS,
            planes=planes,
        ),
    )


def ended(command: Acquire) -> VisitEnded:
    """Its end, with every frame kept."""
    frames = tuple(frame(at) for at in command.visit.frames())
    return VisitEnded(at_s=command.at_s + 0.1234567890123, visit=command.visit.number, frames=frames)
