"""What this machine and interpreter have; standard library only, and no device is touched."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

LATE = "GPU_CHECK_LATE_PATH"
"""Names the folders that are looked into after all that the interpreter has itself."""
PACKAGES = ("torch", "cuda-bindings", "numpy", "pydantic", "onnxruntime-gpu", "onnxruntime", "tensorrt")


def look_late() -> None:
    """Put the unpacked wheels behind everything else: they fill gaps and replace nothing."""
    sys.path.extend(filter(None, os.environ.get(LATE, "").split(os.pathsep)))


def unpack(wheels: Path, folder: Path) -> Path:
    """Unpack the wheels that fit this interpreter; a wheel is an archive of what is imported."""
    folder.mkdir(parents=True)
    for wheel in sorted(wheels.glob("*.whl")):
        if fits(wheel.name):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
    return folder


def fits(name: str) -> bool:
    """Whether a wheel's tags (PEP 425) fit this interpreter and processor."""
    pythons, abis, platforms = name.removesuffix(".whl").split("-")[-3:]
    major, minor = sys.version_info[:2]
    own = f"cp{major}{minor}"
    stable = "abi3" in abis.split(".") and any(
        tag[:3] == f"cp{major}" and int(tag[3:]) <= minor for tag in pythons.split(".") if tag[3:].isdigit()
    )
    speaks = bool({own, f"py{major}"} & set(pythons.split("."))) or stable
    runs = platforms == "any" or any(
        tag.startswith(("linux", "manylinux")) and tag.endswith(platform.machine()) for tag in platforms.split(".")
    )
    return speaks and runs and (stable or bool({own, "none"} & set(abis.split("."))))


def nvcc() -> str | None:
    """NVIDIA's compiler, on the path or where the toolkit puts it."""
    usual = Path("/usr/local/cuda/bin/nvcc")
    return shutil.which("nvcc") or (str(usual) if usual.is_file() else None)


def facts(environment: dict[str, str]) -> dict[str, str]:
    """Names and versions, for the record."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.platform()}
    late = [folder for folder in environment.get(LATE, "").split(os.pathsep) if folder]
    for package in PACKAGES:
        there = next(metadata.distributions(name=package, path=[*sys.path, *late]), None)
        if there is not None:
            found[package] = there.version
    compiler = nvcc()
    if compiler:
        found["nvcc"] = next(
            (line for line in _said(compiler, "--version").splitlines() if "release" in line), compiler
        )
    if shutil.which("nvidia-smi"):
        found["gpu"] = _said("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    return found


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or done.stderr.strip()
