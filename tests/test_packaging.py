"""What a release promises about its own files: pinned dependencies, and nothing of the machine it was made on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
MACHINE_PATH = re.compile(r"(?<![\w.~}/-])/(?:work|root|home/\w+|Users/\w+)/")


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _requirements() -> list[Requirement]:
    project = _project()
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [found for found in map(Requirement, lines) if found.name != project["name"]]


def _pin_lines() -> list[str]:
    return [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]


def _pins(environment: dict[str, str]) -> dict[str, list[Requirement]]:
    pins: dict[str, list[Requirement]] = {}
    for pin in map(Requirement, _pin_lines()):
        if pin.marker is None or pin.marker.evaluate(environment):
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_has_one_pin_within_its_bounds(python: str, machine: str) -> None:
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.11",
        "platform_machine": machine,
        "sys_platform": "linux",
        "os_name": "posix",
    }
    pins = _pins(environment)
    assert [name for name, found in pins.items() if len(found) > 1] == []
    for needed in _requirements():
        if needed.marker is not None and not needed.marker.evaluate(environment):
            continue
        found = pins.get(canonicalize_name(needed.name))
        assert found, f"constraints.txt has no pin for {needed.name} on Python {python}: run `make constraints`"
        (version,) = [part.version for part in found[0].specifier]
        assert needed.specifier.contains(version), f"{needed} does not allow the pin {found[0]}"


def _ros_lines(file: str) -> list[str]:
    return [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]


def test_no_extra_brings_ros_which_lives_in_an_environment_of_its_own() -> None:
    """Its wheels re-execute Python at start: nobody who installs edgekit shall get them unasked."""
    ros = {canonicalize_name(Requirement(line).name) for line in _ros_lines("ros-requirements.txt") if "ros-" in line}
    assert {"ros-rclpy", "ros-sensor-msgs"} <= ros
    asked = {canonicalize_name(needed.name) for needed in _requirements()}
    pinned = {canonicalize_name(Requirement(line).name) for line in _pin_lines()}
    assert [name for name in asked | pinned if name.startswith(("ros-", "rclpy", "colcon"))] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_the_ros_environment_is_pinned_and_shares_the_other_pins(python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.11", "sys_platform": "linux"}

    def pins(lines: list[str]) -> dict[str, str]:
        read = [Requirement(line) for line in lines]
        return {
            canonicalize_name(one.name): str(one.specifier)
            for one in read
            if one.marker is None
            or one.marker.evaluate({"platform_machine": "x86_64", "os_name": "posix", **environment})
        }

    ros, others = pins(_ros_lines("ros-constraints.txt")), pins(_pin_lines())
    needed = [Requirement(line) for line in (*_ros_lines("ros-requirements.txt"), *_project()["dependencies"])]
    assert [one.name for one in needed if canonicalize_name(one.name) not in ros] == []
    for one in needed:
        assert one.specifier.contains(ros[canonicalize_name(one.name)].removeprefix("==")), one
    # colcon builds with setup.py, which later setuptools have not.
    assert [name for name in ros.keys() & others.keys() if ros[name] != others[name]] == ["setuptools"]


def test_jazzy_differs_from_kilted_by_the_packages_of_ros_only() -> None:
    def others(file: str) -> set[str]:
        return {line for line in _ros_lines(file) if not line.startswith("ros-")}

    assert others("ros-jazzy-constraints.txt") == others("ros-constraints.txt")
    pinned = {canonicalize_name(Requirement(line).name) for line in _ros_lines("ros-jazzy-constraints.txt")}
    asked = [*_ros_lines("ros-requirements.txt"), *_ros_lines("ros-jazzy-requirements.txt")[1:]]
    assert [line for line in asked if canonicalize_name(Requirement(line).name) not in pinned] == []


def test_constraints_hold_exact_pins_and_nothing_else() -> None:
    pin = re.compile(r"[a-z0-9][a-z0-9-]*==\w[\w.]*( ; [\w .()'<>=!*]+)?")
    assert [line for line in _pin_lines() if not pin.fullmatch(line)] == []
    assert not re.search(r"://|--|\b[\w-]+\.(?:org|com|io|net)\b", (ROOT / "constraints.txt").read_text())


def test_classifiers_name_the_locked_pythons() -> None:
    prefix = "Programming Language :: Python :: 3."
    named = [line.removeprefix(prefix) for line in _project()["classifiers"] if line.startswith(prefix)]
    assert named == [python.removeprefix("3.") for python in PYTHONS]


def _repository_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_path_of_the_machine_it_was_made_on() -> None:
    found = []
    for path in _repository_files():
        content = path.read_bytes()
        if b"\0" in content or path == Path(__file__):
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
            if MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert found == []
