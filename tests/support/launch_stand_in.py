"""As much of ROS 2's launch as the written launch files use, for where launch and launch_ros are not: real processes.

It takes arguments that launch_ros of Humble takes, no other, and starts, restarts and ends processes as launch does.
"""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any
from unittest import mock

import yaml


@dataclass
class LaunchContext:
    """Values of launch arguments."""

    configurations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeclareLaunchArgument:
    name: str
    default_value: str
    description: str


@dataclass(frozen=True)
class LaunchConfiguration:
    name: str

    def perform(self, context: LaunchContext) -> str:
        return context.configurations[self.name]


@dataclass(frozen=True, kw_only=True)
class OpaqueFunction:
    function: Callable[[LaunchContext], list[LifecycleNode]]


@dataclass(frozen=True)
class LaunchDescription:
    entities: list[DeclareLaunchArgument | OpaqueFunction]


@dataclass(frozen=True, kw_only=True)
class LifecycleNode:
    """The arguments that the launch file gives; all are there in Humble."""

    package: str
    executable: str
    name: str
    namespace: str
    parameters: list[str | dict[str, object]]
    remappings: list[tuple[str, str]]
    ros_arguments: list[str]
    additional_env: dict[str, str]
    respawn: bool
    respawn_delay: float
    output: str

    def arguments(self, folder: Path) -> list[str]:
        """What launch_ros gives the process; values from a dictionary come by a file."""
        given = ["--ros-args", *self.ros_arguments, "-r", f"__node:={self.name}"]
        given += ["-r", f"__ns:={self.namespace}"] if self.namespace else []
        for number, one in enumerate(self.parameters):
            if isinstance(one, dict):
                path = folder / f"{self.name}-{number}.yaml"
                fully = f"{self.namespace.rstrip('/')}/{self.name}"
                path.write_text(yaml.safe_dump({fully: {"ros__parameters": one}}))
                one = str(path)
            given += ["--params-file", one]
        for old, new in self.remappings:
            given += ["-r", f"{old}:={new}"]
        return given


class Launched:
    """The processes of a launch file, until the block ends: then SIGINT, and nothing is started again.

    Args:
        prefix: folder that the package is installed in.
        nodes: what the launch file gave.
        environment: of the processes, beside what the launch file adds.
    """

    def __init__(self, prefix: Path, nodes: list[LifecycleNode], environment: dict[str, str]) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        self._ending = threading.Event()
        self.started: dict[str, list[subprocess.Popen[bytes]]] = {one.name: [] for one in nodes}
        commands = [
            [str(prefix / "lib" / one.package / one.executable), *one.arguments(Path(self._scratch.name))]
            for one in nodes
        ]
        self._threads = [
            threading.Thread(target=self._keep, args=(one, command, environment | one.additional_env))
            for one, command in zip(nodes, commands, strict=True)
        ]

    def __enter__(self) -> Launched:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for processes in self.started.values():
            for one in processes:
                if one.poll() is None:
                    one.send_signal(signal.SIGINT)
        for thread in self._threads:
            thread.join()
        self._scratch.cleanup()

    def _keep(self, node: LifecycleNode, command: list[str], environment: dict[str, str]) -> None:
        while not self._ending.is_set():
            process = subprocess.Popen(command, env=environment)
            self.started[node.name].append(process)
            if self._ending.is_set():  # between the question and the start
                process.send_signal(signal.SIGINT)
            process.wait()
            if not node.respawn or self._ending.wait(node.respawn_delay):
                return


def described(
    file: Path, share: Path, arguments: dict[str, str]
) -> tuple[list[DeclareLaunchArgument], list[LifecycleNode]]:
    """Run a launch file: its arguments, and the nodes that it makes of the given values.

    Args:
        file: the launch file.
        share: share folder of the package that asks for its own.
        arguments: ``name:=value`` of the command line.
    """
    with _modules(share):
        description = runpy.run_path(str(file))["generate_launch_description"]()
        declared = [one for one in description.entities if isinstance(one, DeclareLaunchArgument)]
        unknown = set(arguments) - {one.name for one in declared}
        assert not unknown, f"no such launch argument: {unknown}"
        context = LaunchContext({one.name: one.default_value for one in declared} | arguments)
        made = [one.function(context) for one in description.entities if isinstance(one, OpaqueFunction)]
    return declared, [node for nodes in made for node in nodes]


@contextmanager
def _modules(share: Path) -> Iterator[None]:
    """The names that a launch file imports."""
    contents: dict[str, dict[str, Any]] = {
        "ament_index_python": {},
        "ament_index_python.packages": {"get_package_share_directory": lambda package: str(share)},
        "launch": {"LaunchDescription": LaunchDescription},
        "launch.actions": {"DeclareLaunchArgument": DeclareLaunchArgument, "OpaqueFunction": OpaqueFunction},
        "launch.substitutions": {"LaunchConfiguration": LaunchConfiguration},
        "launch_ros": {},
        "launch_ros.actions": {"LifecycleNode": LifecycleNode},
    }
    modules = {}
    for name, members in contents.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(members)
    with mock.patch.dict(sys.modules, modules):
        yield
