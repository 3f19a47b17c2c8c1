"""What turns the exported model into typed ones: the compress steps, and the analysis of its layers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import plugins
from edgekit.core.artifacts import atomic_directory, sha256_file, write_bytes, write_json
from edgekit.core.errors import ModelError
from edgekit.core.golden import Golden
from edgekit.core.progress import Progress
from edgekit.core.reports import SensitivityReport
from edgekit.core.spec import Spec
from edgekit.core.tensors import Array
from edgekit.core.workspace import RECORD as STAGE_RECORD
from edgekit.core.workspace import Stage, Workspace, key_of
from edgekit.data import Dataset
from edgekit.engine import Backend
from edgekit.runtime import sessions
from edgekit.stages import job as jobs
from edgekit.stages import keys, labels
from edgekit.stages.compressed import EXPORT, RECORD, Compressed, record_of
from edgekit.technique import Job
from edgekit.verification import golden_frames


def quantize_model(
    spec: Spec,
    target: str,
    backend: Backend,
    workspace: Workspace,
    exported: Stage,
    frames: Dataset,
    progress: Progress,
) -> Stage:
    """Typed ONNX files, the record of how they were made, and golden outputs of the target's own."""
    source = exported.path / "fp32.onnx"
    config = spec.compress[0].quantize
    name = backend.config.engine
    inputs: dict[str, Any] = {
        "source": sha256_file(source),
        "golden": sha256_file(exported.path / "golden.npz"),
        "step": config.model_dump(mode="json"),
        "preprocess": keys.preprocess(spec),
        "calibration": keys.frames(spec.data.calibration, frames),
        "profile": backend.quantization_profile(),
        "control": backend.control("int8"),
        "sessions": sessions.SETTINGS,
        "tools": keys.tools(),
        "plugins": {"quantize": plugins.code("quantize", config.method), "engine": plugins.code("engine", name)},
    }
    if config.measures or inputs["plugins"]["quantize"]:
        inputs |= _measured_inputs(spec, target, backend, exported)

    def fill(folder: Path) -> None:
        from edgekit.model import opset

        _require_float32(spec, source)
        technique = plugins.load("quantize", config.method)
        scratch = workspace.root / f"scratch-{key_of(inputs)}"
        if workspace.fresh:
            shutil.rmtree(scratch, ignore_errors=True)
        with jobs.job(spec, target, backend, source, frames, config, scratch, progress) as job:
            quantized = technique.apply(job, config)
            control = backend.control(quantized.precision)
            models = {quantized.precision: quantized.model} | ({"fp16": _halved(job)} if control == "fp16" else {})
        shutil.rmtree(scratch, ignore_errors=True)
        for precision, model in models.items():
            write_bytes(folder / f"{precision}.onnx", opset.lowered(model))
        for profile, model in quantized.also.items():
            write_bytes(folder / f"{quantized.precision}-{profile}.onnx", opset.lowered(model))
        for name, content in quantized.files.items():
            write_bytes(folder / name, content)
        data = {"fingerprint": frames.fingerprint()}
        write_json(folder / RECORD, quantized.record | {"precision": quantized.precision} | data)
        golden = Golden.read(exported.path / "golden.npz")
        for precision in sorted(models.keys() - {"fp32"}):
            golden = golden.with_reference(precision, typed_outputs(folder / f"{precision}.onnx", golden))
        golden.write(folder / "golden.npz")

    return workspace.stage("quantize", inputs, fill)


def _require_float32(spec: Spec, source: Path) -> None:
    """Raise :class:`ModelError` for a model that is quantized, or in 16 bits, before edgekit touches it."""
    from edgekit.model import onnxops

    found = onnxops.precision_of(source)
    named = spec.model.onnx or spec.model.exported or f"the network of {spec.model.factory}"
    if found == "int8":
        raise ModelError(
            f"{named} is quantized already: leave out compress, and it is built as it is; or give the float32 model"
        )
    if found != "fp32":
        raise ModelError(
            f"{named} computes in {found} already: give the float32 model, or leave out compress, and it is built so"
        )


def _halved(job: Job) -> bytes:
    from edgekit.quantize import half

    return half.apply(job, half.Config(method="half", dtype="fp16")).model


