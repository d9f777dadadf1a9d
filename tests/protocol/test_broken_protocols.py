"""Every way we know to break a protocol: each stops with exit code 2, the caret at the mistake, and the way out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.plugins import Registry
from phenoloop.protocol import load, load_text

MAP = """well,treatment,dose,gfp_ms
A1,vehicle,0,80
A2,vehicle,0,80
A3,agonist,1,80
B1,agonist,10,
B2,vehicle,0,80
B3,inert,,40
"""

GOOD = """protocol: 1
name: broken-on-purpose
seed: 1
microscope: demo
simulation:
  kind: synthetic
  phenotype:
    vesicles: {along: dose, emax: 6, ec50: 1.0, hill: 1.2}
plate:
  format: 96-well
  wells: [A1:B3]
  map: map.csv
  fields: {kind: grid, rows: 2, columns: 2}
imaging:
  objective: 20x
  channels:
    - {name: DNA, config: DAPI, exposure: 20 ms}
    - {name: GFP, config: FITC, exposure: {column: gfp_ms, otherwise: 80 ms}, power: 15 %}
  z: {range: 8 um, step: 2 um}
  autofocus: {kind: software, channel: DNA, range: 20 um}
analysis:
  segment: {kind: threshold, channel: DNA, name: nuclei}
  spots:
    - {name: vesicles, channel: GFP}
  readouts:
    vesicles: mean(vesicles.count)
    cells: count()
  quality: {min_objects: 5, max_saturated: 2 %}
question:
  kind: hits
  readout: vesicles
  controls: treatment == 'vehicle'
  change: up
  smallest: 1.0
  false_hits: 5 %
policy: {kind: hits, fields_per_visit: 2, wells_per_batch: 4}
fallback: {kind: sweep}
limits: {frames: 400, duration: 2 h, disk: 20 GB, light_per_field: 2 s}
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(discover=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "map.csv").write_text(MAP, encoding="utf-8")
    return tmp_path


def place(text: str, marker: str) -> tuple[int, int]:
    """Return the one-based line and column of `marker`, which stands in `text` once."""
    assert text.count(marker) == 1, f"{marker!r} stands {text.count(marker)} times in the protocol"
    at = text.index(marker)
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def test_the_unbroken_protocol_loads(folder: Path, registry: Registry) -> None:
    assert load_text(GOOD, registry, base=folder).setup.controls == ("A1", "A2", "B2")


