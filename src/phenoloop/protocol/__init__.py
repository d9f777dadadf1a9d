"""From a YAML file to a plan: everything that can be wrong is found here, before any device is initialised.

Names are imported when they are asked for: policies need the base of their parameters only, and a worker process needs
expressions only, neither the YAML reader nor the plate models.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from phenoloop.protocol.forecasting import Forecast, forecast
    from phenoloop.protocol.loaded import Loaded, plan_hash
    from phenoloop.protocol.microscope_folders import shared_folder
    from phenoloop.protocol.resolve import load, load_text
    from phenoloop.protocol.schema import json_schema, microscope_schema

__all__ = [
    "Forecast",
    "Loaded",
    "forecast",
    "json_schema",
    "load",
    "load_text",
    "microscope_schema",
    "plan_hash",
    "shared_folder",
]

_HOME: Final = {
    "Forecast": "forecasting",
    "Loaded": "loaded",
    "forecast": "forecasting",
    "json_schema": "schema",
    "load": "resolve",
    "load_text": "resolve",
    "microscope_schema": "schema",
    "plan_hash": "loaded",
    "shared_folder": "microscope_folders",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
