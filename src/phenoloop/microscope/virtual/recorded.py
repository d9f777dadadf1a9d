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
from pydantic import Field

from phenoloop.microscope.virtual.manifest import Manifest, Stack
from phenoloop.microscope.virtual.pictures import picture_shape, read_picture
from phenoloop.model import FrameAddress, Plan, SpecimenInfo
from phenoloop.ports import Image, View
from phenoloop.protocol.base import StrictModel

KEPT_BYTES: Final = 128 * 2**20
"""Pictures kept in memory; more are read again."""
FINEST_STEP_UM: Final = 0.1
"""Stages round positions to steps finer than this."""


class RecordedParams(StrictModel):
    """Keys of ``simulation: {kind: recorded, ...}``."""

    manifest: str = Field(description="CSV file with the columns file, well, field, channel and optionally time, z")
    channels: dict[str, str] = Field(default_factory=dict, description="channel of the protocol to its name there")
    wells: dict[str, str] = Field(default_factory=dict, description="well of the protocol to its name there")


class Recorded:
    """A plate of recorded pictures (a `phenoloop.ports.Specimen`).

    Parameters
    ----------
    parameters : mapping
        Keys of `RecordedParams`; a relative manifest is looked for from the working directory.
    plan : Plan
        Wells, the places of their fields, and the presets of the channels.

    Raises
    ------
    ValueError
        If the manifest, or a file it names, cannot be used (see `Recorded.describe`).
    """

    Params = RecordedParams

    def __init__(self, parameters: Mapping[str, Any], plan: Plan) -> None:
        params = RecordedParams.model_validate(dict(parameters))
        self._plan = plan
        channels = dict.fromkeys(channel.name for profile in plan.profiles.values() for channel in profile.channels)
        self._files = _files(params, [well.name for well in plan.wells], list(channels), Path())
        self._shape, self._dtype = picture_shape(next(iter(self._files.values()))[0][0])
        self._places = {(well.name, field.name): field for well in plan.wells for field in well.fields}
        self._middles = np.array([(field.x_um, field.y_um) for field in self._places.values()]).reshape(-1, 2)
        self._kept: OrderedDict[Path, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def describe(
        cls, parameters: Mapping[str, Any], wells: Sequence[str], channels: Sequence[str], base: Path
    ) -> SpecimenInfo:
        """Return what a check needs to know, from the manifest and the headers of all files that would be used.

        Parameters
        ----------
        parameters : mapping
            Keys of `RecordedParams`.
        wells, channels : sequence of str
            Names in the protocol.
        base : Path
            Folder from which a relative manifest is looked for.

        Returns
        -------
        SpecimenInfo
            ``once`` is True where no field has more than one time point.

        Raises
        ------
        ValueError
            If the manifest is missing or malformed, a well or channel was not recorded, a file is missing or cannot be
            used, or files differ in shape or bit depth; the message names it and the way out.
        """
        params = RecordedParams.model_validate(dict(parameters))
        files = _files(params, wells, channels, base)
        paths = dict.fromkeys(path for stack in files.values() for planes in stack for path in planes)
        first, *others = paths
        shape, dtype = picture_shape(first)
        for path in others:
            its_shape, its_dtype = picture_shape(path)
            if (its_shape, its_dtype) != (shape, dtype):
                raise ValueError(
                    f"{path}: {its_shape[1]} x {its_shape[0]} pixels of {its_dtype}, but {first} has {shape[1]} x "
                    f"{shape[0]} of {dtype}; one run needs pictures of one shape and depth, take the others out of the "
                    "manifest or out of plate.wells"
                )
        fields: dict[str, tuple[str, ...]] = dict.fromkeys(wells, ())
        for well, field, _ in files:
            if field not in fields[well]:
                fields[well] += (field,)
        return SpecimenInfo(
            height=shape[0],
            width=shape[1],
            bits=8 * dtype.itemsize,
            once=all(len(stack) == 1 for stack in files.values()),
            fields=fields,
            files=(str((base / params.manifest).resolve()),),
        )

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Return size in bytes and time of change of every picture: what was measured holds while they stay."""
        paths = sorted({path for stack in self._files.values() for planes in stack for path in planes})
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
        stack = self._files.get((well, field, channel))
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

    def _read(self, path: Path) -> NDArray[Any]:
        with self._lock:
            kept = self._kept.get(path)
            if kept is not None:
                self._kept.move_to_end(path)
                return kept
        try:
            picture = read_picture(path)
        except (ValueError, OSError) as error:
            raise RuntimeError(str(error)) from error
        if picture.shape != self._shape or picture.dtype != self._dtype:
            raise RuntimeError(
                f"{path}: {picture.shape[1]} x {picture.shape[0]} pixels of {picture.dtype}, not {self._shape[1]} x "
                f"{self._shape[0]} of {self._dtype}"
            )
        with self._lock:
            self._kept[path] = picture
            while len(self._kept) > 1 and len(self._kept) * picture.nbytes > KEPT_BYTES:
                self._kept.popitem(last=False)
        return picture


def _slack_um(view: View) -> float:
    """Return how far the stage may stand from a place and still be there: half a pixel, or its own rounding."""
    return max(view.pixel_size_um / 2, FINEST_STEP_UM)


def _files(
    params: RecordedParams, wells: Sequence[str], channels: Sequence[str], base: Path
) -> dict[tuple[str, str, str], Stack]:
    if not wells or not channels:
        raise ValueError("simulation: a recorded plate needs at least one well and one channel in the protocol")
    manifest = Manifest(base / params.manifest)
    return manifest.pick(wells, channels, well_names=params.wells, channel_names=params.channels)
