"""Folders that look like an installed ROS 2: what edgekit reads of one, and nothing that runs."""

from __future__ import annotations

from pathlib import Path

INDEX = Path("share/ament_index/resource_index")


def make_prefix(prefix: Path, packages: tuple[str, ...], resources: dict[str, tuple[str, ...]] | None = None) -> Path:
    """A prefix whose ament index names packages, and other resources by their kind."""
    for kind, names in {"packages": packages, **(resources or {})}.items():
        folder = prefix / INDEX / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).touch()
    return prefix


def make_ros(prefix: Path, version: str, packages: tuple[str, ...] = ()) -> Path:
    """A distribution with rclpy of that version; returns the folder to put on ``sys.path``."""
    make_prefix(prefix, ("rclpy", *packages), {"rmw_typesupport": ("rmw_fastrtps_cpp", "rmw_implementation")})
    described = prefix / "share" / "rclpy" / "package.xml"
    described.parent.mkdir(parents=True)
    described.write_text(f"<package><name>rclpy</name><version>{version}</version></package>")
    modules = prefix / "local" / "lib" / "python3.10" / "dist-packages"
    (modules / "rclpy").mkdir(parents=True)
    (modules / "rclpy" / "__init__.py").write_text("raise RuntimeError('nobody imports it')\n")
    return modules
