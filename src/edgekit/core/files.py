"""Files that a spec names."""

from __future__ import annotations

from pathlib import Path

from edgekit.core.errors import ModelError
from edgekit.core.suggest import nearest


def missing(key: str, file: Path) -> ModelError:
    """The error that ``model.<key>`` names no file; it offers the nearest name of that kind in the file's folder."""
    near = nearest(file.name, sorted(p.name for p in file.parent.glob(f"*{file.suffix}") if p.is_file()))
    fix = f"did you mean {near!r}?" if near is not None else "a relative path starts at the folder of the spec"
    return ModelError(f"model.{key}: no file {file}; {fix}")


def stand_in(file: Path) -> str:
    """The placeholder in the file's place, a Git LFS pointer, with the fix; ``""`` when it is the file itself."""
    with file.open("rb") as stream:
        head = stream.read(42)
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a Git LFS pointer, not the file itself: fetch it with git lfs pull"
    return ""
