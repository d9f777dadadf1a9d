"""Frames of a field become a feature table, readouts and a judgement of quality."""

from phenoloop.measure.analysis import Analysis, measure_field

__all__ = ["Analysis", "measure_field"]
