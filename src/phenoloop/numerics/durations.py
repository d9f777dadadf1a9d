"""Seconds in words: the unit a biologist would choose."""

from __future__ import annotations


def spoken(seconds: float) -> str:
    """Return a duration as a biologist says it: ``0.26 s``, ``30 s``, ``5 min``, ``24 h``."""
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        # 90 min, not 1.5 h; 24 h, not 1 d
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 60 or seconds % 60 else f"{seconds / 60:.3g} min"
