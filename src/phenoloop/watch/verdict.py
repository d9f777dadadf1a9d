"""What a report says in words: asked, found, spent. From ``report.json`` alone, so page and terminal say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

EXITS: Final = {
    "completed": "completed",
    "budget": "ended by its budget",
    "stopped": "stopped by a person",
    "failed": "failed",
    "incomplete": "incomplete",
}
UNITS: Final = ("s", "ms", "um", "px")
DIRECTIONS: Final = {"up": "above", "down": "below", "both": "away from"}


class Verdict(NamedTuple):
    """Four texts: what was asked, the finding in a few words, the finding in a sentence, and what it took."""

    asked: str
    headline: str
    found: str
    effort: str


def verdict(report: Mapping[str, Any]) -> Verdict:
    """Return the verdict of a ``report.json``."""
    headline, found = _found(report)
    return Verdict(asked=_asked(report), headline=headline, found=found, effort=effort(report))


def effort(report: Mapping[str, Any]) -> str:
    """Return how many images it took of how many."""
    if (report["question"] or {}).get("kind") == "objects":
        return _search_effort(report)
    frames, possible = report["frames"], report["possible_frames"]
    seen = sum(1 for well in report["wells"] if well["frames"])
    share = f" ({percent(frames / possible)})" if possible else ""
    if _events_asked(report):
        return (
            f"{count(frames, 'image')}, where the slow rate alone takes {possible}, in "
            f"{count(report['visits'], 'visit')} to {seen} of {count(len(report['wells']), 'well')}, chosen in "
            f"{count(report['decisions'], 'decision')}"
        )
    return (
        f"{count(frames, 'image')} of {possible} possible{share}, in {count(report['visits'], 'visit')} to {seen} of "
        f"{count(len(report['wells']), 'well')}, chosen in {count(report['decisions'], 'decision')}"
    )


def in_order(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the wells of a report: ranked ones first, then those with images, then the others, each in plate order."""
    return sorted(report["wells"], key=lambda well: (well["rank"] is None, well["rank"] or 0, not well["frames"]))


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 well``, ``24 wells``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percent(share: float) -> str:
    """Return a share of 1 in percent, with two digits."""
    return f"{100 * share:.2g} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def names(wells: Sequence[str], *, most: int = 12) -> str:
    """Return a list of wells in words, cut after `most`."""
    if len(wells) > most:
        return f"{', '.join(wells[:most])} and {len(wells) - most} more"
    return f"{', '.join(wells[:-1])} and {wells[-1]}" if len(wells) > 1 else "".join(wells)


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for people; a dash where it is unknown."""
    if value is None:
        return "–"
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 1e-3):
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{float(f'{value:.{digits}g}'):.6g}" if abs(value) < 1000 else f"{value:.0f}"


def aligned(value: float | None, digits: int = 3) -> str:
    """Return a number for a column: so many digits, final zeros kept, so that precision is the same in every row."""
    if value is None or not 1e-3 <= abs(value) < 10**digits:
        return number(value)
    return f"{value:#.{digits}g}".rstrip(".")


def evidence(value: float | None) -> str:
    """Return an e-value for people: two digits, for it is known to no more."""
    if value is None:
        return "–"
    if value >= 1e4:
        return number(float(f"{value:.1e}") if value < 1e5 else value)
    return "< 0.01" if value < 0.01 else f"{float(f'{value:.2g}'):g}"


def figure(name: str, value: float | None) -> str:
    """Return a number of a reason with its name and its unit, if its name ends in one: ``late_s`` is ``late 12 s``."""
    words, _, unit = name.rpartition("_")
    if not words or unit not in UNITS:
        return f"{name.replace('_', ' ')} {number(value)}"
    return f"{words.replace('_', ' ')} {number(value)} {unit}"


def duration(seconds: float | None) -> str:
    """Return a duration for people: ``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _asked(report: Mapping[str, Any]) -> str:
    question = report["question"]
    if question is None:
        return "Nothing was asked: the wells were imaged and measured."
    said = question.get("parameters", {})
    readout, kind = said.get("readout"), question["kind"]
    if kind == "hits":
        smallest, level = said.get("smallest"), said.get("false_hits")
        text = f"Which wells lie {DIRECTIONS.get(said.get('change', 'up'), 'above')} the controls in {readout}"
        text += f" by at least {number(smallest)}" if smallest else ""
        text += f", with at most {percent(level)} false hits" if isinstance(level, float) else ""
        return text + "?"
    if kind == "objects":
        found, confirmed = said.get("found_by", {}), said.get("confirmed_by", {})
        return (
            f"Where are {count(said.get('target', 0), 'object')} that pass {confirmed.get('where')} under "
            f"{confirmed.get('profile')}, among those that pass {found.get('where')} under {found.get('profile')}?"
        )
    if kind == "events":
        return f"How often does {readout} rise above {number(said.get('above'))}, and when?"
    if kind == "novelty":
        level = said.get("false_hits")
        text = "Which wells look unlike the controls, in any feature, and which of them look alike"
        return text + (f", with at most {percent(level)} false ones" if isinstance(level, float) else "") + "?"
    if kind == "dose_response":
        return f"At which {said.get('along', 'dose')} does {readout} reach half of its effect?"
    return f"What is the {kind} of {readout} in each well?" if readout else f"The question was of kind {kind}."


