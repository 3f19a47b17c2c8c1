"""Soft labels: a teacher run once over the training frames, and what it gave kept in a folder.

A folder belongs to one teacher, one way into it, one data set and one way of rounding: ``labels.json`` says which, and
anything else is refused.  Every frame is a file of its own, whole or absent, so that a killed run goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.artifacts import sha256_file, write_bytes, write_json
from edgekit.core.errors import DataError
from edgekit.core.tensors import Array, Arrays
from edgekit.distill import _compact
from edgekit.distill._codec import Coding
from edgekit.distill._neighbours import Given, described, neighbours
from edgekit.distill._panel import Panel
from edgekit.technique import Examples, Job
from edgekit.training import Vary

if TYPE_CHECKING:
    import torch
    from torch import Tensor

INDEX = "labels.json"
_FORMAT = 2
_CHECKED, _TRIED = 16, 2
"""Frames on which the error of rounding is measured, and on which ways of keeping are tried, evenly spread."""


@dataclass(frozen=True)
class Stored:
    """A teacher's outputs, read from a folder.

    Args:
        name: of the teacher.
        folder: of the files.
        codings: how each output is kept.
        count: frames.
    """

    name: str
    folder: Path
    codings: Mapping[str, Coding]
    count: int

    @property
    def examples(self) -> Examples:
        """The outputs of each frame, batch first."""
        return self

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Arrays, Any]:
        content = _file(self.folder, index).read_bytes()
        found, start = {}, 0
        for name, coding in self.codings.items():
            size = int.from_bytes(content[start : start + 4], "little")
            found[name] = coding.unpacked(content[start + 4 : start + 4 + size])[None]
            start += 4 + size
        return found, None

    def varied(self, index: int, vary: Vary) -> tuple[Arrays, Any]:
        """The same: a frame of other colours shows the same things."""
        return self[index]

    def __call__(self, inputs: Mapping[str, Tensor], beside: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What was stored of these frames; see :class:`edgekit.distill._work.Source`."""
        return beside

    @property
    def bytes(self) -> int:
        """Of all frames."""
        return sum(_file(self.folder, index).stat().st_size for index in range(self.count))


@dataclass(frozen=True)
class How:
    """What is kept of a teacher.

    Args:
        stride: places that become one, of dense class scores.
        top: classes that are kept; None: all.
        neighbours: whether the frames before and after are looked at too.
    """

    stride: int = 1
    top: int | None = None
    neighbours: bool = False


def stored(
    job: Job, panel: Panel, student: Examples, folder: Path, how: How, device: torch.device
) -> tuple[Stored, dict[str, Any]]:
    """Run the teacher over all training frames, as far as that was not done, and read what it gave from then on.

    Args:
        job: of the step.
        panel: the teacher.
        student: the training frames as they go into the student.
        folder: made, or continued.
        how: what is kept.
        device: where the teacher runs.

    Returns:
        The outputs, and for the record: frames, bytes, their share of raw float32 outputs, and the error of rounding.

    Raises:
        DataError: the folder holds labels of another data set, preprocessing, teacher or way of rounding; or as
            :func:`~edgekit.distill._neighbours.neighbours`.
    """
    given: Given = partial(_given, panel, student, device)
    near = neighbours(job, student, panel.scores, given) if how.neighbours else None
    given = given if near is None else near
    codings = {
        name: Coding(array.shape[1:], name in panel.scores, how.stride, how.top if name in panel.scores else None)
        for name, array in given(0).items()
        if name in job.outputs
    }
    chosen = _claim(
        folder, _identity(job, panel, codings, len(student), how), partial(_chosen, codings, given, len(student))
    )
    codings |= {name: replace(codings[name], **one["coding"]) for name, one in chosen.items()}
    found = Stored(panel.name, folder, codings, len(student))
    with job.progress.track("soft labels", len(student)) as advance:
        for index in range(len(student)):
            if not _file(folder, index).is_file():
                write_bytes(_file(folder, index), _packed(codings, given(index)))
            advance()
    beside = {} if near is None else {"neighbours": described(near, _checked(len(student)))}
    kept = {"kept_as": {name: one["tried"] for name, one in chosen.items()}} if chosen else {}
    return found, _described(found, given) | beside | kept


def _given(panel: Panel, student: Examples, device: torch.device, index: int) -> dict[str, Array]:
    """What the teacher gives on one frame."""
    import torch

    def tensors(arrays: Arrays) -> dict[str, Tensor]:
        return {name: torch.from_numpy(np.array(x)).to(device) for name, x in arrays.items()}

    beside = {} if panel.examples is None else tensors(panel.examples[index][0])
    outputs = panel(tensors(student[index][0]), beside)
    return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}


