"""Bundles for the nodes of these tests; without rclpy nothing here is collected."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
if importlib.util.find_spec("rclpy") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundles of tests/support/ros_bundles.py, built by the environment that has torch.

    ``EDGEKIT_ROS_BUNDLES`` names one that exists, for daily work.
    """
    given = os.environ.get("EDGEKIT_ROS_BUNDLES")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("bundles")
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests/support/faulty_engine", ROOT)))
    command = [str(ROOT / ".venv/bin/python"), "-m", "tests.support.ros_bundles", str(folder)]
    # The ROS environment's library path is not for another interpreter.
    clean = {key: value for key, value in os.environ.items() if key not in ("LD_LIBRARY_PATH", "PYTHONHOME")}
    subprocess.run(command, env=clean | {"PYTHONPATH": paths}, cwd=ROOT, check=True)
    return folder


@pytest.fixture
def bundle(bundles: Path, tmp_path: Path) -> Path:
    """A copy of the segmentation bundle."""
    return Path(shutil.copytree(bundles / "seg", tmp_path / "seg"))


@pytest.fixture
def ros() -> Iterator[object]:
    """A client; see tests/support/ros.py."""
    from tests.support.ros import client

    with client() as made:
        yield made
