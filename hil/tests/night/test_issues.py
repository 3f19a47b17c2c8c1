"""``edgekit hil issues``, and that the token gets nowhere."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hil.tests.night.documents import LATENCY, write_night

from edgekit.cli.main import main
from edgekit_hil.night.report import Regression, Standing
from tests.support.github_server import TOKEN, Fault, GitHub, github


@pytest.fixture
def server() -> Iterator[GitHub]:
    with github() as state:
        yield state


LEAKS = replace(LATENCY, issue=f"{LATENCY.issue} A log held {TOKEN}.")


def night(folder: Path, standing: Standing = "fail", *regressions: Regression) -> Path:
    return write_night(folder / "night.json", {"orin": standing, "nx": "pass"}, regressions)


@dataclass(frozen=True)
class Said:
    returncode: int
    stdout: str
    stderr: str


def issues(server: GitHub, *words: object, **environment: str) -> Said:
    """The command in this process: what it printed, and its exit code."""
    given = {"GITHUB_API_URL": server.address, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "example/perception"}
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["edgekit", "hil", "issues", *map(str, words)])
        for name, value in (given | environment).items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def test_a_regression_from_the_first_night_to_the_green_one(server: GitHub, tmp_path: Path) -> None:
    first = issues(server, night(tmp_path, "fail", LEAKS))
    assert (first.returncode, first.stdout) == (0, "2026-11-29: opened #1\n"), first.stderr
    again = issues(server, night(tmp_path, "fail", LEAKS))
    assert again.stdout == "2026-11-29: no issue to change\n"
    others: tuple[Standing, ...] = ("infrastructure", "flaky", "undecided", "fail")
    kept = [issues(server, night(tmp_path, standing)) for standing in others]
    assert [one.stdout for one in kept] == ["2026-11-29: no issue to change\n"] * 4
    assert list(server.open()) == [LATENCY.title]
    green = issues(server, night(tmp_path, "pass"))
    assert green.stdout == "2026-11-29: closed #1\n"
    written = [run.stdout + run.stderr for run in (first, again, *kept, green)]
    written += [path.read_text() for path in tmp_path.rglob("*") if path.name != "night.json"]
    assert TOKEN not in "".join([*written, json.dumps(server.issues), json.dumps(server.comments)])
    assert "A log held ***." in server.issues[0]["body"]


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (Fault(401, body=json.dumps({"message": f"bad {TOKEN}"})), 3, "answered 401 (bad ***)"),
        (Fault(404, body='{"message": "Not Found"}'), 2, "check the repository example/perception"),
        (Fault(429, headers={"Retry-After": "7200"}), 3, "asks to wait 7200 s"),
    ],
)
def test_what_goes_wrong_is_one_line(server: GitHub, tmp_path: Path, fault: Fault, code: int, said: str) -> None:
    server.faults.append(fault)
    found = issues(server, night(tmp_path))
    assert found.returncode == code
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert TOKEN not in found.stdout + found.stderr


def test_a_token_is_needed_and_a_document(server: GitHub, tmp_path: Path) -> None:
    without = issues(server, night(tmp_path), GITHUB_TOKEN="")
    assert (without.returncode, "a token in GITHUB_TOKEN" in without.stderr) == (3, True)
    assert issues(server, tmp_path / "no.json").returncode == 2
    for content in (b"{", b"{}", b"\xff"):
        (tmp_path / "bad.json").write_bytes(content)
        bad = issues(server, tmp_path / "bad.json")
        assert (bad.returncode, "no document of edgekit hil night" in bad.stderr) == (2, True), bad.stderr
    assert server.asked == []


def test_one_document_on_stdout(server: GitHub, tmp_path: Path) -> None:
    words = ["hil", "issues", str(night(tmp_path, "fail", LEAKS)), "--repo", "example/perception", "--json"]
    found = subprocess.run(
        [sys.executable, "-m", "edgekit", *words],
        env={**os.environ, "GITHUB_API_URL": server.address, "GITHUB_TOKEN": TOKEN},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == {"opened": [1], "updated": [], "closed": []}
    assert TOKEN not in found.stdout + found.stderr
