"""The page of the docs that lists every feature, made from the table itself.

``python -m phenoloop.model.feature_docs > docs/features.md`` writes it again; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from phenoloop.model import channel_features, features, object_features, spot_features
from phenoloop.model.feature import Feature

_SECTIONS: Final = (
    ("Objects", "Named bare: `mean(area)`.", object_features.OBJECT),
    ("Channels", "Named by the channel: `mean(GFP.median)`.", channel_features.CHANNEL),
    ("Pairs of channels", "Named by both channels: `mean(GFP.pearson_DNA)`.", channel_features.PAIRS),
    ("Spots", "Named by the spots' name: `mean(vesicles.clustering)`.", spot_features.SPOT),
)

_INTRODUCTION: Final = """\
# Features
Made by `python -m phenoloop.model.feature_docs` from the table the program itself reads; do not edit.

Every number of an object that a readout may name. The families {basic} are always measured. Each other family is
measured when a readout names one of its features, or when the protocol lists it, so that the live path pays only for
what it uses:

```yaml
analysis:
  features: [texture, radial]        # or: all, or: cellprofiler
```

`all` is every family below; what was measured is in `objects/<profile>/*.parquet` of the run folder, one row per
object. Unknown is empty there, and left out of means. "The object" is its pixels; distances and areas are in pixels
unless the unit says otherwise. Definitions that scikit-image has too agree with it; where they differ, the formula
says so.

`cellprofiler` adds the features of [cp_measure](https://github.com/afermg/cp_measure) under CellProfiler's names
(`AreaShape_Solidity`, `GFP.Texture_Contrast_3_00_256`, `DNA.Correlation_Pearson_GFP`): install `phenoloop[profile]`.
They are in the table of objects, not in expressions, and take some 0.5 s per channel and field.
"""

_PROFILES: Final = """\
## Profiles against controls
Features have units of their own and move with the plate; a profile is their robust z against the objects, or the wells,
of the controls: (value - median) / (1.4826 MAD). `phenoloop profiles RUN` writes the wells of a run as profiles
([profiles](profiles.md)); by hand, object by object if need be, it is:

```python
import numpy as np, pyarrow.dataset as ds
from phenoloop.numerics.profiles import robust_z, select_features, summarise

table = ds.dataset("objects/main").to_table()
place = {"visit", "well", "field", "label", "x", "y"}
names = [name for name in table.column_names if name not in place]
values = np.column_stack([table[name].to_numpy() for name in names]).astype(float)
wells, per_well = summarise(values, table["well"].to_numpy(zero_copy_only=False))
profile = robust_z(per_well, np.isin(wells, controls))
kept = select_features(profile)  # neither constant, nor mostly unknown, nor saying what another one says
```
"""


def page() -> str:
    """Return the whole page as Markdown."""
    basic = ", ".join(f"`{family}`" for family in features.FAMILIES if family in features.BASIC)
    parts = [_INTRODUCTION.format(basic=basic)]
    for title, said, listed in _SECTIONS:
        parts.append(f"## {title}\n{said}\n")
        for family in dict.fromkeys(feature.family for feature in listed):
            always = ", always measured" if family in features.BASIC else ""
            parts.append(f"### {title}: `{family}`{always}\n")
            parts.append(_table(feature for feature in listed if feature.family == family))
    return "\n".join([*parts, _PROFILES])


def _table(listed: Iterable[Feature]) -> str:
    rows = ["| name | unit | formula | source |", "| --- | --- | --- | --- |"]
    for name, unit, formula, source, _ in listed:
        cells = (f"`{name}`", unit, formula.replace("|", "\\|"), source)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(page(), end="")
