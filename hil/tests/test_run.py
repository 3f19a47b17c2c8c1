"""The whole sequence against a real SSH server: deploy, check, gate, node, release; and what is left when it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from hil.tests.conftest import LOOPBACK, TestBoard

from edgekit.core.errors import InputError
from edgekit_hil.options import RunOptions
from edgekit_hil.run import run
from tests.support.waiting import until

QUERIES = 120


def test_a_good_bundle_passes_and_is_sent_once(board: TestBoard, bundle: Path, bag: Path, tmp_path: Path) -> None:
    """With the ROS 2 node against a replayed bag, as ``make hil-loopback`` promises."""
    out = tmp_path / "runs"
    report = run(LOOPBACK, bundle, RunOptions(out, queries=QUERIES, bag=bag, rate_hz=200))
    assert report.verdict == "pass", (report.why, report.steps)
    assert [step.name for step in report.steps] == ["boot", "facts", "deploy", "engine", "gate", "node", "logs"]
    assert {step.outcome for step in report.steps} == {"done"}
    assert report.node is not None
    assert report.node.frames == report.node.results == 8
    assert {"OK"} <= set(report.node.levels.values()) <= {"OK", "WARN"}
    assert report.traffic[0].scenario == "constant-stream"
    assert report.moved_bytes == report.bundle_bytes
    folder = out / report.run
    assert json.loads((folder / "run.json").read_text())["verdict"] == "pass"
    assert (folder / "report.html").stat().st_size > 10_000
    cases = ElementTree.parse(folder / "junit.xml").getroot().iter("testcase")
    assert {"deploy", "node", "miou"} <= {str(case.get("name")).split()[0] for case in cases}
    assert "edgekit hil run" in (folder / "junit.xml").read_text()
    assert not board.leased()
    again = run(LOOPBACK, bundle, RunOptions(out, queries=QUERIES))
    assert again.moved_bytes == 0


def test_a_kpi_that_does_not_hold_is_exit_code_1(board: TestBoard, project: Path, tmp_path: Path) -> None:
    arguments = [
        "--env",
        "loopback.yaml",
        "--bundle",
        project / "artifacts" / "tiny-strict",
        "--out",
        tmp_path / "runs",
    ]
    done = _command(*arguments, "--queries", QUERIES, "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document["verdict"] == "fail"
    assert document["why"] == "fail: latency_p50_ms"
    assert not board.leased()


def test_a_board_that_does_not_answer_is_exit_code_3(
    board: TestBoard, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.server.terminate()
    board.server.wait()
    environment = tmp_path / "short.yaml"
    environment.write_text(LOOPBACK.read_text().replace("10.0", "1.0"))
    done = _command("--env", environment, "--bundle", bundle, "--out", tmp_path / "runs", "--json")
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    assert document["verdict"] == "infrastructure"
    assert "not reachable over SSH" in document["why"]


def test_a_board_of_somebody_else_is_left_alone(board: TestBoard, bundle: Path, tmp_path: Path) -> None:
    with board.lease("somebody@else"):
        report = run(LOOPBACK, bundle, RunOptions(tmp_path / "runs"))
    assert report.verdict == "infrastructure"
    assert "somebody@else holds the board" in report.why
    assert [step.name for step in report.steps] == ["boot"]


def test_a_fault_comes_with_what_the_coordinator_says(
    board: TestBoard, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that was given to somebody else after a restart explains whose lease the board holds."""
    lost = "the coordinator has forgotten who holds orin-a, and desk/somebody has it now"

    @contextmanager
    def held(place: str, **_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(place=place, lost=lost)

    monkeypatch.setattr("edgekit_hil.run.held", held)
    with board.lease("somebody@else"):
        report = run(LOOPBACK, bundle, RunOptions(tmp_path / "runs", place="orin-a"))
    assert report.verdict == "infrastructure"
    assert "somebody@else holds the board" in report.why
    assert report.why.endswith(f"; {lost}")


def test_a_dropped_connection_is_made_anew(board: TestBoard, bundle: Path, tmp_path: Path) -> None:
    """The sessions of the server are killed while the gate measures; the job there goes on."""
    cut = threading.Thread(target=lambda: (until(board.measures, "the gate"), board.cut()))
    cut.start()
    report = run(LOOPBACK, bundle, RunOptions(tmp_path / "runs", queries=QUERIES))
    cut.join()
    assert report.verdict == "pass", report.why
    assert "the connection dropped" in report.steps[-1].said


def test_sigterm_gives_the_board_back(board: TestBoard, bundle: Path, tmp_path: Path) -> None:
    words = ["--env", str(LOOPBACK), "--bundle", str(bundle), "--out", str(tmp_path / "runs")]
    process = subprocess.Popen([sys.executable, "-m", "edgekit", "hil", "run", *words], env=os.environ.copy())
    until(board.measures, "the gate")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert not board.leased()
    until(lambda: not board.measures(), "the end of the job")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env", "lopback.yaml"], "did you mean 'loopback.yaml'"),
        (["--queries", "0"], "at least 1"),
        (["--bag", "nowhere"], "--bag nowhere: no such file or folder"),
        (["--queries", "7"], "7 queries cannot show"),
    ],
)
def test_wrong_input_is_exit_code_2(
    board: TestBoard, bundle: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    done = _command("--env", LOOPBACK, "--bundle", bundle, "--out", tmp_path / "runs", *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert not board.leased()


def test_an_environment_with_a_wrong_driver_is_refused(bundle: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("targets: {main: {resources: {NetworkService: {address: x, username: y}}, drivers: {}}}\n")
    with pytest.raises(InputError, match="no environment of a board"):
        run(wrong, bundle, RunOptions(tmp_path / "runs"))


def _command(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgekit", "hil", "run", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_crash_of_python_says_nothing_of_the_bundle(
    board: TestBoard, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 1, as a check that failed does; but a library that does not load is the board's."""
    broken = tmp_path / "broken-python"
    broken.write_text(
        f'#!/bin/sh\ncase "$*" in *" verify "*) exec {sys.executable} -c "import nowhere" ;; esac\n'
        f'exec {board.variables["LG_HIL_PYTHON"]} "$@"\n'
    )
    broken.chmod(0o755)
    monkeypatch.setenv("LG_HIL_PYTHON", str(broken))
    report = run(LOOPBACK, bundle, RunOptions(tmp_path / "runs"))
    assert report.verdict == "infrastructure"
    assert "No module named 'nowhere'" in report.why
