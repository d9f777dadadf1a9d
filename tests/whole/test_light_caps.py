"""A camera that refuses, under a cap on light, through the whole stack: the cap holds, journal and report say so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from phenoloop import api
from phenoloop.api import session
from phenoloop.microscope import MMCoreMicroscope
from phenoloop.model import VisitEnded
from phenoloop.storage.journal import read
from tests.whole.plates import SWEEP, write_protocol

pytestmark = pytest.mark.mm

CAP_S = 0.12
"""A field takes 20 ms of DNA and 80 ms of GFP: one repetition of the short exposure fits, none of the long one."""


def test_a_repetition_that_would_pass_the_cap_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lit: Counter[tuple[int, int]] = Counter()

    class Faulty(MMCoreMicroscope):
        """Refuses now in one channel, now in the other, after the light has fallen."""

        def open(self, sink: Any) -> Any:
            description = super().open(sink)
            core: Any = self.core
            really, calls = core.getImage, [0]

            def refusing(*args: Any) -> Any:
                lit[round(core.getXPosition() / 10), round(core.getYPosition() / 10)] += round(core.getExposure())
                calls[0] += 1
                if calls[0] % 7 == 0 or calls[0] % 12 == 0:
                    raise RuntimeError("getImage refused (test)")
                return really(*args)

            core.getImage = refusing
            return description

    monkeypatch.setattr(session, "MMCoreMicroscope", Faulty)
    protocol = write_protocol(tmp_path, policy=SWEEP, frames=96)
    text = protocol.read_text(encoding="utf-8").replace("{frames: 96}", "{frames: 96, light_per_field: 120 ms}")
    protocol.write_text(text, encoding="utf-8")
    result = api.run(protocol, out=tmp_path / "run")

    assert max(lit.values()) == round(CAP_S * 1000), "some exposure was repeated, and none beyond the cap"
    ends = [message for message in read(result.folder.journal).messages if isinstance(message, VisitEnded)]
    told = [round(seconds * 1000) for ended in ends for seconds in ended.light_s.values()]
    assert sorted(told) == sorted(lit.values())
    gone = [gap for ended in ends for gap in ended.missing]
    cap = "light cap: not repeated, the field would get more than 0.12 s of light"
    assert {gap.reason for gap in gone if gap.address.channel == "GFP"} == {
        f"getImage failed once: getImage refused (test); {cap}"
    }
    assert all(gap.exposed and gap.reason.endswith(cap) for gap in gone)
    assert result.report["missing"] == len(gone)
    light = result.report["budget"]["light_s"]
    assert (light["used"], light["limit"], light["left"]) == pytest.approx((CAP_S, CAP_S, 0.0))
    assert cap in result.folder.report_html.read_text(encoding="utf-8")
    assert api.replay(result.folder.path).equal
