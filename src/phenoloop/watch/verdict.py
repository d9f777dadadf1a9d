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
    frames, possible = report["frames"], report["possible_frames"]
    seen = sum(1 for well in report["wells"] if well["frames"])
    share = f" ({percent(frames / possible)})" if possible else ""
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
    return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:.0f}"


def aligned(value: float | None) -> str:
    """Return a number for a column: three digits, final zeros kept, so that precision is the same in every row."""
    if value is None or not 1e-3 <= abs(value) < 1000:
        return number(value)
    return f"{value:#.3g}".rstrip(".")


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
    return f"What is the {kind} of {readout} in each well?" if readout else f"The question was of kind {kind}."


def _found(report: Mapping[str, Any]) -> tuple[str, str]:
    wells = report["wells"]
    seen = [well for well in wells if well["frames"]]
    if not seen:
        return "No image was taken", "Nothing can be said of any well."
    ranked = sorted((well for well in seen if well["rank"] is not None), key=lambda well: well["rank"])
    if any(well["call"] is not None for well in wells):
        return _calls(wells, ranked)
    if report["question"] is None:
        return f"{count(len(seen), 'well')} imaged", "Without a question nothing is claimed; the table shows means."
    order = names([well["well"] for well in ranked], most=8)
    if report["question"]["kind"] == "hits":
        return "Ranked, not called", f"No well can be called a hit here. In order of response: {order}."
    return f"{count(len(ranked), 'well')} estimated", f"From the highest to the lowest: {order}."


def _calls(wells: Sequence[Mapping[str, Any]], ranked: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    judged = [well for well in wells if not well["control"]]
    hits = [well["well"] for well in ranked if well["call"] == "hit"]
    open_ = [well["well"] for well in ranked if well["call"] == "undecided"]
    unseen = [well["well"] for well in judged if not well["frames"]]
    headline = f"{count(len(hits), 'hit')} among {count(len(judged), 'well')}" if hits else "No hits"
    parts = [
        f"{names(hits)} differ{'s' if len(hits) == 1 else ''} from the controls." if hits else "No well is called."
    ]
    if open_:
        parts.append(f"{names(open_)} {'is' if len(open_) == 1 else 'are'} undecided.")
    if unseen:
        parts.append(f"{names(unseen)} {'was' if len(unseen) == 1 else 'were'} not imaged.")
    return headline, " ".join(parts)
