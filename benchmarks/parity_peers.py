"""Healthy engines of the six networks of benchmarks/peers, for benchmarks/parity_faults.py: CamVid frames, a task each.

A calibration subset is every third frame of the training split, from another first frame, thinned to ``FRAMES``: the
subsets share no frame.  As a build does it: two golden frames, and the second check on 16 calibration frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.models import CAMVID_CLASSES, CAMVID_VOID, MODELS, Model, square_crops

from edgekit.core.tensors import Array
from edgekit.data.camvid import CamVid
from edgekit.model.export import export
from edgekit.model.load import load_model
from edgekit.preprocess import Prepared
from edgekit.qdq.profiles import PROFILES
from edgekit.quantize import ptq
from edgekit.tasks import Task
from edgekit.tasks.classification import Classification
from edgekit.tasks.detection import Config as DetectionConfig
from edgekit.tasks.segmentation import Segmentation
from edgekit.technique import Job

FRAMES = 16
SUBSETS = 3
CALIBRATORS = ("minmax", "percentile", "entropy", "mse")


@dataclass(frozen=True)
class Kept:
    """Frames by number, kept: what a judge and a calibration read."""

    frames: tuple[Prepared, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Prepared:
        return self.frames[index]

    def __iter__(self) -> Iterator[dict[str, Array]]:
        return (frame.feeds for frame in self.frames)


def exported(name: str, folder: Path) -> Path:
    """The FP32 file."""
    path = folder / f"{name}-{MODELS[name].digest()}.onnx"
    if not path.exists():
        export(load_model(MODELS[name].config()), path)
    return path


def task(name: str) -> Task:
    """What the network is for."""
    model = MODELS[name]
    if model.metric == "segmentation":
        return Segmentation(model.output, CAMVID_CLASSES, CAMVID_VOID)
    if model.metric == "agreement":
        return Classification(model.output, [f"{number:03d}" for number in range(1000)], "softmax", 5)
    classes = [f"{number:02d}" for number in range(80)]
    given = {"kind": "detection", "family": "yolox", "output": model.output, "classes": classes}
    return DetectionConfig.model_validate(given).create()


def calibration(name: str, camvid: Path, subset: int) -> Kept:
    """``FRAMES`` frames of the training split that no other subset has."""
    return _prepared(MODELS[name], camvid, "train", range(subset, 10**6, SUBSETS), FRAMES)


def golden(name: str, camvid: Path, count: int) -> Kept:
    """Frames that calibration does not see."""
    return _prepared(MODELS[name], camvid, "val", range(10**6), count)


def _prepared(model: Model, camvid: Path, split: str, taken: range, count: int) -> Kept:
    dataset, preprocess, crops = CamVid(camvid, split), model.preprocess(), max(model.crops, 1)
    numbers = [number for number in taken[: len(dataset)] if number < len(dataset)]
    frames = []
    for at in range(count):
        image = dataset[numbers[at * len(numbers) // count]].images["image"]
        frames.append(preprocess({"image": square_crops(image, model.crops)[at % crops]}))
    return Kept(tuple(frames))


def typed_models(source: Path, frames: Kept, calibrator: str, wanted: list[str]) -> Iterator[tuple[str, bytes]]:
    """Typed models by profile, those of one calibration where that changes none of them."""
    for rounds in (True, False):
        names = [name for name in wanted if PROFILES[name].rounds_outputs == rounds]
        if names:
            config = ptq.Config.model_validate({"calibrator": calibrator, "profiles": names[1:]})
            made = ptq.prepare(Job(source, frames, names[0]), config)
            yield from ((name, made.model(name)) for name in names)
