"""A board for tests: an SSH server of its own on the loopback, and tiny bundles to bring there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from edgekit_hil.onboard import lease
from tests.support.loopback import USER, serve, server_process
from tests.support.projects import SPEC, write_project

os.environ["EDGEKIT_HISTORY"] = "off"
ROOT = Path(__file__).parents[2]
LOOPBACK = ROOT / "hil" / "env" / "loopback.yaml"


@dataclass(frozen=True)
class TestBoard:
    """The board's folder, its server, and the variables of ``loopback.yaml``."""

    __test__ = False
    folder: Path
    server: psutil.Process
    variables: dict[str, str]

    def leased(self) -> bool:
        """Whether somebody holds it."""
        return lease.holder(self.folder) is not None

    @contextmanager
    def lease(self, owner: str) -> Iterator[None]:
        """Held by somebody."""
        self.folder.mkdir(parents=True, exist_ok=True)
        assert lease.take(self.folder, owner, "their-run", "their-token", 600)["held"]
        yield
        lease.release(self.folder, "their-token")

    def measures(self) -> bool:
        """Whether a job of the gate runs."""
        found = [json.loads(path.read_text()) for path in self.folder.glob("jobs/*-gate/supervisor.json")]
        return any(psutil.pid_exists(one["group"]) for one in found)

    def cut(self) -> None:
        """End every connection; the server goes on."""
        for session in self.server.children(recursive=False):
            session.send_signal(signal.SIGKILL)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny project with its bundles ``tiny-cpu``, and ``tiny-strict`` whose latency KPI cannot hold."""
    import edgekit

    spec = write_project(tmp_path_factory.mktemp("tiny") / "project", _strict(SPEC))
    for target in ("cpu", "strict"):
        edgekit.build(spec, target=target)
    return spec.parent


def _strict(spec: str) -> str:
    targets = spec.replace("targets:\n", "targets:\n  strict: {engine: ort, threads: 1}\n")
    return targets.replace("  latency_p50_ms: {max: 1000}\n", "  latency_p50_ms: {max: 0.00001, target: strict}\n")


@pytest.fixture(scope="session")
def bundle(project: Path) -> Path:
    """The bundle of the tiny project; its evaluation data lie beside it."""
    return project / "artifacts" / "tiny-cpu"


@pytest.fixture(scope="session")
def bag(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of the project's eight frames."""
    out = tmp_path_factory.mktemp("bags") / "bag"
    command = ["record", "--from", str(project / "data" / "images"), str(out), "--topic", "/camera/image"]
    subprocess.run([sys.executable, "-m", "edgekit", *command], check=True)
    return out


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestBoard]:
    """A fresh board that runs; its Python has this edgekit, that of ROS 2 is of ``make ros``."""
    ros = Path(os.environ.get("EDGEKIT_ROS_PYTHON", ROOT / ".venv-ros" / "bin" / "python"))
    with serve(tmp_path / "server") as server:
        variables = {
            "LG_HIL_PORT": str(server.port),
            "LG_HIL_USER": USER,
            "LG_HIL_KEY": str(server.root / "user_key"),
            "LG_HIL_FOLDER": str(server.root / "board" / "edgekit-hil"),
            "LG_HIL_PYTHON": str(server.python()),
            "LG_HIL_ROS_PYTHON": str(ros),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield TestBoard(Path(variables["LG_HIL_FOLDER"]), server_process(server.root), variables)
