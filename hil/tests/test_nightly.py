"""``hil/nightly.sh``, the commands of nightly-hil.yml: a run over a real SSH server, issues on a real HTTP server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hil.tests.conftest import LOOPBACK, ROOT, TestBoard
from hil.tests.night.documents import LATENCY, write_night

from edgekit_hil.night.github import LABEL
from tests.support.github_server import TOKEN, github

SCRIPT = ROOT / "hil" / "nightly.sh"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of PATH, with an ``edgekit`` of this Python, and the script beside no ``.venv``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "edgekit"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m edgekit "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (tmp_path / "hil").mkdir()
    (tmp_path / "hil" / "nightly.sh").symlink_to(SCRIPT)
    return folder


def nightly(path: Path, *words: object) -> subprocess.CompletedProcess[str]:
    script = path.parent / "hil" / "nightly.sh"
    return subprocess.run([script, *map(str, words)], capture_output=True, text=True, check=False)


def test_a_run_on_the_loopback(path: Path, board: TestBoard, bundle: Path, tmp_path: Path) -> None:
    found = nightly(path, "run", LOOPBACK, bundle, tmp_path / "out dir", "--queries", 120, "--json")
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)
    assert report["verdict"] == "pass"
    assert (tmp_path / "out dir" / report["run"] / "run.json").is_file()


PLAN = """
boards: {{this-machine: {{environment: {environment}, must_pass: true}}}}
bundles: {{tiny: {bundle}}}
queries: 120
aa: never
"""


def test_the_steps_of_the_workflow_on_the_loopback(
    path: Path, board: TestBoard, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night, then its issues: the commands in the order of nightly-hil.yml."""
    (tmp_path / "plan.yaml").write_text(PLAN.format(environment=LOOPBACK, bundle=bundle))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    night = nightly(path, "night", tmp_path / "plan.yaml", tmp_path / "state", tmp_path / "nights")
    assert night.returncode == 0, night.stderr
    (folder,) = (tmp_path / "nights").iterdir()
    assert {"night.json", "junit.xml", "index.html"} <= {one.name for one in folder.iterdir()}
    assert "tiny" in (tmp_path / "step.md").read_text()
    with github() as server:
        marker = "<!-- edgekit-regression: tiny-miou this-machine/tiny -->"
        server.add_issue({"title": "of last night", "body": marker, "labels": [LABEL]})
        monkeypatch.setenv("GITHUB_API_URL", server.address)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.setenv("GITHUB_REPOSITORY", "example/perception")
        found = nightly(path, "issues", tmp_path / "nights")
        assert (found.returncode, found.stdout) == (0, f"{folder.name}: closed #1\n"), found.stderr
    written = [night.stdout, night.stderr, found.stdout, found.stderr]
    written += [one.read_text(errors="replace") for one in tmp_path.rglob("*") if one.is_file()]
    assert TOKEN not in "".join(written)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_night_gathers_this_nights_folder_only(path: Path, tmp_path: Path, code: int) -> None:
    state = tmp_path / "state" / "orin"
    (state / "old").mkdir(parents=True)
    (state / "old" / "night.json").touch()
    os.utime(state / "old" / "night.json", (1, 1))
    asked = '[ "$1 $2 $4" = "hil night --out" ] || exit 9'
    (path / "edgekit").write_text(f'#!/bin/sh\n{asked}\nmkdir "$5/new"; touch "$5/new/night.json"\nexit {code}\n')
    found = nightly(path, "night", "plan.yaml", state, tmp_path / "nights")
    assert found.returncode == code, found.stderr
    assert [one.name for one in (tmp_path / "nights").iterdir()] == ["new"]


def test_boards_of_one_night_share_an_issue(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with github() as server:
        monkeypatch.setenv("GITHUB_API_URL", server.address)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.setenv("GITHUB_REPOSITORY", "example/perception")
        nights = tmp_path / "nights"
        assert nightly(path, "issues", tmp_path).returncode == 3
        for board in ("orin", "nx"):
            found = replace(LATENCY, boards=(board,), issue=f"on {board}")
            write_night(nights / board / "n1" / "night.json", {board: "fail"}, (found,), "n1")
        first = nightly(path, "issues", nights)
        assert (first.returncode, first.stdout) == (0, "n1: opened #1\n"), first.stderr
        assert "on nx\n\n---\n\non orin" in server.issues[0]["body"]
        second = tmp_path / "second"
        write_night(second / "orin" / "n2" / "night.json", {"orin": "pass"}, night="n2")
        assert nightly(path, "issues", second).stdout == "n2: no issue to change\n"
        write_night(second / "nx" / "n2" / "night.json", {"nx": "pass"}, night="n2")
        assert nightly(path, "issues", second).stdout == "n2: closed #1\n"


@pytest.mark.parametrize("words", [(), ("run", "a", "b"), ("night", "a", "b"), ("issues",), ("other", "a", "b", "c")])
def test_wrong_words_are_answered_with_the_usage(path: Path, words: tuple[str, ...]) -> None:
    found = nightly(path, *words)
    assert found.returncode == 2
    assert found.stderr.count("hil/nightly.sh ") == 3
