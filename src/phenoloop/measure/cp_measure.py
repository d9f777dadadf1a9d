"""CellProfiler's features by CellProfiler's names, from the package cp_measure: the only file that imports it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import PluginError
from phenoloop.measure.shape import Columns

Image = NDArray[Any]
_Measure = Callable[..., Mapping[str, Any]]

_SHAPE: Final = ("sizeshape", "zernike", "feret")
_LIGHT: Final = ("intensity", "texture", "granularity", "radial_distribution", "radial_zernikes")
_PAIR: Final = ("pearson", "manders_fold", "rwc")
_PREFIX: Final = {"sizeshape": "AreaShape_", "zernike": "AreaShape_", "feret": "AreaShape_", "texture": "Texture_"}
"""CellProfiler's module in front of the names that cp_measure gives without."""


class CellProfiler:
    """Measures every object as CellProfiler does (Muñoz et al. 2025, arXiv 2507.01163).

    Some 0.5 s per channel and 200 objects: for the table of objects, not for live readouts. Costes' coefficient is left
    out: it refuses scaled values without an explicit maximum.

    Raises
    ------
    PluginError
        If cp_measure is not installed.
    """

    def __init__(self) -> None:
        try:
            from cp_measure.bulk import get_core_measurements, get_correlation_measurements
        except ImportError as error:
            raise PluginError(
                "`features: cellprofiler` needs the package cp_measure, which is not installed "
                f"({error}). Install it with: pip install 'phenoloop[profile]'"
            ) from error
        self._core: Mapping[str, _Measure] = get_core_measurements(sanitize=False)
        self._pairs: Mapping[str, _Measure] = get_correlation_measurements(sanitize=False)

    def names(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that `measure` gives for these channels, in order."""
        blank = np.zeros((16, 16), dtype=np.int32)
        return tuple(self.measure(blank, dict.fromkeys(channels, blank)))

    def measure(self, labels: NDArray[np.int32], channels: Mapping[str, Image]) -> Columns:
        """Measure every object.

        Parameters
        ----------
        labels : ndarray of int32, shape (y, x)
            Dense from 1.
        channels : mapping of str to ndarray, each of shape (y, x)
            By name. Integers are divided by the largest value of their type, as CellProfiler does on loading; floats
            are taken as they are.

        Returns
        -------
        dict of str to ndarray of float64, each of shape (n,)
            ``AreaShape_...`` bare, ``<channel>.<name>``, and ``<channel>.Correlation_..._<other>`` for pairs of
            channels in their order.
        """
        n = int(labels.max(initial=0))
        if n == 0:
            # it cannot measure nothing; a square tells the names
            square = np.zeros((16, 16), dtype=np.int32)
            square[4:12, 4:12] = 1
            blank = {name: np.arange(256, dtype=np.float64).reshape(16, 16) / 256 for name in channels}
            return {name: column[:0] for name, column in self.measure(square, blank).items()}
        planes = {name: _scaled(image) for name, image in channels.items()}
        columns: Columns = {}
        any_plane = next(iter(planes.values()), np.zeros(labels.shape))
        # objects of a pixel have no texture, no radius and no correlation: unknown, as elsewhere
        with np.errstate(all="ignore"):
            for kind in _SHAPE:
                columns.update(_named(self._core[kind](labels, any_plane), n, prefix=_PREFIX[kind]))
            for name, plane in planes.items():
                for kind in _LIGHT:
                    found = self._core[kind](labels, plane)
                    columns.update(_named(found, n, prefix=f"{name}.{_PREFIX.get(kind, '')}"))
            names = list(planes)
            for k, name in enumerate(names):
                for other in names[k + 1 :]:
                    for kind in _PAIR:
                        found = self._pairs[kind](planes[name], planes[other], labels)
                        columns.update(_named(found, n, prefix=f"{name}.", suffix=f"_{other}"))
        return columns


def _scaled(image: Image) -> NDArray[np.float64]:
    plane = image.astype(np.float64)
    return plane / np.iinfo(image.dtype).max if image.dtype.kind in "ui" else plane


def _named(found: Mapping[str, Any], n: int, *, prefix: str, suffix: str = "") -> Columns:
    columns: Columns = {}
    for name, values in found.items():
        column = np.asarray(values, dtype=np.float64)
        columns[f"{prefix}{name}{suffix}"] = np.where(np.isfinite(column), column, np.nan)[:n]
    return columns
