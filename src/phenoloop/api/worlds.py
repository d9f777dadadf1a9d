"""Where policies are compared: a synthetic plate as numbers, or a plate that was really recorded."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from phenoloop.api.measuring import Field, OnField, Result, measure
from phenoloop.api.resolved import Resolved
from phenoloop.errors import UsageError
from phenoloop.microscope.virtual.phenotype import BASELINES
from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.model import Acquire, Answer, FieldReadout, Measured, MeasurementFailed, Message
from phenoloop.protocol.geometry import choice_order
from phenoloop.storage.journal import read
from phenoloop.storage.run_folder import RunFolder
from phenoloop.studies.baselines import narrowed, reseeded
from phenoloop.studies.quality import Quality, against_all
from phenoloop.studies.response import DrawnPlate, KnownFields, Levels, Response, Sampled
from phenoloop.studies.simulator import FieldSource
from phenoloop.studies.truth import require_judged, truth

SAMPLE_PLATES: Final = (9_000_001, 9_000_002, 9_000_003)
"""Seeds of the plates from which the sample is measured; no comparison uses them."""
SAMPLE_FIELDS: Final = 160
"""Fields of the sample, spread over all wells and these plates."""


class World(Protocol):
    """Plates to play on."""

    @property
    def words(self) -> str:
        """What it is, in a sentence."""
        ...

    @property
    def resolved(self) -> Resolved:
        """The protocol, narrowed to the fields that there are."""
        ...

    @property
    def quality(self) -> Quality:
        """How answers are judged."""
        ...

    def source(self, resolved: Resolved) -> FieldSource:
        """Return the fields of a plate; the seed of the plan says of which."""
        ...


@dataclass(frozen=True)
class Drawn:
    """Plates of a synthetic specimen, drawn field by field from what its analysis makes of it."""

    words: str
    resolved: Resolved
    quality: Quality
    response: Response

    def source(self, resolved: Resolved) -> FieldSource:
        """Return the plate of a seed: its wells as the specimen makes them, its fields drawn."""
        return DrawnPlate(self.response, _levels(_specimen(resolved), resolved), resolved.plan)


@dataclass(frozen=True)
class Recording:
    """A plate whose fields were measured; a seed decides in which order the fields of a well come."""

    words: str
    resolved: Resolved
    quality: Quality
    fields: Mapping[Field, Result]

    def source(self, resolved: Resolved) -> FieldSource:
        """Return the fields that were recorded, whatever the seed."""
        return KnownFields(self.fields)


def with_seed(resolved: Resolved, seed: int) -> Resolved:
    """Return a protocol with another seed: another plate, another order of fields, other chance."""
    order = {
        well.name: choice_order(len(well.fields), (abs(seed), well.row, well.column)) for well in resolved.plan.wells
    }
    plan, setup = reseeded(resolved.plan, resolved.setup, seed, order)
    return dataclasses.replace(resolved, plan=plan, setup=setup)


def drawn(resolved: Resolved, on_field: OnField | None = None) -> Drawn:
    """Return the plates of a protocol's synthetic specimen as numbers.

    Parameters
    ----------
    resolved : Resolved
        A protocol with a synthetic specimen and a question.
    on_field : callable, optional
        Told how far the sample is measured.

    Raises
    ------
    UsageError
        If the protocol's question or imaging is nothing that numbers per field can stand for.
    """
    _fields_suffice(resolved)
    assert resolved.question is not None
    require_judged(resolved.question.kind)
    response, expected = respond(resolved, on_field)
    return Drawn(
        words=(
            f"plates drawn from the virtual plate of the protocol: each field a number, from {response.size} fields "
            "that were rendered and measured once with its analysis"
        ),
        resolved=resolved,
        quality=judged_by_truth(resolved, response, expected),
        response=response,
    )


def respond(resolved: Resolved, on_field: OnField | None = None) -> tuple[Response, Levels]:
    """Return how readouts follow the phenotype, and the levels that the plate map gives each well."""
    wells = [well.name for well in resolved.plan.wells]
    # Every well, so that every condition is sampled, each time of another plate.
    each = max(1, round(SAMPLE_FIELDS / (len(wells) * len(SAMPLE_PLATES))))
    sample: list[Sampled] = []
    expected: Levels = {}
    for nth, seed in enumerate(SAMPLE_PLATES):
        plate = with_seed(resolved, seed)
        specimen = _specimen(plate)
        expected = {quantity: {well: specimen.well_effect(well, quantity) for well in wells} for quantity in BASELINES}
        levels = _levels(specimen, plate)
        # A large plate has many wells of a kind: each of its wells is sampled on one plate only.
        among = plate.plan.wells[nth :: len(SAMPLE_PLATES)] if len(wells) > SAMPLE_FIELDS else plate.plan.wells
        chosen = [(well.name, well.fields[i].name) for well in among for i in well.choice[:each]]
        for (well, _), result in measure(plate, chosen, _one_of(nth, on_field)).items():
            sample.append(Sampled(result=result, levels=tuple(levels[quantity][well] for quantity in BASELINES)))
    try:
        follows = [len(set(expected[quantity].values())) > 1 for quantity in BASELINES]
        return Response(sample, resolved.plan.readouts, follows), expected
    except ValueError as error:
        raise UsageError(f"{error}; look at one with `phenoloop run`, it says why.") from error


def _one_of(nth: int, on_field: OnField | None) -> OnField | None:
    """Tell of one plate of the sample as a part of all of them; they are of one size, or nearly."""
    if on_field is None:
        return None
    return lambda done, of: on_field(nth * of + done, len(SAMPLE_PLATES) * of)


def judged_by_truth(resolved: Resolved, response: Response, expected: Levels) -> Quality:
    """Return how answers about a synthetic plate are judged."""
    assert resolved.question is not None
    phenotype = _specimen(resolved).phenotype
    return truth(resolved.question.kind, resolved.setup, resolved.plan, phenotype, expected, response)


def imaged(folder: RunFolder, resolved: Resolved) -> Recording:
    """Return the fields that a run imaged, as its journal holds them.

    Raises
    ------
    UsageError
        If they are too few, or not of the kind that can be drawn from.
    """
    _fields_suffice(resolved)
    fields = results_of(read(folder.journal).messages)
    counts = Counter(well for well, _ in fields)
    if not counts:
        raise UsageError(f"{folder.path} holds no measured field, so there is nothing to draw from.")
    said = (
        f"{min(counts.values())} to {max(counts.values())}"
        if len(set(counts.values())) > 1
        else f"{max(counts.values())}"
    )
    words = f"what the run {folder.name} imaged: {len(fields)} fields of {len(counts)} wells, {said} a well"
    if len(set(counts.values())) > 1:
        words += " (it chose itself where to look; a complete sweep is a fairer ground)"
    return _recording(words, resolved, fields)


def results_of(messages: Sequence[Message]) -> dict[Field, Result]:
    """Return what each field under ``main`` measured, from a journal; of several looks the one that was accepted."""
    visits = {message.visit.number: message.visit for message in messages if isinstance(message, Acquire)}
    fields: dict[Field, Result] = {}
    for message in messages:
        if not isinstance(message, Measured | MeasurementFailed) or visits[message.visit].profile != "main":
            continue
        if isinstance(message, MeasurementFailed) and message.kind != "failed":
            continue
        key = visits[message.visit].well, message.field
        before = fields.get(key)
        # A field that was looked at again counts as what was accepted of it.
        if not (isinstance(before, Measured) and before.status == "ok"):
            fields[key] = message
    return fields


def recorded(resolved: Resolved, on_field: OnField | None = None) -> Recording:
    """Return the fields of a recorded plate, each measured once with the protocol's analysis."""
    _fields_suffice(resolved)
    names = [(well.name, place.name) for well in resolved.plan.wells for place in well.fields]
    fields = measure(resolved, names, on_field)
    words = f"a recorded plate: {len(fields)} fields of {len(resolved.plan.wells)} wells, drawn without replacement"
    return _recording(words, resolved, fields)


