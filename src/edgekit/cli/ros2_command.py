"""``edgekit ros2``: a package for colcon, and the message types that the node needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import APP_OPTIONS, JsonOption, print_json

PrefixOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder to install to, which AMENT_PREFIX_PATH shall name; default: the environment of ROS 2's wheels."
    ),
]

FolderArgument = Annotated[Path, typer.Argument(help="Folder to make, such as ~/ros2_ws/src/front_perception.")]
BundleOption = Annotated[
    list[Path] | None, typer.Option("--bundle", help="A bundle to put in and to make a node of; may be repeated.")
]
NameOption = Annotated[str, typer.Option(help="The package's name; default: the folder's.")]


def interfaces(prefix: PrefixOption = None, as_json: JsonOption = False) -> None:
    """Make sure that vision_msgs is there: builds it where ROS 2 comes without it."""
    from edgekit.ros2_node.package.interfaces import PACKAGE, provide

    made = provide(prefix)
    if as_json:
        print_json({"package": PACKAGE, "prefix": str(made.prefix), "built": made.built, "made_by_edgekit": made.ours})
        return
    origin = "built and installed" if made.built else "built before" if made.ours else "ROS 2's own"
    print(f"{PACKAGE}: {origin}, in {made.prefix}")


def package(
    folder: FolderArgument, bundle: BundleOption = None, name: NameOption = "", as_json: JsonOption = False
) -> None:
    """Write a ROS 2 package with bundles, parameters and a launch file, which colcon builds."""
    from edgekit.ros2_node.package.writing import package_name, write_package

    written = write_package(folder, bundle or (), name)
    if as_json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        print(f"wrote {path}")
    called = package_name(folder, name)
    print("next, in the workspace's folder:")
    for line in (
        f"colcon build --packages-select {called}",
        "source install/setup.bash",
        f"ros2 launch {called} perception.launch.py" + ("" if bundle else " bundle:=PATH"),
    ):
        print(f"  {line}")


command = typer.Typer(
    no_args_is_help=True, help="The ROS 2 node: its package for colcon, its message types.", **APP_OPTIONS
)
for _function in (package, interfaces):
    command.command()(_function)
