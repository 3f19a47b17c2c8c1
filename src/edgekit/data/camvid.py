"""CamVid: real driving frames with masks, in the layout of the SegNet tutorial.

    root/<split>.txt                one stem per line, in the order of the drive
    root/images/<split>/<stem>.jpg
    root/labels/<split>/<stem>.png  8-bit class ids

Source: Brostow, Fauqueur and Cipolla, "Semantic object classes in video: a high-definition ground
truth database", Pattern Recognition Letters 2009.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from edgekit.core.errors import DataError
from edgekit.core.spec import SpecPath
from edgekit.core.textfile import read_text
from edgekit.data import Dataset, Sample, _files
from edgekit.data._masks import ALL_IDS, Kinds, MasksConfig

NAMES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
    "void",
)  # fmt: skip
"""The ids of the tutorial's masks."""


class Config(MasksConfig):
    """One split; ``limit`` takes that many frames, evenly spaced over it.

    Without ``names`` or ``colours`` the ids are the tutorial's eleven classes and ``void``.
    """

    format: Literal["camvid"] = "camvid"
    root: SpecPath
    split: Literal["train", "val", "test"]
    limit: int | None = Field(default=None, ge=1)

    def open(self) -> CamVid:
        return CamVid(self.root, self.split, self.limit, self.kinds(dict(enumerate(NAMES))))


class CamVid(Dataset):
    """Frames ``image`` ``(H, W, 3)`` uint8 RGB, truth ``(H, W)`` uint8; metadata ``drive`` names the recording.

    Raises:
        DataError: the root or the split's list is missing or empty, names a frame twice, or names
            one whose image or label is missing.
    """

    voids: ClassVar[frozenset[str]] = frozenset({"void"})
    identifiers = frozenset({"drive", "sequence"})

    def __init__(self, root: Path, split: str, limit: int | None = None, kinds: Kinds = ALL_IDS) -> None:
        self.kinds = kinds
        self.root = _files.require_folder(root, "root")
        self.split = split
        stems = self._listed(root / f"{split}.txt")
        for stem in stems:
            for path in self._paths(stem):
                if not path.is_file():
                    raise DataError(f"{path}: no such file, but {split}.txt lists {stem!r}; restore it")
        self.stems = _files.evenly_spaced(stems, limit)

    @staticmethod
    def _listed(path: Path) -> list[str]:
        try:
            lines = read_text(path).split("\n")
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; expected the list of the split's frames, one stem a line") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from error
        first: dict[str, int] = {}
        for number, stem in enumerate(map(str.strip, lines), start=1):
            if stem in first:
                raise DataError(f"{path}:{number}: lists {stem!r} again, after line {first[stem]}; remove it")
            if stem:
                first[stem] = number
        if not first:
            raise DataError(f"{path}: lists no frame; expected one stem a line")
        return list(first)

    def _paths(self, stem: str) -> tuple[Path, Path]:
        return self.root / "images" / self.split / f"{stem}.jpg", self.root / "labels" / self.split / f"{stem}.png"

    def class_names(self, part: str = "") -> Mapping[int, str | None] | None:
        return self.kinds.names

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            DataError: the image or the label is damaged, or their sizes differ.
        """
        if not 0 <= index < len(self.stems):
            raise IndexError(f"camvid {self.split}: index {index} is not in 0..{len(self.stems) - 1}")
        stem = self.stems[index]
        image, mask = _files.read_pair(*self._paths(stem), self.kinds.reader)
        return Sample(id=stem, images={"image": image}, truth=mask, metadata={"drive": stem.split("_")[0]})

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the names and contents of the chosen frames' files."""
        return _files.fingerprint("camvid", self.root, (path for stem in self.stems for path in self._paths(stem)))
