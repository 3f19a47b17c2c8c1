"""Writing a bag of several MCAP files, bounded in bytes, of which a killed process loses a second at most.

rosbags writes each file, in the hidden folder ``.recording`` of the bag; a file that is complete moves out of it, and
``metadata.yaml`` names the complete ones.  So any reader opens what was finished, and :mod:`edgekit.core.bags` also
reads what was not.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core.artifacts import translated_writes, write_bytes
from edgekit.core.bags import METADATA, OPEN_FOLDER, require_rosbags
from edgekit.core.errors import InputError
from edgekit.ros2_node.bags.definitions import Definition

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, Qos
    from rosbags.rosbag2 import Writer

MIB = 1 << 20
SMALLEST = MIB
"""Of the bytes a bag may take: below it not even the schemas would fit."""
WhenFull = Literal["stop", "oldest"]
# rosbag2's metadata of Iron to Jazzy: what Humble writes (5) and Kilted writes (9) both read it.
_VERSION: Literal[8] = 8


@dataclass(frozen=True)
class Limits:
    """What a bag may take: ``max_bytes`` on disk in all; a new file after ``split_bytes`` or ``split_ns``.

    ``when_full``: writing stops, or the oldest files are removed.
    """

    max_bytes: int | None = None
    split_bytes: int = 256 * MIB
    split_ns: int | None = None
    when_full: WhenFull = "stop"

    def __post_init__(self) -> None:
        if self.max_bytes is not None and self.max_bytes < SMALLEST:
            raise InputError(f"a bag of at most {self.max_bytes} bytes holds nothing; allow {SMALLEST} or more")
        if self.split_bytes < SMALLEST // 4:
            raise InputError(f"files of {self.split_bytes} bytes are too small; allow {SMALLEST // 4} or more")

    @property
    def file_bytes(self) -> int:
        """The size at which a new file is begun: removing the oldest must free a part only."""
        if self.max_bytes is None or self.when_full == "stop":
            return self.split_bytes
        return min(self.split_bytes, self.max_bytes // 4)


@dataclass(frozen=True)
class TopicEntry:
    """A topic to write: its name, the definition of its type, and what its publishers offer."""

    name: str
    definition: Definition
    qos: tuple[Qos, ...] = ()


@dataclass
class _Costs:
    """The size that a file will have when it is closed, never less than the truth.

    Of the MCAP format: a message has 31 bytes of head and 16 in the index; a chunk 49, and 122 in the summary; a topic
    of a chunk 15 and 10; schemas and channels stand in the data and the summary, metadata in the file and beside it.
    """

    topics: int = 0
    fixed: int = 4096
    messages: int = 0
    chunks: int = 1

    def topic(self, entry: TopicEntry) -> None:
        self.topics += 1
        described = len(entry.definition.text) + len(entry.name) + len(entry.definition.type)
        self.fixed += 2 * described + 4 * (600 + 500 * len(entry.qos))

    def total(self) -> int:
        return self.fixed + self.messages + self.chunks * (200 + 30 * self.topics)

    def message(self, size: int) -> int:
        """What a message of ``size`` bytes adds at most: it may end a chunk."""
        return size + 47 + 200 + 30 * self.topics


@dataclass
class _File:
    """The file that is being written."""

    writer: Writer
    name: str
    costs: _Costs
    connections: dict[str, Connection] = field(default_factory=dict)
    first_ns: int | None = None


@dataclass(frozen=True)
class Written:
    """A complete file: its name, its bytes, and its part of ``metadata.yaml``, of about ``described`` bytes."""

    name: str
    size: int
    metadata: Mapping[str, Any]
    described: int


class BagWriter:
    """Writes serialized messages to the bag ``folder``; not for several threads at once.

    ``custom`` goes to ``custom_data`` of ``metadata.yaml`` and of every file.

    Raises:
        InputError: the folder is there already and is not empty.
        OutputError: it cannot be made, or the disk is full.
        MissingRequirement: rosbags is not installed.
    """

    def __init__(self, folder: Path, limits: Limits | None = None, custom: Mapping[str, str] | None = None) -> None:
        require_rosbags()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: is there already; name a folder that does not exist, or remove it")
        self.folder, self.limits, self.custom = folder, limits or Limits(), dict(custom or {})
        self.messages = 0
        self.removed: list[str] = []
        """Files that made room for newer ones."""
        self.full = False
        """Whether a message found no room; nothing is written after it."""
        self._topics: dict[str, TopicEntry] = {}
        self._done: list[Written] = []
        self._file: _File | None = None
        self._count = 0
        self._last_ns = 0
        with translated_writes(folder):
            (folder / OPEN_FOLDER).mkdir(parents=True, exist_ok=True)

    @property
    def size(self) -> int:
        """Bytes that the bag takes at most when it is closed now."""
        beside = 4096 + 4 * len(str(self.custom)) + sum(done.described for done in self._done)
        return beside + sum(done.size for done in self._done) + (self._file.costs.total() if self._file else 0)

    def add(self, topic: TopicEntry) -> None:
        """Make a topic known before its first message."""
        self._topics.setdefault(topic.name, topic)

    def write(self, topic: str, time_ns: int, data: bytes) -> bool:
        """Write one message; False: there is no room for it, or was none before.

        Times never go back: a message from before the last has the time of the last, as readers without an index need.

        Raises:
            KeyError: the topic was not added.
            OutputError: the disk is full.
        """
        entry = self._topics[topic]
        time_ns = self._last_ns = max(time_ns, self._last_ns)
        with translated_writes(self.folder):
            if self.full or not self._make_room(len(data), time_ns, entry):
                self.full = True
                return False
            file = self._file or self._begin()
            file.first_ns = time_ns if file.first_ns is None else file.first_ns
            connection = file.connections.get(topic) or _connect(file, entry)
            before = _chunks(file.writer)
            file.writer.write(connection, time_ns, data)
            file.costs.messages += len(data) + 47
            file.costs.chunks += _chunks(file.writer) - before
            self.messages += 1
        return True

    def flush(self) -> None:
        """Put on the disk what was written: a process killed later does not lose it.

        Raises:
            OutputError: the disk is full.
        """
        storage = self._file.writer.storage if self._file else None
        if self._file is None or storage is None:
            return
        with translated_writes(self.folder):
            if storage.chunk.bio.tell():  # type: ignore[attr-defined]
                storage.close_chunk()  # type: ignore[attr-defined]
                self._file.costs.chunks += 1
            storage.bio.flush()  # type: ignore[attr-defined]
            os.fsync(storage.bio.fileno())  # type: ignore[attr-defined]

    def close(self) -> None:
        """Finish the bag; it is whole afterwards.

        Raises:
            OutputError: the disk is full.
        """
        with translated_writes(self.folder):
            if self._file is None and not self._done:
                self._begin()  # an empty bag is a bag
            self._finish()
            shutil.rmtree(self.folder / OPEN_FOLDER, ignore_errors=True)

    def abort(self) -> None:
        """Leave the bag as it is, as a killed process would."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # a full disk refuses what is still in memory, too
                file.writer.abort()

    def _make_room(self, size: int, time_ns: int, entry: TopicEntry) -> bool:
        """Begin a new file or remove old ones where limits ask for it; False: it does not fit."""
        limits, file = self.limits, self._file
        if file is not None and file.first_ns is not None:
            late = limits.split_ns is not None and time_ns - file.first_ns >= limits.split_ns
            if late or file.costs.total() + file.costs.message(size) > limits.file_bytes:
                self._finish()
        if limits.max_bytes is None:
            return True
        fresh = _Costs()
        if self._file is None:
            for known in self._topics.values():
                fresh.topic(known)
        elif entry.name not in self._file.connections:
            fresh.topic(entry)
        costs = self._file.costs if self._file else fresh
        needed = costs.message(size) + (fresh.total() + 4 * len(str(self.custom)) if fresh.topics else 0)
        while self.size + needed > limits.max_bytes:
            if limits.when_full == "stop" or not self._done:
                return False
            oldest = self._done.pop(0)
            self._describe()
            (self.folder / oldest.name).unlink()
            self.removed.append(oldest.name)
        return True

    def _begin(self) -> _File:
        from rosbags.rosbag2 import StoragePlugin, Writer

        name = f"{self.folder.name}_{self._count}"
        self._count += 1
        writer = Writer(self.folder / OPEN_FOLDER / name, version=_VERSION, storage_plugin=StoragePlugin.MCAP)
        for key, value in self.custom.items():
            writer.set_custom_data(key, value)
        writer.open()
        self._file = _File(writer, name, _Costs(fixed=4096 + 4 * len(str(self.custom))))
        return self._file

    def _finish(self) -> None:
        """Close the file, move it to its place, and name it in ``metadata.yaml``."""
        file, self._file = self._file, None
        if file is None:
            return
        for key, value in self.custom.items():  # what became known while it was written
            file.writer.set_custom_data(key, value)
        file.writer.close()
        made = self.folder / OPEN_FOLDER / file.name
        metadata = _yaml().load((made / METADATA).read_text("utf-8"))["rosbag2_bagfile_information"]
        content = made / f"{file.name}.mcap"
        with content.open("rb") as stream:
            os.fsync(stream.fileno())
        self._done.append(Written(content.name, content.stat().st_size, metadata, len(str(metadata))))
        content.rename(self.folder / content.name)
        self._describe()
        shutil.rmtree(made)

    def _describe(self) -> None:
        document = {"rosbag2_bagfile_information": merged([done.metadata for done in self._done])}
        stream = io.StringIO()
        _yaml().dump(document, stream)
        write_bytes(self.folder / METADATA, stream.getvalue().encode())


