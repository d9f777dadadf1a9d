"""The synthetic specimen: living cells in wells, whose phenotype follows the plate map, seen through a noisy camera.

A picture is a pure function of the seed, the place, the time and the address of the frame. What is really there can be
asked for (`Synthetic.truth`, `Synthetic.well_effect`, `Synthetic.true_hits`), which is what a test of a policy needs.

Which cells a view shows, and where, `scene` knows; here is how they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.microscope.virtual import optics, stamps
from phenoloop.microscope.virtual.cells import Cells
from phenoloop.microscope.virtual.phenotype import Phenotype, baseline_of, expected_levels, with_replicate_noise
from phenoloop.microscope.virtual.population import CELL_RADIUS, LARGEST
from phenoloop.microscope.virtual.scene import Scene
from phenoloop.microscope.virtual.sensor import Sensor, noise_key
from phenoloop.microscope.virtual.synthetic_params import (
    LIGHT,
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
        self._expected = expected_levels(params.phenotype, plan)
        self._levels = with_replicate_noise(self._expected, plan, params.well_sd)
        self._scene = Scene(params, plan, self._levels)
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
        well, cells = self._scene.cells(view, 3 * sigma_um)
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
        well, cells = self._scene.cells(view, 0.0)
        x, y = self._scene.to_pixels(view, well, cells, 0)
        inside = np.flatnonzero(self._scene.in_frame(x, y))
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

    def event_times(self, view: View, until_s: float) -> list[float]:
        """Return when events begin in the cells whose centre is in a view, from its time until another, sorted.

        Parameters
        ----------
        view : View
            Place, pixel size, and the time to begin at.
        until_s : float
            Run clock to end at.
        """
        return self._scene.onsets(view, until_s)

    def _draw(self, canvas: NDArray[np.float32], view: View, well: WellPlan | None, cells: Cells, margin: int) -> None:
        size = view.pixel_size_um
        structure = self._structures.get(view.config, "reporter")
        x, y = self._scene.to_pixels(view, well, cells, margin)
        reach = stamps.EDGE * CELL_RADIUS * LARGEST * self._scene.radius_um / size
        near = (x > -reach) & (x < canvas.shape[1] + reach) & (y > -reach) & (y < canvas.shape[0] + reach)
        # The angle turns its sign because rows run against y.
        nuclei = np.stack((x, y, cells.a / size, cells.b / size, -cells.angle, cells.shape), axis=1)
        side = stamps.stamp_side(self._scene.radius_um / size)
        light = LIGHT[structure]
        if structure == "nuclei":
            stamps.paste(canvas, stamps.bank("nucleus", side), nuclei[near], (light * cells.stain)[near])
            return
        bodies = nuclei * (1, 1, CELL_RADIUS, CELL_RADIUS, 1, 1)
        whole = light * cells.intensity
        body_side = stamps.stamp_side(CELL_RADIUS * self._scene.radius_um / size)
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
        if math.hypot(x, y) + corner <= self._scene.well_radius_um:
            return inside
        columns = x + (np.arange(width) - (width - 1) / 2) * view.pixel_size_um
        rows = y - (np.arange(height) - (height - 1) / 2) * view.pixel_size_um
        beyond = columns[None, :] ** 2 + rows[:, None] ** 2 > self._scene.well_radius_um**2
        return np.where(beyond, outside, inside)
