"""``edgekit ros2 package``: an ament_python package with bundles, parameters and a launch file, for colcon."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from edgekit.bundle import SINGLE_FILE, open_bundle, pack
from edgekit.core.artifacts import atomic_directory, write_bytes
from edgekit.core.errors import InputError
from edgekit.ros2_node.health import Limits
from edgekit.ros2_node.parameters import Parameter, Settings, as_yaml, declarations

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Where each template goes; @NAME@ is the package's name.
_PLACES = {
    "package.xml": "package.xml",
    "setup.py": "setup.py",
    "setup.cfg": "setup.cfg",
    "perception.py": "@NAME@/perception.py",
    "launch/perception.launch.py": "launch/perception.launch.py",
    "config/nodes.yaml": "config/nodes.yaml",
    "config/fastdds.xml": "config/fastdds.xml",
}


def all_parameters() -> tuple[Parameter, ...]:
    """Everything that the node declares, in the order of ``perception.yaml``."""
    return (*declarations(Settings), *declarations(Limits))


def write_package(folder: Path, bundles: Sequence[Path] = (), name: str = "") -> list[Path]:
    """Write a package into a new folder; returns its files.

    Args:
        folder: of the package, which must not exist or be empty; such as ``~/ros2_ws/src/front_perception``.
        bundles: each becomes a node of its own, named after the bundle, and is packed into ``bundles/``. None: one
            node, whose bundle the launch file is told.
        name: of the package; default: the folder's name.

    Raises:
        InputError: the name is none of a ROS 2 package, two bundles have one name, or the folder has files.
        BundleError: a bundle is damaged.
    """
    called = package_name(folder, name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already and is not empty; choose another folder")
    with atomic_directory(folder.resolve()) as partial:
        nodes = [_packed(one, partial / "bundles") for one in bundles]
        names = [node for node, _ in nodes]
        if len(set(names)) != len(names):
            twice = next(one for one in names if names.count(one) > 1)
            raise InputError(f"--bundle: two bundles would be the node {twice!r}; give each bundle a name of its own")
        for template, place in _PLACES.items():
            text = _template(template).replace("@NODES@", _nodes(nodes)).replace("@NAME@", called)
            write_bytes(partial / place.replace("@NAME@", called), text.encode())
        write_bytes(partial / "config" / "perception.yaml", _parameters().encode())
        write_bytes(partial / "resource" / called, b"")
        write_bytes(partial / called / "__init__.py", b"")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def package_name(folder: Path, name: str = "") -> str:
    """The given name, or one made of the folder's; packages are called as Python modules are (REP 144).

    Raises:
        InputError: no package may be called so.
    """
    called = name or _identifier(folder.resolve().name)
    if not _NAME.fullmatch(called) or keyword.iskeyword(called):
        raise InputError(
            f"--name: {called!r} is no name of a ROS 2 package; use lower-case letters, digits and single _"
        )
    return called


def _identifier(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _packed(path: Path, folder: Path) -> tuple[str, str]:
    """Name of the node and of the file."""
    with open_bundle(path) as bundle:
        folder.mkdir(exist_ok=True)
        file = f"{bundle.name}{SINGLE_FILE}"
        if (folder / file).exists():
            raise InputError(f"--bundle {path}: another bundle is called {bundle.name!r} too")
        pack(bundle, folder / file)
        return _identifier(bundle.name), file


def _nodes(nodes: Sequence[tuple[str, str]]) -> str:
    rows = [f"  - name: {name}\n    bundle: {file}" for name, file in nodes]
    unnamed = "  - name: perception\n    bundle: # name it here, or give bundle:=PATH to the launch file"
    return "\n".join(rows) or unnamed


def _parameters() -> str:
    head = "# Parameters of every node. What nodes.yaml and the launch file's arguments say (bundle, autostart) wins.\n"
    return head + as_yaml(all_parameters())


def _template(name: str) -> str:
    folder = resources.files("edgekit.ros2_node.package") / "templates"
    return (folder / f"{name}.txt").read_text(encoding="utf-8")
