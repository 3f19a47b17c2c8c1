"""The ROS 2 that this interpreter sees: distribution, folders, middleware, packages. Nothing of it is imported."""

from __future__ import annotations

import importlib.util
import os
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import MissingRequirement

HOW_TO_ROS = (
    "source /opt/ros/<distribution>/setup.bash (in a checkout of edgekit on x86_64: make ros, then .venv-ros/bin)"
)
_INDEX = Path("share/ament_index/resource_index")
# rclpy's major version says the distribution where ROS_DISTRO does not: wheels set no such variable.
_RCLPY = {"3": "humble", "4": "iron", "7": "jazzy", "9": "kilted"}


@dataclass(frozen=True)
class Ros:
    """Where ROS 2 is: ``prefixes`` as in AMENT_PREFIX_PATH, first wins; ``home`` is the one that rclpy is in.

    ``wheels``: it was installed by pip into this environment, and is no distribution of its own.
    """

    distribution: str
    home: Path
    prefixes: tuple[Path, ...]
    wheels: bool

    def where(self, package: str) -> Path | None:
        """The prefix that a package is installed in, by its marker in the ament index; None: in none."""
        return next((one for one in self.prefixes if (one / _INDEX / "packages" / package).is_file()), None)

    def middlewares(self) -> tuple[str, ...]:
        """The rmw implementations that are installed, by name."""
        found = {entry.name for one in self.prefixes for entry in _entries(one / _INDEX / "rmw_typesupport")}
        return tuple(sorted(found - {"rmw_implementation"}))

    def apt(self, package: str) -> str:
        """The line that installs a package of the distribution on a board."""
        return f"sudo apt-get install ros-{self.distribution}-{package.replace('_', '-')}"

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to find ROS 2's packages."""
        found = {"AMENT_PREFIX_PATH": os.pathsep.join(map(str, self.prefixes)), "ROS_DISTRO": self.distribution}
        return {**os.environ, **found}


def find_ros() -> Ros:
    """The ROS 2 that ``import rclpy`` would take.

    Raises:
        MissingRequirement: there is none, or it is not complete.
    """
    found = importlib.util.find_spec("rclpy")
    if found is None or found.origin is None:
        raise MissingRequirement("ROS 2 (rclpy)", note=HOW_TO_ROS)
    home = next((one for one in Path(found.origin).parents if (one / _INDEX / "packages" / "rclpy").is_file()), None)
    if home is None:
        what = f"the ROS 2 of {found.origin}, which has no {_INDEX} in a folder above,"
        raise MissingRequirement(what, note=HOW_TO_ROS)
    given = [Path(part) for part in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if part]
    prefixes = tuple(dict.fromkeys([*given, home]))
    return Ros(_distribution(home), home, prefixes, wheels=home.resolve() == Path(sys.prefix).resolve())


def _distribution(home: Path) -> str:
    named = os.environ.get("ROS_DISTRO")
    if named:
        return named
    version = ET.parse(home / "share" / "rclpy" / "package.xml").findtext("version", default="")
    return _RCLPY.get(version.split(".")[0], "rolling")


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
