"""``kill -9`` at any moment, then the same command: the same result, and nothing half-made left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.projects import timeless
from tests.support.shell import Result, edgekit, start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(_tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the module: a bundle records where its data are, so only builds in one place compare."""
    return Path(shutil.copytree(_tiny_source, tmp_path_factory.mktemp("resume") / "project"))


@pytest.fixture(scope="module")
def undisturbed(project: Path) -> tuple[dict[str, str], float]:
    """Hashes of every result of a run that nothing disturbed, and its seconds."""
    warm.address()  # it starts once, and is no part of a run
    began = time.monotonic()
    _run(project)
    seconds = time.monotonic() - began
    return timeless(project / "artifacts"), seconds


@pytest.fixture
def clean(project: Path, undisturbed: tuple[dict[str, str], float]) -> Path:
    """The project with nothing built."""
    for name in (".edgekit", "artifacts"):
        shutil.rmtree(project / name, ignore_errors=True)
    return project


@pytest.fixture
def exported(project: Path, undisturbed: tuple[dict[str, str], float]) -> Path:
    """The project with nothing built but the export."""
    shutil.rmtree(project / "artifacts", ignore_errors=True)
    for path in (project / ".edgekit").iterdir():
        if path.is_dir() and not path.name.startswith("export-"):
            shutil.rmtree(path)
    return project


def _run(project: Path) -> Result:
    result = edgekit("build", project / "edgekit.yaml", "--target", "cpu")
    assert result.returncode == 0, result.stderr
    return result


@contextlib.contextmanager
def _started(project: Path) -> Iterator[warm.Process | subprocess.Popen[bytes]]:
    process = start("build", project / "edgekit.yaml", "--target", "cpu")
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _partials(project: Path) -> list[Path]:
    roots = (project / ".edgekit", project / "artifacts")
    return [path for root in roots if root.is_dir() for path in root.iterdir() if path.name.endswith(".partial")]


def _finishes_as_if_undisturbed(project: Path, expected: dict[str, str]) -> None:
    _run(project)
    assert timeless(project / "artifacts") == expected
    assert _partials(project) == []
    # Each stage once, and beside the export the list of what it used.
    kept = sorted(re.sub("-[0-9a-f]{16}", "", path.name) for path in (project / ".edgekit").iterdir())
    assert kept == ["engine-cpu", "export", "export.json", "labels", "quantize"]


@pytest.mark.parametrize("share", [0.55, 0.8, 0.95])
def test_killed_at_a_share_of_its_time(share: float, clean: Path, undisturbed: tuple[dict[str, str], float]) -> None:
    expected, seconds = undisturbed
    with _started(clean) as process:
        time.sleep(share * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for folder in (clean / ".edgekit", clean / "artifacts"):
        whole = [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.is_dir() else []
        assert all(any(p.iterdir()) for p in whole if p.is_dir())
        assert all(json.loads(p.read_text())["runs"] for p in whole if p.is_file())
    _finishes_as_if_undisturbed(clean, expected)


def _inside(place: str, stage: str) -> Callable[[Path], bool]:
    """Whether the run is filling the folder of ``stage``."""
    return lambda project: any((project / place).glob(f".{stage}-*.partial"))


MOMENTS = {
    "in export": _inside(".edgekit", "export"),
    "in calibration": _inside(".edgekit", "quantize"),
    "in the engine's build": _inside(".edgekit", "engine-cpu"),
    "after the typed model": lambda project: (project / "artifacts" / "tiny-compressed").is_dir(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_a_stage(
    moment: str, request: pytest.FixtureRequest, undisturbed: tuple[dict[str, str], float]
) -> None:
    """The export is in each run that is killed at a share of its time, and here in the first alone."""
    clean: Path = request.getfixturevalue("clean" if moment == "in export" else "exported")
    reached = MOMENTS[moment]
    with _started(clean) as process:
        while not reached(clean):
            if process.poll() is not None:
                pytest.skip("this machine was too busy to see the moment")
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    if moment in ("in export", "in calibration"):
        assert _partials(clean) != []
        assert [path.name for path in (clean / "artifacts").iterdir()] == [".tiny-cpu.lock"]
    done = {p.name for p in (clean / ".edgekit").iterdir() if not p.name.startswith(".")}
    times = {p: p.stat().st_mtime_ns for name in done for p in (clean / ".edgekit" / name).rglob("*")}
    _finishes_as_if_undisturbed(clean, undisturbed[0])
    assert {p: p.stat().st_mtime_ns for p in times} == times  # what was done before the kill was not done again


def test_killed_while_it_replaces_an_older_result(project: Path, undisturbed: tuple[dict[str, str], float]) -> None:
    """Between the two renames only hidden folders are there."""
    _run(project)
    bundle = project / "artifacts" / "tiny-cpu"
    os.rename(bundle, bundle.with_name(f".tiny-cpu.{2**22 + 1}.old.partial"))
    shutil.copytree(project / "data", bundle.with_name(f".tiny-cpu.{2**22 + 1}.abcdefgh.partial"))
    _finishes_as_if_undisturbed(project, undisturbed[0])


def test_two_runs_at_once_both_succeed(clean: Path, undisturbed: tuple[dict[str, str], float]) -> None:
    with _started(clean) as first, _started(clean) as second:
        assert (first.wait(), second.wait()) == (0, 0)
    _finishes_as_if_undisturbed(clean, undisturbed[0])
