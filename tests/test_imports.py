"""The target half imports without the development half, and importing edgekit is light."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgekit

TARGET_HALF = (
    "cli", "core", "tasks", "data", "preprocess", "inputs", "devices", "sensors", "onnxfile", "runtime", "engine",
    "remote", "verification", "stats", "profiling", "evaluation", "kpis", "history", "bundle", "reporting", "doctor",
    "pipeline", "stages", "ros2_node", "images",
)  # fmt: skip
WITH_ROS = "edgekit.ros2_node.ros"
"""Imports rclpy, which is in no environment of edgekit's own; its tests run where it is."""
DEVELOPMENT_PACKAGES = ("torch", "onnx", "onnx_ir", "onnxscript", "panda3d", "direct", "pandas", "torchmetrics")
HEAVY = ("torch", "onnx", "onnxruntime", "cv2", "pandas", "panda3d")

BLOCKED_IMPORT = """
import importlib, sys, traceback
blocked, modules = sys.argv[1].split(","), sys.argv[2:]
sys.modules.update(dict.fromkeys(blocked))
failed = []
for name in modules:
    try:
        importlib.import_module(name)
    except ImportError:
        failed.append(name)
        traceback.print_exc()
sys.exit(f"cannot import without {blocked}: {failed}" if failed else 0)
"""


def _python(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=120, check=False
    )


def _modules(name: str) -> Iterator[str]:
    """``name`` and, when it is a package, every module below it, found without importing them."""
    path = Path(edgekit.__path__[0]).joinpath(*name.split(".")[1:])
    assert path.is_dir() or path.with_suffix(".py").is_file(), f"{name} does not exist"
    if name == WITH_ROS:
        return
    yield name
    if path.is_dir():
        for found in pkgutil.iter_modules([os.fspath(path)]):
            yield from _modules(f"{name}.{found.name}")


@pytest.mark.parametrize("name", TARGET_HALF)
def test_target_half_imports_without_the_development_half(name: str) -> None:
    result = _python(BLOCKED_IMPORT, ",".join(DEVELOPMENT_PACKAGES), *_modules(f"edgekit.{name}"))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["edgekit", "edgekit.cli.main", "edgekit.pipeline", "edgekit.core.spec"])
def test_import_is_light(name: str) -> None:
    script = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sorted(sys.modules))"
    result = _python(script, name)
    assert result.returncode == 0, result.stderr
    assert not set(HEAVY) & set(result.stdout.split())
