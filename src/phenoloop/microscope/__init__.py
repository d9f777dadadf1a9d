"""The adapter between the loop and a Micro-Manager microscope; the only package that imports pymmcore-plus.

It is imported when `MMCoreMicroscope` is asked for, so that the parameters of a specimen can be read without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phenoloop.microscope.mmcore import MMCoreMicroscope

__all__ = ["MMCoreMicroscope"]


def __getattr__(name: str) -> Any:
    if name == "MMCoreMicroscope":
        from phenoloop.microscope.mmcore import MMCoreMicroscope

        return MMCoreMicroscope
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
