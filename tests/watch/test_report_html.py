"""The page: complete, quiet on the network, safe against what files and plug-ins say."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from phenoloop.model import Decided, Measured
from phenoloop.watch.plate_map import CIVIDIS, colour, ink_on, row_name, shares
from phenoloop.watch.report_html import render
from phenoloop.watch.report_json import ReportContent, build_report
from phenoloop.watch.report_pictures import wells_of_interest
from phenoloop.watch.thumbnails import FieldPicture, bar_um, data_uri, draw, shared_contrast
from phenoloop.watch.verdict import number
from phenoloop.watch.well_value import WellValues, well_values
from tests.watch.builders import make_content, make_picture

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Strict(HTMLParser):
    """Collects what a page loads, its ids and texts; refuses tags that do not match."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: dict[str, int] = {}
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parse(page: str) -> Strict:
    parser = Strict()
    parser.feed(page)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def content() -> ReportContent:
    return make_content()


@pytest.fixture(scope="module")
def page(content: ReportContent) -> str:
    return render(content, build_report(content), make_picture)


def test_the_page_asks_no_network_for_anything(page: str) -> None:
    found = parse(page)
    assert found.links
    assert all(link.startswith(("data:", "#")) for link in found.links)
    places = set(re.findall(r' id="([^"]+)"', page))
    assert {link[1:] for link in found.links if link.startswith("#")} <= places
    assert "script" not in found.tags
    assert not re.search(r"@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_everything_is_on_it(page: str, content: ReportContent) -> None:
    found = parse(page)
    text = re.sub(r"\s+", " ", " ".join(found.text))
    for part in (
        "4 hits among 18 wells",
        "B2, C4, A3 and D3 differ from the controls.",
        "151 images of 432 possible",
        "all 9 fields of C6 were imaged",
        "no further image would change a call",
        "stage did not arrive within 20 s",
        "camera: no image within 20 s (3 attempts)",
        "too few objects (at least 10)",
        "controls (vehicle)",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ):
        assert part in text, part
    decisions = [message for message in content.messages if isinstance(message, Decided)]
    assert found.tags["details"] == len(decisions) + 1  # and the wells
    for made in decisions[0].proposals:
        assert made.why.text in text
    wells = re.findall(r'<g class="well (?:seen|unseen|unknown)', page)
    assert len(wells) >= len(content.plan.wells)


@pytest.mark.parametrize(
    "content_of",
    [
        pytest.param({"question": False}, id="no question"),
        pytest.param({"enough_controls": False}, id="too few controls"),
    ],
)
def test_other_runs_have_a_page_too(content_of: dict[str, bool]) -> None:
    content = make_content(**content_of)
    parse(render(content, build_report(content)))


def test_a_run_that_took_nothing_has_a_page() -> None:
    content = dataclasses.replace(make_content(), messages=[], stored_on_disk=0, answer=None, question=None, policy={})
    text = " ".join(parse(render(content, build_report(content), make_picture)).text)
    assert "No image was taken" in text
    assert "phenoloop resume" in text


def test_names_from_files_cannot_become_markup() -> None:
    content = make_content()
    evil = "<script>alert(1)</script>"
    first = content.plan.wells[0]
    wells = (dataclasses.replace(first, properties={"treatment": evil, "dose": 1.0}), *content.plan.wells[1:])
    plan = dataclasses.replace(content.plan, wells=wells, name=evil)
    page = render(dataclasses.replace(content, plan=plan, run=evil), build_report(content) | {"reason": evil})
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def values_of(content: ReportContent) -> WellValues:
    values = well_values(build_report(content), content.plan.readouts)
    assert values is not None
    return values


def test_wells_of_interest_hold_hits_and_a_control(content: ReportContent) -> None:
    chosen = wells_of_interest(build_report(content), values_of(content))
    reasons = [reason for _, reason in chosen]
    assert len(chosen) <= 6
    assert reasons.count("hit") == 3
    assert reasons.count("control") == 1
    assert len({well for well, _ in chosen}) == len(chosen)


def test_without_a_question_the_strongest_well_is_shown() -> None:
    content = make_content(question=False)
    assert wells_of_interest(build_report(content), values_of(content))[0][0] == "B2"


def test_a_picture_carries_the_value_of_the_visit_that_it_shows(content: ReportContent) -> None:
    """A field was looked at again: the value below the picture is that of the picture, not of the other look."""
    made = next(p for m in content.messages if isinstance(m, Decided) for p in m.proposals if p.well == "B2")
    looks = [m for m in content.messages if isinstance(m, Measured) and m.visit == made.visit and m.status == "ok"]
    measured = min(looks, key=lambda look: look.field)
    again = max(p.visit for m in content.messages if isinstance(m, Decided) for p in m.proposals) + 1
    last = max(m.decision for m in content.messages if isinstance(m, Decided)) + 1
    more = Decided(
        at_s=1e4,
        decision=last,
        told=0,
        asked=1,
        policy="hits",
        parameters={},
        proposals=(dataclasses.replace(made, visit=again, fields=(measured.field,)),),
    )
    second = dataclasses.replace(measured, visit=again, readouts={**measured.readouts, "vesicles": 77.7})
    doubled = dataclasses.replace(content, messages=[*content.messages, more, second])

    def of(visit: int) -> str:
        def one(well: str, field: str) -> FieldPicture | None:
            shown = make_picture(well, field)
            return shown._replace(visit=visit) if (well, field) == (made.well, measured.field) and shown else None

        return render(doubled, build_report(doubled), one)

    value = measured.readouts["vesicles"]
    assert f"field {measured.field}: vesicles {number(value)}" in of(measured.visit)
    assert f"field {measured.field}: vesicles 77.7" in of(again)


def test_what_evidence_is_and_what_a_hit_needs(content: ReportContent) -> None:
    report = build_report(content)
    edge = {"size": 0.5, "low": 0.1, "high": 0.9, "p": 0.01, "level": 0.95, "wells": 6, "kind": "permutation"}
    effects = {"edge": edge, "drift_per_hour": None}
    null = {"wells": 6, "fields": 36}
    report["summary"] |= {"family": 18, "calls": {"hit": 4}, "null": null, "plate_effects": effects}
    text = re.sub(r"\s+", " ", " ".join(parse(render(content, report)).text))
    said = (
        "Evidence: e-value against “as the controls”, unit of replication: well (6 control wells, 36 fields of them);"
    )
    assert f"{said} valid however often one looks." in text
    # e-BH over 18 wells at 5 %: with 4 hits the weakest needs 18 / (4 x 0.05).
    assert "A hit needs enough of it among all 18 wells (with 4 hits: 90)" in text
    assert (
        "on it less those inside: 0.5 (0.1 to 0.9, 95 %; p = 0.01; permutation, 6 wells; valid for one look)." in text
    )
    assert "Drift of the controls" not in text


# -- pictures and colours ---------------------------------------------------------------------------------------


def picture(size: int, *, brightest: int = 1000) -> FieldPicture:
    image = np.zeros((1, size, size), np.uint16)
    image[0, size // 2 - 10 : size // 2 + 10, size // 2 - 10 : size // 2 + 10] = brightest
    labels = (image[0] > 0).astype(np.int32)
    return FieldPicture(image=image, channels=("DNA",), labels={"nuclei": labels})


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        pytest.param(100, 100, id="smaller than a thumbnail"),
        pytest.param(256, 256, id="as large"),
        pytest.param(2048, 256, id="a large camera"),
    ],
)
def test_thumbnail_sizes(size: int, shown: int) -> None:
    field = picture(size)
    assert draw(field, shared_contrast([field])).shape == (shown, shown, 3)


