"""Versions of the installed packages that decide results."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

TOOLS = ("edgekit", "torch", "onnx", "onnxscript", "onnxruntime", "numpy", "opencv-python-headless")


def tool_versions() -> dict[str, str]:
    """Versions of the installed packages that decide results."""
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
