"""The imperative shell: queue, threads, executor. It carries out what the core says and tells it what happened."""

from phenoloop.runner.analyst import Analyst
from phenoloop.runner.analysts import Analysts
from phenoloop.runner.loop import Loop
from phenoloop.runner.sequencing import ArrivalOrder, Sequencer, VirtualOrder
from phenoloop.runner.signals import RunSignals, SignalPump
from phenoloop.runner.storekeeper import Storekeeper

__all__ = [
    "Analyst",
    "Analysts",
    "ArrivalOrder",
    "Loop",
    "RunSignals",
    "Sequencer",
    "SignalPump",
    "Storekeeper",
    "VirtualOrder",
]
