"""``hil/nightly.sh``, the commands of nightly-hil.yml: a run over a real SSH server, issues on a real HTTP server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hil.tests.conftest import LOOPBACK, ROOT, TestBoard

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


def write_night(folder: Path, night: str, regressions: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True)
    results = [{"board": folder.parent.name, "bundle": "seg", "standing": "fail" if regressions else "pass"}]
    document = {"night": night, "results": results, "regressions": regressions}
    (folder / "night.json").write_text(json.dumps(document))


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_night_gathers_this_nights_folder_only(path: Path, tmp_path: Path, code: int) -> None:
    state = tmp_path / "state" / "orin"
    write_night(state / "old", "old", [])
    os.utime(state / "old" / "night.json", (1, 1))
    asked = '[ "$1 $2 $4" = "hil night --out" ] || exit 9'
    (path / "edgekit").write_text(f'#!/bin/sh\n{asked}\nmkdir "$5/new"; touch "$5/new/night.json"\nexit {code}\n')
    found = nightly(path, "night", "plan.yaml", state, tmp_path / "nights")
    assert found.returncode == code, found.stderr
    assert [one.name for one in (tmp_path / "nights").iterdir()] == ["new"]


def test_boards_of_one_night_share_an_issue(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def regression(board: str) -> list[dict[str, object]]:
        return [{"key": "seg/p99", "bundle": "seg", "boards": [board], "title": "seg: p99", "issue": f"on {board}"}]

    with github() as server:
        monkeypatch.setenv("GITHUB_API_URL", server.address)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.setenv("GITHUB_REPOSITORY", "example/perception")
        nights = tmp_path / "nights"
        assert nightly(path, "issues", tmp_path).returncode == 3
        for board in ("orin", "nx"):
            write_night(nights / board / "n1", "n1", regression(board))
        first = nightly(path, "issues", nights)
        assert (first.returncode, first.stdout) == (0, "n1: opened #1\n"), first.stderr
        assert "on nx\n\n---\n\non orin" in server.issues[0]["body"]
        write_night(tmp_path / "second" / "orin" / "n2", "n2", [])
        assert nightly(path, "issues", tmp_path / "second").stdout == "n2: no issue to change\n"
        write_night(tmp_path / "second" / "nx" / "n2", "n2", [])
        assert nightly(path, "issues", tmp_path / "second").stdout == "n2: closed #1\n"


@pytest.mark.parametrize("words", [(), ("run", "a", "b"), ("night", "a", "b"), ("issues",), ("other", "a", "b", "c")])
def test_wrong_words_are_answered_with_the_usage(path: Path, words: tuple[str, ...]) -> None:
    found = nightly(path, *words)
    assert found.returncode == 2
    assert found.stderr.count("hil/nightly.sh ") == 3
