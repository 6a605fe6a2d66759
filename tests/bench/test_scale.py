"""The benchmark of sizes, with few items."""

import functools
import re
from pathlib import Path

import pytest

from bench import scale
from bench.engine import labelling
from savs.engine import extract


def test_jobs_label_in_the_window_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "EXAMPLES", 8)
    monkeypatch.setattr(extract, "read_ahead", extract.read_ahead)  # put back behind the test
    windows = []

    def read_ahead(*given: object, limit: int, **more: object) -> object:
        windows.append(limit)
        return ahead(*given, limit=limit, **more)

    ahead = labelling.windows.read_ahead
    monkeypatch.setattr(labelling.windows, "read_ahead", read_ahead)
    labelling.write_manifest(str(tmp_path), 12)
    artifact = labelling.fit(str(tmp_path))
    # given 12 items in shards of 5, then there are three, each read in windows of 4
    rate, loaded = labelling.label(str(tmp_path), artifact, 12, 5, 4096, 4)
    assert windows == [4, 4, 4]
    assert len(list(tmp_path.glob("12-5-4096-4/jobs/*/parts/*"))) == 3
    assert rate > 0 and loaded > 0


def test_memory_that_grows_with_the_items_misses_the_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fresh(step: str, *given: object, grows: float) -> tuple[object, float]:
        items = given[2] if step.endswith("label") else 0
        return ([30.0, 100.0] if step.endswith("label") else "artifact"), 200 + grows * float(str(items))

    for grows, met in ((0.0, True), (1.0, False)):
        monkeypatch.setattr(scale, "fresh", functools.partial(fresh, grows=grows))
        *_, growth = scale.measure(scale.FEW, scale.MANY, tmp_path)
        assert growth.met is met
    assert len(set(re.findall(r"(.*): memory ", capsys.readouterr().out))) == 8
