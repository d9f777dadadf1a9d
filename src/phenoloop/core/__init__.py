"""The decision core: inputs in, commands out. No I/O, no clock, no threads; the same inputs give the same commands."""

from phenoloop.core.deciding import Decider, NamedPolicy
from phenoloop.core.machine import Machine
from phenoloop.core.phases import TRANSITIONS, IllegalInput, Phase
from phenoloop.core.replay import Difference, Folded, Step, first_difference, fold, walk

__all__ = [
    "TRANSITIONS",
    "Decider",
    "Difference",
    "Folded",
    "IllegalInput",
    "Machine",
    "NamedPolicy",
    "Phase",
    "Step",
    "first_difference",
    "fold",
    "walk",
]
