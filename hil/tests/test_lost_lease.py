"""A run that loses the board's lease while it measures: it stops, leaves the board to whose it is, and says who."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hil.tests.conftest import LOOPBACK, TestBoard
from hil.tests.support.rig import Rig, rig

from edgekit.core.errors import EnvironmentFault
from edgekit_hil.faults.board import when
from edgekit_hil.onboard import lease
from edgekit_hil.options import RunOptions
from edgekit_hil.run import Step, run
from tests.support.waiting import PATIENCE_S, until


def _process(bundle: Path, out: Path, who: str, queries: int = 120) -> subprocess.Popen[str]:
    words = ["--env", str(LOOPBACK), "--bundle", str(bundle), "--out", str(out), "--queries", str(queries), "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "edgekit", "hil", "run", *words],
        env=os.environ | {"LOGNAME": who},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _owner(folder: Path) -> str:
    held = lease.holder(folder)
    return "" if held is None else str(held["owner"])


def test_a_run_that_stood_still_finds_the_board_another_runs(board: TestBoard, bundle: Path, tmp_path: Path) -> None:
    """Two processes: one is stopped while it measures, its lease ends, the other takes the board."""
    first = _process(bundle, tmp_path / "first", "one", queries=1_000_000)
    until(board.measures, "the gate")
    first.send_signal(signal.SIGSTOP)
    try:
        end_of_time(board.folder)
        until(lambda: not board.measures(), "the end of the job, by the board alone")
        second = _process(bundle, tmp_path / "second", "two")
        until(lambda: _owner(board.folder).startswith("two@"), "that the other run holds the board")
    finally:
        first.send_signal(signal.SIGCONT)
    said, errors = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 3, errors
    document = json.loads(said)
    assert document["verdict"] == "infrastructure"
    assert "the lease was lost: two@" in document["why"]
    assert {one["name"]: one["outcome"] for one in document["steps"]}["gate"] == "infrastructure"
    # The other one was not disturbed: its lease was not given back for it.
    said, errors = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, errors
    events = [json.loads(line) for line in (board.folder / "lease.log").read_text().splitlines()]
    assert [(one["event"], one["owner"][:3]) for one in events] == [
        ("taken", "one"),
        ("taken", "two"),
        ("released", "two"),
    ]


def end_of_time(folder: Path) -> None:
    """The lease's end is now, as if its heartbeats had stayed away."""
    found = json.loads((folder / lease.LEASE).read_text())
    (folder / lease.LEASE).write_text(json.dumps(found | {"end": lease.now()}))


def _robbed(board: Rig, bundle: Path, out: Path, owner: str) -> str:
    """A run whose lease is gone while the gate runs, ``owner`` has it then; why it ended."""

    def rob() -> None:
        (board.board.folder / lease.LEASE).unlink()
        if owner:
            assert lease.take(board.board.folder, owner, "their-run", "their-token", 600)["held"]

    robber = when(lambda: board.board.runs("gate"), rob)
    report = run(board.environment, bundle, RunOptions(out, queries=1_000_000))
    robber.join()
    assert report.exit_code == 3
    assert [step.name for step in report.steps][-1] == "gate"
    until(lambda: not board.board.runs("gate"), "the end of the job")
    return report.why


def test_clocks_are_put_back_unless_somebody_else_measures(bundle: Path, tmp_path: Path) -> None:
    with rig(tmp_path / "server") as board:
        former = (board.stand_in.mode, board.stand_in.clocks)
        why = _robbed(board, bundle, tmp_path / "runs", "")
        assert "nobody holds the board now" in why
        assert (board.stand_in.mode, board.stand_in.clocks) == former
        assert not _owner(board.board.folder)

        why = _robbed(board, bundle, tmp_path / "runs", "somebody@else")
        assert "somebody@else holds the board now (run their-run)" in why
        assert (board.stand_in.mode, board.stand_in.clocks) != former, "the watcher on the board does that, or they do"
        assert _owner(board.board.folder) == "somebody@else"
        board.put_back()
        assert (board.stand_in.mode, board.stand_in.clocks) == former


def test_a_board_of_somebody_else_is_not_switched_off(
    board: TestBoard, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    power, environment = tmp_path / "power", tmp_path / "switched.yaml"
    power.write_text(f"#!/bin/sh\necho $1 >>{tmp_path}/said\n")
    power.chmod(0o755)
    driver = "".join(f"        cmd_{word}: {power} {word}\n" for word in ("on", "off", "cycle"))
    switched = f'      ExternalPowerDriver:\n{driver}        delay: 0.0\n      BoardStrategy:\n        leave: "off"\n'
    environment.write_text(LOOPBACK.read_text().replace("      BoardStrategy:\n", switched))

    def fails(context: object) -> str:
        raise EnvironmentFault("a fault before anything is measured")

    monkeypatch.setattr("edgekit_hil.run.DEPLOY", (Step("facts", fails),))
    with board.lease("somebody@else"):
        report = run(environment, bundle, RunOptions(tmp_path / "runs"))
    assert "somebody@else holds the board" in report.why
    assert (tmp_path / "said").read_text().split() == ["on"]
    report = run(environment, bundle, RunOptions(tmp_path / "runs"))
    assert report.why == "a fault before anything is measured"
    assert (tmp_path / "said").read_text().split() == ["on", "on", "off"]
    assert not board.leased()


def test_a_job_without_a_lease_is_not_begun(tmp_path: Path) -> None:
    from edgekit_hil.onboard import jobs

    marker = tmp_path / "began"
    request = {"argv": ["touch", str(marker)], "token": "nobody's", "seconds": 60}
    jobs.start(tmp_path, "late", request)
    until(lambda: not jobs.poll(tmp_path, "late", 0, 0.0)["running"], "its end")
    assert jobs.poll(tmp_path, "late", 0, 0.0)["why"] == "lease"
    assert not marker.exists()