# What is replaced, by what, where the caret must stand, and the words that show the way out.
BROKEN = [
    # -- misspelt keys, at every depth
    pytest.param("fallback:", "fallbak:", "fallbak:", "did you mean 'fallback'", id="key misspelt at the top"),
    pytest.param("  wells: [", "  wels: [", "wels:", "did you mean 'wells'", id="key misspelt in the plate"),
    pytest.param("rows: 2", "row: 2", "row: 2", "did you mean 'rows'", id="key misspelt in the fields"),
    pytest.param("power:", "powr:", "powr:", "did you mean 'power'", id="key misspelt in a channel"),
    pytest.param("exposure: 20", "exposur: 20", "exposur:", "did you mean 'exposure'", id="needed key misspelt"),
    pytest.param(
        "otherwise:", "otherwize:", "otherwize:", "did you mean 'otherwise'", id="key misspelt in an exposure"
    ),
    pytest.param("name: nuclei", "nme: nuclei", "nme:", "did you mean 'name'", id="key misspelt beside a plug-in's"),
    pytest.param("hill:", "hil:", "hil:", "did you mean 'hill'", id="key misspelt deep in a plug-in"),
    pytest.param("smallest", "smalest", "smalest", "did you mean 'smallest'", id="key misspelt in the question"),
    pytest.param("wells_per_batch", "wells_per_bach", "wells_per_bach", "wells_per_batch", id="key misspelt in policy"),
    pytest.param(
        "fallback: {kind: sweep}", "fallback: {kind: sweep, ordr: plate}", "ordr", "unknown key", id="fallback"
    ),
    pytest.param("    - {name: vesicles,", "    - {nam: vesicles,", "nam: ", "did you mean 'name'", id="key in a list"),
    # -- YAML
    pytest.param("seed: 1\n", "seed: 1\nseed: 2\n", "seed: 2", "the first is in line 3", id="duplicate key"),
    pytest.param(
        "config: DAPI", "config: DAPI, config: FITC", "config: FITC, exposure: 20", "twice", id="duplicate deep"
    ),
    pytest.param("  kind: synthetic", "\tkind: synthetic", "\tkind", "spaces", id="tab"),
    pytest.param("name: broken", "name: 'broken", "'broken", "quote", id="quote not closed"),
    pytest.param("wells: [A1:B3]", "wells: [A1:B3", "[A1:B3", "bracket", id="bracket not closed"),
    pytest.param("name: broken", "name: so: broken", ": broken", "second ':'", id="two colons"),
    pytest.param("  format:", "   format:", "wells:", "indented", id="indentation"),
    pytest.param(
        "channel: GFP}", "channel: clip(GFP, 0, 1)}", "0, 1)", "put the expression in quotes", id="comma trap"
    ),
    pytest.param("hits, fields", "hits, x: max(1, 2), fields", "2), fields", "in quotes", id="comma trap in a plug-in"),
    pytest.param("objective: 20x", "objective:", "objective:", "no value", id="key without a value"),
    pytest.param("seed: 1", "seed: !!python/none 1", "!!python", "leave it out", id="tag"),
    # -- types and kinds
    pytest.param("rows: 2", "rows: two", "two", "a whole number", id="text for a number"),
    pytest.param("protocol: 1", "protocol: 7", "7", "version 1", id="version of tomorrow"),
    pytest.param("broken-on-purpose", "broken on purpose!", "broken on", "letters", id="name with spaces"),
    pytest.param("broken-on-purpose", "x" * 41, "x" * 41, "at most 40", id="name too long"),
    pytest.param("kind: grid", "kind: gird", "gird", "did you mean 'grid'", id="kind of fields"),
    pytest.param("{kind: grid, ", "{", "fields:", "one of grid, random, explicit", id="kind missing"),
    pytest.param("kind: threshold", "kind: treshold", "treshold", "did you mean 'threshold'", id="kind of segmenter"),
    pytest.param("policy: {kind: hits", "policy: {kind: hit", "hit,", "did you mean 'hits'", id="kind of policy"),
    pytest.param("kind: synthetic", "kind: lab.specimens:Fish", "lab.spec", "cannot be loaded", id="plug-in not there"),
    pytest.param("change: up", "change: upp", "upp", "did you mean 'up'", id="choice misspelt"),
    pytest.param(
        "segment: {kind: threshold, channel: DNA, name: nuclei}", "segment: otsu", "otsu", "mapping", id="shape"
    ),
    pytest.param("name: GFP,", "name: GFP-2,", "GFP-2", "letters, digits and _", id="name that no expression can say"),
    # -- quantities
    pytest.param("exposure: 20 ms", "exposure: 21 um", "21 um", "use us, ms, s or min", id="unit of another kind"),
    pytest.param("exposure: 20 ms", "exposure: -20 ms", "-20 ms", "above 0", id="negative exposure"),
    pytest.param("duration: 2 h", "duration: 2", "2, disk", "has no unit", id="duration without unit"),
    pytest.param("false_hits: 5 %", "false_hits: 5", "5\npolicy", "has no unit", id="percent without sign"),
    pytest.param("max_saturated: 2 %", "max_saturated: 200 %", "200 %", "100 %", id="percent above 100"),
    pytest.param("disk: 20 GB", "disk: 20 Gb", "20 Gb", "GB", id="bytes misspelt"),
    pytest.param("range: 8 um", "range: 8 px", "8 px", "nm, um, mm", id="length in pixels"),
    # -- plate and map
    pytest.param("format: 96-well", "format: 96well", "96well", "did you mean '96-well'", id="plate format"),
    pytest.param("[A1:B3]", "[A1:B3, H13]", "H13", "rows A-H and columns 1-12", id="well off the plate"),
    pytest.param("[A1:B3]", "[A1:B3, 3B]", "3B", "write it like B3", id="well written backwards"),
    pytest.param("[A1:B3]", "[B3:A1]", "B3:A1", "backwards", id="range backwards"),
    pytest.param("[A1:B3]", "[A1:B4]", "map.csv", "lacks A4, B4", id="map lacks a well"),
    pytest.param("map: map.csv", "map: mpa.csv", "mpa.csv", "there is no plate map", id="map not there"),
    pytest.param("  map:", "  where: dose > 1000\n  map:", "dose >", "matches none of 6 wells", id="where of no well"),
    pytest.param("  map:", "  where: dosis > 1\n  map:", "dosis", "did you mean 'dose'", id="where of no column"),
    pytest.param("  map:", "  where: dose > 'x'\n  map:", "'x'", "holds numbers", id="where with a word for a number"),
    pytest.param("  map:", "  where: open('x')\n  map:", "open", "there is no function", id="where that opens a file"),
    pytest.param(
        "rows: 2, columns: 2", "rows: 90, columns: 90", "{kind: grid", "round wells of 6.4 mm", id="grid too big"
    ),
    pytest.param(
        "rows: 2, columns: 2", "rows: 2, spacing: 1 mm, overlap: 5 %", "1 mm", "one of them", id="two spacings"
    ),
    # -- microscope
    pytest.param("microscope: demo", "microscope: dmeo", "dmeo", "did you mean 'demo'", id="microscope not there"),
    pytest.param("config: FITC", "config: FTIC", "FTIC", "did you mean 'FITC'", id="preset unknown"),
    pytest.param("config: FITC", "config: FITC, group: Chanel", "Chanel", "did you mean 'Channel'", id="group unknown"),
    pytest.param("objective: 20x", "objective: 25x", "25x", "objectives: 10x, 20x, 40x", id="objective unknown"),
    pytest.param("microscope: demo", "microscope: {config: dmeo}", "dmeo", "no configuration", id="cfg not there"),
    pytest.param(
        "microscope: demo", "microscope: {config: demo, stge: {}}", "stge", "'stage'", id="inline microscope key"
    ),
    # -- names between blocks
    pytest.param("column: gfp_ms", "column: gpf_ms", "gpf_ms", "did you mean 'gfp_ms'", id="exposure column unknown"),
    pytest.param("column: gfp_ms", "column: treatment", "treatment,", "holds words", id="exposure column of words"),
    pytest.param(", otherwise: 80 ms", "", "gfp_ms", "empty for B1", id="exposure column with a gap"),
    pytest.param("software, channel: DNA", "software, channel: DAN", "DAN", "'DNA'", id="autofocus channel unknown"),
    pytest.param("threshold, channel: DNA", "threshold, channel: DAN", "DAN", "'DNA'", id="segmented channel unknown"),
    pytest.param("name: vesicles, channel: GFP", "name: vesicles, channel: GPF", "GPF", "'GFP'", id="spots channel"),
    pytest.param("name: vesicles, channel", "name: GFP, channel", "GFP, channel", "a channel already", id="name clash"),
    pytest.param("mean(vesicles.count)", "mean(vesicles.cuont)", "vesicles.cuont", "'count'", id="feature unknown"),
    pytest.param(
        "mean(vesicles.count)", "mean(vesicels.count)", "vesicels", "'vesicles'", id="spots unknown in readout"
    ),
    pytest.param("mean(vesicles.count)", "vesicles.count", "vesicles.count", "mean(...)", id="readout per object"),
    pytest.param("mean(vesicles.count)", "mean(vesicles.count", "\n    cells", "ends here", id="readout not closed"),
    pytest.param("mean(vesicles.count)", "'mean(area ** 2)'", "** 2", "no power", id="power in a quoted readout"),
    pytest.param(
        "readout: vesicles", "readout: vesicle", "vesicle\n", "did you mean 'vesicles'", id="question's readout"
    ),
    pytest.param("== 'vehicle'", "== 'vehicel'", "treatment ==", "nothing to compare with", id="no control well"),
    pytest.param("== 'vehicle'", "== vehicle", "vehicle\n", "Words are put in quotes", id="word without quotes"),
    pytest.param("readout: vesicles", "readout: cells", "min_objects", "gate", id="gate on the counted readout"),
    pytest.param("along: dose", "along: dosis", "vesicles: {along", "did you mean 'dose'", id="specimen's column"),
    # -- numbers that leave nothing to do
    pytest.param("wells_per_batch: 4", "wells_per_batch: 4, in_flight: 2", "{kind: hits", "at least 4", id="in_flight"),
    pytest.param("frames: 400", "frames: 9", "9, duration", "one field takes 10 frames", id="budget below one field"),
    pytest.param(
        "light_per_field: 2 s", "light_per_field: 90 ms", "90 ms", "0.38 s of light", id="light below one visit"
    ),
    pytest.param("disk: 20 GB", "disk: 1 MB", "1 MB", "one field takes 5.2 MB", id="disk below one field"),
    pytest.param("step: 2 um", "step: 1 nm", "1 nm", "too many", id="too many planes"),
    pytest.param(
        "  kind: synthetic", "  kind: synthetic\n  analysis_latency: 1 min", "1 min", "deadline of 10 s", id="all late"
    ),
]


