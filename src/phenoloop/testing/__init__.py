"""Contracts that every plug-in must keep, ready to be called from a plug-in's own tests.

>>> from phenoloop.testing import assert_policy
>>> from phenoloop.policies.sweep import Sweep
>>> assert_policy(lambda setup: Sweep(Sweep.Params(), setup))

>>> from functools import partial
>>> from phenoloop.testing import assert_segmenter
>>> from phenoloop.segmentation.threshold import Threshold
>>> assert_segmenter(partial(Threshold, Threshold.Params()))
"""

from phenoloop.testing.decisions import READOUT, assert_policy, assert_question, small_plate
from phenoloop.testing.played import Look, Played, play
from phenoloop.testing.segmenters import SEGMENTER_RULES, SegmenterFactory, assert_segmenter, small_field

__all__ = [
    "READOUT",
    "SEGMENTER_RULES",
    "Look",
    "Played",
    "SegmenterFactory",
    "assert_policy",
    "assert_question",
    "assert_segmenter",
    "play",
    "small_field",
    "small_plate",
]