def _found(report: Mapping[str, Any]) -> tuple[str, str]:
    wells = report["wells"]
    seen = [well for well in wells if well["frames"]]
    if not seen:
        return "No image was taken", "Nothing can be said of any well."
    ranked = sorted((well for well in seen if well["rank"] is not None), key=lambda well: well["rank"])
    if (report["question"] or {}).get("kind") == "novelty" and any(well["call"] is not None for well in wells):
        return _phenotypes(report)
    if any(well["call"] is not None for well in wells):
        return _calls(report, ranked)
    if report["question"] is None:
        return f"{count(len(seen), 'well')} imaged", "Without a question nothing is claimed; the table shows means."
    if report["question"]["kind"] == "objects":
        return _search(report["summary"])
    if _events_asked(report):
        return _events(report["summary"])
    if report["question"]["kind"] == "dose_response":
        return _curves(report["summary"])
    order = names([well["well"] for well in ranked], most=8)
    if report["question"]["kind"] == "novelty":
        return "Ranked, not called", f"No well can be called different here. From the furthest to the nearest: {order}."
    if report["question"]["kind"] == "hits":
        return "Ranked, not called", f"No well can be called a hit here. In order of response: {order}."
    return f"{count(len(ranked), 'well')} estimated", f"From the highest to the lowest: {order}."


