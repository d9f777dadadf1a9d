"""Cellpose's network at work: tiles, flows, objects from flows.

The steps are those of ``CellposeModel.eval``, made of the same functions, with three differences: the network is given,
never downloaded; the tiles of all images fill the batches together; the flow error of each object is kept. A test
compares the labels with those of ``eval``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import Plane
from phenoloop.segmentation.cellpose_package import memory, packages
from phenoloop.segmentation.cellpose_weights import network_with

Flows = NDArray[np.float32]
"""Shape (3, y, x): flow along y, flow along x (both 5 times a unit vector), logit of "in an object"."""

TILE: Final = 256
"""Side of a tile in px: Cellpose-SAM's position embedding knows no other."""
_LARGEST_SHARE: Final = 0.4
"""An object over this share of the image is taken for background, as in ``eval``."""
_NETWORKS: Final[dict[tuple[str, ...], Network]] = {}
_LOADING: Final = threading.Lock()


class Network:
    """A network on a device, ready to run; may be used by several threads at once.

    Parameters
    ----------
    net : torch.nn.Module
        Takes tiles (n, 1, 256, 256); gives (n, 3, 256, 256), alone or as the first of several.
    device : str
        Where it is.
    bf16 : bool
        Tiles go in as bfloat16.
    """

    def __init__(self, net: Any, device: str, *, bf16: bool) -> None:
        self._net = net.eval()
        self.device = device
        self._dtype = packages().torch.bfloat16 if bf16 else packages().torch.float32

    @classmethod
    def load(cls, path: Path, builder: str | None, device: str, *, bf16: bool) -> Network:
        """Load weights into the network they belong to.

        Parameters
        ----------
        path : Path
            A state_dict.
        builder : str or None
            ``"module:function"`` that returns the network; None is Cellpose-SAM.
        device : str
            See `choose_device`.
        bf16 : bool
            Halve the precision, which halves memory and nearly doubles the speed on a GPU; Cellpose's own default.

        Raises
        ------
        UsageError
            If the file is not exactly the weights of this network.
        PluginError
            If a package is missing.
        OutOfMemory
            If the network alone does not fit on the device.
        """
        return cls(network_with(path, builder, device, bf16=bf16), device, bf16=bf16)

    def flows(self, planes: Sequence[Plane], *, diameter: float | None, tile_overlap: float, batch: int) -> list[Flows]:
        """Return the flows of some images, their tiles pooled.

        Parameters
        ----------
        planes : sequence of ndarray of float32, shape (y, x)
            Of any shapes.
        diameter : float or None
            Typical diameter in px; images are resized so that it becomes 30 px. None leaves them as they are.
        tile_overlap : float
            Share of a tile that neighbours have in common.
        batch : int
            Tiles that go through the network at once.

        Raises
        ------
        OutOfMemory
            If they do not fit.
        """
        with memory():
            cut = [_Tiles(plane, 1.0 if diameter is None else 30.0 / diameter, tile_overlap) for plane in planes]
            tiles = np.concatenate([one.tiles for one in cut])
            out = np.empty((len(tiles), 3, TILE, TILE), dtype=np.float32)
            for start in range(0, len(tiles), batch):
                out[start : start + batch] = self._forward(tiles[start : start + batch])
            ends = np.cumsum([len(one.tiles) for one in cut])[:-1]
            return [one.join(part) for one, part in zip(cut, np.split(out, ends), strict=True)]

    def _forward(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        torch = packages().torch
        with torch.inference_mode():
            given = torch.from_numpy(tiles)
            if self.device == "cuda":
                given = given.pin_memory()
            found = self._net(given.to(self.device, self._dtype, non_blocking=True))
            found = found[0] if isinstance(found, tuple | list) else found
            result: NDArray[np.float32] = found.to("cpu", torch.float32).numpy()
        return result

    def objects(
        self,
        flows: Flows,
        *,
        diameter: float | None,
        niter: int | None,
        cellprob_threshold: float,
        flow_threshold: float | None,
        min_area: int,
    ) -> tuple[NDArray[np.int32], NDArray[np.float64] | None]:
        """Return labels, dense from 1, and the flow error of each object.

        Pixels follow the flows to where they meet, which makes an object. Its flow error is the mean squared difference
        between the network's flows and those that its outline would have (Stringer et al. 2021,
        doi 10.1038/s41592-020-01018-x).

        Parameters
        ----------
        flows : ndarray of float32, shape (3, y, x)
            From `flows`.
        diameter : float or None
            As there; sets the number of steps.
        niter : int or None
            Steps to follow the flows for; None is 200 at a diameter of 30 px, more for larger ones.
        cellprob_threshold : float
            Pixels with a logit above belong to objects.
        flow_threshold : float or None
            Objects with a larger flow error are dropped; None computes no flow errors, which saves most of the time.
        min_area : int
            Smallest object, px.

        Raises
        ------
        OutOfMemory
            If the device has no memory for it.
        """
        package = packages()
        steps = niter if niter is not None else int(200 if diameter is None else 200 / (30.0 / diameter))
        device = package.torch.device(self.device)
        with memory():
            masks = package.dynamics.compute_masks(
                flows[:2],
                flows[2],
                niter=steps,
                cellprob_threshold=cellprob_threshold,
                flow_threshold=0.0,
                max_size_fraction=_LARGEST_SHARE,
                device=device,
            )
            errors = None
            if flow_threshold is not None:
                errors = np.zeros(0)
                if masks.max() > 0:
                    masks, errors = self._drop(masks, flows[:2], flow_threshold)
        before = masks.copy()
        labels = package.utils.fill_holes_and_remove_small_masks(masks, min_size=min_area).astype(np.int32)
        return labels, None if errors is None else errors[_origin(labels, before) - 1]

    def _drop(self, masks: Any, flows: Flows, threshold: float) -> tuple[Any, NDArray[np.float64]]:
        """Drop objects of a large flow error; return the errors of the others, by their new labels."""
        package = packages()
        errors, _ = package.dynamics.flow_error(masks, flows, package.torch.device(self.device))
        bad = 1 + np.flatnonzero(errors > threshold)
        package.fastremap.mask(masks, bad, in_place=True)
        masks, new = package.fastremap.renumber(masks, in_place=True)
        kept = np.zeros(int(masks.max()))
        for old, label in new.items():
            if label:
                kept[label - 1] = errors[old - 1]
        return masks, kept


def shared_network(weights: Path, builder: str | None, device: str, *, bf16: bool) -> Network:
    """Return a network, loaded once per process however many analyses and threads use it; one device at a time.

    Raises
    ------
    As `Network.load`.
    """
    key = (str(weights), str(weights.stat().st_mtime_ns), builder or "", str(bf16))
    with _LOADING:
        found = _NETWORKS.get((*key, device))
        if found is None:
            for other in [known for known in _NETWORKS if known[:-1] == key]:
                del _NETWORKS[other]  # its memory ran out
            found = _NETWORKS[(*key, device)] = Network.load(weights, builder, device, bf16=bf16)
        return found


class _Tiles:
    """One image cut into tiles, and how to put the answers together again."""

    def __init__(self, plane: Plane, rescale: float, overlap: float) -> None:
        transforms = packages().transforms
        self._shape = plane.shape
        self._resized = rescale != 1.0
        low, high = float(plane.min()), float(plane.max())
        if high - low < 1:  # a contrast under 0.001 is none to cellpose: floats get the range of a camera
            plane = (plane - low) * np.float32(65535 / (high - low))
        # normalized one by one: in a stack, cellpose lets the images share what they do not have
        image = transforms.normalize_img(plane[..., None].copy(), norm3D=False)
        if self._resized:
            image = transforms.resize_image(image, rsz=[rescale, rescale])
        image = image.reshape(1, *image.shape[:2])
        top, bottom, left, right = transforms.get_pad_yx(*image.shape[1:], min_size=(TILE, TILE))
        self._inner = (slice(None), slice(top, top + image.shape[1]), slice(left, left + image.shape[2]))
        padded = np.pad(image, ((0, 0), (top, bottom), (left, right)))
        tiles, *self._places = transforms.make_tiles(padded, bsize=TILE, tile_overlap=overlap)
        self.tiles: NDArray[np.float32] = tiles.reshape(-1, 1, TILE, TILE)

    def join(self, answers: NDArray[np.float32]) -> Flows:
        """Return the mean of the answers wherever tiles overlap, at the shape of the image."""
        transforms = packages().transforms
        flows = transforms.average_tiles(answers, *self._places)[self._inner]
        if self._resized:
            flows = transforms.resize_image(flows.transpose(1, 2, 0), *self._shape).transpose(2, 0, 1)
        joined: Flows = np.ascontiguousarray(flows)
        return joined


def _origin(labels: NDArray[np.int32], before: NDArray[Any]) -> NDArray[np.int64]:
    """Return which label of `before` each object of `labels` was: the one of most of its pixels."""
    pixels = np.flatnonzero((labels > 0) & (before > 0))
    pairs, count = np.unique(
        np.stack([labels.ravel()[pixels], before.ravel()[pixels].astype(np.int64)]), axis=1, return_counts=True
    )
    order = np.lexsort((count, pairs[0]))  # by object, the largest part last
    last = np.append(np.diff(pairs[0][order]) > 0, True)[: order.size]
    origin: NDArray[np.int64] = pairs[1][order][last]
    return origin
