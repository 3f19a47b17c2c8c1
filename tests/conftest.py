"""Fixtures that several test modules use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

from edgekit.stages import child
from tests.support import warm
from tests.support.times import CpuTimes, RoomTimes, Slow

# A gate in a test leaves no run behind; commands run in processes of their own inherit it.
os.environ["EDGEKIT_HISTORY"] = "off"

# The workers share the cores: threads of a library for tensors as small as these only wait for each other.
for _library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

# A busy machine is no failure; CI draws the same examples each time: one commit, one verdict.
settings.register_profile("edgekit", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("edgekit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out the tests that tests/times.json calls slow")
    parser.addoption("--record-times", action="store_true", help="measure the tests that run, into tests/times.json")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the process that hears of every worker's tests
        workers = config.getoption("numprocesses", None) or 1
        config.pluginmanager.register(RoomTimes(workers))
        if config.getoption("--record-times"):
            config.pluginmanager.register(CpuTimes())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        slow = Slow.read()
        left = [item for item in items if item.nodeid in slow or item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session", autouse=True)
def _allocator_as_it_is() -> Iterator[None]:
    """Training sets how the C library allocates, for the whole process: here that is the process of all other tests.

    ``tests/training/test_memory.py`` looks at it in one of its own, as every command that a test starts has it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgekit.runtime.memory._gnu", lambda: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _warm_exports() -> Iterator[None]:
    """Exports, of commands too, in processes that have PyTorch imported when they begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "subprocess", SimpleNamespace(Popen=warm.popen))
        yield


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> Iterator[None]:
    # Not the test's own monkeypatch, which would then be undone after the fixtures that look whether it was.
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("fresh"):
            patch.setenv(warm.ADDRESS, "")
        yield


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """The CamVid folder: ``EDGEKIT_CAMVID``, or ``shared/data/camvid`` beside the repository."""
    given = os.environ.get("EDGEKIT_CAMVID")
    root = Path(given) if given else Path(__file__).parents[1].parent / "shared" / "data" / "camvid"
    if not (root / "test.txt").is_file():
        pytest.skip(f"CamVid is not at {root}; set EDGEKIT_CAMVID to its folder")
    return root


@pytest.fixture(scope="session")
def _tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.projects import write_project

    return write_project(tmp_path_factory.mktemp("tiny") / "project").parent


@pytest.fixture
def bare_project(_tiny_source: Path, tmp_path: Path) -> Path:
    """A fresh copy of the tiny project's folder (see tests/support/projects.py), as it is written: nothing was run."""
    return Path(shutil.copytree(_tiny_source, tmp_path / "project"))


@pytest.fixture(scope="session")
def _tiny_exported(_tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import edgekit

    folder = Path(shutil.copytree(_tiny_source, tmp_path_factory.mktemp("exported") / "project"))
    made = edgekit.compress(folder / "edgekit.yaml").exported.path
    for other in set((folder / ".edgekit").iterdir()) - {made, *(folder / ".edgekit").glob("export-*.json")}:
        shutil.rmtree(other)
    shutil.rmtree(folder / "artifacts")
    return folder


@pytest.fixture
def tiny_project(_tiny_exported: Path, tmp_path: Path) -> Path:
    """As ``bare_project``, with the model exported already: three quarters of the time that a build takes."""
    return Path(shutil.copytree(_tiny_exported, tmp_path / "project"))


@pytest.fixture(scope="session")
def _tiny_built(_tiny_exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import edgekit

    folder = Path(shutil.copytree(_tiny_exported, tmp_path_factory.mktemp("built") / "project"))
    edgekit.build(folder / "edgekit.yaml", "cpu")
    return folder


@pytest.fixture
def tiny_bundle(_tiny_built: Path, tmp_path: Path) -> Path:
    """A fresh copy of the tiny project's bundle folder, to read or to damage."""
    return Path(shutil.copytree(_tiny_built / "artifacts" / "tiny-cpu", tmp_path / "tiny-cpu"))