def _calls(report: Mapping[str, Any], ranked: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    judged = [well for well in report["wells"] if not well["control"]]
    hits = [well["well"] for well in ranked if well["call"] == "hit"]
    open_ = [well["well"] for well in ranked if well["call"] == "undecided"]
    unseen = [well["well"] for well in judged if not well["frames"]]
    headline = f"{count(len(hits), 'hit')} among {count(len(judged), 'well')}" if hits else "No hits"
    parts = [
        f"{names(hits)} differ{'s' if len(hits) == 1 else ''} from the controls." if hits else "No well is called."
    ]
    if hits:
        parts.append(_how_sure(report, [well for well in ranked if well["call"] == "hit"]))
    if open_:
        parts.append(f"{names(open_)} {'is' if len(open_) == 1 else 'are'} undecided.")
    if unseen:
        parts.append(f"{names(unseen)} {'was' if len(unseen) == 1 else 'were'} not imaged.")
    return headline, " ".join(parts)


def _how_sure(report: Mapping[str, Any], hits: Sequence[Mapping[str, Any]]) -> str:
    """Return what share of such hits may be false, and how large the effects are by images that had no part in it."""
    level = report["question"].get("parameters", {}).get("false_hits")
    said = f"At most {percent(level)} of such calls are expected to be false." if isinstance(level, float) else ""
    known = sorted((well for well in hits if well["effect"]), key=lambda well: well["effect"]["mean"])
    if not known:
        return said
    told = [
        f"{aligned(effect['mean'])} ({well}; {percent(effect['level'])} interval {aligned(effect['low'])} to "
        f"{aligned(effect['high'])})"
        for well, effect in ((well["well"], well["effect"]) for well in (known[0], known[-1]))
    ]
    which = "" if len(known) == len(hits) else f" of {len(known)} of them"
    size = f"is {told[0]}" if len(known) == 1 else f"reaches from {told[0]} to {told[1]}"
    return f"{said} The effect{which}, by images that had no part in the call, {size}.".strip()


def _phenotypes(report: Mapping[str, Any]) -> tuple[str, str]:
    summary = report["summary"]
    groups, covered = summary["groups"], summary["covered"]
    called = sum(len(group["wells"]) for group in groups)
    if not groups:
        return "No well looks different", "No well is called different from the controls."
    headline = f"{count(len(groups), 'phenotype')} in {count(called, 'well')}"
    wells = [well for group in groups for well in group["wells"]]
    said = [f"{names(wells)} look{'s' if len(wells) == 1 else ''} unlike the controls."]
    said.append(_how_sure(report, []))
    if alike := sum(len(group["alike"]) for group in groups):
        said.append(f"{count(alike, 'other well')} {'looks' if alike == 1 else 'look'} like one of them, not called.")
    if covered is not None and covered["share"] is not None:
        said.append(
            f"{percent(covered['share'])} of {count(covered['wells'], 'well')} look like the controls or like one of "
            f"the {covered['looked_at_closely']} that were looked at closely."
        )
    return headline, " ".join(filter(None, said))


def _curves(summary: Mapping[str, Any]) -> tuple[str, str]:
    compounds = summary.get("compounds", {})
    known = [one for one in compounds.values() if one["finding"] == "estimated"]
    said = [f"{name}: {one['said']}." for name, one in compounds.items()]
    if known:
        said.append(f"In brackets: {percent(summary['level'])} intervals.")
    return f"{len(known)} of {count(len(compounds), 'EC50')} estimated", " ".join(said)


def _search(summary: Mapping[str, Any]) -> tuple[str, str]:
    confirmed, wanted, precision = summary["confirmed"], summary["wanted"], summary["precision"]
    headline = f"{count(confirmed, 'object')} confirmed" + ("" if confirmed >= wanted else f" of {wanted} wanted")
    if precision is None:
        return headline, f"No candidate was looked at closely; {count(summary['candidates'], 'candidate')} were found."
    low, high = f"{100 * precision['low']:.0f}", percent(precision["high"])
    found = (
        f"Of {count(summary['looked_at'], 'candidate')} that were looked at closely {percent(precision['mean'])} are "
        f"confirmed ({percent(precision['level'])} interval {low} to {high})."
    )
    best = sorted(summary["wells"].items(), key=lambda item: -item[1])
    return headline, found + (f" They lie in {names([f'{well} ({n})' for well, n in best], most=6)}." if best else "")


def _search_effort(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    seen = sum(1 for well in report["wells"] if well["frames"])
    return (
        f"{count(report['frames'], 'image')}: {count(summary['fields_pre_scanned'], 'field')} of the pre-scan and "
        f"{count(summary['looked_at'], 'close look')}, in {count(report['visits'], 'visit')} to {seen} of "
        f"{count(len(report['wells']), 'well')}, chosen in {count(report['decisions'], 'decision')}"
    )


def _events_asked(report: Mapping[str, Any]) -> bool:
    return bool((report["question"] or {}).get("kind") == "events")


def _events(summary: Mapping[str, Any]) -> tuple[str, str]:
    plate, followed = summary["plate"], summary["followed"]
    rate, hours = plate["per_field_hour"], plate["field_hours"] or 0.0
    band = f"{aligned(rate['low'], 2)} to {aligned(rate['high'], 2)}"
    found = (
        f"{aligned(rate['rate'], 2)} per field and hour ({percent(plate['level'])} interval {band}), in "
        f"{number(hours, 2)} field-hours of {count(plate['wells'], 'well')}."
    )
    if (known := plate.get("per_object_hour")) is not None and known["rate"] is not None:
        band = f"{aligned(known['low'], 2)} to {aligned(known['high'], 2)}"
        found += f" {aligned(known['rate'], 2)} per object and hour ({band})."
    if followed is not None and followed["events"]:
        found += f" {followed['at_fast_rate']} of {followed['events']} were seen at the fast rate."
    return count(plate["events"], "event"), found
