"""The first stage: FP32 ONNX file and golden inputs and outputs of the user's model."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import DataError, SpecError
from edgekit.core.golden import GOLDEN_FRAMES, Golden
from edgekit.core.progress import Progress
from edgekit.core.sources import Sources
from edgekit.core.spec import Spec
from edgekit.core.workspace import Stage, Traced, Workspace
from edgekit.data import Dataset, Sample
from edgekit.onnxfile.interface import read_interface
from edgekit.preprocess import Preprocess
from edgekit.stages import child, keys
from edgekit.stages.compressed import Compressed

_log = logging.getLogger("edgekit")


class Known(Dataset):
    """A dataset whose fingerprint, which reads all of its files, is computed once."""

    def __init__(self, frames: Dataset) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        return self._frames[index]

    def fingerprint(self) -> str:
        """That of the dataset."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return self._frames.fingerprint()


def calibration_data(spec: Spec) -> Dataset:
    """The calibration frames.

    Raises:
        SpecError: the spec names none.
        DataError: they are empty.
    """
    if spec.data.calibration is None:
        raise SpecError("data.calibration is missing; golden outputs and INT8 ranges come from real frames")
    dataset: Dataset = spec.data.calibration.open()
    if len(dataset) == 0:
        raise DataError("the calibration set is empty; give data.calibration at least one frame")
    return Known(dataset)


def export_model(spec: Spec, workspace: Workspace, frames: Dataset, progress: Progress) -> Stage:
    """FP32 ONNX file and golden inputs and outputs of the PyTorch model, made in a process of its own."""
    _check_frame(spec, frames[0])
    base = spec.base.resolve()
    config = spec.data.calibration
    inputs = {
        "model": keys.model(spec.model, base),
        "files": keys.model_files(spec.model),
        "seed": spec.seed,
        "golden frames": GOLDEN_FRAMES,
        "denormals": "zero",
        "preprocess": keys.preprocess(spec),
        "calibration": keys.frames(config, frames),
        "tools": keys.tools(),
    }

    def run(folder: Path) -> Traced:
        order = {
            "model": spec.model.model_dump(mode="json"),
            "base": str(base),
            "seed": spec.seed,
            "data": config.model_dump(mode="json"),
            "preprocess": preprocess_of(spec),
            "frames": GOLDEN_FRAMES,
            "out": str(folder.resolve()),
        }
        found = child.run("edgekit.stages.exporting", order, folder, progress)
        return Traced(Sources.from_dict(found["sources"]), found["result"])

    return workspace.traced("export", inputs, base, run)


def _check_frame(spec: Spec, frame: Sample) -> None:
    """Raise for a frame that does not fit before the model is loaded, which takes longer; warn once of aliasing."""
    preprocess = Preprocess(spec.preprocess)
    preprocess(frame.images, frame.id)
    for text in preprocess.aliasing(frame.images):
        _log.warning("warning: %s", text)


def check_task(spec: Spec, exported: Stage) -> None:
    """Raise :class:`SpecError` unless the task can read what the model gives, before time goes into calibration.

    Shapes are those of the golden outputs; dtypes those of the file, which engines keep: golden floats are all float32.
    """
    shaped = Golden.read(exported.path / "golden.npz").interface("output")
    dtypes = {output.name: output.dtype for output in read_interface(exported.path / "fp32.onnx")[1]}
    spec.task.create().check_outputs([replace(output, dtype=dtypes[output.name]) for output in shaped])


def preprocess_of(spec: Spec) -> dict[str, Any]:
    return {name: transform.model_dump(mode="json") for name, transform in spec.preprocess.items()}


def origins(spec: Spec, compressed: Compressed) -> dict[str, Any]:
    """What a bundle's manifest says of where its model and its calibration come from: all that was used."""
    calibration, exported = spec.data.calibration, compressed.exported
    named: dict[str, str] = dict(exported.inputs["files"])
    used = exported.sources.content()
    code = {"code": sha256_of(used)} if used else {}
    return {
        "inputs": named | code | {"calibration": exported.inputs["calibration"]["fingerprint"]},
        "sources": exported.sources.listing(),
        "calibration": {"format": calibration.format, "real": calibration.real},
    }
