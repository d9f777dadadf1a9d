"""The doors of the loop: what an adapter must offer, one small protocol each. An adapter's author reads this page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import (
    Acquire,
    Answer,
    Candidate,
    Context,
    ExposuresSet,
    FieldReadout,
    FrameAddress,
    Meter,
    MeteringFailed,
    MicroscopeFailed,
    Proposal,
    Stop,
    StoredFrame,
    Visit,
    VisitEnded,
    VisitResult,
)

Image = NDArray[Any]
"""A frame: 2-D, ``(y, x)``, unsigned integers as the camera gives them."""
Labels = NDArray[np.int32]
"""A segmentation: 2-D, 0 is background, object ``k`` has the value ``k``, values dense from 1."""


class Policy(Protocol):
    """Chooses what is imaged next. `ask` changes nothing; all state comes from `tell`.

    One that decides on profiles says so, ``needs = ("profile",)``; a protocol without them is then refused at load.
    """

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits, or stop. An empty list: nothing is worth doing before the next result."""
        ...

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in what became of a visit, exactly once, in the order of the visits' numbers."""
        ...

    def report(self) -> Mapping[str, Any]:
        """Return what it believes now, JSON-ready, for people."""
        ...


class Question(Protocol):
    """What the report may claim, by the same code whoever chose the images. May have `needs`, as a `Policy`."""

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Answer from all accepted fields, in the order in which they were told."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """Labels of one image, and what the segmenter thinks of each object.

    Attributes
    ----------
    labels : ndarray of int32, shape (y, x)
        0 is background; objects are dense from 1.
    scores : ndarray of float, shape (n,), or None
        Confidence of object ``i + 1`` in 0..1, where the method offers one.
    notes : tuple of str
        What happened to the machinery on the way (a smaller batch, another device); empty as a rule.
    """

    labels: Labels
    scores: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()


class Segmenter(Protocol):
    """Finds objects in one image."""

    def segment(self, image: Image) -> Segmentation:
        """Return the objects of a 2-D image of any unsigned integer or float dtype."""
        ...


class BatchSegmenter(Segmenter, Protocol):
    """A segmenter that gains from several images at once, and has something to load. Optional: `Segmenter` is enough.

    Its constructor is cheap and loads nothing, but raises what can be known without loading (weights that are absent).
    """

    def segment_many(self, images: Sequence[Image]) -> list[Segmentation]:
        """Return what `segment` returns of each image, in order; the images may differ in shape and dtype."""
        ...

    def warm_up(self, shape: tuple[int, int]) -> None:
        """Load, and run once on an image of this shape, so that the first frame of a run is as fast as the last."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return what a run must record to be repeated (model, hash, device, versions), JSON-ready."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """All that the analysis says of one field.

    Attributes
    ----------
    status : str
        ``"ok"`` or ``"qc_fail"``.
    readouts, quality : mapping of str to float or None
        None is unknown.
    reason : str
        Why it was rejected, empty for ``ok``.
    labels : mapping of str to ndarray of int32
        By name of the segmentation or of the spots.
    objects : mapping of str to ndarray, each of shape (n,)
        Feature table; ``label`` is its key, other columns are ``<channel or spots>.<feature>`` or a bare shape feature.
    timing_ms : mapping of str to float
        ``segment`` and ``measure``.
    notes : tuple of str
        What happened to the machinery on the way (a smaller batch, another device); for the journal, not for decisions.
    profile : tuple of float or None
        One number per column of the plan's profile; empty where it asks for none.
    candidates : tuple of Candidate
        Objects that passed the plan's `pick`, best first.
    """

    status: str
    readouts: Mapping[str, float | None]
    quality: Mapping[str, float | None]
    reason: str = ""
    labels: Mapping[str, Labels] = dataclasses.field(default_factory=dict)
    objects: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    timing_ms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    profile: tuple[float | None, ...] = ()
    candidates: tuple[Candidate, ...] = ()


