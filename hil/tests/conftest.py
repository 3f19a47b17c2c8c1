"""A board for tests: an SSH server of its own on the loopback, and a tiny bundle to bring there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.loopback import USER, serve
from tests.support.projects import write_project

os.environ["EDGEKIT_HISTORY"] = "off"
ROOT = Path(__file__).parents[2]
LOOPBACK = ROOT / "hil" / "env" / "loopback.yaml"


@dataclass(frozen=True)
class TestBoard:
    """The board's folder, the server's port, and the variables of ``loopback.yaml``."""

    __test__ = False
    folder: Path
    port: int
    variables: dict[str, str]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny project with its bundle ``tiny-cpu``."""
    import edgekit

    spec = write_project(tmp_path_factory.mktemp("tiny") / "project")
    edgekit.build(spec, target="cpu")
    return spec.parent


@pytest.fixture(scope="session")
def bundle(project: Path) -> Path:
    """The bundle of the tiny project; its evaluation data lie beside it."""
    return project / "artifacts" / "tiny-cpu"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestBoard]:
    """A fresh board that runs; its Python has this edgekit, that of ROS 2 is of ``make ros`` where it is there."""
    with serve(tmp_path / "server") as server:
        python, ros = server.python(), ROOT / ".venv-ros" / "bin" / "python"
        variables = {
            "LG_HIL_PORT": str(server.port),
            "LG_HIL_USER": USER,
            "LG_HIL_KEY": str(server.root / "user_key"),
            "LG_HIL_FOLDER": str(server.root / "board" / "edgekit-hil"),
            "LG_HIL_PYTHON": str(python),
            "LG_HIL_ROS_PYTHON": str(ros) if ros.exists() else "",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield TestBoard(Path(variables["LG_HIL_FOLDER"]), server.port, variables)
        shutil.rmtree(variables["LG_HIL_FOLDER"], ignore_errors=True)
