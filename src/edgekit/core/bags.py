"""Reading ROS 2 bags without ROS: MCAP and SQLite, folders and files, and what a killed recorder left.

rosbags (Apache-2.0) reads them; a message stays the bytes that were sent until somebody asks for its fields.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from typing_extensions import Self

from edgekit.core.errors import DataError, MissingRequirement, os_reason

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection, Qos

INSTALL = 'pip install "edgekit[bags]"'
METADATA = "metadata.yaml"
OPEN_FOLDER = ".recording"
"""In a bag, the folder of the file that is being written."""
_MAGIC = b"\x89MCAP0\r\n"
# MCAP format specification: DataEnd without a checksum; a footer that says that there is no summary.
_END = struct.pack("<BQI", 0x0F, 4, 0) + struct.pack("<BQQQI", 0x02, 20, 0, 0, 0) + _MAGIC
_HEAD = struct.Struct("<BQ")
_DATA_END, _LAST_OPCODE = 0x0F, 0x0F


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: how many messages, of which type, and what its publishers offered."""

    name: str
    type: str
    count: int
    definition: str
    qos: tuple[Qos, ...]


@dataclass(frozen=True)
class Message:
    """One message: ``data`` are its serialized bytes (CDR), ``time_ns`` when it was recorded."""

    topic: str
    type: str
    time_ns: int
    data: bytes


def require_rosbags() -> None:
    """Raise :class:`MissingRequirement` where the package rosbags is not installed."""
    try:
        import rosbags  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingRequirement("the package rosbags, which reads and writes bags", INSTALL) from error


@contextlib.contextmanager
def translated_reads(path: Path) -> Iterator[None]:
    """Turn what rosbags and the operating system say of a bag into a :class:`DataError`."""
    from rosbags.highlevel import AnyReaderError
    from rosbags.rosbag2 import ReaderError
    from rosbags.serde import SerdeError
    from rosbags.typesys import TypesysError

    fix = "copy it again from its source, or record it anew"
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {os_reason(error)}; check that it is a bag and may be read"
        ) from error
    except (AnyReaderError, ReaderError, SerdeError, TypesysError) as error:
        raise DataError(f"{path}: cannot be read as a bag: {error}; {fix}") from error
    except (struct.error, UnicodeDecodeError, TypeError, KeyError, EOFError) as error:
        # What rosbags meets where the bytes of a record are damaged.
        raise DataError(f"{path}: is damaged ({type(error).__name__}: {error}); {fix}") from error


class Bag:
    """An open bag; use it in a ``with`` block.

    ``path`` is a folder with ``metadata.yaml``, a folder of MCAP files that nobody closed, or one file.  ``notes`` say
    what was lost of files without an end.

    Raises:
        DataError: the path is missing, no bag, or damaged.
        MissingRequirement: rosbags is not installed.
    """

    def __init__(self, path: Path) -> None:
        require_rosbags()
        self.path = path
        self.files, self.notes = _files(path)
        self._reader: AnyReader | None = None
        self.topics: dict[str, Topic] = {}

    def __enter__(self) -> Self:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        if not self.files:  # killed before its first second was over: nothing is there, and the notes say so
            return self
        with translated_reads(self.path):
            # Bags of SQLite from before Iron hold no definitions: those of Humble are the oldest still served.
            reader = AnyReader(list(self.files), default_typestore=get_typestore(Stores.ROS2_HUMBLE))
            reader.open()
        self._reader = reader
        for found in reader.connections:
            before = self.topics.get(found.topic)
            qos = tuple(getattr(found.ext, "offered_qos_profiles", ()))
            count = found.msgcount + (before.count if before else 0)
            self.topics[found.topic] = Topic(found.topic, found.msgtype, count, found.msgdef.data, qos)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @property
    def custom(self) -> Mapping[str, str]:
        """``custom_data`` of ``metadata.yaml``; empty where the recorder wrote none, or was killed before."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        file = self.path / METADATA
        if not file.is_file():
            return {}
        try:
            document = YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
            found = document["rosbag2_bagfile_information"].get("custom_data") or {}
            return {str(key): str(value) for key, value in found.items()}
        except (YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: is no metadata of a bag: {error}; copy the bag again") from error

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[Message]:
        """Messages of ``topics`` (None: all) recorded from ``start_ns`` to before ``stop_ns``, in that order.

        Raises:
            DataError: a part of the bag is damaged.
        """
        if not self.files:
            return
        reader = self._opened()
        wanted = [c for c in reader.connections if topics is None or c.topic in topics]
        if not wanted:
            return
        with translated_reads(self.path):
            for connection, time_ns, data in reader.messages(wanted, start_ns, stop_ns):
                yield _message(connection, time_ns, data)

    def decode(self, message: Message) -> Any:
        """The message's fields by name; arrays of numbers are NumPy arrays.

        Raises:
            DataError: the bytes do not fit the type.
        """
        with translated_reads(self.path):
            return self._opened().deserialize(message.data, message.type)

    def schema(self, kind: str) -> tuple[str, str]:
        """The text of a type's definition, with all types it uses, and its REP 2016 hash (``RIHS01_...``)."""
        store = self._opened().typestore
        with translated_reads(self.path):
            return store.generate_msgdef(kind, ros_version=2)[0], store.hash_rihs01(kind)

    def _opened(self) -> AnyReader:
        if self._reader is None:
            raise RuntimeError("a bag is read inside its with block")
        return self._reader