@pytest.mark.parametrize(("old", "new", "caret", "way_out"), BROKEN)
def test_broken_protocol(old: str, new: str, caret: str, way_out: str, folder: Path, registry: Registry) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(ProtocolError) as caught:
        load_text(text, registry, base=folder, name="p.yaml")
    assert caught.value.exit_code == 2
    problem = caught.value.problems[0]
    assert way_out in problem.message
    assert (problem.line, problem.column) == place(text, caret)
    assert problem.file == "p.yaml"
    shown = str(problem).splitlines()
    assert shown[-1].index("^") - shown[-2].index("|") - 2 == (problem.column or 1) - 1, "the caret is off"


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        pytest.param("", "empty", id="empty file"),
        pytest.param("# a comment\n", "empty", id="comments only"),
        pytest.param("{}", "empty", id="empty mapping"),
        pytest.param("- a\n", "mapping", id="list"),
        pytest.param("hello", "mapping", id="a word"),
        pytest.param("a: 1\n---\nb: 1\n", "second document", id="two documents"),
        pytest.param("a: \x07\n", "no place in a text file", id="control character"),
        pytest.param("a: &x [*x]\n", "nested too deeply", id="alias of itself"),
        pytest.param(
            "a: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{n}: &{n} [{', '.join([f'*{m}'] * 9)}]\n" for m, n in zip("abcdef", "bcdefg", strict=True)),
            "anchors repeat too much",
            id="a billion laughs",
        ),
    ],
)
def test_file_that_is_no_protocol(text: str, way_out: str, folder: Path, registry: Registry) -> None:
    with pytest.raises(ProtocolError, match=way_out) as caught:
        load_text(text, registry, base=folder)
    assert caught.value.problems[0].line is not None


