"""Which cells are in a view, where in the picture, and how bright at that time: the plate as it is, before any light.

The image's rows run against the stage's y axis (up in the picture is +y, as row A of a plate is drawn above row B) and
its columns along x; the stage position is the middle of the frame.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from phenoloop.microscope.virtual.cells import Cells
from phenoloop.microscope.virtual.flares import FlareParams, brightness
from phenoloop.microscope.virtual.population import CELL_RADIUS, LARGEST, Population, densest
from phenoloop.microscope.virtual.synthetic_params import PLATE_HEIGHT_UM, SyntheticParams
from phenoloop.model import Plan, WellPlan
from phenoloop.ports import View

Box = tuple[float, float, float, float]
"""Left, right, low and high, micrometres from the middle of a well."""


class Scene:
    """The cells of a plate.

    Parameters
    ----------
    params : SyntheticParams
        How many, how large, how they move and flare.
    plan : Plan
        Wells, seed, and the pixel size of the profile ``main``.
    levels : mapping of str to mapping of str to float
        Level of each quantity by well.

    Raises
    ------
    ValueError
        If more cells are asked for than fit into a field, or the pixel size is not known.
    """

    def __init__(self, params: SyntheticParams, plan: Plan, levels: Mapping[str, Mapping[str, float]]) -> None:
        self._params = params
        self._plan = plan
        pixel_um = plan.profiles["main"].pixel_size_um
        if pixel_um <= 0:
            raise ValueError(
                "simulation: the profile main has no pixel size; name an objective whose pixel size is known"
            )
        self.radius_um = params.nucleus / 2
        """Of a nucleus."""
        across_um, down_um = params.width * pixel_um, params.height * pixel_um
        room = densest(self.radius_um) * across_um * down_um
        wanted = min(60.0, room) if params.cells_per_field is None else params.cells_per_field
        if wanted > room:
            raise ValueError(
                f"simulation.cells_per_field: {wanted:g} cells do not fit into a field of {across_um:.0f} x "
                f"{down_um:.0f} um, there is room for {room:.0f}; ask for fewer, or make `nucleus` smaller "
                f"({params.nucleus:g} um)"
            )
        well_um = params.well_diameter or 0.71 * PLATE_HEIGHT_UM / max(plan.plate_rows, 1)
        self.well_radius_um = well_um / 2
        """Of a well; beyond it is plastic."""
        self._population = Population(
            seed=plan.seed,
            density=wanted / (across_um * down_um),
            nucleus_um=self.radius_um,
            well_radius_um=self.well_radius_um,
            tile_um=max(across_um, down_um, 8 * params.nucleus),
            levels=levels,
            field_sd=params.field_sd,
            cell_sd=params.cell_sd,
            rare=params.rare,
        )
        self._middles = np.array([(well.x_um, well.y_um) for well in plan.wells]).reshape(-1, 2)

    def _well_at(self, view: View) -> WellPlan | None:
        if not len(self._middles):
            return None
        far = np.hypot(self._middles[:, 0] - view.x_um, self._middles[:, 1] - view.y_um)
        return self._plan.wells[int(np.argmin(far))]

    def cells(self, view: View, beside_um: float) -> tuple[WellPlan | None, Cells]:
        """Return the nearest well and its cells that may be seen in a view or `beside_um` around it, at its time."""
        if not view.pixel_size_um > 0:
            raise ValueError(f"a view needs a pixel size, not {view.pixel_size_um:g} um; is the objective configured?")
        well = self._well_at(view)
        if well is None:
            return None, Cells.none()
        box = self._box(view, well, beside_um)
        cells = self._population.within(well, *box)
        flares = self._params.events
        if flares is not None:
            cells = dataclasses.replace(cells, stain=cells.stain * self._flare(flares, well, box, view.at_s))
        return well, cells

    def _box(self, view: View, well: WellPlan, beside_um: float) -> Box:
        """Return left, right, low and high of what may be seen, relative to the middle of the well."""
        margin = beside_um + CELL_RADIUS * LARGEST * self.radius_um + self._params.motion
        reach_x = self._params.width * view.pixel_size_um / 2 + margin
        reach_y = self._params.height * view.pixel_size_um / 2 + margin
        x, y = view.x_um - well.x_um, view.y_um - well.y_um
        return x - reach_x, x + reach_x, y - reach_y, y + reach_y

    def _flare(self, flares: FlareParams, well: WellPlan, box: Box, at_s: float) -> NDArray[np.float64]:
        """Return how much brighter each cell of a box is at a time: an event of this bin, the last, or the next."""
        now = math.floor(at_s / flares.bin_s)
        last, this, coming = (
            brightness(flares, self._population.onsets(flares, well, box, number), at_s)
            for number in (now - 1, now, now + 1)
        )
        return np.asarray(np.maximum(np.maximum(last, this), coming))

    def onsets(self, view: View, until_s: float) -> list[float]:
        """Return when events begin in the cells whose centre is in a view, from its time until another, sorted."""
        flares = self._params.events
        if flares is None:
            return []
        well, cells = self.cells(view, 0.0)
        if well is None:
            return []
        inside = self.in_frame(*self.to_pixels(view, well, cells, 0))
        bins = range(math.floor(view.at_s / flares.bin_s), math.floor(until_s / flares.bin_s) + 1)
        found = [self._population.onsets(flares, well, self._box(view, well, 0.0), number)[inside] for number in bins]
        times = np.concatenate(found)
        return sorted(float(t) for t in times[(times >= view.at_s) & (times < until_s)])

    def to_pixels(
        self, view: View, well: WellPlan | None, cells: Cells, margin_px: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return column and row of each cell's centre at the time of the view, on a canvas with a margin."""
        x_um, y_um = (0.0, 0.0) if well is None else (well.x_um, well.y_um)
        x, y = cells.x + (x_um - view.x_um), cells.y + (y_um - view.y_um)
        if self._params.motion > 0:
            turn = (
                2
                * math.pi
                * (view.at_s / self._params.motion_period * (0.6 + 0.8 * cells.phase) + cells.phase[:, ::-1])
            )
            x = x + self._params.motion * np.sin(turn[:, 0])
            y = y + self._params.motion * np.sin(turn[:, 1])
        height, width = self._params.height, self._params.width
        return (
            x / view.pixel_size_um + (width - 1) / 2 + margin_px,
            -y / view.pixel_size_um + (height - 1) / 2 + margin_px,
        )

    def in_frame(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of these columns and rows, without a margin, lie in the frame."""
        height, width = self._params.height, self._params.width
        return np.asarray((x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5))
