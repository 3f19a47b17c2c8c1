"""Datasets whose frames are image files that a table or a folder lists, with labels elsewhere."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import DataError
from edgekit.data import Dataset, Sample, _files


@dataclass(frozen=True)
class Frame:
    """One image file; ``row`` is its place in the format's tables, ``where`` names that place.

    ``size`` is (height, width) in pixels when the labels claim one.
    """

    path: Path
    id: str
    row: int
    where: str
    size: tuple[int, int] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class FrameFiles(Dataset):
    """Frames ``image`` ``(H, W, 3)`` uint8 RGB; truth of the format's kind or None.

    Raises:
        DataError: two frames would get one id, or a chosen frame has no file.
    """

    name: str
    classes: tuple[str, ...] = ()

    def __init__(self, root: Path, frames: Sequence[Frame], limit: int | None, settings: Mapping[str, Any]) -> None:
        self.root = root
        self.settings = settings
        first: dict[str, Frame] = {}
        for frame in frames:
            if frame.id in first:
                raise DataError(
                    f"{frame.where}: the frame id {frame.id!r} is taken by {first[frame.id].where}; "
                    "remove one, or give their files different names"
                )
            first[frame.id] = frame
        self.frames = _files.evenly_spaced(frames, limit)
        for frame in self.frames:
            if not frame.path.is_file():
                raise DataError(
                    f"{frame.path}: no such file, but {frame.where} lists it; restore it or remove the entry"
                )

    @abstractmethod
    def truth(self, frame: Frame, size: tuple[int, int]) -> tuple[Any, Mapping[str, str]]:
        """Truth of a frame of ``size`` (height, width) in pixels, and metadata that its labels give."""

    @abstractmethod
    def labels(self) -> str:
        """Hex SHA-256 over the files that decide the chosen frames' truth."""

    def class_names(self, part: str = "") -> Mapping[int, str | None] | None:
        return dict(enumerate(self.classes)) or None

    def label(self, index: int) -> tuple[str, Any]:
        """As :meth:`Dataset.label`; the image is not read where the labels say its size."""
        if not 0 <= index < len(self.frames) or self.frames[index].size is None:
            return super().label(index)
        frame = self.frames[index]
        return frame.id, self.truth(frame, frame.size or (0, 0))[0]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            DataError: the image or its labels cannot be used, or the image has another size than its labels say.
        """
        if not 0 <= index < len(self.frames):
            raise IndexError(f"{self.name}: index {index} is not in 0..{len(self.frames) - 1}")
        frame = self.frames[index]
        image = _files.read_image(frame.path)
        size = (image.shape[0], image.shape[1])
        if frame.size not in (None, size):
            raise _other_size(frame, size)
        truth, metadata = self.truth(frame, size)
        return Sample(frame.id, {"image": image}, truth, {**frame.metadata, **metadata})

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the chosen frames' names, metadata and images, the label files and the keys."""
        return sha256_of(
            {
                "format": self.name,
                "settings": self.settings,
                "frames": [[frame.id, frame.metadata] for frame in self.frames],
                "labels": self.labels(),
                "images": _files.fingerprint("images", self.root, (frame.path for frame in self.frames)),
            }
        )


def frame_id(root: Path, path: Path) -> str:
    """The file's name below ``root`` without its ending; folders are joined with underscores."""
    return path.relative_to(root).with_suffix("").as_posix().replace("/", "_")


def moved(root: Path, *paths: Path) -> tuple[Path, ...]:
    """``paths`` when the folder that holds them all has become ``root``."""
    whole = [os.path.abspath(path) for path in paths]
    common = os.path.commonpath(whole)
    return tuple(root / os.path.relpath(path, common) for path in whole)


def list_texts(folder: Path, key: str) -> dict[str, Path]:
    """The ``.txt`` files directly in ``folder`` by their stems, sorted; hidden files are left out."""
    _files.require_folder(folder, key)
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".txt" and not p.name.startswith("."))
    return {path.stem: path for path in found}


def refuse_lone(these: Mapping[str, Path], others: Iterable[str], problem: str) -> None:
    """Raise :class:`DataError` when a stem of ``these`` is not among ``others``."""
    present = set(others)
    lone = [path for stem, path in these.items() if stem not in present]
    if lone:
        more = f" (and {len(lone) - 1} more)" if lone[1:] else ""
        raise DataError(f"{lone[0]}{more}: {problem}")


def _other_size(frame: Frame, size: tuple[int, int]) -> DataError:
    height, width = frame.size or size
    turned = (width, height) == size
    cause = "its EXIF orientation turns it: save it upright" if turned else "put the image back that was labelled"
    return DataError(
        f"{frame.path}: the image is {size[1]}x{size[0]}, but {frame.where} says {width}x{height} "
        f"(width x height); {cause}, or correct the labels"
    )