def _message(connection: Connection, time_ns: int, data: bytes) -> Message:
    return Message(connection.topic, connection.msgtype, time_ns, data)


def stamp_ns(data: bytes) -> int:
    """The header's stamp of a serialized message whose first field is a ``std_msgs/Header``, in nanoseconds.

    CDR: four bytes of encapsulation, then ``sec`` (int32) and ``nanosec`` (uint32).

    Raises:
        DataError: the bytes are too few.
    """
    if len(data) < 12:
        raise DataError(f"a message of {len(data)} bytes has no header; choose a topic of images")
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def whole_part(path: Path) -> tuple[int, bool]:
    """Where the last whole record of an MCAP file without an end stops, in bytes; and whether the file has its end.

    Zero: not even the header is there.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            return 0, False
        if size >= 2 * len(_MAGIC):
            stream.seek(-len(_MAGIC), os.SEEK_END)
            if stream.read() == _MAGIC:
                return size, True
        at = len(_MAGIC)
        while at + _HEAD.size <= size:
            stream.seek(at)
            opcode, length = _HEAD.unpack(stream.read(_HEAD.size))
            if at + _HEAD.size + length > size or not 0 < opcode < _DATA_END:
                break
            at += _HEAD.size + length
    return (at if at > len(_MAGIC) else 0), False


def _files(path: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """What rosbags opens, and what was lost."""
    if not path.exists():
        raise DataError(f"{path}: no such bag; name a folder with {METADATA}, or an .mcap file")
    if path.is_file():
        if path.suffix not in (".mcap", ".db3"):
            raise DataError(f"{path}: is no bag; expected a folder with {METADATA}, an .mcap or a .db3 file")
        return _readable([path])
    loose = unfinished(path)
    if (path / METADATA).is_file():
        more, notes = _readable(loose)
        return (path, *more), notes
    found = sorted(path.glob("*.mcap"), key=_number)
    if not found and not loose:
        raise DataError(f"{path}: is no bag: it holds neither {METADATA} nor an .mcap file; name the bag's folder")
    return _readable([*found, *loose])


def unfinished(folder: Path) -> list[Path]:
    """Files of a bag that its recorder did not close."""
    return sorted((folder / OPEN_FOLDER).rglob("*.mcap"), key=_number)


def _number(path: Path) -> tuple[int, str]:
    """Files in the order in which they were written: ``name_10`` after ``name_9``."""
    digits = path.stem.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else 0), path.name


def _readable(files: list[Path]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    usable: list[Path] = []
    notes: list[str] = []
    for file in files:
        end, closed = whole_part(file) if file.suffix == ".mcap" else (1, True)
        if closed:
            usable.append(file)
            continue
        lost = file.stat().st_size - end
        what = f"its last {lost} bytes are no whole record and are lost" if lost else "every record in it is whole"
        notes.append(f"{file}: its recorder did not close it; {what}")
        if end:
            usable.append(Unended(file))
    return tuple(usable), tuple(notes)


class Unended(PosixPath):
    """An MCAP file without an end, which opens as if it ended after its last whole record."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """The whole records and an end, for reading."""
        end, _ = whole_part(Path(self))
        return io.BufferedReader(_Joined(Path(self).open("rb"), end))


class _Joined(io.RawIOBase):
    """The first ``size`` bytes of a file, then an MCAP end."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size, self._at = stream, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size + len(_END)}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self._at < self._size:
            self._stream.seek(self._at)
            content = self._stream.read(min(len(view), self._size - self._at))
        else:
            content = _END[self._at - self._size :][: len(view)]
        view[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()
