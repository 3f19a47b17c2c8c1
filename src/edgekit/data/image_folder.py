"""A folder of images for each class, subject or kind of presentation: classification, verification, anti-spoofing.

root/<folder>/<stem>.jpg
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgekit.core import naming
from edgekit.core.artifacts import sha256_of
from edgekit.core.classes import ManyClassNames
from edgekit.core.errors import DataError
from edgekit.core.spec import SpecPath
from edgekit.core.suggest import allowed
from edgekit.data import Dataset, NamedConfig, Sample, _files


class Config(NamedConfig):
    """The folders in ``root``, and the images in each, both sorted by name.

    Truth is the name of the folder, or what ``map`` makes of it; with ``classes``, its place among these names (a
    list, or a JSON file with one).  ``limit`` takes that many images, evenly spaced.
    """

    format: Literal["image_folder"] = "image_folder"
    root: SpecPath
    classes: ManyClassNames | None = None
    orientation: Literal["follow", "ignore"] = Field("follow", description="EXIF orientation of the images")
    limit: int | None = Field(default=None, ge=1)

    def open(self) -> ImageFolder:
        return ImageFolder(self.root, self.classes, self.limit, self.map, self.orientation == "follow")


class ImageFolder(Dataset):
    """Frames ``image`` ``(H, W, 3)`` uint8 RGB; truth an int class id, or the folder's name as text.

    The id is ``<folder>_<stem>``; ``metadata["class"]`` is the folder's name, or what ``changes`` make of it: of a
    folder that becomes None no image is read.

    Raises:
        DataError: the root or a folder is missing or holds no image, an image or a folder lies where
            none belongs, a folder is not in ``classes``, or two images would get one id.
    """

    one_class = True
    identifiers = frozenset({"class", "sequence"})

    def __init__(
        self,
        root: Path,
        classes: tuple[str, ...] | None = None,
        limit: int | None = None,
        changes: Mapping[str, str | None] | None = None,
        follow: bool = True,
    ) -> None:
        self.root, self.classes, self.follow = root, classes, follow
        folders = _folders(root)
        self.changes = dict(changes or {})
        naming.check_map(self.changes, [folder.name for folder in folders], str(root))
        frames: dict[str, tuple[Path, str]] = {}
        for folder in folders:
            name = naming.renamed(folder.name, self.changes)
            if name is None:
                continue
            if classes is not None and name not in classes:
                raise DataError(f"{folder}: {name!r} is none of the classes; {allowed(name, classes)}")
            for path in _files.list_images(folder, "root"):
                identity = f"{folder.name}_{path.stem}"
                if identity in frames:
                    raise DataError(f"{path}: gets the id {identity!r} of {frames[identity][0]}; rename one of the two")
                frames[identity] = path, name
        self.kinds = classes or tuple(dict.fromkeys(name for _, name in frames.values()))
        self.frames = _files.evenly_spaced([(name, *found) for name, found in frames.items()], limit)

    def class_names(self, part: str = "") -> Mapping[int, str | None]:
        return dict(enumerate(self.kinds))

    def label(self, index: int) -> tuple[str, Any]:
        """As :meth:`Dataset.label`; no image is read."""
        name, _, kind = self._frame(index)
        return name, kind if self.classes is None else self.classes.index(kind)

    def _frame(self, index: int) -> tuple[str, Path, str]:
        if not 0 <= index < len(self.frames):
            raise IndexError(f"image_folder: index {index} is not in 0..{len(self.frames) - 1}")
        return self.frames[index]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``, in the order of folders and files.

        Raises:
            DataError: the image is damaged.
            IndexError: ``index`` is not in 0 .. len - 1.
        """
        name, path, kind = self._frame(index)
        return Sample(name, {"image": _files.read_image(path, self.follow)}, self.label(index)[1], {"class": kind})

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the classes, and the names and contents of the chosen files."""
        name = "image_folder" if self.follow else "image_folder as stored"
        files = _files.fingerprint(name, self.root, (path for _, path, _ in self.frames))
        return sha256_of({"classes": self.classes, "files": files})


def _folders(root: Path) -> list[Path]:
    """The folders of ``root``, which hold images and no folders; hidden ones are left out."""
    _files.require_folder(root, "root")
    inside = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    loose = next((path for path in inside if path.suffix.lower() in _files.SUFFIXES and path.is_file()), None)
    if loose is not None:
        raise DataError(f"{loose}: lies beside the folders and so belongs to none; move it into one, or away")
    folders = [path for path in inside if path.is_dir()]
    if not folders:
        raise DataError(f"{root}: holds no folder; expected one for each class, subject or kind of presentation")
    for folder in folders:
        deeper = next((path for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] != "."), None)
        if deeper is not None:
            raise DataError(f"{deeper}: is a folder in a folder; images lie directly in {folder}: move them up")
    return folders
