"""The first stage: FP32 ONNX file and golden inputs and outputs of the user's model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import sha256_file, sha256_of, write_bytes, write_json
from edgekit.core.errors import DataError, MissingRequirement, SpecError
from edgekit.core.golden import specs_of, write_arrays
from edgekit.core.progress import Progress
from edgekit.core.spec import Spec
from edgekit.core.workspace import Stage, Workspace
from edgekit.data import Dataset
from edgekit.model import files
from edgekit.preprocess import Preprocess
from edgekit.stages.compressed import EXPORT
from edgekit.stages.job import Feeds
from edgekit.stages.tools import tool_versions

GOLDEN_FRAMES = 2
_log = logging.getLogger("edgekit")


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
    return dataset


def export_model(spec: Spec, workspace: Workspace, frames: Dataset, progress: Progress) -> Stage:
    """FP32 ONNX file and golden inputs and outputs of the PyTorch model."""
    inputs = {
        "model": spec.model.model_dump(mode="json"),
        "files": model_files(spec),
        "seed": spec.seed,
        "golden": GOLDEN_FRAMES,
        "denormals": "zero",
        "preprocess": preprocess_of(spec),
        "frames": frames.fingerprint(),
        "tools": tool_versions(),
    }

    def fill(folder: Path) -> None:
        torch = _torch()
        from edgekit.model import export, load, opset

        with progress.track("load model"):
            torch.manual_seed(spec.seed)  # a factory without weights keeps its random ones
            model = load.load_model(spec.model)
        with progress.track("export to ONNX"):
            denormals = export.export(model, folder / "fp32.onnx")
            write_bytes(folder / "fp32.onnx", opset.lowered((folder / "fp32.onnx").read_bytes()))
            feeds = Feeds(Preprocess(spec.preprocess), frames, GOLDEN_FRAMES)
            golden = export.golden(model, list(feeds))
        write_arrays(folder / "golden.npz", golden)
        write_json(folder / EXPORT, {"denormals": denormals.to_dict()})
        if denormals.zeroed:
            _log.info("%d denormal weights in %d tensors are zero now", denormals.zeroed, denormals.tensors)
        for name in denormals.constants:
            _log.warning("constant %s is a denormal number; engines that flush these take it for zero", name)

    return workspace.stage("export", inputs, fill)


def check_task(spec: Spec, exported: Stage) -> None:
    """Raise :class:`SpecError` unless the task can read what the model gives, before time goes into calibration."""
    spec.task.create().check_outputs(specs_of(exported.path / "golden.npz", "output"))


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingRequirement("PyTorch", 'pip install "edgekit[compress]"') from error
    return torch


def preprocess_of(spec: Spec) -> dict[str, Any]:
    return {name: transform.model_dump(mode="json") for name, transform in spec.preprocess.items()}


def model_files(spec: Spec) -> dict[str, str]:
    """Hashes of the files that decide the model: code, weights, graph."""
    model = spec.model
    named = {"weights": model.weights, "exported": model.exported, "onnx": model.onnx}
    hashes = {}
    for role, path in named.items():
        if path is None:
            continue
        if not path.is_file():
            raise files.missing(role, path)
        hashes[role] = sha256_file(path)
    if model.factory is not None:
        hashes["code"] = _code_hash(model.factory.split(":")[0], model.base)
    return hashes


def origins(spec: Spec) -> dict[str, Any]:
    """What a bundle's manifest says of where its model and its calibration come from."""
    calibration = spec.data.calibration
    return {
        "inputs": model_files(spec) | {"calibration": calibration_data(spec).fingerprint()},
        "calibration": {"format": calibration.format, "real": calibration.real},
    }


def _code_hash(module: str, base: Path) -> str:
    """Hash over the Python files that a factory can import from its own folder or package."""
    if module.endswith(".py"):
        root = (base / module).parent
    else:
        local = base / module.split(".")[0]
        root = local if local.is_dir() else base
    skipped = {".venv", "venv", "site-packages", ".git", "__pycache__"}
    files = sorted(p for p in root.rglob("*.py") if not skipped & set(p.relative_to(root).parts))
    return sha256_of({p.relative_to(root).as_posix(): sha256_file(p) for p in files})
