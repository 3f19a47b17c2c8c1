"""``edgekit sensitivity``: it says where its files are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit import pipeline
from edgekit.cli.sensitivity_command import sensitivity
from edgekit.core.reports import GroupCost, LayerNoise, SensitivityReport

FOUND = SensitivityReport("cpu", "ort-x86", None, (LayerNoise("Conv_0", "Conv", "stem.0", 30.0, 1.0),))


@pytest.mark.parametrize(
    ("spec", "out", "folder"), [("p/edgekit.yaml", None, "p/artifacts"), ("p", None, "p/artifacts"), ("p", "o", "o")]
)
def test_it_says_where_the_picture_is(
    spec: str,
    out: str | None,
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "p").mkdir()
    monkeypatch.setattr(pipeline, "sensitivity", lambda *_: FOUND)
    sensitivity(tmp_path / spec, out=None if out is None else tmp_path / out)
    wrote = [f"wrote {tmp_path / folder}/{name}" for name in ("sensitivity.json", "sensitivity.png")]
    assert capsys.readouterr().out.splitlines()[-2:] == wrote


def test_it_shows_what_pruning_costs_and_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def found(*given: object) -> SensitivityReport:
        asked.extend(given)
        groups = (GroupCost(("stem.0", "up"), 16, 8, 0.25, 1.5), GroupCost(("wide",), 24, 16, 0.5, 0.1))
        return replace(FOUND, groups=groups)

    (tmp_path / "p").mkdir()
    monkeypatch.setattr(pipeline, "sensitivity", found)
    sensitivity(tmp_path / "p", prune=True)
    assert asked[-1] is True
    printed = capsys.readouterr().out
    assert "2 groups of channels" in printed
    assert "stem.0 and 1 more" in printed
