"""What users' code and its children write never gets between a reader and the one JSON document; long steps tell so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.cli.console import Bars
from edgekit.cli.heartbeat import Heartbeat, Pace
from tests.support.projects import MODEL
from tests.support.shell import edgekit
from tests.support.waiting import until

NOISE = """
import ctypes, os, subprocess, sys


def noise(place):
    print("python", place)
    print("unflushed", place, end="")
    os.write(1, f"descriptor {place}\\n".encode())
    subprocess.run(["echo", "child", place], check=True)
    ctypes.CDLL(None).printf(f"libc {place}\\n".encode())  # stays in libc's buffer until the process ends
    sys.__stdout__.write(f"original {place}\\n")
    with open("/dev/stdout", "w") as stream:
        stream.write(f"device {place}\\n")


noise("import")
"""
WRITERS = ("python", "unflushed", "descriptor", "child", "libc", "original", "device")


@pytest.fixture
def noisy(tiny_project: Path) -> Path:
    """A project whose code writes to stdout in every way, at import, in the factory and in forward."""
    code = MODEL.replace("def forward(self, image):", "def forward(self, image):\n        noise('forward')")
    code = code.replace("    return Net(channels)", "    noise('factory')\n    return Net(channels)")
    (tiny_project / "model.py").write_text(NOISE + code)
    return tiny_project


def test_json_stays_one_document(noisy: Path) -> None:
    done = edgekit("compress", noisy, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["target"] == "cpu"
    for writer in WRITERS:
        assert f"{writer} import" in done.stderr
        assert f"{writer} factory" in done.stderr


def test_an_error_leaves_stdout_empty(noisy: Path) -> None:
    (noisy / "model.py").write_text((noisy / "model.py").read_text() + "\nraise ValueError('odd')\n")
    done = edgekit("compress", noisy, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "ValueError: odd" in done.stderr


def test_a_closed_stderr_keeps_the_document(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "edgekit", "init", str(tmp_path / "new"), "--json"]
    done = subprocess.run(["bash", "-c", '"$@" 2>&-', "bash", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)


# --- a line a minute ---------------------------------------------------------------


def wait_for(capsys: pytest.CaptureFixture[str], pattern: str) -> str:
    """Everything on stderr until ``pattern`` is in it."""
    seen = ""

    def told() -> object:
        nonlocal seen
        seen += capsys.readouterr().err
        return re.search(pattern, seen)

    until(told, f"that {pattern!r} is on stderr")
    return seen


def test_a_long_step_tells_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars(every_s=0.02)
    with bars.track("calibrate", 3200) as advance:
        for _ in range(340):
            advance()
        wait_for(capsys, r"calibrate: 340 of 3200 after \d+ s, about \d+ (s|min) to go\n")
    with bars.track("export to ONNX"):
        wait_for(capsys, r"export to ONNX: after \d+ s\n")


def test_a_step_of_frames_tells_its_speed_and_what_is_left() -> None:
    """What was done before it began, as of a run that goes on, says nothing of its speed."""
    step = Heartbeat("train", 100, sys.stderr, [], pace=Pace(before=40, frames=8))
    assert step.line(30) == "train: 40 of 100 after 30 s"
    for _ in range(20):
        step.advance()
    assert step.line(30) == "train: 60 of 100 after 30 s, about 1 min to go, 5.33 frames/s"
    assert Heartbeat("export", None, sys.stderr, []).line(90) == "export: after 2 min"


def test_of_steps_inside_each_other_the_innermost_tells(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars(every_s=0.02)
    with bars.track("ladder", 7):
        with bars.track("build"):
            wait_for(capsys, "build: ")
            capsys.readouterr()
            assert "ladder" not in wait_for(capsys, "build: ")
        wait_for(capsys, "ladder: 0 of 7")


def test_users_code_that_replaces_stderr_does_not_silence_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = Bars(every_s=0.02)
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr("rich.console.Console.is_terminal", False)
    with bars.track("export to ONNX"):
        wait_for(capsys, "export to ONNX: after")


def test_a_short_step_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars().track("calibrate", 3):
        pass
    assert capsys.readouterr().err == ""
