"""The recorded specimen: pictures that were really taken, given back bit for bit where the plan says they lie.

The address of a frame selects its file. The state of the microscope must agree with it: a stage that stands elsewhere,
or another preset in the light path, is an error and never a picture of the wrong place.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from phenoloop.microscope.virtual.manifest import read_manifest
from phenoloop.microscope.virtual.ngff_plate import read_plate
from phenoloop.microscope.virtual.recording import Key, Picture, Recording, Stack, same_well
from phenoloop.model import FrameAddress, Plan, SpecimenInfo
from phenoloop.ports import Image, View
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Length

KEPT_BYTES: Final = 128 * 2**20
"""Pictures kept in memory; more are read again."""
FINEST_STEP_UM: Final = 0.1
"""Stages round positions to steps finer than this."""


class RecordedParams(StrictModel):
    """Keys of ``simulation: {kind: recorded, ...}``."""

    manifest: str | None = Field(
        default=None, description="CSV file with the columns file, well, field, channel and optionally time, z"
    )
    plate: Path | None = Field(default=None, description="folder of an OME-Zarr plate (0.4 or 0.5), instead")
    acquisition: int | None = Field(default=None, ge=0, description="which one, of a plate with several acquisitions")
    pixel_size: Length | None = Field(
        default=None, gt=0, description="of the pictures; what the plate says, or else the objective, unless given"
    )
    channels: dict[str, str] = Field(default_factory=dict, description="channel of the protocol to its name there")
    wells: dict[str, str] = Field(default_factory=dict, description="well of the protocol to its name there")

    @model_validator(mode="after")
    def _one_source(self) -> RecordedParams:
        if (self.manifest is None) == (self.plate is None):
            said = "a recorded plate is either a `manifest` (a CSV file) or a `plate` (an OME-Zarr folder); give one"
            raise PydanticCustomError("source", said)
        return self


class Recorded:
    """A plate of recorded pictures (a `phenoloop.ports.Specimen`).

    Parameters
    ----------
    parameters : mapping
        Keys of `RecordedParams`; a relative path is looked for from the working directory.
    plan : Plan
        Wells, the places of their fields, and the presets of the channels.

    Raises
    ------
    ValueError
        If the manifest or the plate, or a picture of it, cannot be used (see `Recorded.describe`).
    """

    Params = RecordedParams

    def __init__(self, parameters: Mapping[str, Any], plan: Plan) -> None:
        params = RecordedParams.model_validate(dict(parameters))
        self._plan = plan
        channels = dict.fromkeys(channel.name for profile in plan.profiles.values() for channel in profile.channels)
        _, self._stacks = _picked(params, [well.name for well in plan.wells], list(channels), Path())
        self._shape, self._dtype = next(iter(self._stacks.values()))[0][0].shape()
        self._places = {(well.name, field.name): field for well in plan.wells for field in well.fields}
        self._middles = np.array([(field.x_um, field.y_um) for field in self._places.values()]).reshape(-1, 2)
        self._kept: OrderedDict[Picture, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def describe(
        cls, parameters: Mapping[str, Any], wells: Sequence[str], channels: Sequence[str], base: Path
    ) -> SpecimenInfo:
        """Return what a check needs to know, from the recording and the headers of all pictures that would be used.

        Parameters
        ----------
        parameters : mapping
            Keys of `RecordedParams`.
        wells, channels : sequence of str
            Names in the protocol.
        base : Path
            Folder from which a relative path is looked for.

        Returns
        -------
        SpecimenInfo
            ``once`` is True where no field has more than one time point.

        Raises
        ------
        ValueError
            If the manifest or plate is missing or malformed, a well or channel was not recorded, a picture is missing
            or cannot be used, or pictures differ in shape or bit depth; the message names it and the way out.
        """
        params = RecordedParams.model_validate(dict(parameters))
        recording, stacks = _picked(params, wells, channels, base)
        pictures = dict.fromkeys(picture for stack in stacks.values() for planes in stack for picture in planes)
        first, *others = pictures
        shape, dtype = first.shape()
        for picture in others:
            its_shape, its_dtype = picture.shape()
            if (its_shape, its_dtype) != (shape, dtype):
                raise ValueError(
                    f"{picture}: {its_shape[1]} x {its_shape[0]} pixels of {its_dtype}, but {first} has {shape[1]} x "
                    f"{shape[0]} of {dtype}; one run needs pictures of one shape and depth, take the others out of the "
                    "manifest or out of plate.wells"
                )
        fields: dict[str, tuple[str, ...]] = dict.fromkeys(wells, ())
        for well, field, _ in stacks:
            if field not in fields[well]:
                fields[well] += (field,)
        return SpecimenInfo(
            height=shape[0],
            width=shape[1],
            bits=8 * dtype.itemsize,
            once=all(len(stack) == 1 for stack in stacks.values()),
            fields=fields,
            files=tuple(map(str, recording.defined_by)),
            pixel_um=recording.pixel_um if params.pixel_size is None else params.pixel_size,
        )

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Return size in bytes and time of change of every picture: what was measured holds while they stay."""
        places = {picture.path for stack in self._stacks.values() for planes in stack for picture in planes}
        paths = sorted(
            path for place in places for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()
        )
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}

    def shape(self) -> tuple[int, int]:
        """Return (height, width) of a frame in pixels."""
        return self._shape

    def bit_depth(self) -> int:
        """Return 8 or 16, as the files are."""
        return 8 * self._dtype.itemsize

    def render(self, view: View) -> Image:
        """Return the picture of a view.

        Parameters
        ----------
        view : View
            With an address: the file of that well, field, channel, time point (the first one, where only one was
            recorded) and plane. Without: the first time point and plane of the field the stage stands at, in the
            channel whose preset is in the light path.

        Returns
        -------
        ndarray of uint8 or uint16, shape (height, width)
            The file's own pixels, the caller's to change.

        Raises
        ------
        RuntimeError
            If the stage does not stand where the field is planned (to half a pixel), another preset is in the light
            path, nothing was recorded there, or the file has changed since it was checked.
        """
        if view.address is None:
            well, field = self._field_at(view)
            return self._read(self._stack(well, field, self._channel_of(view))[0][0]).copy()
        self._check_state(view, view.address)
        address = view.address
        stack = self._stack(address.well, address.field, address.channel)
        if len(stack) > 1 and address.t >= len(stack):
            raise RuntimeError(
                f"field {address.field} of well {address.well} was recorded {len(stack)} times, there is no time point "
                f"{address.t} (the first is 0)"
            )
        planes = stack[address.t if len(stack) > 1 else 0]
        if address.z >= len(planes):
            raise RuntimeError(
                f"field {address.field} of well {address.well} was recorded in {len(planes)} planes of "
                f"{address.channel}, there is no plane {address.z} (the first is 0)"
            )
        return self._read(planes[address.z]).copy()

    def _stack(self, well: str, field: str, channel: str) -> Stack:
        stack = self._stacks.get((well, field, channel))
        if stack is None:
            raise RuntimeError(f"channel {channel!r} of field {field} in well {well} was not recorded")
        return stack

    def _check_state(self, view: View, address: FrameAddress) -> None:
        place = self._places.get((address.well, address.field))
        if place is None:
            raise RuntimeError(f"well {address.well} has no field {address.field} in the plan")
        slack = _slack_um(view)
        if not (abs(view.x_um - place.x_um) <= slack and abs(view.y_um - place.y_um) <= slack):
            raise RuntimeError(
                f"the stage stands at ({view.x_um:.2f}, {view.y_um:.2f}) um, but field {address.field} of well "
                f"{address.well} lies at ({place.x_um:.2f}, {place.y_um:.2f}) um"
            )
        for channel in self._plan.profiles[address.profile].channels:
            if channel.name == address.channel:
                if channel.config != view.config:
                    raise RuntimeError(
                        f"the preset {view.config!r} is in the light path, but channel {channel.name} needs "
                        f"{channel.config!r}"
                    )
                return
        raise RuntimeError(f"profile {address.profile} has no channel {address.channel}")

    def _field_at(self, view: View) -> tuple[str, str]:
        if len(self._middles):
            far = np.abs(self._middles - (view.x_um, view.y_um)).max(axis=1)
            here = int(np.argmin(far))
            if far[here] <= _slack_um(view):
                return list(self._places)[here]
        raise RuntimeError(
            f"nothing was recorded where the stage stands, ({view.x_um:.2f}, {view.y_um:.2f}) um; a recorded plate can "
            "be looked at in its fields only"
        )

    def _channel_of(self, view: View) -> str:
        names = [
            channel.name
            for profile in self._plan.profiles.values()
            for channel in profile.channels
            if channel.config == view.config
        ]
        if not names:
            raise RuntimeError(f"no channel of the protocol has the preset {view.config!r} that is in the light path")
        return view.channel if view.channel in names else names[0]

    def _read(self, picture: Picture) -> NDArray[Any]:
        with self._lock:
            kept = self._kept.get(picture)
            if kept is not None:
                self._kept.move_to_end(picture)
                return kept
        try:
            pixels = picture.read()
        except (ValueError, OSError) as error:
            raise RuntimeError(str(error)) from error
        if pixels.shape != self._shape or pixels.dtype != self._dtype:
            raise RuntimeError(
                f"{picture}: {pixels.shape[1]} x {pixels.shape[0]} pixels of {pixels.dtype}, not {self._shape[1]} x "
                f"{self._shape[0]} of {self._dtype}"
            )
        with self._lock:
            self._kept[picture] = pixels
            while len(self._kept) > 1 and len(self._kept) * pixels.nbytes > KEPT_BYTES:
                self._kept.popitem(last=False)
        return pixels


def _slack_um(view: View) -> float:
    """Return how far the stage may stand from a place and still be there: half a pixel, or its own rounding."""
    return max(view.pixel_size_um / 2, FINEST_STEP_UM)


def _picked(
    params: RecordedParams, wells: Sequence[str], channels: Sequence[str], base: Path
) -> tuple[Recording, dict[Key, Stack]]:
    if not wells or not channels:
        raise ValueError("simulation: a recorded plate needs at least one well and one channel in the protocol")
    if params.manifest is not None:
        recording = read_manifest(base / params.manifest)
    else:
        assert params.plate is not None
        theirs = {same_well(ours): same_well(name) for ours, name in params.wells.items()}
        wanted = {theirs.get(same_well(well), same_well(well)) for well in wells}
        sized = params.pixel_size is not None
        recording = read_plate(base / params.plate, wanted, acquisition=params.acquisition, sized=sized)
    return recording, recording.pick(wells, channels, well_names=params.wells, channel_names=params.channels)
