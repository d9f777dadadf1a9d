"""Mistakes people make when they change a protocol that ships: one error for each, at its place, with the way out."""

from __future__ import annotations

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.plugins import Registry
from phenoloop.protocol import load_text, shared_folder

LIMITS = "limits: {frames: 400, duration: 2 h}"
GFP = "exposure: 80 ms"
FAST = "{every: 20 s, channels: [H2B]}"
LEAVE = "n_tried >= 2 and rejected_share > 0.5"

# The protocol, what is replaced in it, by what, the key that the error is about, and words of the way out.
MISTAKES = [
    # -- profiles
    pytest.param("rare", "60x\n", "60 x\n", "profiles.closeup.objective", "did you mean '60x'", id="a space in a name"),
    pytest.param("rare", "- DNA\n", "- DAN\n", "profiles.closeup.channels[0]", "'DNA'", id="channel of a profile"),
    pytest.param("rare", "84 px", "84 um", "profiles.closeup.analysis.segment.diameter", "use px", id="a size in um"),
    pytest.param(
        "rare", "  closeup:", "  close-up:", "profiles.close-up", "letters, digits and _", id="dash in a name"
    ),
    pytest.param("events", FAST, "20 s", "profiles.fast", "keys: objective, binning", id="profile of one word"),
    pytest.param("events", FAST, "{exposure: 9 ms}", "profiles.fast.exposure", "key of `channels`", id="too high up"),
    pytest.param("events", FAST, "{channels: H2B}", "profiles.fast.channels", "like [H2B]", id="one is no list"),
    pytest.param("events", FAST, "{channels: [H2B, H2B]}", "profiles.fast.channels[1]", "twice", id="a channel twice"),
    pytest.param("events", FAST, "{autofocus: on}", "profiles.fast.autofocus", "one of off, a block", id="focus on"),
    pytest.param("events", f"  fast: {FAST}", f"  - fast: {FAST}", "profiles", "leave out the '-'", id="a dash"),
    pytest.param(
        "find_hits",
        "analysis:\n",
        "profiles: {close: {channels: [GFP]}}\nanalysis:\n",
        "profiles.close.analysis.segment.channel",
        "does not image 'DNA'",
        id="the channel of the nuclei left out",
    ),
    pytest.param(
        "novelty",
        "4 um, step: 1 um}",
        "4 um, stp: 1 um}",
        "profiles.closeup.z.stp",
        "'step'",
        id="key of a block or off",
    ),
    pytest.param(
        "novelty",
        "z: {range: 4 um, step: 1 um}",
        "z: 4 um",
        "profiles.closeup.z",
        "keys range, step",
        id="z of one size",
    ),
    # -- objects
    pytest.param("rare", "count >= 5", "count => 5", "question.confirmed_by.where", "write >=", id="the sign turned"),
    pytest.param("rare", "target: 12", "target: 0", "question.target", "at least 1", id="no target"),
    pytest.param("rare", "target: 12", "target: 5 %", "question.target", "a whole number", id="a share of objects"),
    # -- rules
    pytest.param(
        "rules", 'because: "{n_fields:.0f} of', "because: {n_fields} of the two #", "", "in quotes", id="open braces"
    ),
    pytest.param("rules", "{image: {fields: 2}}", "image", "policy.rules[0].do", "keys: image, leave", id="do a word"),
    pytest.param(
        "rules", "{image: {fields: 2}}", "{image: 2}", "policy.rules[0].do.image", "keys: fields", id="fields forgotten"
    ),
    pytest.param(
        "rules", LEAVE, "rejected_share > 50 %", "policy.rules[3].when", "50 % as 0.5", id="percent in a rule"
    ),
    pytest.param("rules", LEAVE, "n_tried > 2 && n_tried < 9", "policy.rules[3].when", "write 'and'", id="and of C"),
    pytest.param("rules", LEAVE, "rejected_share > 1.5", "policy.rules[3].when", "never true", id="more than all"),
    pytest.param(
        "rules", "[0, 100]}", "[100, 0]}", "policy.ranges.vesicles", "the first number is the least", id="range turned"
    ),
    pytest.param("rules", "[0, 100]}", "100}", "policy.ranges.vesicles", "a list is needed", id="range of one number"),
    pytest.param(
        "rules", "level: field\n", "level: fields\n", "policy.rules[2].level", "'field'", id="level of a rule"
    ),
    pytest.param("rules", "[0, 100]}", "[0]}", "policy.ranges.vesicles", "item 2 is needed", id="half a range"),
    pytest.param(
        "rules", "until sure  ", "until > sure  ", "policy.rules[1].name", "letters, digits", id="rule's name"
    ),
    # -- autonomy
    pytest.param("rules", LIMITS, "autonomy: confirmed", "autonomy", "did you mean 'confirm'", id="level misspelt"),
    pytest.param(
        "rules", LIMITS, "autonomy: {level: confirm, within: 5 min}", "autonomy", "what then (skip", id="nobody answers"
    ),
    pytest.param(
        "rules", LIMITS, "autonomy: {level: confirm, for: objectives}", "autonomy.for", "'objective'", id="asked about"
    ),
    pytest.param(
        "rules", LIMITS, "autonomy: {for: [profile]}", "autonomy.level", "is needed", id="autonomy of no level"
    ),
    # -- limits
    pytest.param("rules", LIMITS, "limits: 400", "limits", "keys: frames, duration", id="limits of one number"),
    pytest.param("rules", LIMITS, "limits: {light: 2 s}", "limits.light", "'light_per_field'", id="half of a key"),
    pytest.param(
        "rules", LIMITS, "limits: {frames: 400 frames}", "limits.frames", "whole number", id="frames of frames"
    ),
    pytest.param(
        "rules",
        LIMITS,
        "limits: {frames: 99, share_per_well: 0.2}",
        "limits.share_per_well",
        "'20 %'",
        id="share as 0.2",
    ),
    pytest.param(
        "rules", LIMITS, "limits: {controls_every: 30}", "limits.controls_every", "30 min, or 40", id="of what?"
    ),
    # -- exposures
    pytest.param("rules", GFP, "exposure: auto", "imaging.channels[1].exposure", "keys: auto, max", id="auto alone"),
    pytest.param(
        "rules", GFP, "exposure: {auto: 60 %}", "imaging.channels[1].exposure.max", "'max' is needed", id="no longest"
    ),
    pytest.param(
        "rules",
        GFP,
        "exposure: {auto: 95 %, max: 1 s}",
        "imaging.channels[1].exposure.auto",
        "at most 90 %",
        id="too bright",
    ),
    pytest.param(
        "rules", GFP, "exposure: {auto: 60 %, max: 2 ms}", "imaging.channels[1].exposure.max", "4 ms", id="too short"
    ),
    # -- time-lapse
    pytest.param("events", "every: 3 min\n", "every: 3\n", "imaging.every", "like '30 s'", id="every 3 of what"),
    pytest.param("events", "  for: 1 h\n", "  for: 1 min\n", "imaging.every", "before its second", id="over at once"),
    pytest.param("events", "  every: 3 min\n", "", "imaging.for", "every: 5 min", id="no interval"),
    pytest.param(
        "events", "acquire_every: 3}", "acquire_every: 3 h}", "imaging.channels[1].acquire_every", "whole", id="n"
    ),
    pytest.param("events", FAST, "{every: 20 min}", "policy.fast", "no faster than", id="fast is slow"),
    pytest.param(
        "events", "until: dividing < 1.75", "until: dividing < 2.5", "policy.fast.until", "a gap", id="no gap"
    ),
    pytest.param("events", "below: 1.75", "below: 2.75", "question.below", "swap the two", id="thresholds turned"),
    # -- blocks
    pytest.param("rules", "wells: [A1:D10]", "wells: []", "plate.wells", "at least one", id="no wells"),
    pytest.param(
        "find_hits", "fallback: {kind: sweep}", "fallback: sweep", "fallback", "{kind: sweep}", id="a bare kind"
    ),
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(discover=False)


@pytest.mark.parametrize(("name", "old", "new", "where", "way_out"), MISTAKES)
def test_one_mistake_is_one_error(name: str, old: str, new: str, where: str, way_out: str, registry: Registry) -> None:
    folder = shared_folder("protocols")
    text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(ProtocolError) as caught:
        load_text(text.replace(old, new, 1), registry, base=folder, name=f"{name}.yaml")
    assert caught.value.exit_code == 2
    (problem,) = caught.value.problems
    assert problem.where == where
    assert way_out in problem.message
    assert problem.file == f"{name}.yaml"
    assert problem.line is not None
