"""The synthetic specimen: living cells in wells, whose phenotype follows the plate map, seen through a noisy camera.

A picture is a pure function of the seed, the place, the time and the address of the frame. What is really there can be
asked for (`Synthetic.truth`, `Synthetic.well_effect`, `Synthetic.true_hits`), which is what a test of a policy needs.

The image's rows run against the stage's y axis (up in the picture is +y, as row A of a plate is drawn above row B) and
its columns along x; the stage position is the middle of the frame.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.microscope.virtual import optics, stamps
from phenoloop.microscope.virtual.cells import Cells
from phenoloop.microscope.virtual.flares import FlareParams, brightness
from phenoloop.microscope.virtual.phenotype import Phenotype, baseline_of, expected_levels, with_replicate_noise
from phenoloop.microscope.virtual.population import CELL_RADIUS, LARGEST, Population, densest
from phenoloop.microscope.virtual.sensor import Sensor, noise_key
from phenoloop.microscope.virtual.synthetic_params import (
    LIGHT,
    PLATE_HEIGHT_UM,
    STRUCTURES,
    VESICLE_LIGHT,
    VESICLE_SIGMA_UM,
    SyntheticParams,
)
from phenoloop.model import Plan, SpecimenInfo, WellPlan
from phenoloop.ports import Image, View


class Synthetic:
    """A plate of simulated cells (a `phenoloop.ports.Specimen`).

    Parameters
    ----------
    parameters : mapping
        Keys of `SyntheticParams`.
    plan : Plan
        Wells, plate map, seed, and the pixel size of the profile ``main``.

    Raises
    ------
    ValueError
        If the phenotype follows a column that the plate map lacks or that holds no doses, or if more cells are asked
        for than fit into a field.
    """

    Params = SyntheticParams

    def __init__(self, parameters: Mapping[str, Any], plan: Plan) -> None:
        self._params = params = SyntheticParams.model_validate(dict(parameters))
        self._plan = plan
        self._pixel_size_um = plan.profiles["main"].pixel_size_um
        if self._pixel_size_um <= 0:
            raise ValueError(
                "simulation: the profile main has no pixel size; name an objective whose pixel size is known"
            )
        self._radius_um = params.nucleus / 2
        across_um, down_um = params.width * self._pixel_size_um, params.height * self._pixel_size_um
        room = densest(self._radius_um) * across_um * down_um
        wanted = min(60.0, room) if params.cells_per_field is None else params.cells_per_field
        if wanted > room:
            raise ValueError(
                f"simulation.cells_per_field: {wanted:g} cells do not fit into a field of {across_um:.0f} x "
                f"{down_um:.0f} um, there is room for {room:.0f}; ask for fewer, or make `nucleus` smaller "
                f"({params.nucleus:g} um)"
            )
        self._expected = expected_levels(params.phenotype, plan)
        self._levels = with_replicate_noise(self._expected, plan, params.well_sd)
        well_um = params.well_diameter or 0.71 * PLATE_HEIGHT_UM / max(plan.plate_rows, 1)
        self._well_radius_um = well_um / 2
        self._population = Population(
            seed=plan.seed,
            density=wanted / (across_um * down_um),
            nucleus_um=self._radius_um,
            well_radius_um=self._well_radius_um,
            tile_um=max(across_um, down_um, 8 * params.nucleus),
            levels=self._levels,
            field_sd=params.field_sd,
            cell_sd=params.cell_sd,
            rare=params.rare,
        )
        self._middles = np.array([(well.x_um, well.y_um) for well in plan.wells]).reshape(-1, 2)
        self._sensor = Sensor(gain=params.gain, read_noise=params.read_noise, offset=params.offset)
        self._lamp = optics.illumination(params.height, params.width, params.illumination)
        self._structures = {**STRUCTURES, **params.channels}

    @classmethod
    def describe(
        cls, parameters: Mapping[str, Any], wells: Sequence[str], channels: Sequence[str], base: Path
    ) -> SpecimenInfo:
        """Return what a check needs to know; any well and any place can be imaged, at any time."""
        params = SyntheticParams.model_validate(dict(parameters))
        return SpecimenInfo(height=params.height, width=params.width, bits=16)

    def shape(self) -> tuple[int, int]:
        """Return (height, width) of a frame in pixels."""
        return self._params.height, self._params.width

    def bit_depth(self) -> int:
        """Return 16: counts saturate at 65535."""
        return 16

    def render(self, view: View) -> Image:
        """Return the picture of a view.

        Parameters
        ----------
        view : View
            Stage and focus position, preset, exposure and pixel size decide what is seen; the address (or, without one,
            the salt) decides the noise only. A stage that stands elsewhere shows what is there, whatever the address
            says.

        Returns
        -------
        ndarray of uint16, shape (height, width)

        Raises
        ------
        ValueError
            If the view has no pixel size.
        """
        photons = self.light(view)
        photons *= np.float32(view.exposure_ms)
        return self._sensor.expose(photons, noise_key(self._plan.seed, view))

    def light(self, view: View) -> NDArray[np.float32]:
        """Return what a camera without noise would see: photoelectrons per pixel and millisecond, shape (y, x).

        Raises
        ------
        ValueError
            If the view has no pixel size.
        """
        params, size = self._params, view.pixel_size_um
        height, width = self.shape()
        focus_um = params.focus + params.tilt * view.x_um / 10_000
        sigma_um = optics.blur_sigma_um(params.blur, view.z_um - focus_um)
        well, cells = self._cells(view, 3 * sigma_um)
        sigma_px = sigma_um / size
        factor = optics.blur_factor(sigma_px)
        margin = math.ceil(3 * sigma_px / factor) * factor  # light comes in from beside the frame
        canvas = np.zeros(tuple(-(-(side + 2 * margin) // factor) * factor for side in (height, width)), np.float32)
        self._draw(canvas, view, well, cells, margin)
        light = optics.blur(canvas, sigma_px)[margin : margin + height, margin : margin + width]
        light = light * np.float32(params.brightness)
        light += self._background(view, well)
        light *= self._lamp
        return light

    def truth(self, view: View) -> dict[str, Any]:
        """Return what is really in a view.

        Returns
        -------
        dict
            ``well`` (str or None), and for the n cells whose centre is in the frame ``centres`` (n, 2) as (row, column)
            in pixels, ``half_axes`` (n, 2) in pixels, ``angles`` (n,) in radians from the column axis towards the row
            axis, ``vesicles`` (n,), ``intensity`` (n,), ``nc_ratio`` (n,), ``rare`` (n,) (see `Cells`) and ``spots``:
            for each of them an array (m, 2) of (row, column), also beside the frame.
        """
        well, cells = self._cells(view, 0.0)
        height, width = self.shape()
        x, y = self._to_pixels(view, well, cells, 0)
        inside = np.flatnonzero((x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5))
        size = view.pixel_size_um
        spots = np.stack((y[cells.spot_cell] - cells.spot_y / size, x[cells.spot_cell] + cells.spot_x / size), axis=1)
        return {
            "well": None if well is None else well.name,
            "centres": np.stack((y[inside], x[inside]), axis=1),
            "half_axes": np.stack((cells.a[inside], cells.b[inside]), axis=1) / size,
            "angles": -cells.angle[inside],
            "vesicles": cells.vesicles[inside],
            "intensity": cells.intensity[inside],
            "nc_ratio": cells.nc_ratio[inside],
            "rare": cells.rare[inside],
            "spots": [spots[cells.spot_cell == cell] for cell in inside],
        }

    @property
    def phenotype(self) -> Phenotype:
        """How cells follow the plate map."""
        return self._params.phenotype

    def well_effect(self, well: str, quantity: str = "vesicles") -> float:
        """Return the level that the plate map gives a well, on the curve; KeyError for an unknown well or quantity."""
        return self._expected[quantity][well]

    def well_level(self, well: str, quantity: str = "vesicles") -> float:
        """Return the level that a well has, with the noise between replicate wells; KeyError if unknown."""
        return self._levels[quantity][well]

    def true_hits(self, smallest: float, quantity: str = "vesicles", change: str = "up") -> set[str]:
        """Return the wells whose treatment moves a quantity from its baseline by `smallest` or more.

        Parameters
        ----------
        smallest : float
            In units of the quantity; at 0 every well with any effect counts.
        quantity : str
            ``vesicles``, ``intensity``, ``nc_ratio`` or ``survival``.
        change : str
            ``"up"``, ``"down"`` or ``"both"``.
        """
        baseline = baseline_of(self._params.phenotype, quantity)
        sign = {"up": (1.0,), "down": (-1.0,), "both": (1.0, -1.0)}[change]
        effects = {well: level - baseline for well, level in self._expected[quantity].items()}
        return {
            well for well, effect in effects.items() if any(s * effect >= smallest and s * effect > 0 for s in sign)
        }

    def _well_at(self, view: View) -> WellPlan | None:
        if not len(self._middles):
            return None
        far = np.hypot(self._middles[:, 0] - view.x_um, self._middles[:, 1] - view.y_um)
        return self._plan.wells[int(np.argmin(far))]

    def _cells(self, view: View, beside_um: float) -> tuple[WellPlan | None, Cells]:
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

    def _box(self, view: View, well: WellPlan, beside_um: float) -> tuple[float, float, float, float]:
        """Return left, right, low and high of what may be seen, relative to the middle of the well."""
        margin = beside_um + CELL_RADIUS * LARGEST * self._radius_um + self._params.motion
        reach_x = self._params.width * view.pixel_size_um / 2 + margin
        reach_y = self._params.height * view.pixel_size_um / 2 + margin
        x, y = view.x_um - well.x_um, view.y_um - well.y_um
        return x - reach_x, x + reach_x, y - reach_y, y + reach_y

    def _flare(
        self, flares: FlareParams, well: WellPlan, box: tuple[float, float, float, float], at_s: float
    ) -> NDArray[np.float64]:
        """Return how much brighter each cell of a box is at a time: an event of this bin, the last, or the next."""
        now = math.floor(at_s / flares.bin_s)
        last, this, coming = (
            brightness(flares, self._population.onsets(flares, well, box, number), at_s)
            for number in (now - 1, now, now + 1)
        )
        return np.asarray(np.maximum(np.maximum(last, this), coming))

    def event_times(self, view: View, until_s: float) -> list[float]:
        """Return when events begin in the cells whose centre is in a view, from its time until another, sorted.

        Parameters
        ----------
        view : View
            Place, pixel size, and the time to begin at.
        until_s : float
            Run clock to end at.
        """
        flares = self._params.events
        if flares is None:
            return []
        well, cells = self._cells(view, 0.0)
        if well is None:
            return []
        height, width = self.shape()
        x, y = self._to_pixels(view, well, cells, 0)
        inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
        bins = range(math.floor(view.at_s / flares.bin_s), math.floor(until_s / flares.bin_s) + 1)
        found = [self._population.onsets(flares, well, self._box(view, well, 0.0), number)[inside] for number in bins]
        times = np.concatenate(found)
        return sorted(float(t) for t in times[(times >= view.at_s) & (times < until_s)])

    def _to_pixels(
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
        height, width = self.shape()
        return (
            x / view.pixel_size_um + (width - 1) / 2 + margin_px,
            -y / view.pixel_size_um + (height - 1) / 2 + margin_px,
        )

    def _draw(self, canvas: NDArray[np.float32], view: View, well: WellPlan | None, cells: Cells, margin: int) -> None:
        size = view.pixel_size_um
        structure = self._structures.get(view.config, "reporter")
        x, y = self._to_pixels(view, well, cells, margin)
        reach = stamps.EDGE * CELL_RADIUS * LARGEST * self._radius_um / size
        near = (x > -reach) & (x < canvas.shape[1] + reach) & (y > -reach) & (y < canvas.shape[0] + reach)
        # The angle turns its sign because rows run against y.
        nuclei = np.stack((x, y, cells.a / size, cells.b / size, -cells.angle, cells.shape), axis=1)
        side = stamps.stamp_side(self._radius_um / size)
        light = LIGHT[structure]
        if structure == "nuclei":
            stamps.paste(canvas, stamps.bank("nucleus", side), nuclei[near], (light * cells.stain)[near])
            return
        bodies = nuclei * (1, 1, CELL_RADIUS, CELL_RADIUS, 1, 1)
        whole = light * cells.intensity
        body_side = stamps.stamp_side(CELL_RADIUS * self._radius_um / size)
        if structure == "reporter":
            # A cell shares the same amount of reporter between a nucleus and a cytoplasm of about three times its area.
            whole = whole * 4 / (3 + cells.nc_ratio)
        stamps.paste(canvas, stamps.bank("cytoplasm", body_side), bodies[near], whole[near])
        if structure == "reporter":
            stamps.paste(canvas, stamps.bank("mask", side), nuclei[near], (whole * cells.nc_ratio)[near], over=True)
        if structure == "vesicles":
            cell = cells.spot_cell
            peak = VESICLE_LIGHT * cells.spot_peak * cells.intensity[cell]
            spots = np.stack((x[cell] + cells.spot_x / size, y[cell] - cells.spot_y / size, peak), axis=1)
            stamps.add_spots(canvas, spots, VESICLE_SIGMA_UM / size)

    def _background(self, view: View, well: WellPlan | None) -> NDArray[np.float32] | np.float32:
        """Return the light of medium and plastic: weaker beyond the wall of the well."""
        inside, outside = np.float32(self._params.background), np.float32(0.3 * self._params.background)
        if well is None:
            return outside
        height, width = self.shape()
        x, y = view.x_um - well.x_um, view.y_um - well.y_um
        corner = math.hypot(width, height) / 2 * view.pixel_size_um
        if math.hypot(x, y) + corner <= self._well_radius_um:
            return inside
        columns = x + (np.arange(width) - (width - 1) / 2) * view.pixel_size_um
        rows = y - (np.arange(height) - (height - 1) / 2) * view.pixel_size_um
        beyond = columns[None, :] ** 2 + rows[:, None] ** 2 > self._well_radius_um**2
        return np.where(beyond, outside, inside)
