"""Frames of a ROS 2 bag: the images of one topic, raw or compressed, with labels from another format or from the bag.

A frame's id is its header's stamp in nanoseconds; a bag that `edgekit record --from` made has a table
``frames.csv`` that names the frames as their files were named.
"""

from __future__ import annotations

import csv
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from edgekit.core import bags, pixels
from edgekit.core.artifacts import sha256_of
from edgekit.core.bags import Bag, Message
from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.core.sections import PluginSection
from edgekit.core.spec import SpecPath
from edgekit.core.suggest import allowed
from edgekit.core.tensors import Array
from edgekit.data import DataConfig, Dataset, Sample, _files
from edgekit.data._objects import Classes, ObjectsConfig, Rows

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
BOXES = "vision_msgs/msg/Detection2DArray"
NAMES = "frames.csv"
"""Beside a bag's files: a header ``stamp,name``, then the id of each frame by its stamp in nanoseconds."""


class Config(ObjectsConfig):
    """The images of ``topic``; at most one of ``labels`` and ``detections`` says what is known of them."""

    format: Literal["mcap"] = "mcap"
    root: SpecPath = Field(description="a bag: a folder with metadata.yaml, or one .mcap or .db3 file")
    topic: str | None = Field(None, description="Image or CompressedImage; default: the only such topic")
    names: SpecPath | None = Field(
        None, description=f"CSV file of the columns stamp (ns) and name: the frames' ids; default: {NAMES} of the bag"
    )
    labels: Annotated[Any, PluginSection("data", "format", optional=True, without=("mcap", "joined"))] = Field(
        None, description="a section of another format, whose frames of the same ids have the truth"
    )
    detections: str | None = Field(None, description="a topic of Detection2DArray with the true objects, by stamp")
    unlabelled: Literal["drop", "refuse"] = Field(
        "drop", description="frames without truth, where labels or detections are named: left out, or an error"
    )

    @model_validator(mode="after")
    def _one_truth(self) -> Self:
        if self.labels is not None and self.detections is not None:
            raise ValueError("labels and detections both give the truth; name one of them")
        return self

    @property
    def evaluation_only(self) -> bool:
        return self.labels is not None and bool(self.labels.evaluation_only)

    @property
    def labelled_by(self) -> DataConfig:
        """The section of the labels, where there is one."""
        labelled: DataConfig = self if self.labels is None else self.labels.labelled_by
        return labelled

    def relocated(self, root: Path) -> Self:
        """The bag and its labels below ``root``, as they lie to each other now; a bag alone is ``root``."""
        if self.labels is None:
            return self.model_copy(update={"root": root, "names": None})
        paths = {name: value for name, value in self.labels if isinstance(value, Path)}
        whole = [Path(os.path.abspath(path)) for path in (self.root, *paths.values())]
        common = Path(os.path.commonpath(whole))
        moved = [root / path.relative_to(common) for path in whole]
        labels = self.labels.model_copy(update=dict(zip(paths, moved[1:], strict=True)))
        return self.model_copy(update={"root": moved[0], "labels": labels, "names": None})

    def open(self) -> Mcap:
        return Mcap(self)


@dataclass(frozen=True)
class _Place:
    """Where a message is: when it was recorded, how many of its topic have that time before it, and its stamp."""

    time_ns: int
    nth: int
    stamp_ns: int


