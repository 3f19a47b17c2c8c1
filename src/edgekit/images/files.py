"""The kinds of images, and where their files are."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from edgekit.core.errors import InputError
from edgekit.core.suggest import allowed

_HERE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Kind:
    """What one Dockerfile makes.

    ``files`` are copied into the context beside the Dockerfile, ``extras`` are those of edgekit that it installs;
    ``holds_bundle``: whether a bundle can be put in.
    """

    name: str
    files: tuple[str, ...]
    extras: tuple[str, ...] = ()
    holds_bundle: bool = True

    @property
    def dockerfile(self) -> str:
        """Its name in the context."""
        return f"{self.name}.Dockerfile"


COMPRESS = ("compress", "history", "nvidia", "prune", "qat", "report", "tensorboard", "trt")
ROS2 = ("ros-constraints.txt", "ros2-requirements.txt", "ros2-generators.txt", "fastdds.xml")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("compress", ("constraints.txt",), COMPRESS, holds_bundle=False),
        Kind("runtime-cpu", ("constraints.txt",)),
        Kind("runtime-orin", ("constraints.txt", "orin-constraints.txt"), ("trt",)),
        Kind("ros2", ROS2, ("bags", "metrics")),
    )
}


def kind_of(name: str) -> Kind:
    """The kind called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in KINDS:
        raise InputError(f"no kind of image {name!r}; {allowed(name, tuple(KINDS))}")
    return KINDS[name]


def content_of(name: str) -> bytes:
    """A file of the context, by its name there: of docker/, of the pins beside it, or the node's own profile."""
    if name == "fastdds.xml":
        return (_HERE / "ros2_node" / "package" / "templates" / "config" / "fastdds.xml.txt").read_bytes()
    installed = Path(str(resources.files("edgekit"))) / "docker"
    if installed.is_dir():
        return (installed / name).read_bytes()
    checkout = _HERE.parents[1]
    pins = name in ("constraints.txt", "ros-constraints.txt")
    return (checkout / name if pins else checkout / "docker" / name).read_bytes()
