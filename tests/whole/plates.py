"""Small protocols for tests through the whole stack: the real core, the real analysis, the real disk."""

from __future__ import annotations

from pathlib import Path

MAP = """well,treatment,dose
A1,vehicle,0
A2,agonist,10
A3,vehicle,0
A4,agonist,0
B1,agonist,3
B2,vehicle,0
B3,agonist,0
B4,vehicle,0
C1,vehicle,0
C2,agonist,0
C3,agonist,10
C4,vehicle,0
"""

PROTOCOL = """protocol: 1
name: small
seed: {seed}
microscope: demo
simulation:
  kind: synthetic
  phenotype: {{vesicles: {{along: dose, emax: 6, ec50: 1, hill: 1.2}}}}
  cells_per_field: {cells}
  width: {size}
  height: {size}
plate:
  format: 96-well
  wells: [A1:C4]
  map: map.csv
  fields: {{kind: grid, rows: 2, columns: 2, spacing: 600 um}}
imaging:
  objective: 20x
  channels:
    - {{name: DNA, config: DAPI, exposure: 20 ms}}
    - {{name: GFP, config: FITC, exposure: 80 ms}}
analysis:
  segment: {{kind: threshold, channel: DNA, name: nuclei}}
  spots: {{name: vesicles, channel: GFP}}
  readouts: {{vesicles: mean(vesicles.count), cells: count()}}
  workers: {workers}
  executor: {executor}
question: {{kind: hits, readout: vesicles, controls: treatment == 'vehicle', change: up, smallest: 1.0}}
policy: {policy}
fallback: {{kind: sweep}}
limits: {{frames: {frames}}}
"""

HITS = "{kind: hits, fields_per_visit: 2, wells_per_batch: 4}"
SWEEP = "{kind: sweep, fields_per_visit: 2, wells_per_batch: 3}"


def write_protocol(
    folder: Path,
    *,
    policy: str = HITS,
    frames: int = 48,
    seed: int = 1,
    workers: int = 2,
    executor: str = "threads",
    size: int = 256,
    cells: int = 20,
    more: str = "",
) -> Path:
    """Write a protocol of 12 wells, six of them controls, and its map; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "map.csv").write_text(MAP, encoding="utf-8")
    path = folder / "protocol.yaml"
    text = PROTOCOL.format(
        seed=seed, policy=policy, frames=frames, workers=workers, executor=executor, size=size, cells=cells
    )
    path.write_text(text + more, encoding="utf-8")
    return path
