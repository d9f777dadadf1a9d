"""Where the cells of a well lie and what each is like, tile by tile: a tile is a pure function of seed, well and place.

Two fields that overlap see the same cells, whichever is looked at first. Cells keep a distance (Matérn's second
hard-core process [1]_): every candidate has a mark, and gives way to a neighbour with a smaller one, so a tile needs to
know only the candidates of the tiles around it.

References
----------
.. [1] B. Matérn, "Spatial Variation", Meddelanden från Statens Skogsforskningsinstitut 49 (5), 1960; section 3.6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.microscope.virtual.cells import Array, Cells
from phenoloop.microscope.virtual.flares import FlareParams, onsets
from phenoloop.microscope.virtual.stamps import SHAPES
from phenoloop.microscope.virtual.synthetic_params import Rare
from phenoloop.model import WellPlan

CLOSEST: Final = 1.75
"""Least distance of two cells, in nuclear radii: some nuclei touch, none is hidden."""
DENSEST: Final = 0.85
"""Largest share of the hard-core process's limit that can be asked for."""
CELL_RADIUS: Final = 2.3
"""Radius of a whole cell, in nuclear radii."""
LARGEST: Final = 1.6
"""No half-axis of a nucleus is longer than this, in nuclear radii."""
_RING: Final = (1.3, 2.0)
"""Vesicles lie between these radii (in half-axes of the nucleus): beside the nucleus, inside the cell."""
_FIELD_SHARE: Final = 0.82
"""Standard deviation of the mean over one tile-sized field of the interpolated noise, whose own is 1 at every place."""
_TRAITS: Final = 10
_FEWEST_SLOTS: Final = 36
_NOISY: Final = ("vesicles", "intensity", "nc_ratio")


@dataclass(frozen=True, slots=True)
class _Candidates:
    places: Array
    marks: Array
    uniforms: Array
    traits: Array