def test_an_object_is_outlined_and_the_contrast_is_shared() -> None:
    dim, bright = picture(256, brightest=500), picture(256, brightest=4000)
    contrast = shared_contrast([dim, bright])
    assert contrast == {"DNA": (0.0, 4000.0)}
    rgb = draw(bright, contrast)
    edge, inside, outside = rgb[128, 118], rgb[128, 128], rgb[10, 10]
    assert edge.astype(int).sum() > inside.astype(int).sum() > outside.astype(int).sum() == 0
    assert draw(dim, contrast)[128, 128].astype(int).sum() < inside.astype(int).sum() / 2


def test_data_uri_is_a_picture() -> None:
    import cv2

    rgb = np.zeros((32, 48, 3), np.uint8)
    rgb[:, :, 0] = 200
    head, _, body = data_uri(rgb).partition(",")
    assert head == "data:image/webp;base64"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (32, 48, 3)
    assert abs(int(decoded[16, 24, 2]) - 200) < 12


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(-1.0, CIVIDIS[0], id="below"),
        pytest.param(0.0, CIVIDIS[0], id="lowest"),
        pytest.param(1.0, CIVIDIS[-1], id="highest"),
        pytest.param(2.0, CIVIDIS[-1], id="above"),
    ],
)
def test_colours_end_where_the_map_ends(share: float, expected: tuple[int, int, int]) -> None:
    assert colour(share) == expected


