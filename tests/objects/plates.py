"""A small protocol that looks for rare cells under an objective whose axis lies beside that of the first one."""

from __future__ import annotations

from pathlib import Path

PROTOCOL = """protocol: 1
name: small-search
seed: {seed}
microscope:
  config: demo
  objectives:
    10x: {{preset: 10X}}
    60x: {{preset: 60X, offset: {{x: 40 um, y: -25 um, z: 3 um}}, safe_height: -60 um}}
  stage: {{x: [-20 mm, 130 mm], y: [-95 mm, 20 mm], z: [-250 um, 250 um]}}
simulation:
  kind: synthetic
  cells_per_field: 30
  width: 256
  height: 256
  rare: {{share: 3 %, lookalikes: 2 %, vesicles: 14}}
plate:
  format: 96-well
  wells: [A1:B3]
  fields: {{kind: grid, rows: 4, columns: 4}}
imaging:
  objective: 10x
  channels:
    - {{name: DNA, config: DAPI, exposure: 20 ms}}
analysis:
  segment: {{kind: threshold, channel: DNA, name: nuclei}}
  readouts: {{cells: count()}}
profiles:
  closeup:
    objective: 60x
    channels: [DNA, {{name: GFP, config: FITC, exposure: 80 ms}}]
{z}    analysis:
      segment: {{kind: threshold, channel: DNA, name: nuclei, diameter: 84 px}}
      spots: {{name: foci, channel: GFP, diameter: 9 px, within: 60 px}}
      readouts: {{foci: max(foci.count)}}
question:
  kind: objects
  found_by: {{profile: main, where: z(DNA.mean) > 4, best_first: z(DNA.mean)}}
  confirmed_by: {{profile: closeup, where: foci.count >= 9}}
  target: {target}
policy: {{kind: rare, wells_per_batch: 4, fields_per_visit: 2, revisits_per_well: 4}}
fallback: {{kind: sweep}}
limits: {{frames: {frames}, light_per_object: 2 s}}
"""


def write_search(folder: Path, *, seed: int = 3, target: int = 6, frames: int = 160, stack: bool = False) -> Path:
    """Write the protocol; with `stack` the close look is a stack of three planes."""
    folder.mkdir(parents=True, exist_ok=True)
    z = "    z: {range: 4 um, step: 2 um}\n" if stack else ""
    path = folder / "protocol.yaml"
    path.write_text(PROTOCOL.format(seed=seed, target=target, frames=frames, z=z), encoding="utf-8")
    return path
