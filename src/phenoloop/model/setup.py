"""What a policy or a question is told of the plate before the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from phenoloop.model.equipment import CostModel
from phenoloop.model.imaging import ProfilePlan
from phenoloop.model.limits import Limits
from phenoloop.model.places import FieldPlace, Scalar


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
