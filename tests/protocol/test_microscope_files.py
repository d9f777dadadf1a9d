"""Microscope files and the .cfg read as text: what is found, what is checked, what the plan says."""

from __future__ import annotations

from pathlib import Path

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model import CostModel, StageBox
from phenoloop.plugins import Registry
from phenoloop.protocol import load_text, shared_folder
from phenoloop.protocol.cfg import read_cfg
from phenoloop.protocol.microscope_file import Microscope, open_microscope
from phenoloop.protocol.microscope_folders import find_microscope
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.yaml_reader import read

CFG = """# A stand with a turret
Device,Camera,PVCAM,Camera-1
Device,XY,NikonTi2,XYStage
Device,Turret,NikonTi2,Nosepiece
Device,Lamp,NikonTi2,Intensilight
FocusDirection,Z,-1
Label,Turret,0,4x
Label,Turret,2,60x oil
ConfigGroup,Light,DNA,Lamp,State,1
ConfigGroup,Light,GFP,Lamp,State,2
ConfigGroup,Objective,Low,Turret,State,0
ConfigGroup,Objective,High,Turret,Label,60x oil
ConfigGroup,System,Startup,Core,ChannelGroup,Light
ConfigGroup,System,Startup,Turret,State,0
ConfigGroup,System,Startup,Lamp,Note,a,b
ConfigPixelSize,P4,Turret,Label,4x
PixelSize_um,P4,1.625
ConfigPixelSize,P60,Turret,Label,60x oil
PixelSize_um,P60,0.1083
"""

SCOPE = """config: stand.cfg
objectives:
  60x: {preset: High}
  4x: {preset: Low, pixel_size: 1.6 um}
stage:
  x: [0 mm, 110 mm]
  y: [-75 mm, 1 mm]
  a1: {x: 10 mm, y: 0 mm}
  rotation: 0.5 deg
  tolerance: 2 um
  timeout: 30 s
camera: {width: 2048, height: 1536, bits: 12, buffer: 1 GB}
cost: {stage_speed: 7 mm/s, channel: 300 ms}
startup: {Lamp: {State: 1, Speed: 0.5}}
safe_state: {Lamp: {State: 0}}
record: {Turret: [Label]}
"""