def _measured_inputs(spec: Spec, target: str, backend: Backend, exported: Stage) -> dict[str, Any]:
    """What else decides the result of a technique that trains, or measures on a target."""
    backend.require()
    chosen = [role for role in ("validation", "training") if getattr(spec.data, role) is not None]
    base = spec.base.resolve()
    return {
        "network": exported.key,  # the technique may train the network itself, not only the graph
        "target": target,
        "engine": keys.portable(backend.config.model_dump(mode="json"), base),
        "device": backend.fingerprint(),
        "task": keys.task(spec),
        "seed": spec.seed,
    } | {role: keys.frames(getattr(spec.data, role), labels.of(spec, role).dataset, labelled=True) for role in chosen}


def analyse_layers(
    spec: Spec, target: str, backend: Backend, exported: Stage, frames: Dataset, by_metric: bool, progress: Progress
) -> tuple[SensitivityReport, bytes]:
    """What quantizing each layer alone costs under the spec's PTQ settings, and a picture (PNG) of it."""
    from edgekit.quantize import ptq
    from edgekit.quantize.mixed import sensitivity, variants

    step = spec.compress[0].quantize if spec.compress else ptq.Config()
    config = step if isinstance(step, ptq.Config) else getattr(step, "ptq", ptq.Config())
    source = exported.path / "fp32.onnx"
    _require_float32(spec, source)
    with jobs.job(spec, target, backend, source, frames, config, None, progress, measures=by_metric) as job:
        layers = sensitivity.analyse(variants.Variants(job, config), job.bench)
        metric = job.bench.metric.name if job.bench else None
        report = SensitivityReport(target, job.profile, metric, layers)
    return report, sensitivity.picture(layers, f"{spec.name}: layers by output noise in INT8")


def typed_models(target: str, exported: Stage, quantized: Stage | None, workspace: Workspace) -> Compressed:
    """What the stages made for one target, in their own folders, which no other build changes.

    A source that is not float32 is called what it is, and gets golden outputs of its own.
    """
    source, golden = exported.path / "fp32.onnx", (quantized or exported).path / "golden.npz"
    if quantized is not None:
        precision = json.loads((quantized.path / RECORD).read_text(encoding="utf-8"))["precision"]
        models = {path.stem: path for path in quantized.path.glob("*.onnx")} | {"fp32": source}
        return Compressed(
            quantized.path, target, precision, models, golden, quantized.path / RECORD, exported, quantized
        )
    from edgekit.model import onnxops

    precision = onnxops.precision_of(source)
    if precision != "fp32":
        golden = _own_golden(source, precision, golden, workspace)
    return Compressed(exported.path, target, precision, {precision: source}, golden, None, exported, None)


def _own_golden(source: Path, precision: str, golden: Path, workspace: Workspace) -> Path:
    """Golden outputs of a source that is not float32, beside those that it was exported with."""
    inputs = {
        "source": sha256_file(source),
        "golden": sha256_file(golden),
        "sessions": sessions.SETTINGS,
        "tools": keys.tools(),
    }

    def fill(folder: Path) -> None:
        made = Golden.read(golden)
        made.with_reference(precision, typed_outputs(source, made)).write(folder / golden.name)

    return workspace.stage("golden", inputs, fill).path / golden.name


def publish_compressed(spec: Spec, made: Compressed, final: Path) -> Compressed:
    """Copy the typed models where the user finds them, atomically; the places in the result are those of the copies."""
    files = {"golden.npz": made.golden, EXPORT: made.exported.path / EXPORT}
    files |= {f"{name}.onnx": path for name, path in made.models.items()}
    if made.quantized is not None:
        files |= {p.name: p for p in made.quantized.path.iterdir() if p.name != STAGE_RECORD and p.suffix != ".onnx"}
    with atomic_directory(final) as folder:
        for name, file in files.items():
            shutil.copyfile(file, folder / name)
        if made.calibration is not None:
            write_json(folder / RECORD, record_of(spec, made))
    models = {name: final / f"{name}.onnx" for name in made.models}
    calibration = None if made.calibration is None else final / RECORD
    return replace(made, path=final, models=models, golden=final / "golden.npz", calibration=calibration)


def typed_outputs(model: Path, golden: Golden) -> list[dict[str, Array]]:
    """Outputs of a typed ONNX file on each golden frame, run as it is written: the reference that engines must meet.

    Raises:
        ModelError: one holds NaN or infinity.
    """
    found = golden_frames.typed_outputs(model, golden)
    for outputs in found:
        for name, array in outputs.items():
            if not np.isfinite(array).all():
                raise ModelError(f"{model.name}: output {name!r} holds NaN or infinity; check weights and preprocess")
    return found
