"""`profiles`: what the profiles of a run say, on one screen."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np

from phenoloop.api import ProfilesResult
from phenoloop.cli.telling import say
from phenoloop.watch.verdict import count, percent

_MOST: Final = 8


def tell_profiles(result: ProfilesResult) -> None:
    """Print what was kept, whether replicates look alike, which wells lie furthest from the controls, and the files."""
    controls = sum(result.controls)
    said = f"{count(len(result.wells), 'well')} ({count(controls, 'control')}), {count(sum(result.fields), 'field')}, "
    say(said + count(sum(result.objects), "object"))
    _tell_features(result)
    _tell_replicates(result)
    _tell_furthest(result)
    for note in result.notes:
        say(f"note: {note}")
    for path in result.files:
        say(f"{path}")


def _tell_features(result: ProfilesResult) -> None:
    reasons = Counter("say what another says" if why.startswith("says") else why for why in result.dropped.values())
    dropped = "; ".join(f"{n} {why}" for why, n in reasons.most_common())
    total = len(result.features) + len(result.dropped)
    say(f"features: {len(result.features)} of {total} kept" + (f"; dropped: {dropped}" if dropped else ""))
    if result.shrinkage is not None:
        say(f"sphered on the controls, correlations drawn to none by {percent(result.shrinkage)}")


def _tell_replicates(result: ProfilesResult) -> None:
    found = result.retrieval
    alike = f"alike in {', '.join(result.by)}" if result.by else "alike: there is no plate map"
    if not found:
        say(f"replicates: no two wells {alike}; choose columns with --by COLUMN")
        return
    precision = np.mean([each.precision for each in found.values()])
    chance = np.mean([each.by_chance for each in found.values()])
    called = sum(each.called for each in found.values())
    say(
        f"replicates ({alike}): mean average precision {precision:.2f}, {chance:.2f} by chance; "
        f"{called} of {count(len(found), 'treatment')} found again, at a false discovery rate of 5 %"
    )
    if result.replication is not None:
        share = percent(result.replication.share)
        say(f"percent replicating: {share} of {count(result.replication.treatments, 'treatment')}")


def _tell_furthest(result: ProfilesResult) -> None:
    distance = np.array(result.distance)
    control = np.array(result.controls)
    say("distance to the controls, in SDs per feature:")
    if result.control_distance:
        held = np.array(result.control_distance)
        say(f"  a control by the others: {np.median(held):.1f} in the middle, {held.max():.1f} at most")
    order = [int(row) for row in np.argsort(-distance, kind="stable") if not control[row]][:_MOST]
    for row in order:
        where = ", ".join(f"{name} {value}" for name, value in result.properties[row].items() if value is not None)
        ordered = np.argsort(-np.abs(np.nan_to_num(result.values[row])), kind="stable")[:3]
        most = ", ".join(f"{result.features[k]} {result.values[row, k]:+.1f}" for k in ordered)
        fields = count(result.fields[row], "field")
        say(f"  {result.wells[row]:<4} {distance[row]:6.1f}  {fields:<9} {most}" + (f"  ({where})" if where else ""))