def _connect(file: _File, entry: TopicEntry) -> Connection:
    made = file.writer.add_connection(
        entry.name,
        entry.definition.type,
        msgdef=entry.definition.text,
        rihs01=entry.definition.digest,
        offered_qos_profiles=entry.qos,
    )
    file.costs.topic(entry)
    file.connections[entry.name] = made
    return made


def _chunks(writer: Writer) -> int:
    return len(writer.storage.chunks)  # type: ignore[union-attr]


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.width = 1 << 20  # no line is broken
    yaml.default_flow_style = False
    return yaml


def merged(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """``rosbag2_bagfile_information`` of a bag of several files, from that of each."""
    if not parts:
        return {}
    filled = [part for part in parts if part["message_count"]] or parts[:1]
    start = min(part["starting_time"]["nanoseconds_since_epoch"] for part in filled)
    end = max(part["starting_time"]["nanoseconds_since_epoch"] + part["duration"]["nanoseconds"] for part in filled)
    topics: dict[tuple[str, str], dict[str, Any]] = {}
    for part in parts:
        for topic in part["topics_with_message_count"]:
            described = topic["topic_metadata"]
            key = (described["name"], described["type"])
            before = topics.get(key, {"message_count": 0})["message_count"]
            topics[key] = {"topic_metadata": described, "message_count": before + topic["message_count"]}
    return {
        **parts[0],
        "relative_file_paths": [name for part in parts for name in part["relative_file_paths"]],
        "duration": {"nanoseconds": end - start},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": sum(part["message_count"] for part in parts),
        "topics_with_message_count": list(topics.values()),
        "files": [file for part in parts for file in part["files"]],
    }
