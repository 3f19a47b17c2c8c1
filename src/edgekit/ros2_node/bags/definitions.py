"""What message types are made of, for the schemas of a bag: from the ROS installation, or from rosbags' own stores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.bags import require_rosbags
from edgekit.core.errors import DataError

if TYPE_CHECKING:
    from rosbags.interfaces.typing import FieldDesc, Typesdict
    from rosbags.typesys.store import Typestore

BUNDLED = Path(__file__).parents[1]
"""Below it, folders ``<package>/msg``: messages that some distributions lack."""
STORES = {"humble": "ROS2_HUMBLE", "iron": "ROS2_IRON", "jazzy": "ROS2_JAZZY", "kilted": "ROS2_KILTED"}


@dataclass(frozen=True)
class Definition:
    """Name as ``package/msg/Type``, the text with all types it uses, and the REP 2016 hash (``RIHS01_...``)."""

    type: str
    text: str
    digest: str


def installed() -> tuple[Path, ...]:
    """``share`` folders of the ROS installation: of every prefix in ``AMENT_PREFIX_PATH``."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return tuple(Path(prefix) / "share" for prefix in prefixes if prefix)


class Definitions:
    """Definitions by type name.  ``folders`` hold ``<package>/msg/<Type>.msg``; the first that has a type gives it.

    A type that none of them holds is looked up among those of the distribution that rosbags knows.
    """

    def __init__(self, folders: Sequence[Path] | None = None, distribution: str | None = None) -> None:
        require_rosbags()
        self._folders = tuple(installed() if folders is None else folders)
        self._distribution = distribution or os.environ.get("ROS_DISTRO", "")
        self._found: dict[str, Definition] = {}

    @cached_property
    def _store(self) -> Typestore:
        from rosbags.typesys import Stores, get_typestore

        return get_typestore(Stores[STORES.get(self._distribution, "LATEST")])

    @cached_property
    def _bundled(self) -> dict[str, Path]:
        files = BUNDLED.rglob("msg/*.msg")
        return {f"{file.parents[1].name}/msg/{file.stem}": file for file in files}

    @cached_property
    def typestore(self) -> Typestore:
        """Every type asked for so far, to serialize and deserialize with."""
        from rosbags.typesys import Stores, get_typestore

        return get_typestore(Stores.EMPTY)

    def __getitem__(self, name: str) -> Definition:
        """The definition of ``package/msg/Type``.

        Raises:
            DataError: no folder and no store has it, or a type that it uses.
        """
        if name not in self._found:
            types: Typesdict = {}
            self._collect(name, types)
            new = {key: value for key, value in types.items() if key not in self.typestore.fielddefs}
            self.typestore.register(new)
            text, _ = self.typestore.generate_msgdef(name, ros_version=2)
            self._found[name] = Definition(name, text, self.typestore.hash_rihs01(name))
        return self._found[name]

    def _collect(self, name: str, types: Typesdict) -> None:
        from rosbags.typesys import TypesysError, get_types_from_msg

        if name in types:
            return
        file = self._file(name)
        if file is not None:
            try:
                types.update(get_types_from_msg(file.read_text("utf-8"), name))
            except TypesysError as error:
                raise DataError(
                    f"{file}: cannot be read as a message definition: {error}; install {name} anew"
                ) from error
        elif name in self._store.fielddefs:
            types[name] = self._store.fielddefs[name]
        else:
            package = name.partition("/")[0]
            raise DataError(
                f"the message type {name} is known neither to this ROS installation nor to rosbags; install its "
                f"package (apt install ros-$ROS_DISTRO-{package.replace('_', '-')}), or leave its topics out"
            )
        for _, field in types[name][1]:
            used = _used(field)
            if used:
                self._collect(used, types)

    def _file(self, name: str) -> Path | None:
        package, _, short = name.split("/")
        for folder in self._folders:
            file = folder / package / "msg" / f"{short}.msg"
            if file.is_file():
                return file
        return self._bundled.get(name) if name not in self._store.fielddefs else None


def _used(field: FieldDesc) -> str:
    """The name of the message type that a field holds, alone or as elements; empty: it holds none."""
    from rosbags.interfaces import Nodetype

    held: Any = field[1][0] if field[0] in (Nodetype.ARRAY, Nodetype.SEQUENCE) else field
    return str(held[1]) if held[0] == Nodetype.NAME else ""
