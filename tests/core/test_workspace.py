"""Stages: done once, complete or absent, made again when damaged."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekit.core.workspace import RECORD, Workspace
from tests.support.shell import line_of, python, send


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


def test_why_a_stage_runs_is_held_against_its_own_last_run(workspace: Workspace) -> None:
    workspace.stage("engine-cpu-ort", {"a": 1}, Fill())
    assert workspace.stage("engine-cpu", {"b": 2}, Fill()).why == "it had not run"
    assert workspace.stage("engine-cpu", {"b": 3}, Fill()).why == "b changed"


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
    assert not workspace.root.exists()  # nothing, not even the folder that its lock needed
    assert workspace.stage("export", {"a": 1}, Fill()).reused is False


def test_a_failing_stage_leaves_only_what_was_there(workspace: Workspace) -> None:
    def fail(_: Path) -> None:
        raise RuntimeError("stop")

    before = workspace.stage("export", {"a": 1}, Fill()).path
    with pytest.raises(RuntimeError, match="stop"):
        workspace.stage("export", {"a": 2}, fail)
    assert list(workspace.root.iterdir()) == [before]


_STAGE = """
import sys
from pathlib import Path
from edgekit.core.workspace import Workspace

def fill(folder):
    print("filling", flush=True)
    sys.stdin.readline()
    (folder / "result").write_text(sys.argv[2])

stage = Workspace(Path(sys.argv[1]), fresh=len(sys.argv) > 3).stage("export", {"of": sys.argv[2]}, fill)
print("reused" if stage.reused else "made", flush=True)
"""


@contextlib.contextmanager
def _stage(workspace: Workspace, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that needs a stage's result; it fills it when it is sent a line."""
    with python(_STAGE, str(workspace.root), *arguments) as process:
        yield process


def test_a_process_that_needs_the_same_stage_waits_and_reuses_it(workspace: Workspace) -> None:
    with _stage(workspace, "a") as first:
        assert line_of(first.stdout) == "filling"
        with _stage(workspace, "a") as second, _stage(workspace, "b") as third:
            assert f"waiting for another edgekit (process {first.pid})" in line_of(second.stderr)
            assert line_of(third.stdout) == "filling"  # another stage keeps nobody waiting
            send(third)
            assert line_of(third.stdout) == "made"
            send(first)
            assert line_of(first.stdout) == "made"
            assert line_of(second.stdout) == "reused"
    assert sorted(path.name.partition("-")[0] for path in workspace.root.iterdir()) == ["export", "export"]


def test_a_killed_process_keeps_nobody_waiting(workspace: Workspace) -> None:
    with _stage(workspace, "a") as first:
        assert line_of(first.stdout) == "filling"
        with _stage(workspace, "a") as second:
            assert "waiting" in line_of(second.stderr)
            first.kill()
            first.wait()
            assert line_of(second.stdout) == "filling"
            send(second)
            assert line_of(second.stdout) == "made"
    assert [path.name.partition("-")[0] for path in workspace.root.iterdir()] == ["export"]


def test_a_fresh_process_waits_and_makes_it_again(workspace: Workspace) -> None:
    with _stage(workspace, "a") as first:
        assert line_of(first.stdout) == "filling"
        with _stage(workspace, "a", "fresh") as second:
            assert "waiting" in line_of(second.stderr)
            send(first)
            assert line_of(second.stdout) == "filling"
            send(second)
            assert line_of(second.stdout) == "made"


def test_two_processes_of_a_traced_stage_run_it_once(workspace: Workspace, tmp_path: Path) -> None:
    script = _STAGE.replace(
        'stage("export", {"of": sys.argv[2]}, fill)',
        'traced("export", {"of": sys.argv[2]}, Path(sys.argv[1]), lambda f: fill(f) or Traced(Sources(), {}))',
    ).replace("import Workspace", "import Traced, Workspace\nfrom edgekit.core.sources import Sources")
    arguments = (script, str(workspace.root), "a")
    with python(*arguments) as first:
        assert line_of(first.stdout) == "filling"
        with python(*arguments) as second:
            assert "waiting" in line_of(second.stderr)
            send(first)
            assert line_of(first.stdout) == "made"
            assert line_of(second.stdout) == "reused"
