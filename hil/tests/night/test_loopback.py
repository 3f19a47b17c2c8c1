"""``edgekit hil night`` against a real board on the loopback: runs are processes, and the board gates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hil.tests.conftest import LOOPBACK, TestBoard
from hil.tests.night.conftest import Built

PLAN = """\
boards:
  lead: {{environment: {environment}, must_pass: true}}
bundles:
  drive: {bundle}
queries: 120
timeout_minutes: 10
"""


def night(folder: Path) -> tuple[int, dict[str, object], str]:
    """Exit code, document and log of the command."""
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", "hil", "night", str(folder / "plan.yaml"), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_board_passes_a_night_and_an_unplugged_one_is_infrastructure(
    board: TestBoard, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.format(environment=LOOPBACK, bundle=built.good))
    code, document, log = night(tmp_path)
    assert (code, document["verdict"]) == (0, "pass"), log
    (result,) = document["results"]  # type: ignore[misc]
    assert (result["standing"], result["moved"]) == ("pass", True)  # type: ignore[index]
    here = tmp_path / "nights" / str(document["night"])
    assert {"index.html", "night.json", "summary.md", "junit.xml"} <= {path.name for path in here.iterdir()}
    assert list(here.glob("runs/lead/drive/*/run.json")), "the run's own folder is kept"
    assert not (board.folder / "lease.json").exists()
    assert f"{tmp_path / 'nights' / 'bundles'}: no bundle removed, 1 kept: the newest 1\n" in log
    text = LOOPBACK.read_text().replace("boot_timeout_s: ", "boot_timeout_s: 0.1 # ")
    (tmp_path / "gone.yaml").write_text(text)
    (tmp_path / "plan.yaml").write_text(PLAN.format(environment="gone.yaml", bundle=built.good))
    monkeypatch.setenv("LG_HIL_PORT", "1")
    code, document, log = night(tmp_path)
    assert (code, document["verdict"]) == (3, "infrastructure"), log
