"""What the plan says of the machinery: the microscope, what stands in for the specimen, and how a field is analysed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """How long the hardware takes; drives the virtual clock, the router and the forecast. Times in seconds.

    Attributes
    ----------
    stage_um_per_s, stage_um_per_s2 : float
        Top speed and acceleration of the stage (the slower axis decides a move).
    settle_s : float
        Rest after a move.
    channel_s : float
        Change of channel preset.
    objective_s : float
        Change of objective.
    z_s : float
        Step of the focus drive.
    readout_s : float
        From the end of an exposure to the frame in memory.
    """

    stage_um_per_s: float = 20_000.0
    stage_um_per_s2: float = 100_000.0
    settle_s: float = 0.08
    channel_s: float = 0.05
    objective_s: float = 2.0
    z_s: float = 0.02
    readout_s: float = 0.03

    def move_s(self, dx_um: float, dy_um: float) -> float:
        """Return the duration of a stage move, settling included; 0 for no move (trapezoid speed profile)."""
        distance = max(abs(dx_um), abs(dy_um))
        if distance == 0:
            return 0.0
        ramp = self.stage_um_per_s**2 / self.stage_um_per_s2
        if distance < ramp:
            return 2 * math.sqrt(distance / self.stage_um_per_s2) + self.settle_s
        return distance / self.stage_um_per_s + self.stage_um_per_s / self.stage_um_per_s2 + self.settle_s


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroscopePlan:
    """A microscope file as understood.

    Attributes
    ----------
    name : str
        Name of the file without its suffix.
    config : str
        Absolute path of the Micro-Manager ``.cfg``.
    config_sha256 : str
        Its hash.
    needs_demo_adapters : bool
        The cfg names devices of ``mm-test-adapters`` only.
    stage_tolerance_um, z_tolerance_um : float
        A position is reached when it is this close.
    timeout_s : float
        For stage moves and other waits; also the limit (plus exposure) after which a silent camera counts as hung.
    settle_s : float
        Rest after a stage move on real hardware.
    retries : int
        Attempts per hardware call beyond the first.
    safe_state : tuple of (device, property, value)
        Set at the end and after a failure.
    record : tuple of (device, property)
        Read and kept with each visit.
    cost : CostModel
        For the virtual clock, the router and the forecast.
    buffer_mb : int
        Size of the camera's circular buffer.
    startup : tuple of (device, property, value)
        Properties set after loading (the demo stage's speed, say).
    """

    name: str
    config: str
    config_sha256: str = ""
    needs_demo_adapters: bool = False
    stage_tolerance_um: float = 1.0
    z_tolerance_um: float = 0.2
    timeout_s: float = 20.0
    settle_s: float = 0.0
    retries: int = 2
    safe_state: tuple[tuple[str, str, str], ...] = ()
    record: tuple[tuple[str, str], ...] = ()
    cost: CostModel = CostModel()
    buffer_mb: int = 256
    startup: tuple[tuple[str, str, str], ...] = ()

    @property
    def attempts(self) -> int:
        """How often a command, or an exposure, is tried."""
        return self.retries + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationPlan:
    """What stands in for the specimen.

    Attributes
    ----------
    kind : str
        ``"synthetic"``, ``"recorded"`` or a plug-in.
    target : str
        ``"module:Class"`` of the specimen; built as ``Class(parameters, plan)``.
    parameters : mapping
        JSON-ready, already validated by the class's ``Params`` model.
    """

    kind: str
    target: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenInfo:
    """What a specimen says of itself before anything is started: ``Class.describe(parameters, wells, channels, base)``.

    Attributes
    ----------
    height, width : int
        Shape of a frame in pixels.
    bits : int
        Bit depth of the virtual camera.
    once : bool
        A field shows the same picture every time it is asked for.
    fields : mapping of str to tuple of str, or None
        Names of the recorded fields of each well, naturally sorted; None where any place can be imaged.
    files : tuple of str
        Absolute paths of the files that define it (a manifest), for their hashes.
    pixel_um : float or None
        Size of a pixel of its pictures in the sample; None where it has the one of the objective.
    """

    height: int
    width: int
    bits: int
    once: bool = False
    fields: Mapping[str, tuple[str, ...]] | None = None
    files: tuple[str, ...] = ()
    pixel_um: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPlan:
    """How objects are found: ``Class(parameters)`` of `target`, on one channel; `name` is the name of the labels."""

    kind: str
    target: str
    channel: str
    name: str = "objects"
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotsPlan:
    """Bright puncta of one channel, counted per object.

    Attributes
    ----------
    name, channel : str
        Name of the result (``vesicles``), and where to look.
    diameter_px : float
        Typical diameter.
    threshold : float
        Contrast a spot must have, in robust standard deviations of the filtered background.
    within_px : float
        A spot belongs to the nearest object at most this far from its edge.
    """

    name: str
    channel: str
    diameter_px: float = 4.0
    threshold: float = 8.0
    within_px: float = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPlan:
    """Gates on a field; None switches a gate off. None of them looks at the question's readout.

    Attributes
    ----------
    min_objects : int or None
        Fewer objects reject the field.
    max_saturated : float or None
        Largest allowed share (0..1) of saturated pixels in any channel.
    min_focus : float or None
        Smallest allowed focus score of the segmentation channel (see ``numerics.focus``).
    min_confidence : float or None
        Smallest allowed mean of the segmenter's confidence in its objects.
    """

    min_objects: int | None = None
    max_saturated: float | None = None
    min_focus: float | None = None
    min_confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProfilePlan:
    """The morphological profile of a field: one number per feature, over its objects.

    Attributes
    ----------
    columns : tuple of str
        Columns of the object table, in the order of the profile.
    summary : str
        ``"median"`` or ``"mean"`` over the objects that know the feature.
    """

    columns: tuple[str, ...]
    summary: str = "median"


@dataclass(frozen=True, slots=True, kw_only=True)
class PickPlan:
    """Which objects of a field are worth telling of by themselves.

    Attributes
    ----------
    where : str
        Condition over one object, in the language of readouts (``z(DNA.mean) > 4``); already checked.
    best_first : str or None
        Number per object that orders them, higher first; None leaves them in the order of their labels.
    most : int
        Of a field that has more, the first ones are told.
    """

    where: str
    best_first: str | None = None
    most: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisPlan:
    """How a field becomes readouts. Plain and picklable: a worker process gets exactly this.

    Attributes
    ----------
    channels : tuple of str
        All channels of the profile, in array order.
    segment : SegmentPlan or None
        None: no objects (whole-field features only).
    spots : tuple of SpotsPlan
        Spot detectors.
    readouts : mapping of str to str
        Name to expression source, already checked.
    families : tuple of str
        Families of features (see ``model.features``) that are measured besides the basic ones and those that a readout
        names.
    profile : FieldProfilePlan or None
        What makes the profile of a field; None: it has none.
    pick : PickPlan or None
        Which objects are told of by themselves; None: none.
    quality : QualityPlan
        Gates.
    pixel_size_um : float
        Of the profile.
    bit_depth : int or None
        Of the camera; None: take it from the dtype.
    workers : int
        Threads or processes.
    executor : str
        ``"threads"`` or ``"processes"``.
    batch : int
        Fields that one worker takes at once; more than 1 pays where the segmenter can pool them (a GPU).
    collect_s : float
        How long a worker waits for a batch to fill.
    sometimes : tuple of str
        Channels that are not imaged at every time point; where one is absent, what it would show is unknown.
    """

    channels: tuple[str, ...]
    segment: SegmentPlan | None = None
    spots: tuple[SpotsPlan, ...] = ()
    readouts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    families: tuple[str, ...] = ()
    profile: FieldProfilePlan | None = None
    pick: PickPlan | None = None
    quality: QualityPlan = QualityPlan()
    pixel_size_um: float = 1.0
    bit_depth: int | None = None
    workers: int = 2
    executor: str = "threads"
    batch: int = 1
    collect_s: float = 0.005
    sometimes: tuple[str, ...] = ()
