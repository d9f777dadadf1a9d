"""The plan: a protocol as understood. Every name is resolved, every position absolute, every number in its unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from phenoloop.model.equipment import CostModel

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
    """

    name: str
    group: str
    config: str
    exposure_ms: float
    exposures_ms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    power: float | None = None

    def exposure_in(self, well: str) -> float:
        """Return the exposure in milliseconds for a well."""
        return self.exposures_ms.get(well, self.exposure_ms)


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

    @property
    def planes(self) -> int:
        """Frames per channel and field."""
        return max(1, len(self.z_offsets_um))

    @property
    def frames_per_field(self) -> int:
        """Frames of one field in one visit."""
        return len(self.channels) * self.planes

    def light_s(self, well: str) -> float:
        """Return the seconds of exposure that one visit gives to one field at most, planes of autofocus included."""
        exposures = sum(channel.exposure_in(well) for channel in self.channels) * self.planes
        if self.autofocus is not None:
            looks = [c.exposure_in(well) for c in self.channels if c.name == self.autofocus.channel]
            exposures += sum(looks) * self.autofocus.planes
        return exposures / 1000


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
class Limits:
    """Budgets of a run; None is unlimited.

    Attributes
    ----------
    frames : int or None
        Frames that may be planned.
    duration_s : float or None
        Run clock at which no new visit is begun.
    disk_bytes : int or None
        Uncompressed bytes of images.
    light_per_field_s : float or None
        Seconds of exposure one field may get.
    """

    frames: int | None = None
    duration_s: float | None = None
    disk_bytes: int | None = None
    light_per_field_s: float | None = None


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
    """

    name: str
    seed: int
    plate_rows: int
    plate_columns: int
    wells: tuple[WellPlan, ...]
    profiles: Mapping[str, ProfilePlan]
    stage: StageBox = StageBox()
    limits: Limits = Limits()
    batch: int = 8
    in_flight: int = 16
    readouts: tuple[str, ...] = ()
    once: bool = False
    retries: int = 0
    virtual_clock: bool = False
    analysis_latency_s: float = 0.2
    deadline_s: float = 10.0
    frame_bytes: int = 512 * 512 * 2
    cost: CostModel = dataclasses.field(default_factory=CostModel)

    def well(self, name: str) -> WellPlan:
        """Return a selected well by name; KeyError if it is not selected."""
        for well in self.wells:
            if well.name == name:
                return well
        raise KeyError(name)


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
