"""Which part of a microscope needs which: the one place where they are put together, and the core gets its engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pymmcore_plus import CMMCorePlus

from phenoloop.core.allowance import Allowance
from phenoloop.microscope.clock import Clock
from phenoloop.microscope.engine import StrictEngine
from phenoloop.microscope.exposing import Exposer
from phenoloop.microscope.feed import Feed
from phenoloop.microscope.focus import Focus
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.optics import Optics
from phenoloop.microscope.placing import Placer
from phenoloop.microscope.proving import Prover, log_fault
from phenoloop.microscope.steps import Steps
from phenoloop.microscope.tally import Tally
from phenoloop.microscope.virtual.camera import Look, VirtualCamera
from phenoloop.microscope.watchdog import Watchdog
from phenoloop.model import MicroscopePlan, Plan
from phenoloop.ports import Specimen


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the microscope thread works with, and those who wait for it."""

    engine: StrictEngine
    feed: Feed
    focus: Focus

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self.engine.use(plan)
        self.feed.use(plan)


def virtual_camera(core: CMMCorePlus, plan: Plan, specimen: Specimen | None, clock: Clock) -> VirtualCamera | None:
    """Put a specimen in front of the core; None: the camera sees what it sees."""
    if specimen is None:
        return None
    main = plan.main
    idle = Look(address=None, group=main.channels[0].group, channel="", pixel_size_um=main.pixel_size_um)
    return VirtualCamera(core, specimen, clock, idle)


def assemble(
    core: CMMCorePlus,
    plan: Plan,
    microscope: MicroscopePlan,
    *,
    camera: VirtualCamera | None,
    clock: Clock,
    gate: Gate,
    watchdog: Watchdog,
    allowance: Allowance,
    ended: Callable[[Tally], None],
) -> Parts:
    """Build what drives a core, bring it into the main profile, and give the core its engine.

    Parameters
    ----------
    core : CMMCorePlus
        The loaded core.
    plan, microscope : Plan, MicroscopePlan
        What is planned, and on what.
    camera : VirtualCamera or None
        What stands in front of the core.
    clock, gate, watchdog : Clock, Gate, Watchdog
        Time, queue and deadlines.
    allowance : Allowance
        The light that may be given.
    ended : callable
        Takes a visit of which no event is left.

    Raises
    ------
    FrameError
        If the main profile cannot be reached.
    """
    prover = Prover(microscope, gate, watchdog)
    settle_s = 0.0 if plan.virtual_clock else microscope.settle_s
    steps = Steps(core, microscope, plan.cost, clock, gate, prover, settle_s)
    optics = Optics(core, steps, plan.cost, camera)
    focus = Focus(steps, plan.stage)
    optics.enter(plan.main, log_fault)
    exposer = Exposer(
        core,
        plan=plan,
        attempts=microscope.attempts,
        optics=optics,
        clock=clock,
        gate=gate,
        watchdog=watchdog,
        timeout_s=microscope.timeout_s,
        camera=camera,
        allowance=allowance,
    )
    placer = Placer(plan, steps, optics, gate)
    engine = StrictEngine(
        core, plan=plan, placer=placer, exposer=exposer, optics=optics, focus=focus, clock=clock, gate=gate
    )
    feed = Feed(core, plan, engine=engine, steps=steps, optics=optics, focus=focus, clock=clock, gate=gate, ended=ended)
    core.mda.set_engine(engine)
    return Parts(engine=engine, feed=feed, focus=focus)
