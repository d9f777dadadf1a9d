"""The plan: a protocol as understood. Every name is resolved, every position absolute, every number in its unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from phenoloop.model.equipment import CostModel
from phenoloop.model.imaging import ProfilePlan
from phenoloop.model.limits import Autonomy, Limits
from phenoloop.model.places import FieldPlace, StageBox, WellPlan, WellShape
from phenoloop.model.visits import FieldVisit


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
    stage: StageBox = dataclasses.field(default_factory=StageBox)
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
    def main(self) -> ProfilePlan:
        """The way of imaging that a run begins with: ``main``, or the first where a caller made a plan without it."""
        return self.profiles.get("main") or next(iter(self.profiles.values()))

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
