"""Which object each pixel is nearest to, and how far from its edge: what rings and the ownership of spots share."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.bincount import Groups


class Neighbourhood:
    """The nearest object of every pixel (Borgefors 1986, 5 x 5 mask, doi 10.1016/S0734-189X(86)80047-0).

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        0 is background.
    groups : Groups, optional
        Of these labels, where they are known already.

    Attributes
    ----------
    distance : ndarray of float32, shape (y, x)
        To the nearest pixel of an object, px, within 2 % of Euclidean; 0 inside; infinite where there is no object.
    """

    def __init__(self, labels: NDArray[np.int32], groups: Groups | None = None) -> None:
        groups = groups or Groups(labels)
        outside = labels == 0
        self.distance: NDArray[np.float32]
        self._nearest: NDArray[np.int32] | None = None
        if not groups.index.size:
            self.distance = np.full(labels.shape, np.inf, dtype=np.float32)
            return
        distance, nearest = cv2.distanceTransformWithLabels(
            outside.view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        self.distance = np.asarray(distance, dtype=np.float32)
        self._nearest = np.asarray(nearest, dtype=np.int32).ravel()
        # OpenCV numbers the object pixels; which number went to which pixel is read off at the pixels themselves
        self._label_of = np.zeros(groups.index.size + 1, dtype=np.int32)
        self._label_of[self._nearest[groups.index]] = np.repeat(
            np.arange(1, groups.n + 1, dtype=np.int32), groups.count
        )

    def owner(self, index: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """Return the label nearest to each of some pixels, given by flat index; 0 where there is no object."""
        if self._nearest is None:
            return np.zeros(index.shape, dtype=np.int32)
        owner: NDArray[np.int32] = self._label_of[self._nearest[index]]
        return owner