class FrameSink(Protocol):
    """Where the microscope delivers. Its methods may block (that slows the microscope) and must not raise."""

    def frame(self, frame: StoredFrame, pixels: Image) -> None:
        """Take one frame; it becomes durable before its `VisitEnded` is journalled."""
        ...

    def ended(self, visit: VisitEnded) -> None:
        """Take the end of a visit; all its frames were delivered before."""
        ...

    def metered(self, happened: ExposuresSet | MeteringFailed) -> None:
        """Take the end of a metering."""
        ...

    def failed(self, failure: MicroscopeFailed) -> None:
        """Take the news that the microscope can no longer be used."""
        ...


class Microscope(Protocol):
    """Takes the frames of a visit, or says why it could not. All calls but `open` and `close` return at once."""

    def open(self, sink: FrameSink) -> Mapping[str, Any]:
        """Prepare the hardware and start to wait for visits; return a description for ``resolved.json``.

        Raises
        ------
        HardwareError
            If it cannot be used as the plan asks.
        """
        ...

    def acquire(self, command: Acquire) -> None:
        """Queue a visit; it will end in exactly one ``sink.ended``."""
        ...

    def meter(self, command: Meter) -> None:
        """Queue a metering; it will end in exactly one ``sink.metered``, and its exposures hold from then on."""
        ...

    def pause(self) -> None:
        """Hold before the next frame."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...

    def stop(self) -> None:
        """Take no further frame; every queued visit ends with its frames missing, reason ``"stopped"``."""
        ...

    def now_s(self) -> float:
        """Return the run clock."""
        ...

    def close(self) -> None:
        """Put the hardware in its safe state and let it go. Called once, also after a failure."""
        ...


class Specimen(Protocol):
    """What the virtual camera sees: a pure function of where, when and how."""

    def shape(self) -> tuple[int, int]:
        """Return (height, width) of a frame in pixels."""
        ...

    def bit_depth(self) -> int:
        """Return 8 or 16."""
        ...

    def render(self, view: View) -> Image:
        """Return the picture of a view."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look of the virtual camera.

    Attributes
    ----------
    address : FrameAddress or None
        Which frame is being taken; its noise is keyed by this. None for a look that is no frame (autofocus, doctor).
    x_um, y_um : float
        Stage position.
    z_um : float
        Focus position.
    config : str
        Preset of the channel group that is in the light path.
    channel : str
        The protocol's name for it, empty where unknown.
    exposure_ms : float
        Exposure.
    pixel_size_um : float
        Size of a pixel in the sample.
    at_s : float
        Run clock.
    salt : int
        Counts looks that are no frame, so that each has noise of its own.
    """

    address: FrameAddress | None
    x_um: float
    y_um: float
    z_um: float
    config: str
    channel: str
    exposure_ms: float
    pixel_size_um: float
    at_s: float
    salt: int = 0


class ImageStore(Protocol):
    """Keeps frames and labels. `write` may return before the data is durable; `settle` waits."""

    def write(self, frame: StoredFrame, pixels: Image) -> None:
        """Begin to write one frame into the slot of its address."""
        ...

    def settle(self, visit: int) -> Sequence[tuple[FrameAddress, str]]:
        """Wait until every frame of a visit is durable; return the frames that could not be kept, with reasons."""
        ...

    def ensure_field(self, address: FrameAddress) -> None:
        """Create the image of a field although this frame is missing, so that image numbers have no gaps."""
        ...

    def write_labels(self, name: str, address: FrameAddress, labels: Labels) -> None:
        """Keep the labels of the field and visit of an address; derived data, callable from any thread."""
        ...

    def read(self, address: FrameAddress) -> Image | None:
        """Return a stored frame, or None where the slot was never written."""
        ...

    def count_stored(self) -> int:
        """Return how many frames are on the disk, counted there."""
        ...

    def close(self) -> None:
        """Finish: pad, close."""
        ...