def _recording(words: str, resolved: Resolved, fields: Mapping[Field, Result]) -> Recording:
    keep: dict[str, list[str]] = {}
    for well, field in fields:
        keep.setdefault(well, []).append(field)
    plan, setup = narrowed(resolved.plan, resolved.setup, keep)
    plan = dataclasses.replace(plan, once=True, virtual_clock=True)
    narrow = dataclasses.replace(resolved, plan=plan, setup=setup)
    assert resolved.question is not None
    quality = against_all(resolved.question.kind, setup, _answer(narrow, fields))
    return Recording(words=words, resolved=narrow, quality=quality, fields=fields)


def _answer(resolved: Resolved, fields: Mapping[Field, Result]) -> Answer:
    question = resolved.build_question()
    assert question is not None
    known = [
        FieldReadout(well=well, field=field, visit=number, readouts=result.readouts, profile=result.profile)
        for number, ((well, field), result) in enumerate(fields.items(), start=1)
        if isinstance(result, Measured) and result.status == "ok"
    ]
    return question.answer(known)


def _fields_suffice(resolved: Resolved) -> None:
    """Refuse what numbers per field cannot stand for."""
    plan = resolved.plan
    if resolved.setup.objects is not None:
        raise UsageError(
            "the question is about single objects, which a study of fields does not know. Use --whole: every policy "
            "then runs through the whole stack."
        )
    if any(profile.every_s is not None for profile in plan.profiles.values()):
        raise UsageError(
            "a time-lapse looks at the same field again and again, and what it shows then is not known beforehand. "
            "Use --whole: every policy then runs through the whole stack."
        )


def _specimen(resolved: Resolved) -> Synthetic:
    specimen = resolved.build_specimen()
    assert isinstance(specimen, Synthetic)
    return specimen


def _levels(specimen: Synthetic, resolved: Resolved) -> Levels:
    return {
        quantity: {well.name: specimen.well_level(well.name, quantity) for well in resolved.plan.wells}
        for quantity in BASELINES
    }
