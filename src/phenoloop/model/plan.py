"""The plan: a protocol as understood. Every name is resolved, every position absolute, every number in its unit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from phenoloop.model.equipment import CostModel
from phenoloop.model.limits import Autonomy, Limits
from phenoloop.model.visits import FieldVisit

Scalar = float | int | str | bool | None
"""One cell of a plate map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlace:
    """A place in a well that a visit may choose.

    Attributes
    ----------
    name : str
        Unique in its well; ``"0"``, ``"1"`` ... unless the protocol or a manifest says otherwise.
    x_um, y_um : float
        Absolute stage position of the centre of the field.
    z_um : float or None
        Absolute focus position; None means that Z is never commanded.
    """

    name: str
    x_um: float
    y_um: float
    z_um: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WellPlan:
    """A selected well.

    Attributes
    ----------
    name : str
        ``"B3"``.
    row, column : int
        Zero-based place on the plate.
    x_um, y_um : float
        Absolute stage position of its centre.
    fields : tuple of FieldPlace
        In the order in which a stage would walk through them.
    choice : tuple of int
        The order in which "the next fields" are taken: a seeded permutation of ``range(len(fields))``, so that few
        fields still stand for the whole well.
    properties : mapping
        Its row of the plate map, without the well column.
    """

    name: str
    row: int
    column: int
    x_um: float
    y_um: float
    fields: tuple[FieldPlace, ...]
    choice: tuple[int, ...]
    properties: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WellShape:
    """How far a well reaches around its centre.

    Attributes
    ----------
    width_um, height_um : float
        The diameters where it is round.
    circular : bool
        Round.
    rotation_deg : float
        Of the plate on the stage, anticlockwise.
    """

    width_um: float
    height_um: float
    circular: bool = True
    rotation_deg: float = 0.0

    def holds(self, dx_um: float, dy_um: float) -> bool:
        """Return whether a point, as an offset of the stage from the centre of the well, lies inside."""
        angle = math.radians(-self.rotation_deg)
        u = dx_um * math.cos(angle) - dy_um * math.sin(angle)
        v = dx_um * math.sin(angle) + dy_um * math.cos(angle)
        if self.circular:
            return (2 * u / self.width_um) ** 2 + (2 * v / self.height_um) ** 2 <= 1
        return abs(u) <= self.width_um / 2 and abs(v) <= self.height_um / 2


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBox:
    """Where the stage may be sent, micrometres, inclusive. ``None`` bounds nothing."""

    x_um: tuple[float, float] | None = None
    y_um: tuple[float, float] | None = None
    z_um: tuple[float, float] | None = None

    def holds(self, x_um: float, y_um: float, z_um: float | None = None) -> bool:
        """Return whether a position is inside. A position that is not a number never is."""
        pairs = ((self.x_um, x_um), (self.y_um, y_um), (self.z_um, z_um))
        for bounds, value in pairs:
            if value is None:
                continue
            if value != value or value in (float("inf"), float("-inf")):
                return False
            if bounds is not None and not bounds[0] <= value <= bounds[1]:
                return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPlan:
    """How fields are compared with the other fields of their run; None switches a comparison off.

    Attributes
    ----------
    metrics : tuple of str
        Numbers of `Measured.quality` that are compared, none of which echoes the question's readout.
    max_distance : float or None
        Farther than this from the controls of `Plan.controls` rejects a field (see ``numerics.outlying``).
    max_count_drop : float or None
        A larger fall (0..1) of the number of objects, in several wells in succession, rejects their fields.
    """

    metrics: tuple[str, ...] = ()
    max_distance: float | None = None
    max_count_drop: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All the core needs to know of a protocol.

    Attributes
    ----------
    name : str
        Name of the protocol.
    seed : int
        Root of all chance.
    plate_rows, plate_columns : int
        Size of the whole plate.
    wells : tuple of WellPlan
        Selected wells in plate order (row by row).
    profiles : mapping of str to ProfilePlan
        At least ``"main"``.
    stage : StageBox
        Where the stage may go.
    limits : Limits
        Budgets.
    batch : int
        Visits asked for at a time.
    in_flight : int
        Visits that may be dispatched and not yet told.
    readouts : tuple of str
        Names of the readouts, in protocol order.
    once : bool
        A field shows the same picture every time it is asked for (a recorded plate), so it is imaged once only.
    retries : int
        Replacements that a field rejected by a quality gate may cause.
    trust : TrustPlan
        How fields are compared with each other.
    virtual_clock : bool
        Time moves by the cost model, not by the wall.
    analysis_latency_s : float
        Declared analysis time on the virtual clock.
    deadline_s : float
        A field's result later than this is stored, flagged and never told.
    frame_bytes : int
        Uncompressed size of one frame, for the disk budget and the forecast.
    cost : CostModel
        How long the hardware takes, for the router and the virtual clock.
    controls : tuple of str
        Wells that the question names as controls, for their quota and for metering; empty without a question.
    autonomy : Autonomy
        What a person is asked.
    well_shape : WellShape or None
        How far each well reaches; None where it is not known.
    """

    name: str
    seed: int
    plate_rows: int
    plate_columns: int
    wells: tuple[WellPlan, ...]
    profiles: Mapping[str, ProfilePlan]
    stage: StageBox = StageBox()
    limits: Limits = dataclasses.field(default_factory=Limits)
    batch: int = 8
    in_flight: int = 16
    readouts: tuple[str, ...] = ()
    once: bool = False
    retries: int = 0
    trust: TrustPlan = TrustPlan()
    virtual_clock: bool = False
    analysis_latency_s: float = 0.2
    deadline_s: float = 10.0
    frame_bytes: int = 512 * 512 * 2
    cost: CostModel = dataclasses.field(default_factory=CostModel)
    controls: tuple[str, ...] = ()
    autonomy: Autonomy = dataclasses.field(default_factory=Autonomy)
    well_shape: WellShape | None = None

    def place(self, well: str, visited: FieldVisit) -> FieldPlace:
        """Return where a field of a visit lies: its own place, or the one that the plan gives it.

        Raises
        ------
        KeyError
            If the plan lacks the well or the field.
        """
        if (target := visited.target) is not None:
            return FieldPlace(name=target.name, x_um=target.x_um, y_um=target.y_um, z_um=target.z_um)
        for place in self.well(well).fields:
            if place.name == visited.field:
                return place
        raise KeyError(visited.field)

    def well(self, name: str) -> WellPlan:
        """Return a selected well by name; KeyError if it is not selected."""
        for well in self.wells:
            if well.name == name:
                return well
        raise KeyError(name)

    @property
    def to_meter(self) -> bool:
        """Whether an exposure is still to be metered."""
        return any(channel.auto is not None for profile in self.profiles.values() for channel in profile.channels)

    def with_exposures(self, exposures_ms: Mapping[str, Mapping[str, float]]) -> Plan:
        """Return this plan with metered exposures, frozen.

        Parameters
        ----------
        exposures_ms : mapping of str to mapping of str to float
            Milliseconds by profile and channel.
        """

        def set_in(profile: ProfilePlan) -> ProfilePlan:
            found = exposures_ms.get(profile.name, {})
            channels = tuple(
                dataclasses.replace(channel, exposure_ms=found[channel.name], auto=None)
                if channel.name in found
                else channel
                for channel in profile.channels
            )
            return dataclasses.replace(profile, channels=channels)

        return dataclasses.replace(self, profiles={name: set_in(profile) for name, profile in self.profiles.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSearch:
    """A question about single objects: found under one profile, confirmed under another.

    Attributes
    ----------
    found_by, confirmed_by : str
        Names of the two profiles. The analysis of each picks the objects that pass (`AnalysisPlan.pick`).
    target : int
        Confirmed objects that are wanted.
    within_um : float
        Two positions at most this far apart are one object.
    """

    found_by: str
    confirmed_by: str
    target: int
    within_um: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a policy or a question is told of the plate before the run.

    Attributes
    ----------
    wells : tuple of str
        Selected wells in plate order. Arrays of a policy are in this order.
    fields : tuple of int
        Fields each of them has.
    controls : tuple of str
        Wells that the question names as controls; empty without a question.
    readout : str or None
        The readout the question is about.
    change : str
        ``"up"``, ``"down"`` or ``"both"``.
    smallest : float
        Smallest effect that matters, in units of the readout; 0 when nothing was said.
    level : float
        Error level of the question (``false_hits`` or 1 - confidence).
    fields_per_visit, batch : int
        Shape of one ask.
    frames_per_field : int
        Frames that one field costs under ``main``, to read `Context.frames_left` in fields.
    seed : int
        Root of all chance.
    properties : tuple of mapping
        Plate map rows, in the order of `wells`.
    along, by : str or None
        Columns of the plate map that hold the dose and the group, where the question names them.
    plateau : tuple of str
        Wells that the question names as showing the full effect of every compound.
    plate_rows, plate_columns : int
        Size of the whole plate; 0 where it is not known.
    field_names : tuple of tuple of str
        Names of the fields of each well, in the order in which "the next fields" are taken.
    readouts : tuple of str
        Names of the readouts, in protocol order.
    profiles : mapping of str to ProfilePlan
        The ways of imaging: what they cost, and their interval in a time-lapse.
    light_per_field_s : float or None
        Seconds of exposure one field may get; None is unlimited.
    profile_features : tuple of str
        Features of the morphological profile that each field imaged under ``main`` brings; empty where the protocol
        has no ``analysis: profile``.
    places : tuple of tuple of FieldPlace
        Where the fields of each well lie, in the order in which a stage would walk through them.
    cost : CostModel
        How long the hardware takes.
    objects : ObjectSearch or None
        Where the question is about single objects.
    limits : Limits
        Budgets of the run.
    """

    wells: tuple[str, ...]
    fields: tuple[int, ...]
    controls: tuple[str, ...] = ()
    readout: str | None = None
    change: str = "up"
    smallest: float = 0.0
    level: float = 0.05
    fields_per_visit: int = 1
    batch: int = 8
    frames_per_field: int = 1
    seed: int = 1
    properties: tuple[Mapping[str, Scalar], ...] = ()
    along: str | None = None
    by: str | None = None
    plateau: tuple[str, ...] = ()
    plate_rows: int = 0
    plate_columns: int = 0
    field_names: tuple[tuple[str, ...], ...] = ()
    readouts: tuple[str, ...] = ()
    profiles: Mapping[str, ProfilePlan] = dataclasses.field(default_factory=dict)
    light_per_field_s: float | None = None
    profile_features: tuple[str, ...] = ()
    places: tuple[tuple[FieldPlace, ...], ...] = ()
    cost: CostModel = dataclasses.field(default_factory=CostModel)
    objects: ObjectSearch | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