@pytest.mark.parametrize(
    ("content", "line", "way_out"),
    [
        pytest.param("", 1, "the plate map is empty", id="empty file"),
        pytest.param("well,treatment\n", 1, "no wells", id="header only"),
        pytest.param("Well,treatment\nA1,x\n", 1, "lower case", id="Well"),
        pytest.param("wel,treatment\nA1,x\n", 1, "did you mean 'wel'", id="well misspelt"),
        pytest.param(MAP + "A01,vehicle,0,80\n", 8, "twice; the first is in line 2", id="well twice"),
        pytest.param(MAP + "Z99Z,vehicle,0,80\n", 8, "write it like B3", id="no well"),
        pytest.param(MAP + "C1,a,b,c,d\n", 8, "5 cells and the header has 4", id="comma in a cell"),
        pytest.param(MAP.replace("dose", "treatment"), 1, "twice", id="column twice"),
    ],
)
def test_broken_plate_map(content: str, line: int, way_out: str, folder: Path, registry: Registry) -> None:
    (folder / "map.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ProtocolError) as caught:
        load_text(GOOD, registry, base=folder)
    problem = caught.value.problems[0]
    assert way_out in problem.message
    assert (problem.file, problem.line) == (str(folder / "map.csv"), line)


def test_all_mistakes_are_told_at_once(folder: Path, registry: Registry) -> None:
    text = GOOD.replace("config: FITC", "config: FTIC").replace("[A1:B3]", "[A1:B3, H13]").replace("s.count", "s.cuont")
    with pytest.raises(ProtocolError) as caught:
        load_text(text, registry, base=folder)
    assert [problem.where for problem in caught.value.problems] == [
        "plate.wells[1]",
        "imaging.channels[1].config",
        "analysis.readouts.vesicles",
    ]


def test_keys_of_plug_ins_are_checked_when_the_rest_is_wrong_too(folder: Path, registry: Registry) -> None:
    text = GOOD.replace("fallback:", "fallbak:").replace("smallest", "smalest").replace("ms}", "um}", 1)
    with pytest.raises(ProtocolError) as caught:
        load_text(text, registry, base=folder)
    assert [problem.where.rpartition(".")[2] for problem in caught.value.problems] == ["exposure", "smalest", "fallbak"]


@pytest.mark.parametrize(
    ("name", "content", "way_out"),
    [
        pytest.param("not_there.yaml", None, "cannot read", id="missing"),
        pytest.param("utf16.yaml", "protocol: 1".encode("utf-16"), "save it as UTF-8", id="UTF-16"),
    ],
)
def test_file_that_cannot_be_read(
    name: str, content: bytes | None, way_out: str, tmp_path: Path, registry: Registry
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ProtocolError, match=way_out) as caught:
        load(tmp_path / name, registry)
    assert caught.value.exit_code == 2


def test_a_broken_protocol_never_reaches_the_hardware_library(folder: Path) -> None:
    (folder / "p.yaml").write_text(GOOD.replace("config: FITC", "config: FTIC"), encoding="utf-8")
    program = (
        "import sys; from pathlib import Path; from phenoloop import protocol; from phenoloop.plugins import Registry\n"
        "try: protocol.load(Path('p.yaml'), Registry(discover=False))\n"
        "except Exception as error: sys.exit(error.exit_code + 10 * ('pymmcore_plus' in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=folder, check=False).returncode == 2