PROTOCOL = """protocol: 1
name: on-the-day
microscope: stand
simulation: {kind: recorded, manifest: is/not/here.csv}
plate: {format: 96-well, wells: [B2:B3]}
imaging:
  objective: 60x
  channels:
    - {name: DNA, config: DNA, exposure: 20 ms}
policy: {kind: sweep}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stand.cfg").write_text(CFG, encoding="utf-8")
    (tmp_path / "stand.yaml").write_text(SCOPE, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(discover=False)


def opened(name: str, base: Path) -> Microscope:
    problems = Problems()
    microscope = open_microscope(name, base, read("microscope: x\n", "p.yaml"), problems)
    problems.stop()
    return problems.need(microscope)


def test_cfg_is_read_as_text(folder: Path) -> None:
    cfg = read_cfg(folder / "stand.cfg")
    assert cfg.devices == {"Camera": "PVCAM", "XY": "NikonTi2", "Turret": "NikonTi2", "Lamp": "NikonTi2"}
    assert not cfg.needs_demo_adapters
    assert {group: list(presets) for group, presets in cfg.groups.items()} == {
        "Light": ["DNA", "GFP"],
        "Objective": ["Low", "High"],
        "System": ["Startup"],
    }
    assert cfg.channel_group == "Light"
    assert cfg.focus_direction == {"Z": -1}
    assert ("Lamp", "Note", "a,b") in cfg.startup


@pytest.mark.parametrize(
    ("group", "preset", "size"),
    [
        pytest.param("Objective", "Low", 1.625, id="state number means its label"),
        pytest.param("Objective", "High", 0.1083, id="label"),
        pytest.param("System", "Startup", 1.625, id="what stands there at the start"),
        pytest.param("Light", "DNA", None, id="says nothing of the objective"),
    ],
)
def test_pixel_size_of_a_preset(group: str, preset: str, size: float | None, folder: Path) -> None:
    cfg = read_cfg(folder / "stand.cfg")
    assert cfg.pixel_size_um(cfg.groups[group][preset]) == size


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param("Device,Camera\n", 1, "not complete", id="short line"),
        pytest.param("# x\nDevice,A,B,C\nPixelSize_um,P,wide\n", 3, "not complete", id="size that is no number"),
        pytest.param("ConfigGroup,A,B,C,D,E\n", 1, "names no device", id="no device"),
    ],
)
def test_broken_cfg(text: str, line: int, said: str, folder: Path) -> None:
    (folder / "stand.cfg").write_text(text, encoding="utf-8")
    with pytest.raises(ProtocolError, match=said) as caught:
        opened("stand", folder)
    assert (caught.value.problems[0].file, caught.value.problems[0].line) == (str(folder / "stand.cfg"), line)


def test_plan_of_a_microscope_file(folder: Path) -> None:
    microscope = opened("stand", folder)
    plan = microscope.plan()
    assert (plan.name, plan.config, plan.needs_demo_adapters) == ("stand", str(folder / "stand.cfg"), False)
    assert (plan.stage_tolerance_um, plan.timeout_s, plan.buffer_mb) == (2.0, 30.0, 1000)
    assert plan.startup == (("Lamp", "State", "1"), ("Lamp", "Speed", "0.5"))
    assert plan.safe_state == (("Lamp", "State", "0"),)
    assert plan.record == (("Turret", "Label"),)
    assert plan.cost == CostModel(stage_um_per_s=7000.0, channel_s=0.3)
    assert microscope.stage_box() == StageBox(x_um=(0.0, 110_000.0), y_um=(-75_000.0, 1000.0))
    assert microscope.channel_group == "Light"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        pytest.param("preset: High", "preset: Higj", 3, "did you mean 'High'", id="preset"),
        pytest.param("preset: Low", "preset: Low, group: Objectiv", 4, "did you mean 'Objective'", id="group"),
        pytest.param("safe_state: {Lamp:", "safe_state: {Lmap:", 15, "did you mean 'Lamp'", id="device"),
        pytest.param("[0 mm, 110 mm]", "[110 mm, 0 mm]", 5, "wrong way round", id="limits"),
        pytest.param("bits: 12", "bitts: 12", 12, "did you mean 'bits'", id="key"),
        pytest.param("tolerance: 2 um", "tolerance: 2", 10, "has no unit", id="unit"),
        pytest.param("stand.cfg", "stnad.cfg", 1, "there is no configuration", id="cfg"),
    ],
)
def test_broken_microscope_file(old: str, new: str, line: int, said: str, folder: Path) -> None:
    (folder / "stand.yaml").write_text(SCOPE.replace(old, new), encoding="utf-8")
    with pytest.raises(ProtocolError) as caught:
        opened("stand", folder)
    problem = caught.value.problems[0]
    assert said in problem.message
    assert problem.file == str(folder / "stand.yaml")
    assert problem.line == line


def test_a_microscope_beside_the_protocol_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_microscope("demo", folder) == shared_folder("mm_configs") / "demo.yaml"
    local = folder / "here" / "mm_configs"
    local.mkdir(parents=True)
    (local / "demo.yaml").write_text("config: demo\n", encoding="utf-8")
    monkeypatch.chdir(folder / "here")
    assert find_microscope("demo", folder) == local / "demo.yaml"
    (folder / "demo.yaml").write_text("config: demo\n", encoding="utf-8")
    assert find_microscope("demo", folder) == folder / "demo.yaml"


def test_on_a_real_microscope_the_simulation_is_not_read(folder: Path, registry: Registry) -> None:
    loaded = load_text(PROTOCOL, registry, base=folder)
    assert loaded.simulation is None
    assert not loaded.plan.virtual_clock
    assert loaded.plan.frame_bytes == 2048 * 1536 * 2
    assert loaded.analysis.bit_depth is None
    profile = loaded.plan.profiles["main"]
    assert (profile.objective_group, profile.objective_config) == ("Objective", "High")
    assert profile.pixel_size_um == 0.1083
    assert profile.channels[0].group == "Light"
    assert str(folder / "stand.cfg") in loaded.sources


def test_binning_makes_pixels_larger_and_frames_smaller(folder: Path, registry: Registry) -> None:
    loaded = load_text(PROTOCOL.replace("  objective: 60x", "  binning: 2\n  objective: 4x"), registry, base=folder)
    assert loaded.plan.profiles["main"].pixel_size_um == 3.2
    assert loaded.plan.frame_bytes == 1024 * 768 * 2


def test_without_an_objective_the_pixel_size_is_that_at_the_start(folder: Path, registry: Registry) -> None:
    loaded = load_text(PROTOCOL.replace("  objective: 60x\n", ""), registry, base=folder)
    profile = loaded.plan.profiles["main"]
    assert (profile.objective, profile.objective_config, profile.pixel_size_um) == (None, None, 1.625)


@pytest.mark.parametrize(
    ("scope", "old", "new", "line", "said"),
    [
        pytest.param(
            SCOPE.replace("110 mm", "100 mm"),
            "[B2:B3]",
            "[H12]",
            5,
            "outside the stage limits x 0..100000",
            id="stage box",
        ),
        pytest.param(SCOPE, "objective: 60x", "objective: High", 0, "", id="preset instead of a name"),
        pytest.param(
            SCOPE.replace("camera:", "# camera:"),
            "name: on",
            "name: on",
            3,
            "needs the size of a frame",
            id="no camera",
        ),
    ],
)
def test_protocol_against_the_microscope(
    scope: str, old: str, new: str, line: int, said: str, folder: Path, registry: Registry
) -> None:
    (folder / "stand.yaml").write_text(scope, encoding="utf-8")
    text = PROTOCOL.replace(old, new)
    if not said:
        assert load_text(text, registry, base=folder).plan.profiles["main"].pixel_size_um == 0.1083
        return
    with pytest.raises(ProtocolError) as caught:
        load_text(text, registry, base=folder, name="p.yaml")
    problem = caught.value.problems[0]
    assert said in problem.message
    assert (problem.file, problem.line) == ("p.yaml", line)


def test_pixel_size_that_nobody_knows(folder: Path, registry: Registry) -> None:
    (folder / "stand.cfg").write_text(CFG.replace("PixelSize_um,P60,0.1083\n", ""), encoding="utf-8")
    with pytest.raises(ProtocolError, match="the pixel size of 60x is not known: give pixel_size for it"):
        load_text(PROTOCOL, registry, base=folder)


def test_simulate_puts_the_demo_microscope_in_its_place(folder: Path, registry: Registry) -> None:
    text = PROTOCOL.replace("recorded, manifest: is/not/here.csv", "synthetic").replace("60x", "20x")
    text = text.replace("config: DNA", "config: DAPI")
    loaded = load_text(text, registry, base=folder, simulate=True)
    assert loaded.microscope.name == "demo"
    assert loaded.simulation is not None
    assert loaded.plan.virtual_clock


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("x: x", "x: x", "demo.cfg has no preset 'DNA'", id="preset the demo microscope lacks"),
        pytest.param(
            "simulation: {kind", "# simulation: {kind", "needs a `simulation` block", id="nothing to simulate"
        ),
    ],
)
def test_simulate_says_what_is_in_the_way(old: str, new: str, said: str, folder: Path, registry: Registry) -> None:
    text = PROTOCOL.replace("recorded, manifest: is/not/here.csv", "synthetic").replace(old, new)
    with pytest.raises(ProtocolError, match=said) as caught:
        load_text(text, registry, base=folder, simulate=True)
    assert caught.value.exit_code == 2


def test_the_template_is_a_microscope_file(folder: Path) -> None:
    template = (shared_folder("mm_configs") / "template.yaml").read_text(encoding="utf-8")
    (folder / "mine.yaml").write_text(template.replace("my-microscope.cfg", "demo.cfg"), encoding="utf-8")
    assert opened("mine", folder).file.objectives["20x"].pixel_size == 0.325
    # and with every comment that shows a key taken off
    lines = [line.replace("# ", "", 1) if is_commented_key(line) else line for line in template.splitlines()[1:]]
    text = "\n".join(lines).replace("my-microscope.cfg", "demo.cfg").replace("60X oil", "40X")
    text = text.replace("XYStage", "XY").replace("Lamp Shutter", "White Light Shutter").replace("Incubator", "Camera")
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    assert opened("mine", folder).file.record == {"Camera": ["Temperature", "CO2"]}


def is_commented_key(line: str) -> bool:
    words = line.strip().split(" ")
    return len(words) > 1 and words[0] == "#" and any(word.endswith(":") for word in words[1:5]) and ". " not in line


@pytest.mark.mm
def test_the_demo_configuration_says_what_micro_manager_finds() -> None:
    pymmcore_plus = pytest.importorskip("pymmcore_plus")
    adapters = pytest.importorskip("mm_test_adapters")
    path = shared_folder("mm_configs") / "demo.cfg"
    core = pymmcore_plus.CMMCorePlus()
    try:
        core.setDeviceAdapterSearchPaths([adapters.device_adapter_path()])
        core.loadSystemConfiguration(str(path))
        cfg = read_cfg(path)
        assert cfg.needs_demo_adapters
        assert cfg.channel_group == core.getChannelGroup()
        for group, presets in cfg.groups.items():
            assert set(presets) == set(core.getAvailableConfigs(group))
        for preset, settings in cfg.groups["Objective"].items():
            core.setConfig("Objective", preset)
            core.waitForSystem()
            assert cfg.pixel_size_um(settings) == core.getPixelSizeUm()
        assert core.getFocusDirection("Z") == cfg.focus_direction["Z"] == 1
        assert core.isStageSequenceable("Z")
        assert (core.getImageBitDepth(), core.getImageHeight(), core.getImageWidth()) == (16, 512, 512)
        microscope = opened("demo", path.parent)
        for device, name, value in microscope.plan().safe_state:
            core.setProperty(device, name, value)
        for device, name in microscope.plan().record:
            assert core.hasProperty(device, name)
    finally:
        # A callback that outlives Python's own end aborts the process.
        pymmcore_plus._pymmcore.CMMCore.registerCallback(core, None)
        core.unloadAllDevices()