class Mcap(Dataset):
    """Frames ``image`` ``(H, W, 3)`` uint8 or uint16 RGB; metadata ``sequence`` is the bag's name.

    Raises:
        DataError: the bag is missing or damaged, lacks the topic, or no frame has a truth that was asked for.
        MissingRequirement: rosbags is not installed.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        with Bag(config.root) as bag:
            self.topic = _topic(bag, config.topic)
            self.notes = bag.notes
            files = tuple((file, *_state(file)) for file in _contents(config.root))
            places = _indexed(config.root, self.topic, files)
            self._truths = _recorded(bag, config.detections) if config.detections else {}
        names = _names(config)
        ids = _distinct([names.get(place.stamp_ns, str(place.stamp_ns)) for place in places])
        self.labels: Dataset | None = None if config.labels is None else config.labels.open()
        frames = list(zip(ids, places, strict=True))
        self.frames = _files.evenly_spaced(self._with_truth(frames), config.limit)
        self._reader: _Reader | None = None
        self._lock = threading.Lock()

    @cached_property
    def _kinds(self) -> Classes:
        found = sorted({name for boxes in self._truths.values() for name, *_ in boxes})
        return Classes.of(self.config, found, f"{self.config.root}: {self.config.detections}")

    @cached_property
    def _rows(self) -> dict[str, int]:
        """Which frame of the labels has an id."""
        labels = self.labels
        return {} if labels is None else {labels.label(row)[0]: row for row in range(len(labels))}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the class ids of recorded detections."""
        return self._kinds.names if self.config.detections else ()

    @property
    def one_class(self) -> bool:  # type: ignore[override]
        return self.labels is not None and self.labels.one_class

    @property
    def keypoints(self) -> tuple[str, ...] | None:  # type: ignore[override]
        return None if self.labels is None else self.labels.keypoints

    @property
    def voids(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset() if self.labels is None else self.labels.voids

    def class_names(self, part: str = "") -> Mapping[int, str | None] | None:
        if self.labels is not None:
            return self.labels.class_names(part)
        return dict(enumerate(self.classes)) if self.config.detections else None

    def __len__(self) -> int:
        return len(self.frames)

    def label(self, index: int) -> tuple[str, Any]:
        if self.labels is None:
            return super().label(index)
        name, _ = self._at(index)
        return name, self.labels.label(self._rows[name])[1]

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            DataError: the image is damaged, its encoding is unknown, or its mask has another size.
        """
        name, place = self._at(index)
        with self._lock:
            if self._reader is None or not self._reader.reaches(place):
                if self._reader is not None:
                    self._reader.close()
                self._reader = _Reader(self.config.root, self.topic, place)
            image = self._reader.read(place, name)
        metadata = {"sequence": self.config.root.stem}
        return Sample(name, {"image": image}, self._truth(name, place, image), metadata)

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the bag's files, the chosen frames and their ids, and the labels."""
        root = self.config.root
        keys = self.config.model_dump(mode="json", include={"classes", "unlisted", "invalid_boxes", "detections"})
        return sha256_of(
            {
                "bag": _files.fingerprint("mcap", root.parent, _contents(root)),
                "topic": self.topic,
                "frames": [[name, place.stamp_ns, place.nth] for name, place in self.frames],
                "labels": None if self.labels is None else self.labels.fingerprint(),
                "keys": keys if self.config.detections else None,
            }
        )

    def _at(self, index: int) -> tuple[str, _Place]:
        if not 0 <= index < len(self.frames):
            raise IndexError(f"mcap: index {index} is not in 0..{len(self.frames) - 1}")
        return self.frames[index]

    def _with_truth(self, frames: list[tuple[str, _Place]]) -> list[tuple[str, _Place]]:
        config = self.config
        if self.labels is None and config.detections is None:
            return frames
        known = [frame for frame in frames if self._knows(*frame)]
        where = config.detections or f"the labels ({config.labels.format})"
        if not known:
            have = next(iter(self._rows), None) or next(iter(self._truths), None)
            raise DataError(
                f"{config.root}: no frame of {self.topic} has its truth in {where}: frames have ids such as "
                f"{frames[0][0]!r}, the truth {have!r}; name a table of stamps and names with the key names"
            )
        lone = next((name for name, place in frames if not self._knows(name, place)), None)
        if lone is not None and config.unlabelled == "refuse":
            raise DataError(f"{config.root}: frame {lone} has no truth in {where}; add it, or set unlabelled: drop")
        return known

    def _knows(self, name: str, place: _Place) -> bool:
        return name in self._rows or place.stamp_ns in self._truths

    def _truth(self, name: str, place: _Place, image: Array) -> Any:
        if self.labels is None:
            return self._objects(name, self._truths[place.stamp_ns], image) if self.config.detections else None
        truth = self.labels.label(self._rows[name])[1]
        if isinstance(truth, np.ndarray) and truth.ndim == 2 and truth.shape != image.shape[:2]:
            raise DataError(
                f"frame {name}: the mask is {truth.shape[1]}x{truth.shape[0]}, but the bag's image is "
                f"{image.shape[1]}x{image.shape[0]} (width x height); label images of the recorded size"
            )
        return truth

    def _objects(self, name: str, boxes: list[_Box], image: Array) -> Objects:
        rows = Rows(f"{self.config.root}: {self.config.detections}: frame {name}, detection ")
        for number, (kind, box) in enumerate(boxes):
            found = self._kinds.find(kind, f"{rows.where}{number}")
            if found is not None:
                rows.add(box, found, number)
        height, width = image.shape[:2]
        return rows.objects((height, width), self.config.invalid_boxes == "drop")[0]


_Box = tuple[str, tuple[float, float, float, float]]


class _Reader:
    """The bag, open, and its messages from a place on: frames in order cost one pass."""

    def __init__(self, root: Path, topic: str, start: _Place) -> None:
        self._bag = Bag(root)
        self._bag.__enter__()
        self._messages = _numbered(self._bag.messages([topic], start_ns=start.time_ns))
        self._at = (start.time_ns, -1)

    def close(self) -> None:
        self._bag.__exit__(None, None, None)

    def reaches(self, place: _Place) -> bool:
        """Whether ``place`` is ahead, and near: a frame far ahead is found by the bag's index."""
        return self._at < (place.time_ns, place.nth) and place.time_ns - self._at[0] < 10**9

    def read(self, place: _Place, name: str) -> Array:
        for nth, message in self._messages:
            self._at = (message.time_ns, nth)
            if self._at == (place.time_ns, place.nth):
                return _image(self._bag, message, name)
        raise DataError(f"{self._bag.path}: frame {name} is not there any more; the bag has changed: open it again")


def _image(bag: Bag, message: Message, name: str) -> Array:
    found = bag.decode(message)
    try:
        if message.type == COMPRESSED:
            return pixels.decompress(found.data)
        big = bool(found.is_bigendian)
        return pixels.to_rgb(
            pixels.RawImage(found.height, found.width, found.encoding, found.step, found.data, big_endian=big)
        )
    except DataError as error:
        raise DataError(f"{bag.path}: {message.topic}, frame {name}: {error}") from error


def _numbered(messages: Iterator[Message]) -> Iterator[tuple[int, Message]]:
    """Messages, each with how many before it have the same time."""
    time_ns, nth = -1, 0
    for message in messages:
        nth = nth + 1 if message.time_ns == time_ns else 0
        time_ns = message.time_ns
        yield nth, message


@lru_cache(maxsize=16)
def _indexed(root: Path, topic: str, files: tuple[tuple[Path, int, int], ...]) -> tuple[_Place, ...]:
    """Every message of a topic; ``files`` with sizes and times of change tell another bag of the same path."""
    with Bag(root) as bag:
        return tuple(
            _Place(message.time_ns, nth, bags.stamp_ns(message.data))
            for nth, message in _numbered(bag.messages([topic]))
        )


def _contents(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    return sorted(p for p in root.rglob("*") if p.suffix in (".mcap", ".db3") or p.name == NAMES)


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _topic(bag: Bag, asked: str | None) -> str:
    images = [topic.name for topic in bag.topics.values() if topic.type in (RAW, COMPRESSED)]
    if asked is not None:
        if asked not in images:
            hint = allowed(asked, tuple(images)) if images else "it holds no topic of images"
            raise DataError(f"{bag.path}: no images are recorded on {asked!r}; {hint}")
        found = asked
    elif len(images) == 1:
        found = images[0]
    else:
        what = f"images of {', '.join(images)}; choose with the key topic" if images else "no topic of images"
        raise DataError(f"{bag.path}: holds {what}")
    if not bag.topics[found].count:
        raise DataError(f"{bag.path}: {found} has no message; record it again, with the camera running")
    return found


def _recorded(bag: Bag, topic: str) -> dict[int, list[_Box]]:
    """The objects of each stamp: the class of the best hypothesis, and left, top, right, bottom in pixels."""
    found = bag.topics.get(topic)
    if found is None or found.type != BOXES:
        known = tuple(one.name for one in bag.topics.values() if one.type == BOXES)
        hint = allowed(topic, known) if known else f"it holds no topic of {BOXES}"
        raise DataError(f"{bag.path}: detections: {topic!r} is no topic of true objects; {hint}")
    truths: dict[int, list[_Box]] = {}
    for message in bag.messages([topic]):
        boxes = []
        for one in bag.decode(message).detections:
            if not one.results:
                raise DataError(f"{bag.path}: {topic}: an object has no hypothesis, and so no class; label it anew")
            best = max(one.results, key=lambda result: result.hypothesis.score).hypothesis.class_id
            x, y, w, h = one.bbox.center.position.x, one.bbox.center.position.y, one.bbox.size_x, one.bbox.size_y
            boxes.append((str(best), (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
        truths[bags.stamp_ns(message.data)] = boxes
    return truths


def _names(config: Config) -> dict[int, str]:
    """Ids by stamp, of the table that the config or the bag has."""
    file = config.names or config.root / NAMES
    if config.names is None and not file.is_file():
        return {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return {int(row["stamp"]): row["name"] for row in csv.DictReader(stream)}
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; correct the key names") from error
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{file}: is no table of frames; expected the columns stamp (nanoseconds) and name") from error


def _distinct(ids: list[str]) -> list[str]:
    """The ids; the second of one stamp, of a camera that stood still, ends in ``-1``."""
    seen: dict[str, int] = {}
    made = []
    for name in ids:
        count = seen.get(name, 0)
        seen[name] = count + 1
        made.append(f"{name}-{count}" if count else name)
    return made
