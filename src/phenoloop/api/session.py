"""One run while it goes on: the place where machine, microscope, analysis, storage and journal are put together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.api.live import LiveRun
from phenoloop.api.resolved import Resolved
from phenoloop.core import Machine
from phenoloop.measure.batching import make_ready, measure_fields
from phenoloop.microscope import MMCoreMicroscope
from phenoloop.model import (
    Acquire,
    ExposuresSet,
    Input,
    Judged,
    Measure,
    Measured,
    MeasurementFailed,
    Message,
    MeteringFailed,
    MicroscopeFailed,
    RunResumed,
    RunStarted,
    StoredFrame,
    VisitEnded,
)
from phenoloop.ports import Image, Measurement
from phenoloop.runner import (
    Analyst,
    Analysts,
    ArrivalOrder,
    Loop,
    RunSignals,
    Sequencer,
    SignalPump,
    Storekeeper,
    VirtualOrder,
)
from phenoloop.storage.images import RunImages
from phenoloop.storage.journal import Journal, read
from phenoloop.storage.run_folder import RunFolder
from phenoloop.storage.tables import write_frames, write_objects, write_readouts
from phenoloop.watch.diary import Diary

_LOG = logging.getLogger(__name__)

OnStart = Callable[[LiveRun], None]
OnWait = Callable[[], None]

_REFRESH_S = 0.2


class Session:
    """Everything that is open while a run goes on.

    Parameters
    ----------
    resolved : Resolved
        The protocol as understood.
    folder : RunFolder
        Locked by the caller.
    machine : Machine
        Fresh or folded.
    """

    def __init__(self, resolved: Resolved, folder: RunFolder, machine: Machine) -> None:
        self._resolved = resolved
        self._folder = folder
        self._machine = machine
        self._described: Mapping[str, Any] = {}
        self._sink = _LateSink()
        self._loop: Loop
        self.images = RunImages(folder.images_folder, resolved.plan, bit_depth=resolved.analysis.bit_depth)
        self.microscope = MMCoreMicroscope(
            machine.plan,
            resolved.microscope,
            resolved.build_specimen(),
            start_s=machine.at_s,
            allowance=machine.allowance(resolved.microscope.attempts),
        )
        self._sequencer, now_s = self._time()
        services = {
            profile: Analyst(
                plan,
                measure_fields,
                make_ready,
                lambda happened: self._loop.post(happened),
                now_s,
                self._archive,
                deadline_s=resolved.plan.deadline_s,
                virtual=resolved.plan.virtual_clock,
            )
            for profile, plan in resolved.analysis_by_profile.items()
        }
        self._analysts = Analysts(services, lambda number: machine.visit(number).profile)

    def open(self) -> None:
        """Make sure that the microscope and the analysis can do what the plan asks, before any light.

        Raises
        ------
        HardwareError
            If the microscope cannot.
        PhenoloopError
            If the analysis cannot: a model that does not load, say.
        """
        try:
            self._described = self.microscope.open(self._sink)
            blanks = {name: self._blank_field(name) for name in self._resolved.plan.profiles}
            segmenters = self._analysts.warm_up(blanks)
            self._described = {**self._described, "segmenter": dict(segmenters["main"])}
            if others := {name: dict(said) for name, said in segmenters.items() if name != "main"}:
                self._described["segmenters"] = others
        except BaseException:  # Ctrl-C in a long warm-up is one: devices and workers are let go whatever it was
            self.microscope.close()
            self._analysts.close()
            raise

    def go(
        self,
        journal: Journal,
        first: Sequence[Input],
        *,
        owed: Sequence[Message] = (),
        on_start: OnStart | None = None,
        on_wait: OnWait | None = None,
    ) -> None:
        """Run the loop in its own thread until it has ended; this thread serves the caller.

        Parameters
        ----------
        journal : Journal
            Open; closed here.
        first : sequence of Input
            What the machine is told first.
        owed : sequence of Message
            What a folded machine owes its journal.
        on_start, on_wait : callable, optional
            See `api.run`.
        """
        signals = RunSignals()
        diary = Diary(self._folder.path)
        diary.watch(signals)
        pump = SignalPump(signals)
        loop = self._loop = Loop(
            self._machine,
            journal,
            self.microscope,
            self._sequencer,
            pump,
            read_field=self._read_field,
            close_data=lambda: self._close_data(journal),
        )
        storekeeper = Storekeeper(self.images, loop.post)
        loop.attach(storekeeper, self._analysts)
        self._sink.connect(storekeeper)
        if on_start is not None:
            on_start(LiveRun(loop, signals, self._resolved.setup, self._folder))
        opening = [self._with_description(happened) for happened in first]
        failure: list[BaseException] = []

        def decide() -> None:
            try:
                loop.run(opening, owed)
            except BaseException as error:  # told in the caller's thread, after everything that holds light is closed
                failure.append(error)
                _LOG.exception("the loop failed")
                self.microscope.stop()
            finally:
                self.microscope.close()

        thread = threading.Thread(target=decide, name="decisions")
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_REFRESH_S)
                if on_wait is not None:
                    on_wait()
        except BaseException:
            # The caller's own code failed, or the user insisted: end in order all the same.
            loop.stop("interrupted")
            thread.join()
            raise
        finally:
            pump.close()
            journal.close()
        if failure:
            raise failure[0]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _time(self) -> tuple[Sequencer, Callable[[Measure], float]]:
        if self._resolved.plan.virtual_clock:
            virtual = VirtualOrder(self._resolved.plan.analysis_latency_s)
            return virtual, virtual.due_s
        return ArrivalOrder(), lambda command: self.microscope.now_s()

    def _with_description(self, happened: Input) -> Input:
        if isinstance(happened, RunStarted | RunResumed):
            return replace(happened, wall={**happened.wall, "equipment": dict(self._described)})
        return happened

    def _blank_field(self, profile: str) -> Mapping[str, NDArray[Any]]:
        camera, plan = self._described["camera"], self._resolved.plan
        dtype = np.uint8 if camera["bit_depth"] <= 8 else np.uint16
        # The camera was described as it stands under `main`; a specimen's pictures have one size whatever the binning.
        binned = 1.0
        if self._resolved.simulation is None:
            binned = plan.profiles["main"].binning / plan.profiles[profile].binning
        blank = np.zeros((round(camera["height"] * binned), round(camera["width"] * binned)), dtype)
        return dict.fromkeys(self._resolved.analysis_by_profile[profile].channels, blank)

    def _read_field(self, visit: int, field: str) -> Mapping[str, NDArray[Any]]:
        planes: dict[str, list[Image]] = {}
        for address in self._machine.visit(visit).frames():
            if address.field == field and (pixels := self.images.read(address)) is not None:
                planes.setdefault(address.channel, []).append(pixels)
        return {name: found[0] if len(found) == 1 else np.stack(found) for name, found in planes.items()}

    def _archive(self, command: Measure, measurement: Measurement) -> None:
        visit = self._machine.visit(command.visit)
        address = next(address for address in visit.frames() if address.field == command.field)
        for name, labels in measurement.labels.items():
            self.images.write_labels(name, address, labels)
        if measurement.objects:
            folder = self._folder.objects(visit.profile)
            write_objects(folder, visit.number, visit.well, command.field, measurement.objects)

    def _close_data(self, journal: Journal) -> None:
        self.images.close()
        journal.sync()
        messages = read(self._folder.journal).messages
        acquires = [message for message in messages if isinstance(message, Acquire)]
        ends = [message for message in messages if isinstance(message, VisitEnded)]
        results = [message for message in messages if isinstance(message, Measured | MeasurementFailed)]
        write_frames(self._folder.frames, acquires, ends)
        verdicts = [message for message in messages if isinstance(message, Judged)]
        write_readouts(self._folder.readouts, acquires, ends, results, verdicts)


class _LateSink:
    """A `FrameSink` for a microscope that is opened before the loop exists; visits come only once it is connected."""

    def __init__(self) -> None:
        self._keeper: Storekeeper | None = None

    def connect(self, keeper: Storekeeper) -> None:
        """Say where everything goes."""
        self._keeper = keeper

    def frame(self, frame: StoredFrame, pixels: Image) -> None:
        """Pass a frame on."""
        assert self._keeper is not None
        self._keeper.frame(frame, pixels)

    def ended(self, visit: VisitEnded) -> None:
        """Pass the end of a visit on."""
        assert self._keeper is not None
        self._keeper.ended(visit)

    def metered(self, happened: ExposuresSet | MeteringFailed) -> None:
        """Pass the end of a metering on."""
        assert self._keeper is not None
        self._keeper.metered(happened)

    def failed(self, failure: MicroscopeFailed) -> None:
        """Pass a failure on."""
        assert self._keeper is not None
        self._keeper.failed(failure)
