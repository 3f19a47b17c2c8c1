"""Two builds in one project at once: of two targets, of one, of one that is killed, and of a project that is read-only.

Processes are brought to the moment that is meant by a lock that the test itself holds, never by a time.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgekit import pipeline
from edgekit.core.locks import locked
from edgekit.core.specfile import read_spec
from tests.support.projects import timeless
from tests.support.shell import COMMAND, edgekit, line_of, spawned

pytestmark = pytest.mark.slow

TARGETS = "targets:\n  cpu: {engine: ort, threads: 1}\n  float: {engine: ort, threads: 2, precision: fp32}\n"


@pytest.fixture(scope="module")
def project(_tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a second target; one folder for the module, because a bundle records where its data are."""
    folder = Path(shutil.copytree(_tiny_source, tmp_path_factory.mktemp("beside") / "project"))
    spec = folder / "edgekit.yaml"
    text = spec.read_text()
    spec.write_text(text.replace("targets:\n  cpu: {engine: ort, threads: 1}\n", TARGETS))
    assert TARGETS in spec.read_text()
    return folder


@pytest.fixture(scope="module")
def in_order(project: Path) -> dict[str, str]:
    """Hashes of the results of the two builds, one after the other."""
    for target in ("cpu", "float"):
        result = edgekit("build", project / "edgekit.yaml", "--target", target)
        assert result.returncode == 0, result.stderr
    return timeless(project / "artifacts")


@pytest.fixture
def clean(project: Path, in_order: dict[str, str]) -> Path:
    """The project with nothing built."""
    for name in (".edgekit", "artifacts"):
        shutil.rmtree(project / name)
    return project


@contextmanager
def _build(project: Path, target: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "build", str(project / "edgekit.yaml"), "--target", target, *more]
    with spawned(command) as process:
        yield process


def _ended(process: subprocess.Popen[str]) -> str:
    """What it said on stderr, when it went well."""
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return errors


def _stages(project: Path) -> list[str]:
    """Names of the kept results; hidden ones too, which must not stay."""
    return sorted(path.name.rpartition("-")[0] or path.name for path in (project / ".edgekit").iterdir())


def test_two_targets_at_once_equal_one_after_the_other(clean: Path, in_order: dict[str, str]) -> None:
    with _build(clean, "cpu") as first, _build(clean, "float") as second:
        for process in (first, second):
            _ended(process)
    assert timeless(clean / "artifacts") == in_order
    # What both need was made once, by one of them.
    assert _stages(clean) == ["engine-cpu", "engine-float", "export", "export", "labels", "quantize"]


def test_another_target_is_built_while_one_is_under_way(clean: Path, in_order: dict[str, str]) -> None:
    """The first is stopped before it is published: the project is not locked meanwhile."""
    with locked(clean / "artifacts" / "tiny-cpu"), _build(clean, "cpu") as first:
        assert "tiny-cpu" in line_of(first.stderr)
        with _build(clean, "float") as second:
            assert "waiting" not in _ended(second)
        first.kill()
    assert (clean / "artifacts" / "tiny-float").is_dir()
    assert not (clean / "artifacts" / "tiny-cpu").exists()


def test_the_same_target_twice(clean: Path, in_order: dict[str, str]) -> None:
    with _build(clean, "cpu") as first, _build(clean, "cpu") as second:
        said = "".join(_ended(process) for process in (first, second))
    assert said.count("waiting for another edgekit") == 1
    assert f"which makes {clean / 'artifacts' / 'tiny-cpu'}" in said
    expected = {name: digest for name, digest in in_order.items() if not name.startswith("tiny-float")}
    assert timeless(clean / "artifacts") == expected
    assert _stages(clean) == ["engine-cpu", "export", "export", "labels", "quantize"]


def test_one_that_is_killed_leaves_its_part_to_the_one_that_waits(clean: Path, in_order: dict[str, str]) -> None:
    final = clean / "artifacts" / "tiny-cpu"
    with _build(clean, "cpu") as first:
        while not any((clean / ".edgekit").glob(".export-*.partial")):  # it holds its bundle and the export
            assert first.poll() is None
        with _build(clean, "cpu") as second:
            assert str(final) in line_of(second.stderr)
            first.send_signal(signal.SIGKILL)
            first.wait()
            _ended(second)
    assert {f"tiny-cpu/{name}": digest for name, digest in timeless(final).items()}.items() <= in_order.items()
    assert not [path for path in (clean / ".edgekit").iterdir() if path.name.startswith(".")]


def test_a_read_only_project_is_built_with_out(
    clean: Path, in_order: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock is in the project: everything that is written lies in ``--out``."""
    from edgekit.core import artifacts

    access = artifacts.os.access

    def refused(path: Path, mode: int) -> bool:
        return not Path(path).resolve().is_relative_to(clean.resolve()) and access(path, mode)

    monkeypatch.setattr(artifacts.os, "access", refused)
    before = sorted(path.name for path in clean.iterdir())
    out = tmp_path / "out"
    made = [pipeline.build(read_spec(clean), target, out) for target in ("cpu", "float")]
    assert [bundle.path for bundle in made] == [out / "tiny-cpu", out / "tiny-float"]
    assert sorted(path.name for path in clean.iterdir()) == before
    assert not list(out.rglob(".*.lock"))
