"""A folder of arrays: frames that are no images, for networks whose inputs are of kind ``array``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edgekit.core.errors import DataError
from edgekit.core.spec import SpecPath
from edgekit.data import DataConfig, Dataset, Sample, _files
from edgekit.data._arrays import ENDINGS, read_arrays


class Config(DataConfig):
    """The ``.npy`` and ``.npz`` files in ``root``, sorted by name; ``limit`` takes that many, evenly spaced."""

    format: Literal["arrays"] = "arrays"
    root: SpecPath
    limit: int | None = Field(default=None, ge=1)

    def open(self) -> ArrayFiles:
        return ArrayFiles(self.root, self.limit)


class ArrayFiles(Dataset):
    """Frames without truth: the arrays of an ``.npz`` file by their names, that of a ``.npy`` file as ``array``.

    Raises:
        DataError: the folder is missing or holds no such file, or two files have one stem.
    """

    def __init__(self, root: Path, limit: int | None = None) -> None:
        self.root = _files.require_folder(root, "root")
        found: dict[str, Path] = {}
        for path in sorted(root.iterdir()):
            if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
                if path.stem in found:
                    raise DataError(f"{path}: has the same stem as {found[path.stem].name}; rename one")
                found[path.stem] = path
        if not found:
            raise DataError(f"{root}: holds no array; expected files that end in {' or '.join(ENDINGS)}")
        self.files = _files.evenly_spaced(list(found.values()), limit)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            DataError: the file is damaged, or holds objects.
        """
        if not 0 <= index < len(self.files):
            raise IndexError(f"arrays: index {index} is not in 0..{len(self.files) - 1}")
        path = self.files[index]
        return Sample(id=path.stem, images=read_arrays(path))

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the names and contents of the chosen files."""
        return _files.fingerprint("arrays", self.root, self.files)
