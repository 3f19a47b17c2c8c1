"""``edgekit ros2``: the message types that the node needs."""

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


def interfaces(prefix: PrefixOption = None, as_json: JsonOption = False) -> None:
    """Make sure that vision_msgs is there: builds it where ROS 2 comes without it."""
    from edgekit.ros2_node.package.interfaces import PACKAGE, provide

    made = provide(prefix)
    if as_json:
        print_json({"package": PACKAGE, "prefix": str(made.prefix), "built": made.built, "made_by_edgekit": made.ours})
        return
    origin = "built and installed" if made.built else "built before" if made.ours else "ROS 2's own"
    print(f"{PACKAGE}: {origin}, in {made.prefix}")


command = typer.Typer(
    no_args_is_help=True, help="The ROS 2 node: its package for colcon, its message types.", **APP_OPTIONS
)
command.callback()(lambda: None)  # with it, a single command keeps its name
command.command()(interfaces)