class Population:
    """The cells of a plate.

    Parameters
    ----------
    seed : int
        Root of all chance.
    density : float
        Cells per square micrometre where nothing kills them.
    nucleus_um : float
        Typical nuclear radius.
    well_radius_um : float
        No cell reaches beyond it.
    tile_um : float
        Side of a tile; the size of a field, so that noise between tiles is noise between fields.
    levels : mapping of str to mapping of str to float
        Level of each quantity in each well: ``[quantity][well]``.
    field_sd, cell_sd : float
        Standard deviation between fields and between cells, relative to the level.
    rare : Rare or None
        Cells of another kind.

    Raises
    ------
    ValueError
        If so many cells do not fit side by side.
    """

    def __init__(
        self,
        *,
        seed: int,
        density: float,
        nucleus_um: float,
        well_radius_um: float,
        tile_um: float,
        levels: Mapping[str, Mapping[str, float]],
        field_sd: float,
        cell_sd: float,
        rare: Rare | None = None,
    ) -> None:
        self._seed = (abs(seed), int(seed < 0))
        self._nucleus_um = nucleus_um
        self._well_radius_um = well_radius_um
        self._tile_um = tile_um
        self._levels = levels
        self._field_sd, self._cell_sd = field_sd, cell_sd
        self._rare = rare
        crowding = density * math.pi * (CLOSEST * nucleus_um) ** 2
        if crowding > DENSEST + 1e-9:
            raise ValueError(
                f"{density * tile_um**2:.0f} cells do not fit into a field of {tile_um:.0f} um side by side: nuclei of "
                f"{2 * nucleus_um:g} um leave room for {densest(nucleus_um) * tile_um**2:.0f}"
            )
        self._hard_core_um = CLOSEST * nucleus_um
        self._candidates_per_tile = -math.log1p(-crowding) / (math.pi * self._hard_core_um**2) * tile_um**2
        most = max(levels["vesicles"].values(), default=0.0)
        self._slots = int(min(240, max(_FEWEST_SLOTS, 3 * most)))
        # Both are pure functions; the caches only save work and are bounded.
        self._candidates = lru_cache(maxsize=2048)(self._draw_candidates)
        self._tile = lru_cache(maxsize=1024)(self._draw_tile)

    def within(self, well: WellPlan, left: float, right: float, low: float, high: float) -> Cells:
        """Return the cells of all tiles that touch a rectangle (micrometres, relative to the middle of the well)."""
        tiles = self._tiles(left, right, low, high)
        return Cells.joined([self._tile(well.name, well.row, well.column, i, j) for i, j in tiles])

    def onsets(
        self, flares: FlareParams, well: WellPlan, box: tuple[float, float, float, float], bin_number: int
    ) -> Array:
        """Return when the event of each cell of `within` begins in one bin of time, in its order; NaN without one.

        Parameters
        ----------
        flares : FlareParams
            What events there are.
        well : WellPlan
            The well.
        box : (left, right, low, high)
            As for `within`.
        bin_number : int
            See `flares.onsets`.
        """
        found = [np.empty(0)]
        for i, j in self._tiles(*box):
            cells = len(self._tile(well.name, well.row, well.column, i, j))
            uniforms = self._rng(7, well.row, well.column, i, j, bin_number).random((cells, 2))
            found.append(onsets(flares, uniforms, bin_number))
        return np.concatenate(found)

    def _tiles(self, left: float, right: float, low: float, high: float) -> list[tuple[int, int]]:
        reach = self._well_radius_um
        columns = range(self._number(max(left, -reach)), self._number(min(right, reach)) + 1)
        rows = range(self._number(max(low, -reach)), self._number(min(high, reach)) + 1)
        return [(i, j) for j in rows for i in columns]

    def _number(self, place_um: float) -> int:
        return math.floor(place_um / self._tile_um)

    def _rng(self, purpose: int, *where: int) -> np.random.Generator:
        key = [value % (1 << 32) for value in where]
        return np.random.default_rng((*self._seed, purpose, *key))

    def _draw_candidates(self, row: int, column: int, i: int, j: int) -> _Candidates:
        rng = self._rng(2, row, column, i, j)
        beyond = self._tile_um * math.hypot(max(i, -i - 1, 0), max(j, -j - 1, 0)) > self._well_radius_um
        n = 0 if beyond else int(rng.poisson(self._candidates_per_tile))
        uniforms = rng.random((n, 6))
        return _Candidates(
            places=(uniforms[:, :2] + (i, j)) * self._tile_um,
            marks=uniforms[:, 2],
            uniforms=uniforms[:, 3:],
            traits=rng.standard_normal((n, _TRAITS)),
        )

    def _draw_tile(self, well: str, row: int, column: int, i: int, j: int) -> Cells:
        own = self._candidates(row, column, i, j)
        around = [self._candidates(row, column, i + di, j + dj) for dj in (-1, 0, 1) for di in (-1, 0, 1)]
        keep = self._give_way(i, j, own, around)
        keep &= np.hypot(own.places[:, 0], own.places[:, 1]) + CELL_RADIUS * self._nucleus_um <= self._well_radius_um
        keep &= own.uniforms[:, 0] < self._levels["survival"][well]
        places, uniforms, traits = own.places[keep], own.uniforms[keep], own.traits[keep]
        size = self._nucleus_um * self._levels["size"][well] * np.exp(0.09 * traits[:, 0])
        stretch = math.sqrt(self._levels["elongation"][well]) * np.exp(0.5 * np.abs(0.22 * traits[:, 1]) + 0.02)
        longest = LARGEST * self._nucleus_um
        level = self._cell_levels(well, row, column, i, j, places, traits)
        count = np.minimum(_poisson_quantile(uniforms[:, 1], level["vesicles"]), self._slots)
        kind = self._kinds(row, column, i, j, keep)
        stain = self._levels["stain"][well] * np.exp(0.16 * traits[:, 2])
        if self._rare is not None:
            stain = np.where(kind > 0, self._rare.brightness * stain, stain)
            count = np.where(kind == 1, self._rare.vesicles, count)
        a, b = np.minimum(size * stretch, longest), np.minimum(size / stretch, longest)
        angle = math.pi * uniforms[:, 2]
        slots = self._rng(4, row, column, i, j).random((len(count), 3 * self._slots))
        spot_cell, spot_x, spot_y, spot_peak = self._vesicles(count, a, b, angle, slots)
        return Cells(
            x=places[:, 0],
            y=places[:, 1],
            a=a,
            b=b,
            angle=angle,
            shape=np.floor(SHAPES * (own.marks[keep] * 1e6 % 1)),
            stain=stain,
            intensity=level["intensity"],
            nc_ratio=level["nc_ratio"],
            vesicles=count,
            rare=kind,
            phase=np.stack((traits[:, 8], traits[:, 9]), axis=1) % 1,
            spot_cell=spot_cell,
            spot_x=spot_x,
            spot_y=spot_y,
            spot_peak=spot_peak,
        )

    def _kinds(self, row: int, column: int, i: int, j: int, keep: NDArray[np.bool_]) -> Array:
        """Return the kind of the kept cells of a tile; drawn apart, so that all else is as without rare cells."""
        if self._rare is None:
            return np.zeros(int(keep.sum()))
        draw = self._rng(5, row, column, i, j).random(len(keep))[keep]
        uneven = self._rare.uneven
        factor = 1.0 if uneven == 0 else float(self._rng(6, row, column).gamma(1 / uneven, uneven))
        share = self._rare.share * factor
        return np.where(draw < share, 1.0, np.where(draw < share + self._rare.lookalikes, 2.0, 0.0))

    def _give_way(self, i: int, j: int, own: _Candidates, around: list[_Candidates]) -> NDArray[np.bool_]:
        """Return which candidates of tile (i, j) have no neighbour with a smaller mark."""
        places = np.concatenate([part.places for part in around])
        marks = np.concatenate([part.marks for part in around])
        reach, tile = self._hard_core_um, self._tile_um
        low, high = np.array((i, j)) * tile - reach, np.array((i + 1, j + 1)) * tile + reach
        near = ((places > low) & (places < high)).all(axis=1)  # the rest cannot matter: this only saves work
        (x, y), marks = places[near].T, marks[near]
        squared = (own.places[:, 0, None] - x) ** 2
        squared += (own.places[:, 1, None] - y) ** 2
        beaten = (squared < reach**2) & (marks < own.marks[:, None])
        return np.asarray(~beaten.any(axis=1), np.bool_)

    def _cell_levels(
        self, well: str, row: int, column: int, i: int, j: int, places: Array, traits: Array
    ) -> dict[str, Array]:
        """Return the level of each cell: the well's, times noise that is smooth in space, times the cell's own."""
        corners = np.stack(
            [self._rng(3, row, column, i + di, j + dj).standard_normal(len(_NOISY)) for dj in (0, 1) for di in (0, 1)]
        )
        u, v = places[:, 0] / self._tile_um - i, places[:, 1] / self._tile_um - j
        weights = np.stack(((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v), axis=1)
        weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
        smooth = weights @ corners * (self._field_sd / _FIELD_SHARE)
        spread = (self._field_sd / _FIELD_SHARE) ** 2 + self._cell_sd**2
        noise = np.exp(smooth + self._cell_sd * traits[:, 3 : 3 + len(_NOISY)] - spread / 2)
        return {name: self._levels[name][well] * noise[:, k] for k, name in enumerate(_NOISY)}

    def _vesicles(
        self, count: Array, a: Array, b: Array, angle: Array, slots: Array
    ) -> tuple[NDArray[np.int64], Array, Array, Array]:
        """Place vesicles in a ring around the nucleus: on a sunflower's seeds, jittered, so that most stay apart."""
        n, slot = self._slots, np.arange(self._slots)
        chance = slots[:, :n]
        order = np.argsort(np.argsort(chance, axis=1), axis=1)
        cell, seed = np.nonzero(order < count[:, None])
        inner, outer = _RING
        turn = math.pi * (3 - math.sqrt(5))
        far = np.sqrt(inner**2 + (outer**2 - inner**2) * (slot + 0.5) / n)[seed]
        spacing = math.sqrt(math.pi * (outer**2 - inner**2) / n)
        jitter = 0.35 * spacing * (slots[:, n:].reshape(-1, 2, n)[cell, :, seed] - 0.5)
        along = turn * slot[seed] + 2 * math.pi * chance[cell, 0]
        u, v = far * np.cos(along) + jitter[:, 0], far * np.sin(along) + jitter[:, 1]
        x, y = a[cell] * u, b[cell] * v
        cos, sin = np.cos(angle[cell]), np.sin(angle[cell])
        peak = np.exp(0.5 * (slots[cell, n + seed] - 0.5))
        return cell, cos * x - sin * y, sin * x + cos * y, peak


def densest(nucleus_um: float) -> float:
    """Return how many cells per square micrometre fit side by side."""
    return DENSEST / (math.pi * (CLOSEST * nucleus_um) ** 2)


def _poisson_quantile(uniform: Array, mean: Array) -> Array:
    """Return the Poisson count at each quantile: one draw per cell that only grows when its mean does."""
    term = np.exp(-mean)
    total = term.copy()
    count = np.zeros_like(mean)
    for k in range(1, int(mean.max(initial=0) + 12 * math.sqrt(mean.max(initial=0)) + 20)):
        more = uniform > total
        if not more.any():
            break
        count += more
        term = term * mean / k
        total += term
    return count
