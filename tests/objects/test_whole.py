"""The whole way on the real core: found at 10x, revisited at 60x, confirmed, listed, replayed, resumed."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from phenoloop import api
from phenoloop.api.resolved import Resolved
from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.model import Acquire, Measured, StoredFrame, Visit, VisitEnded
from phenoloop.ports import View
from phenoloop.storage.journal import read
from tests.objects.plates import write_search

pytestmark = pytest.mark.mm


class Done:
    """A run that has ended, its journal, and what was really there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.resolved = Resolved.from_json((path / "resolved.json").read_bytes(), "resolved.json")
        self.messages = read(path / "journal.jsonl").messages
        self.report = json.loads((path / "report.json").read_text(encoding="utf-8"))
        specimen = self.resolved.build_specimen()
        assert isinstance(specimen, Synthetic)
        self.specimen = specimen

    def visits(self, profile: str) -> list[Visit]:
        """The visits under a profile, by number."""
        return [m.visit for m in self.messages if isinstance(m, Acquire) and m.visit.profile == profile]

    def frames(self, visit: int) -> list[StoredFrame]:
        """The frames of a visit."""
        return [frame for m in self.messages if isinstance(m, VisitEnded) and m.visit == visit for frame in m.frames]

    def whole(self) -> set[tuple[str, str]]:
        """Candidates (well, name) that the border of their first frame did not cut."""
        visits = {m.visit.number: m.visit for m in self.messages if isinstance(m, Acquire)}
        return {
            (visits[m.visit].well, f"{m.field}-{one.label}")
            for m in self.messages
            if isinstance(m, Measured) and visits[m.visit].profile == "main"
            for one in m.candidates
            if max(abs(one.x_px), abs(one.y_px)) < 128 - 15
        }

    def kinds_near(self, x_um: float, y_um: float) -> tuple[float, int]:
        """Distance to the nearest cell, and its kind."""
        view = View(
            address=None, x_um=x_um, y_um=y_um, z_um=0, config="DAPI", channel="DNA",
            exposure_ms=20, pixel_size_um=1.0, at_s=0,
        )  # fmt: skip
        truth = self.specimen.truth(view)
        away = np.hypot(truth["centres"][:, 0] - 127.5, truth["centres"][:, 1] - 127.5)
        nearest = int(np.argmin(away))
        return float(away[nearest]), int(truth["rare"][nearest])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("search")
    return Done(api.run(write_search(folder), out=folder / "run").folder.path)


def test_it_ends_when_enough_are_confirmed(done: Done) -> None:
    assert done.report["exit"] == "completed"
    assert "objects are confirmed, as many as were wanted" in done.report["reason"]
    assert done.report["summary"]["confirmed"] >= 6
    assert done.report["lost_frames"] == 0
    assert done.report["faults"] == 0


def test_confirmed_objects_are_the_rare_ones_and_lie_where_it_says(done: Done) -> None:
    for one in done.report["summary"]["objects"]:
        away, kind = done.kinds_near(one["x_um"], one["y_um"])
        assert kind == 1, one
        assert away < 1.0, one


def test_a_revisited_object_lies_in_the_middle_of_its_frame(done: Done) -> None:
    """The stage goes beyond the object by the objective's offset; the object is in the middle of the picture."""
    profile = done.resolved.plan.profiles["closeup"]
    assert profile.offset_um == (40.0, -25.0, 3.0)
    whole = done.whole()
    looks = [
        (place, frame)
        for visit in done.visits("closeup")
        for place in visit.fields
        for frame in done.frames(visit.number)
        if frame.address.field == place.field and (visit.well, place.field) in whole
    ]
    assert len(looks) > 8
    far = []
    for place, frame in looks:
        assert place.target is not None
        assert math.dist((frame.x_um, frame.y_um), (place.target.x_um + 40, place.target.y_um - 25)) < 0.1
        far.append(done.kinds_near(frame.x_um - 40, frame.y_um + 25)[0])
    assert np.median(far) < 0.5
    assert max(far) < 3.0


def test_only_confirmed_objects_have_a_passing_object_in_the_middle(done: Done) -> None:
    """What the second look says of each candidate agrees with what was really there."""
    visits = {m.visit.number: m.visit for m in done.messages if isinstance(m, Acquire)}
    judged = []
    for message in done.messages:
        if not isinstance(message, Measured) or visits[message.visit].profile != "closeup":
            continue
        place = next(p for p in visits[message.visit].fields if p.field == message.field)
        assert place.target is not None
        away, kind = done.kinds_near(place.target.x_um, place.target.y_um)
        pixel_um = done.resolved.plan.profiles["closeup"].pixel_size_um
        seen = any(math.hypot(one.x_px, one.y_px) * pixel_um <= 10 for one in message.candidates)
        if away < 3:
            judged.append(seen == (kind == 1))
    assert len(judged) >= 6
    assert all(judged)


def test_the_images_are_where_the_report_says(done: Done) -> None:
    import yaozarrs

    for one in done.report["summary"]["objects"]:
        assert (done.path / one["path"] / "zarr.json").is_file()
    yaozarrs.validate_zarr_store(str(done.path / "images" / "closeup.ome.zarr"))
    page = (done.path / "report.html").read_text(encoding="utf-8")
    assert "Confirmed objects" in page
    assert done.report["summary"]["objects"][0]["path"] in page


def test_every_decision_comes_out_again(done: Done) -> None:
    assert api.replay(done.path).equal


def test_a_stack_goes_through_its_own_heights(tmp_path: Path) -> None:
    """Three planes around the reference, each beyond it by the objective's own focus; home again afterwards."""
    run = Done(api.run(write_search(tmp_path, stack=True, target=2), out=tmp_path / "run").folder.path)
    frames = [frame for visit in run.visits("closeup") for frame in run.frames(visit.number)]
    assert frames
    for frame in frames:
        assert frame.z_um == pytest.approx((-2, 0, 2)[frame.address.z] + 3, abs=0.05)
    assert all(frame.z_um == pytest.approx(0, abs=0.05) for v in run.visits("main") for frame in run.frames(v.number))


@pytest.mark.parametrize("share", [0.3, 0.55, 0.8])
def test_killed_and_resumed_it_is_replayed_alike(done: Done, tmp_path: Path, share: float) -> None:
    """A journal cut at any line, its images on disk: taken up, no object is exposed twice, and it replays."""
    out = tmp_path / "run"
    shutil.copytree(done.path, out)
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (out / "journal.jsonl").write_bytes(b"".join(lines[: int(share * len(lines))]))
    result = api.resume(out)
    assert result.exit_code == 0
    assert result.report["summary"]["confirmed"] >= 6
    looks = [
        (visit.well, place.field, place.t)
        for m in read(out / "journal.jsonl").messages
        if isinstance(m, Acquire)
        for visit in (m.visit,)
        for place in visit.fields
        if place.target is not None
    ]
    assert len(looks) == len(set(looks))
    assert api.replay(out).equal