def test_lightness_grows_along_the_map() -> None:
    grey = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (colour(i / 50) for i in range(51))]
    assert grey == sorted(grey)
    assert ink_on(colour(0.0)) == (255, 255, 255)
    assert ink_on(colour(1.0)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({"A1": 1.0, "A2": 3.0, "A3": 2.0}, {"A1": 0.0, "A2": 1.0, "A3": 0.5}, id="range"),
        pytest.param({"A1": 1.0, "A2": None}, {"A1": 0.5, "A2": None}, id="one known"),
        pytest.param({"A1": None}, {"A1": None}, id="none known"),
    ],
)
def test_shares(values: dict[str, float | None], expected: dict[str, float | None]) -> None:
    assert shares(values) == expected


@pytest.mark.parametrize(
    ("row", "name"), [pytest.param(0, "A", id="A"), pytest.param(25, "Z", id="Z"), pytest.param(31, "AF", id="1536")]
)
def test_row_names(row: int, name: str) -> None:
    assert row_name(row) == name


@pytest.mark.parametrize(
    ("pixel_um", "size", "bar"),
    [
        pytest.param(None, 512, None, id="pixels of no size"),
        pytest.param(0.325, 512, 20.0, id="20x"),
        pytest.param(0.65, 2048, 50.0, id="10x"),
        pytest.param(0.1, 64, 1.0, id="a small picture at 60x"),
    ],
)
def test_the_scale_bar_is_as_long_as_it_says(pixel_um: float | None, size: int, bar: float | None) -> None:
    field = FieldPicture(image=np.zeros((1, size, size), np.uint16), channels=("DNA",), labels={}, pixel_um=pixel_um)
    assert bar_um(field) == bar
    rgb = draw(field, {"DNA": (0.0, 1000.0)})
    drawn = int((rgb == 255).all(axis=2).sum(axis=1).max())
    if bar is None or pixel_um is None:
        assert drawn == 0
        return
    shown_um = pixel_um * (320 if size > 320 else size) / rgb.shape[1]
    assert drawn * shown_um == pytest.approx(bar, abs=shown_um)


def test_the_page_says_which_channel_has_which_colour(content: ReportContent) -> None:
    def sized(well: str, field: str) -> FieldPicture | None:
        return make_picture(well, field)._replace(pixel_um=0.325)

    text = re.sub(r"\s+", " ", " ".join(parse(render(content, build_report(content), sized)).text))
    assert re.search(r"DNA blue \(\d+ to \d+ counts\), GFP yellow \(\d+ to \d+ counts\)", text)
    assert "Outlines: nuclei white, vesicles orange. Bar: 20 µm." in text


def test_the_page_says_how_a_readout_is_made(content: ReportContent) -> None:
    told = dataclasses.replace(content, definitions={"vesicles": "mean(vesicles.count)"})
    text = re.sub(r"\s+", " ", "".join(parse(render(told, build_report(told))).text))
    assert "the mean vesicles of a well's accepted fields (vesicles: mean(vesicles.count) in a field)." in text


def test_headings_do_not_skip_a_level_and_every_picture_has_words(page: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(re.search(r'alt="[^"]{10,}"', tag) for tag in re.findall(r"<img [^>]+>", page))
    assert all("aria-label=" in tag or "aria-hidden=" in tag for tag in re.findall(r'<svg [^>]*role="img"[^>]*>', page))
    assert page.count('class="scroll') == page.count('tabindex="0"')  # what scrolls can be reached by key
