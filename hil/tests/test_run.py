"""The whole sequence against a real SSH server: deploy, check, gate, release; what fails, and what is left of it."""

from __future__ import annotations

import json
from pathlib import Path

from hil.tests.conftest import LOOPBACK, TestBoard

from edgekit_hil.options import RunOptions
from edgekit_hil.run import run


def test_a_good_bundle_passes(board: TestBoard, bundle: Path, tmp_path: Path) -> None:
    report = run(LOOPBACK, bundle, RunOptions(tmp_path / "runs", queries=120))
    assert report.verdict == "pass", (report.why, report.steps)
    assert [step.name for step in report.steps] == ["boot", "facts", "deploy", "engine", "gate", "logs"]
    assert {step.outcome for step in report.steps} == {"done"}
    assert json.loads((tmp_path / "runs" / report.run / "run.json").read_text())["verdict"] == "pass"
    assert not (board.folder / "lease.json").exists()
    again = run(LOOPBACK, bundle, RunOptions(tmp_path / "runs", queries=120))
    assert again.moved_bytes == 0
    assert report.moved_bytes == report.bundle_bytes
