"""Time of one picture of the synthetic specimen: median milliseconds per snap, one thread, new fields and known ones.

Run it with ``python benchmarks/specimen.py``. A new field draws its cells too; a known one (the second channel, a
revisit) finds them in the cache. The noise alone is timed side by side, as much of a snap is its normal draws.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from phenoloop.microscope.virtual.sensor import Sensor
from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.model import ChannelPlan, FieldPlace, FrameAddress, Plan, ProfilePlan, WellPlan
from phenoloop.ports import View

PRESETS = ("DAPI", "FITC", "Rhodamine", "Cy5")


def make_plan(wells: int, fields: int, pixel_size_um: float) -> Plan:
    places = [(300.0 * (k % 3 - 1), 300.0 * (k // 3 - 1)) for k in range(fields)]
    return Plan(
        name="benchmark",
        seed=1,
        plate_rows=8,
        plate_columns=12,
        wells=tuple(
            WellPlan(
                name=f"{'ABCDEFGH'[k // 12]}{k % 12 + 1}",
                row=k // 12,
                column=k % 12,
                x_um=9000.0 * (k % 12),
                y_um=-9000.0 * (k // 12),
                fields=tuple(
                    FieldPlace(name=str(j), x_um=9000.0 * (k % 12) + x, y_um=-9000.0 * (k // 12) + y)
                    for j, (x, y) in enumerate(places)
                ),
                choice=tuple(range(fields)),
                properties={"dose": float(k)},
            )
            for k in range(wells)
        ),
        profiles={
            "main": ProfilePlan(
                name="main",
                channels=tuple(
                    ChannelPlan(name=preset, group="Channel", config=preset, exposure_ms=20) for preset in PRESETS
                ),
                pixel_size_um=pixel_size_um,
            )
        },
    )


def views(plan: Plan, preset: str) -> list[View]:
    return [
        View(
            address=FrameAddress(
                visit=1, profile="main", well=well.name, field=place.name, channel=preset, t=0, z=0, image=0, c=0
            ),
            x_um=place.x_um,
            y_um=place.y_um,
            z_um=0.0,
            config=preset,
            channel=preset,
            exposure_ms=20.0,
            pixel_size_um=plan.profiles["main"].pixel_size_um,
            at_s=0.0,
        )
        for well in plan.wells
        for place in well.fields
    ]


def milliseconds(work: Callable[[View], object], what: Sequence[View]) -> list[float]:
    spent = []
    for view in what:
        begun = time.perf_counter()
        work(view)
        spent.append(1e3 * (time.perf_counter() - begun))
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--wells", type=int, default=24)
    parser.add_argument("--fields", type=int, default=9)
    parser.add_argument("--side", type=int, default=512, help="pixels")
    parser.add_argument("--pixel-size", type=float, default=0.5, help="micrometres")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    plan = make_plan(asked.wells, asked.fields, asked.pixel_size)
    parameters = {
        "phenotype": {"vesicles": {"along": "dose", "emax": 6, "ec50": 1.0, "hill": 1.2}},
        "width": asked.side,
        "height": asked.side,
    }
    Synthetic(parameters, plan).render(views(plan, "FITC")[0])  # the stamps are drawn once per process
    sensor = Sensor(gain=1.0, read_noise=3.0, offset=100.0)
    light = np.full((asked.side, asked.side), 50, np.float32)
    known = Synthetic(parameters, plan)
    print(f"{asked.side} x {asked.side} pixels, {asked.wells} wells x {asked.fields} fields, milliseconds per snap")
    print(f"{'preset':<12}{'new p50':>9}{'new p95':>9}{'known p50':>11}{'known p95':>11}{'noise p50':>11}")
    for preset in PRESETS:
        looks = views(plan, preset)
        new = Synthetic(parameters, plan)
        for view in looks:
            known.truth(view)
        columns = (
            milliseconds(new.render, looks),
            milliseconds(known.render, looks),
            milliseconds(lambda view: sensor.expose(light, (1,)), looks),
        )
        p50 = [float(np.median(column)) for column in columns]
        p95 = [float(np.quantile(column, 0.95)) for column in columns]
        print(f"{preset:<12}{p50[0]:>9.2f}{p95[0]:>9.2f}{p50[1]:>11.2f}{p95[1]:>11.2f}{p50[2]:>11.2f}")


if __name__ == "__main__":
    main()
