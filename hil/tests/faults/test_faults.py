"""Faults that end a run before it measures, one of each; ``benchmarks/hil_faults.py`` has them all, repeated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hil.tests.support.rig import Rig, rig

from edgekit_hil.faults.board import Fault
from edgekit_hil.faults.boot_hang import BootHang
from edgekit_hil.faults.disk_full import DiskFull
from edgekit_hil.faults.power_cut import PowerCut
from edgekit_hil.faults.wrong_jetpack import WrongJetpack


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("rig") / "server") as started:
        yield started


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (WrongJetpack(), "JetPack 5.1.2-b104 (L4T 36.4.4), and 6.2 is wanted"),
        pytest.param(
            DiskFull(), "No space left", marks=pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
        ),
        (PowerCut(), "not restored: clocks: main: the board does not answer"),
        (BootHang(), "not reachable over SSH"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_fault(board: Rig, bundle: Path, tmp_path: Path, fault: Fault, said: str) -> None:
    trial = board.trial(fault, bundle, tmp_path / "runs")
    assert trial.report.verdict == fault.expects == "infrastructure", trial.report
    assert said in trial.report.why
    assert trial.report.exit_code == 3
    assert trial.released
    assert trial.restored
    assert not trial.half
