"""Frames of video files, without labels.

OpenCV's seeking lands on the wrong frame in many files, and the number of frames in a header is often an
estimate.  So frames are counted and reached by decoding from the start, in order; reading forward costs
nothing more, going back starts the file again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import DataError
from edgekit.core.spec import SpecPath
from edgekit.data import DataConfig, Dataset, Sample, _files

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm")
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"moof", b"mfra", b"sidx", b"styp", b"meta")


class Config(DataConfig):
    """Every ``every``-th frame of each video, the first included; ``limit`` takes that many, evenly spaced."""

    format: Literal["video"] = "video"
    root: SpecPath = Field(description="a video file, or a folder of them")
    every: int = Field(1, ge=1, description="take one frame of so many")
    incomplete: Literal["refuse", "accept"] = Field(
        "refuse", description="a video whose end is missing: an error, or its whole frames"
    )
    limit: int | None = Field(default=None, ge=1)

    def open(self) -> Video:
        return Video(self)


class Video(Dataset):
    """Frames ``image`` ``(H, W, 3)`` uint8 RGB without truth; metadata ``sequence`` is the file's stem.

    Raises:
        DataError: the path is missing or holds no video, two videos have one stem, or one cannot be
            decoded or ends too early.
    """

    def __init__(self, config: Config) -> None:
        self.every = config.every
        self.files = _listed(config.root)
        choice = []
        for path in self.files:
            status = path.stat()
            decoded, problem = _count(path, status.st_size, status.st_mtime_ns)
            if problem and config.incomplete == "refuse":
                raise DataError(
                    f"{path}: {problem}; copy it again from its source, or set incomplete: accept to use the "
                    f"{decoded} whole frames that are there"
                )
            choice += [(path, number) for number in range(0, decoded, config.every)]
        self.choice = _files.evenly_spaced(choice, config.limit)
        self._reader: _Reader | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.choice)

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            DataError: the video has changed since it was opened.
        """
        if not 0 <= index < len(self.choice):
            raise IndexError(f"video: index {index} is not in 0..{len(self.choice) - 1}")
        path, number = self.choice[index]
        with self._lock:
            if self._reader is None or self._reader.path != path or self._reader.at > number:
                self._reader = _Reader(path, _capture(path))
            image = self._reader.read(number)
        return Sample(f"{path.stem}-{number:06d}", {"image": image}, metadata={"sequence": path.stem})

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the names and contents of the videos, and the numbers of the chosen frames."""
        used = list(dict.fromkeys(path for path, _ in self.choice))
        content = _files.fingerprint("video", self.files[0].parent, used)
        return sha256_of({"videos": content, "frames": [[path.name, number] for path, number in self.choice]})


def _listed(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if not root.exists():
        raise DataError(f"{root}: no such file or folder; point the key 'root' to a video, or to a folder of videos")
    found = sorted(p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise DataError(f"{root}: holds no video; expected files that end in {', '.join(SUFFIXES)}")
    stems: dict[str, Path] = {}
    for path in found:
        if path.stem in stems:
            raise DataError(
                f"{path}: has the same stem as {stems[path.stem].name}, but it names the frames; rename one"
            )
        stems[path.stem] = path
    return found


def _capture(path: Path) -> Any:
    import cv2

    # Other backends would take a name with digits for a sequence of pictures.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise DataError(
            f"{path}: cannot be decoded; it is corrupt, cut short or no video: copy it again from its source"
        )
    return capture


@lru_cache(maxsize=256)
def _count(path: Path, size: int, changed_ns: int) -> tuple[int, str]:
    """Whole frames, and what is wrong when the video ends too early."""
    import cv2

    capture = _capture(path)
    claimed = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    decoded = 0
    while capture.grab():
        decoded += 1
    capture.release()
    problem = ""
    if _cut_short(path, size):
        problem = "the file is cut short: its last part is longer than what is there"
    # Headers that count by duration and rate are a little off; a cut file misses more.
    elif decoded + max(2.0, 0.01 * claimed) < claimed:
        problem = f"{decoded} frames can be decoded, but its header says {claimed:g}"
    # The decoder fills what is missing of the frame in which the file was cut.
    whole = decoded - 1 if problem else decoded
    if whole < 1:
        raise DataError(f"{path}: holds no whole frame; it is corrupt or cut short: copy it again from its source")
    return whole, problem


def _cut_short(path: Path, length: int) -> bool:
    """Whether the outermost parts of an AVI (RIFF chunks) or MP4 (ISO/IEC 14496-12 boxes) reach past the end."""
    at = 0
    with path.open("rb") as stream:
        while at + 8 <= length:
            stream.seek(at)
            head = stream.read(16)
            if head.startswith(b"RIFF"):
                size = 8 + int.from_bytes(head[4:8], "little")
            elif head[4:8] in _BOXES:
                size = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
            else:
                return False
            if size <= 8:  # not known when it was written
                return False
            at += size
    return at > length


@dataclass
class _Reader:
    """One open video; ``at`` is the number of the frame that was decoded last."""

    path: Path
    capture: Any
    at: int = -1

    def read(self, number: int) -> NDArray[np.uint8]:
        import cv2

        while self.at < number:
            if not self.capture.grab():
                break
            self.at += 1
        whole, pixels = self.capture.retrieve() if self.at == number else (False, None)
        if not whole or pixels is None:
            raise DataError(f"{self.path}: frame {number} cannot be decoded; the file has changed: open it again")
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