def _packed(codings: Mapping[str, Coding], outputs: Arrays) -> bytes:
    parts = [coding.packed(outputs[name][0]) for name, coding in codings.items()]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def _file(folder: Path, index: int) -> Path:
    return folder / f"{index // 1000:04d}" / f"{index:07d}.soft"


# --- whose they are ---------------------------------------------------------------


def _identity(job: Job, panel: Panel, codings: Mapping[str, Coding], count: int, how: How) -> dict[str, Any]:
    """What decides the labels, in the order in which a difference is named."""
    return {
        "format": _FORMAT,
        "frames": job.examples_hash(),
        "count": count,
        "teacher": [[sha256_file(file) for file in member.files] for member in panel.members],
        "preprocess": [dict(member.sections) for member in panel.members],
        "flip": panel.flip,
        "neighbours": how.neighbours,
        "outputs": {name: asdict(coding) for name, coding in codings.items()},
    }


_WORDS = {
    "format": "of another version of edgekit",
    "frames": "of another data set than data.training is",
    "count": "of another number of frames",
    "teacher": "of another teacher: its spec, code or weights are not the same",
    "preprocess": "of a teacher that sees the frames in another way (preprocess)",
    "flip": "made with another flip",
    "neighbours": "made with another neighbours",
    "outputs": "rounded in another way, or of other outputs",
}


def _chosen(codings: Mapping[str, Coding], given: Given, count: int) -> dict[str, Any]:
    """How outputs are kept for which there is a choice, by name, and what was tried."""
    open_to = {name: coding for name, coding in codings.items() if _compact.eligible(coding)}
    if not open_to:
        return {}
    frames = [given(index) for index in sorted({i * count // _TRIED for i in range(_TRIED)})]
    found = {}
    for name, coding in open_to.items():
        best, tried = _compact.chosen(coding, [outputs[name][0] for outputs in frames])
        keys = {"top": best.top, "rank": best.rank, "levels": best.levels}
        found[name] = {"coding": keys, "tried": [one.to_dict() for one in tried]}
    return found


def _claim(folder: Path, identity: Mapping[str, Any], choose: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Say whose labels the folder holds, or raise when it holds others; what was chosen when it was begun."""
    file = folder / INDEX
    if not file.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise DataError(f"distill.offline.folder {folder}: holds files and no {INDEX}; name a folder of its own")
        folder.mkdir(parents=True, exist_ok=True)
        chosen = choose()
        write_json(file, {**identity, "chosen": chosen})
        return chosen
    kept, asked = (json.loads(text) for text in (file.read_text(encoding="utf-8"), json.dumps(identity)))
    wrong = next((key for key in asked if kept.get(key) != asked[key]), None)
    if wrong is not None:
        raise DataError(
            f"distill.offline.folder {folder}: the soft labels are {_WORDS[wrong]}; name another folder, or delete it "
            "to make them again"
        )
    return dict(kept["chosen"])


# --- how good they are ------------------------------------------------------------


def _checked(count: int) -> list[int]:
    return sorted({i * count // _CHECKED for i in range(_CHECKED)})


def _described(found: Stored, teacher: Given) -> dict[str, Any]:
    raw = found.count * sum(4 * int(np.prod(coding.shape)) for coding in found.codings.values())
    errors: dict[str, list[dict[str, float]]] = {name: [] for name in found.codings}
    for index in _checked(found.count):
        wanted, given = teacher(index), found[index][0]
        for name, coding in found.codings.items():
            errors[name].append(dict(_error(coding, wanted[name][0], given[name][0])))
    means = {name: {key: float(np.mean([e[key] for e in each])) for key in each[0]} for name, each in errors.items()}
    bytes_ = found.bytes
    return {"frames": found.count, "bytes": bytes_, "share_of_float32": bytes_ / raw, "error": means}


def _error(coding: Coding, wanted: Array, given: Array) -> Iterator[tuple[str, float]]:
    """Of class scores the divergence (nats a place) and the share of places of another class; else relative L2."""
    if not coding.scores:
        yield "relative_l2", float(np.linalg.norm(given - wanted) / max(float(np.linalg.norm(wanted)), 1e-30))
        return
    yield from _compact.error(_enlarged(given, wanted.shape), wanted).items()


def _enlarged(scores: Array, shape: tuple[int, ...]) -> Array:
    """Dense scores at the resolution that the student's loss brings them to."""
    import torch
    from torch.nn import functional

    if scores.shape == shape:
        return scores
    given = torch.from_numpy(scores)[None]
    size = shape[1:]
    return functional.interpolate(given, size=size, mode="bilinear", align_corners=False)[0].numpy()
