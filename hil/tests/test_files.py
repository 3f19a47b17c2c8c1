"""The files of a run say what its numbers are worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hil.tests.conftest import LOOPBACK, TestBoard

from edgekit.bundle import open_bundle
from edgekit_hil.files import EMULATED, write_files
from edgekit_hil.options import RunOptions
from edgekit_hil.run import run


def test_an_emulated_board_is_told_in_every_page(board: TestBoard, bundle: Path, tmp_path: Path) -> None:
    report = run(LOOPBACK, bundle, RunOptions(tmp_path / "runs", queries=120))
    assert EMULATED not in (tmp_path / "runs" / report.run / "report.html").read_text()
    emulated = replace(report, board=replace(report.board, emulated=True))
    with open_bundle(bundle) as opened:
        write_files(tmp_path, emulated, opened, RunOptions(tmp_path))
    assert EMULATED in (tmp_path / "report.html").read_text()
    assert EMULATED in (tmp_path / "summary.md").read_text()
