"""A way of imaging, as understood: channels, autofocus, planes, beat, and what light a visit gives to a field."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from phenoloop.model.equipment import CostModel
from phenoloop.model.places import FieldPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """A channel of a profile.

    Attributes
    ----------
    name : str
        What the protocol calls it (``DNA``).
    group, config : str
        Micro-Manager configuration group and preset.
    exposure_ms : float
        Used for every well that `exposures_ms` does not name.
    exposures_ms : mapping of str to float
        Exposure by well, where a column of the plate map gives it.
    power : float or None
        Light power as a share of 1, for the ledger; None where it is not known.
    acquire_every : int
        It is imaged at every n-th visit of a field only, the first included.
    auto : float or None
        Share (0..1) of the camera's range that the exposure is to be metered to before the first decision;
        `exposure_ms` is then the longest that is allowed, until `Plan.with_exposures` puts the metered one there.
    """

    name: str
    group: str
    config: str
    exposure_ms: float
    exposures_ms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    power: float | None = None
    acquire_every: int = 1
    auto: float | None = None

    def exposure_in(self, well: str) -> float:
        """Return the exposure in milliseconds for a well."""
        return self.exposures_ms.get(well, self.exposure_ms)

    @property
    def strength(self) -> float:
        """What a second of exposure counts as light: the power, or 1 where it is not known."""
        return 1.0 if self.power is None else self.power

    def light_ms(self, well: str) -> float:
        """Return the light of one exposure in a well, milliseconds at full power."""
        return self.exposure_in(well) * self.strength


@dataclass(frozen=True, slots=True, kw_only=True)
class AutofocusPlan:
    """Software autofocus: a sweep of planes in one channel, sharpest plane kept.

    Attributes
    ----------
    channel : str
        Channel (by name) in which sharpness is judged.
    range_um, step_um : float
        Width of the sweep around the present focus, and distance of its planes.
    when : str
        ``"each_well"`` or ``"each_visit"`` (the same today, a visit is one trip to a well) or ``"each_field"``.
    if_fails : str
        ``"keep"``: image at the focus held before; ``"skip"``: the frames become missing.
    """

    channel: str
    range_um: float
    step_um: float
    when: str = "each_well"
    if_fails: str = "keep"

    @property
    def planes(self) -> int:
        """Exposures of one sweep; a parabola needs three."""
        return max(3, round(self.range_um / self.step_um) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePlan:
    """A named way of imaging.

    Attributes
    ----------
    name : str
        ``"main"`` unless the protocol names more.
    objective : str or None
        What the protocol calls it; None leaves the turret alone.
    objective_group, objective_config : str or None
        The preset that puts it in the light path.
    pixel_size_um : float
        Size of one binned pixel in the sample.
    binning : int
        Camera binning; 1 unless asked for.
    channels : tuple of ChannelPlan
        In the order in which they are imaged.
    z_offsets_um : tuple of float
        Planes relative to the reference focus; empty for no Z axis (and Z is then never commanded).
    autofocus : AutofocusPlan or None
        None: focus is left alone.
    every_s : float or None
        Interval of a time-lapse; None: none.
    for_s : float or None
        How long it goes on after the run began; None without `every_s`, or where nothing was said.
    frame_um : tuple of float or None
        Width and height of a frame in the sample, for the account of light per object; None where they are not known.
    offset_um : (float, float, float)
        How far the stage must go beyond a place so that this objective looks at it, and how much the focus differs.
    safe_z_um : float or None
        Height to which the focus drive goes before the objective is changed; None: it stays where it is.
    image_axes : (float, float, float, float)
        Where the picture lies on the stage: ``dx = a col + b row``, ``dy = c col + d row`` as (a, b, c, d), in units of
        the pixel size. (1, 0, 0, -1): columns along x, rows against y.
    """

    name: str
    channels: tuple[ChannelPlan, ...]
    pixel_size_um: float
    objective: str | None = None
    objective_group: str | None = None
    objective_config: str | None = None
    binning: int = 1
    z_offsets_um: tuple[float, ...] = ()
    autofocus: AutofocusPlan | None = None
    every_s: float | None = None
    for_s: float | None = None
    frame_um: tuple[float, float] | None = None
    offset_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    safe_z_um: float | None = None
    image_axes: tuple[float, float, float, float] = (1.0, 0.0, 0.0, -1.0)

    def placed(self, place: FieldPlace) -> FieldPlace:
        """Return where the stage must go so that this objective looks at a place; the height stays the place's own."""
        dx, dy, _ = self.offset_um
        if not (dx or dy):
            return place
        return dataclasses.replace(place, x_um=place.x_um + dx, y_um=place.y_um + dy)

    def seconds(self, cost: CostModel, well: str, *, first: bool = True) -> float:
        """Return how long one field takes without the way to it; autofocus too where it is the first of its visit."""
        seconds = 0.0
        for channel in self.channels:
            seconds += cost.channel_s + self.planes * (channel.exposure_in(well) / 1000 + cost.readout_s)
            seconds += len(self.z_offsets_um) * cost.z_s
        focus = self.autofocus
        if focus is not None and (first or focus.when == "each_field"):
            exposure_s = next(one.exposure_in(well) for one in self.channels if one.name == focus.channel) / 1000
            seconds += cost.channel_s + focus.planes * (cost.z_s + exposure_s + cost.readout_s)
        return seconds

    @property
    def planes(self) -> int:
        """Frames per channel and field."""
        return max(1, len(self.z_offsets_um))

    @property
    def frames_per_field(self) -> int:
        """Frames of one field in one visit at most: those of its first."""
        return len(self.channels) * self.planes

    @property
    def time_points(self) -> int:
        """Visits of one field in a whole time-lapse, both ends included; 1 without one."""
        if self.every_s is None or self.for_s is None:
            return 1
        return math.floor(self.for_s / self.every_s + 1e-9) + 1

    @property
    def frames_in_all(self) -> int:
        """Frames of one field over all time points; those of one visit without a time-lapse."""
        points = self.time_points
        return self.planes * sum(-(-points // channel.acquire_every) for channel in self.channels)

    def channels_at(self, t: int) -> tuple[ChannelPlan, ...]:
        """Return the channels that are imaged at visit `t` of a field, counted from 0."""
        return tuple(channel for channel in self.channels if t % channel.acquire_every == 0)

    def light_s(self, well: str, t: int = 0) -> float:
        """Return the light that visit `t` gives to a field at most, in seconds of exposure at full power.

        Planes of autofocus are included. The first visit has all channels, so it is the brightest one.
        """
        light_ms = sum(channel.light_ms(well) for channel in self.channels_at(t)) * self.planes
        if self.autofocus is not None:
            looks = [c.light_ms(well) for c in self.channels if c.name == self.autofocus.channel]
            light_ms += sum(looks) * self.autofocus.planes
        return light_ms / 1000
