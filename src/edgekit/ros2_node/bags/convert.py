"""A folder of images, or a video, as a bag: what a camera would have sent."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import pixels
from edgekit.core.artifacts import write_bytes
from edgekit.core.bags import METADATA, Bag
from edgekit.core.errors import InputError
from edgekit.core.progress import Progress, Silent
from edgekit.core.tensors import Array
from edgekit.data import Dataset
from edgekit.data.images import Images
from edgekit.data.mcap import COMPRESSED, NAMES, RAW
from edgekit.data.video import Config as VideoConfig
from edgekit.ros2_node.bags.definitions import Definition, Definitions
from edgekit.ros2_node.bags.writer import BagWriter, Limits, TopicEntry

AS_THEY_ARE = {".jpg": "jpeg", ".jpeg": "jpeg", ".jfif": "jpeg", ".png": "png"}
"""Files whose bytes are a CompressedImage as they are, and its ``format``."""
QUALITY = 95
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Conversion:
    """How frames become messages: ``raw`` as Image (rgb8), else as CompressedImage; ``start_ns`` of the first stamp."""

    topic: str = "/camera/image"
    rate_hz: float = 30.0
    frame_id: str = "camera"
    raw: bool = False
    start_ns: int = SECOND_NS
    limit: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate_hz <= 10_000:
            raise InputError(f"a rate of {self.rate_hz:g} Hz cannot be recorded; give one above 0 and up to 10000")
        if self.start_ns < 0:
            raise InputError(f"a start of {self.start_ns} ns is before 1970; give one from 0 on")

    def stamp_ns(self, index: int) -> int:
        """The stamp of frame ``index``, counted from 0; rounding does not add up."""
        return self.start_ns + round(index * SECOND_NS / self.rate_hz)


def convert(
    source: Path, folder: Path, how: Conversion, limits: Limits | None = None, progress: Progress | None = None
) -> int:
    """Write the images of a folder, or the frames of a video, to the bag ``folder``; gives the number of frames.

    JPEG and PNG files become the messages as they are; of other files and of videos JPEGs of quality 95 are made,
    unless ``how.raw``.  A table ``frames.csv`` in the bag keeps the frames' names.

    Raises:
        DataError: the source is missing, or cannot be read.
        InputError: the bag is there already, or has no room for all frames.
        MissingRequirement: rosbags is not installed.
    """
    dataset = _opened(source, how.limit)
    definitions = Definitions()
    kind = RAW if how.raw else COMPRESSED
    topic = how.topic if how.raw or how.topic.endswith("/compressed") else f"{how.topic}/compressed"
    with _whole_or_nothing(BagWriter(folder, limits, {"edgekit.source": source.name})) as writer:
        names = _written(
            writer, TopicEntry(topic, definitions[kind]), _Frames(dataset, how, definitions), progress or Silent()
        )
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("stamp", "name"), *names])
    write_bytes(folder / NAMES, table.getvalue().encode())
    return len(names)


@contextmanager
def _whole_or_nothing(writer: BagWriter) -> Iterator[BagWriter]:
    """The writer, closed when the block ends; its folder is gone when the block, or closing, failed."""
    try:
        yield writer
        writer.close()
    except BaseException:
        writer.abort()
        shutil.rmtree(writer.folder, ignore_errors=True)
        raise


def _written(writer: BagWriter, topic: TopicEntry, frames: _Frames, progress: Progress) -> list[tuple[str, str]]:
    writer.add(topic)
    names: list[tuple[str, str]] = []
    with progress.track("frames", frames.count) as advance:
        for stamp_ns, name, data in frames:
            if not writer.write(topic.name, stamp_ns, data):
                limit = writer.limits.max_bytes
                raise InputError(f"{writer.folder}: is full after {len(names)} frames; allow more than {limit} bytes")
            names.append((str(stamp_ns), name))
            advance()
    return names


def is_bag(path: Path) -> bool:
    """Whether a path is a bag, closed or not, rather than a folder of images or a video."""
    if path.is_file():
        return path.suffix in (".mcap", ".db3")
    return path.is_dir() and ((path / METADATA).is_file() or any(path.rglob("*.mcap")) or any(path.glob("*.db3")))


def copy(source: Path, folder: Path, limits: Limits | None = None, progress: Progress | None = None) -> int:
    """Write what is whole of a bag to a new bag ``folder``; gives the number of messages.

    So a bag that nobody closed opens in every tool, and one of SQLite becomes MCAP.

    Raises:
        DataError, InputError, MissingRequirement: as :func:`convert`.
    """
    with Bag(source) as bag, _whole_or_nothing(BagWriter(folder, limits, bag.custom)) as writer:
        for topic in bag.topics.values():
            writer.add(TopicEntry(topic.name, Definition(topic.type, *bag.schema(topic.type)), topic.qos))
        total = sum(topic.count for topic in bag.topics.values())
        with (progress or Silent()).track("messages", total) as advance:
            for message in bag.messages():
                if not writer.write(message.topic, message.time_ns, message.data):
                    raise InputError(f"{folder}: is full after {writer.messages} messages; allow more bytes")
                advance()
    names = source / NAMES
    if names.is_file():
        write_bytes(folder / NAMES, names.read_bytes())
    return writer.messages


def _opened(source: Path, limit: int | None) -> Dataset:
    if source.is_dir() and not any(True for _ in _videos(source)):
        return Images(source, limit)
    return VideoConfig(format="video", root=source, limit=limit).open()


def _videos(folder: Path) -> Iterator[Path]:
    from edgekit.data.video import SUFFIXES

    return (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


@dataclass(frozen=True)
class _Frames:
    """Stamp, name and serialized message of every frame."""

    dataset: Dataset
    how: Conversion
    definitions: Definitions

    @property
    def count(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[tuple[int, str, bytes]]:
        store = self.definitions.typestore
        kind = RAW if self.how.raw else COMPRESSED
        for index, sample in enumerate(self.dataset):
            stamp_ns = self.how.stamp_ns(index)
            time = store.types["builtin_interfaces/msg/Time"](sec=stamp_ns // SECOND_NS, nanosec=stamp_ns % SECOND_NS)
            header = store.types["std_msgs/msg/Header"](stamp=time, frame_id=self.how.frame_id)
            fields = _raw(sample.images["image"]) if self.how.raw else self._compressed(index, sample.images["image"])
            yield stamp_ns, sample.id, bytes(store.serialize_cdr(store.types[kind](header=header, **fields), kind))

    def _compressed(self, index: int, image: Array) -> dict[str, Any]:
        """The file itself, unless its EXIF data turn it, which nobody follows in a message."""
        file = self.dataset.files[index] if isinstance(self.dataset, Images) else None
        if file is not None and file.suffix.lower() in AS_THEY_ARE:
            content = np.fromfile(file, np.uint8)
            if np.array_equal(pixels.decompress(content), image):
                return {"format": AS_THEY_ARE[file.suffix.lower()], "data": content}
        return {"format": "jpeg", "data": _jpeg(image)}


def _raw(image: Array) -> dict[str, Any]:
    height, width = _eight_bits(image).shape[:2]
    size = {"height": height, "width": width, "step": 3 * width}
    return {**size, "encoding": "rgb8", "is_bigendian": 0, "data": image.reshape(-1)}


def _eight_bits(image: Array) -> Array:
    if image.dtype != np.uint8:
        raise InputError(f"images of {image.dtype} cannot be recorded; convert them to 8 bits")
    return image


def _jpeg(image: Array) -> Array:
    import cv2

    flags = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(_eight_bits(image), cv2.COLOR_RGB2BGR), flags)
    return np.asarray(coded, np.uint8).reshape(-1)
