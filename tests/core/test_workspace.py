"""Stages: done once, complete or absent, made again when damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.core.workspace import RECORD, Workspace, alone


class Fill:
    """Counts its calls and writes a file."""

    def __init__(self, content: str = "result") -> None:
        self.calls = 0
        self.content = content

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "sub").mkdir()
        (folder / "sub" / "f").write_text(self.content)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / ".edgekit")


def test_a_stage_runs_once_for_its_inputs(workspace: Workspace) -> None:
    fill = Fill()
    first = workspace.stage("export", {"a": 1, "b": [2]}, fill)
    second = workspace.stage("export", {"b": [2], "a": 1}, fill)
    assert (fill.calls, first.reused, second.reused) == (1, False, True)
    assert second.path == first.path == workspace.root / f"export-{first.key}"
    assert second.key == first.key
    assert first.seconds >= second.seconds == 0.0


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": 1, "b": None}, {}])
def test_other_inputs_run_again_and_keep_both(other: dict[str, object], workspace: Workspace) -> None:
    fill = Fill()
    first = workspace.stage("export", {"a": 1}, fill)
    second = workspace.stage("export", other, fill)
    assert fill.calls == 2
    assert first.path != second.path
    assert first.path.is_dir()


def test_stages_of_other_names_share_nothing(workspace: Workspace) -> None:
    fill = Fill()
    workspace.stage("export", {"a": 1}, fill)
    assert workspace.stage("quantize", {"a": 1}, fill).reused is False


def test_the_record_names_inputs_and_hashes(workspace: Workspace) -> None:
    stage = workspace.stage("export", {"file": Path("a/b"), "n": 1}, Fill())
    record = json.loads((stage.path / RECORD).read_text())
    assert record["stage"] == "export"
    assert record["inputs"] == {"file": "a/b", "n": 1}
    assert list(record["files"]) == ["sub/f"]


def _edit(folder: Path) -> None:
    (folder / "sub" / "f").write_text("changed")


def _truncate(folder: Path) -> None:
    (folder / "sub" / "f").write_text("")


def _remove(folder: Path) -> None:
    (folder / "sub" / "f").unlink()


def _add(folder: Path) -> None:
    (folder / "g").write_text("added")


def _no_record(folder: Path) -> None:
    (folder / RECORD).unlink()


def _bad_record(folder: Path) -> None:
    (folder / RECORD).write_text("{")


def _other_record(folder: Path) -> None:
    (folder / RECORD).write_text("[]")


@pytest.mark.parametrize("damage", [_edit, _truncate, _remove, _add, _no_record, _bad_record, _other_record])
def test_a_damaged_result_is_made_again(damage: Callable[[Path], None], workspace: Workspace) -> None:
    fill = Fill()
    first = workspace.stage("export", {"a": 1}, fill)
    damage(first.path)
    again = workspace.stage("export", {"a": 1}, fill)
    assert (fill.calls, again.reused, again.path) == (2, False, first.path)
    assert sorted(p.relative_to(again.path).as_posix() for p in again.path.rglob("*")) == [RECORD, "sub", "sub/f"]
    assert (again.path / "sub" / "f").read_text() == "result"
    assert workspace.stage("export", {"a": 1}, fill).reused is True


def test_a_failing_stage_leaves_nothing(workspace: Workspace) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        workspace.stage("export", {"a": 1}, fail)
    assert list(workspace.root.iterdir()) == []
    assert workspace.stage("export", {"a": 1}, Fill()).reused is False


def test_alone_keeps_another_process_waiting_and_leaves_no_file(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from edgekit.core.workspace import alone\n"
        "print('started', flush=True)\n"
        "with alone(Path(sys.argv[1])): print('inside', flush=True); sys.stdin.read()"
    )
    root = str(Path(sys.modules[Workspace.__module__].__file__ or "").parents[2])
    command = [sys.executable, "-c", script, str(tmp_path)]
    with alone(tmp_path):
        other = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": root}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "started\n"
        time.sleep(0.3)
        os.set_blocking(other.stdout.fileno(), False)
        assert other.stdout.readline() == ""  # it waits
        os.set_blocking(other.stdout.fileno(), True)
    assert other.stdout.readline() == "inside\n"
    other.kill()  # a dead process holds nothing
    other.communicate()
    with alone(tmp_path):
        assert list(tmp_path.iterdir()) == []
