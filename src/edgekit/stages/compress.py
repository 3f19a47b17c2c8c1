"""What turns the exported model into typed ones: the compress steps, and the analysis of its layers."""

from __future__ import annotations

import json
import shutil
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
from edgekit.engine import control_of
from edgekit.runtime import sessions
from edgekit.stages import job as jobs
from edgekit.stages import keys, labels
from edgekit.stages.compressed import EXPORT, RECORD, Compressed
from edgekit.technique import Job


def quantize_model(
    spec: Spec, target: str, workspace: Workspace, exported: Stage, frames: Dataset, progress: Progress
) -> Stage:
    """Typed ONNX files, the record of how they were made, and golden outputs of the target's own."""
    source = exported.path / "fp32.onnx"
    config = spec.compress[0].quantize
    name = spec.targets[target].engine
    engine = plugins.load("engine", name)
    inputs: dict[str, Any] = {
        "source": sha256_file(source),
        "golden": sha256_file(exported.path / "golden.npz"),
        "step": config.model_dump(mode="json"),
        "preprocess": keys.preprocess(spec),
        "calibration": keys.frames(spec.data.calibration, frames),
        "profile": jobs.target_profile(spec, target),
        "control": control_of(engine, "int8"),
        "sessions": sessions.SETTINGS,
        "tools": keys.tools(),
        "plugins": {"quantize": plugins.code("quantize", config.method), "engine": plugins.code("engine", name)},
    }
    if config.measures or inputs["plugins"]["quantize"]:
        inputs |= _measured_inputs(spec, target, exported)

    def fill(folder: Path) -> None:
        from edgekit.model import opset

        _require_float32(spec, source)
        technique = plugins.load("quantize", config.method)
        scratch = workspace.root / f"scratch-{key_of(inputs)}"
        if workspace.fresh:
            shutil.rmtree(scratch, ignore_errors=True)
        with jobs.job(spec, target, source, frames, config, scratch, progress) as job:
            quantized = technique.apply(job, config)
            control = control_of(engine, quantized.precision)
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


def _measured_inputs(spec: Spec, target: str, exported: Stage) -> dict[str, Any]:
    """What else decides the result of a technique that trains, or measures on a target."""
    engine = spec.targets[target]
    module = plugins.load("engine", engine.engine)
    module.require(engine)
    chosen = [role for role in ("validation", "training") if getattr(spec.data, role) is not None]
    base = spec.base.resolve()
    return {
        "network": exported.key,  # the technique may train the network itself, not only the graph
        "target": target,
        "engine": keys.portable(engine.model_dump(mode="json"), base),
        "device": module.fingerprint(engine),
        "task": keys.task(spec),
        "seed": spec.seed,
    } | {role: keys.frames(getattr(spec.data, role), labels.of(spec, role).dataset, labelled=True) for role in chosen}


def analyse_layers(
    spec: Spec, target: str, exported: Stage, frames: Dataset, by_metric: bool, progress: Progress
) -> tuple[SensitivityReport, bytes]:
    """What quantizing each layer alone costs under the spec's PTQ settings, and a picture (PNG) of it."""
    from edgekit.quantize import ptq
    from edgekit.quantize.mixed import sensitivity, variants

    step = spec.compress[0].quantize if spec.compress else ptq.Config()
    config = step if isinstance(step, ptq.Config) else getattr(step, "ptq", ptq.Config())
    source = exported.path / "fp32.onnx"
    _require_float32(spec, source)
    with jobs.job(spec, target, source, frames, config, None, progress, measures=by_metric) as job:
        layers = sensitivity.analyse(variants.Variants(job, config), job.bench)
        metric = job.bench.metric.name if job.bench else None
        report = SensitivityReport(target, job.profile, metric, layers)
    return report, sensitivity.picture(layers, f"{spec.name}: layers by output noise in INT8")


def publish_compressed(spec: Spec, final: Path, target: str, exported: Stage, quantized: Stage | None) -> Compressed:
    """Copy the results where the user finds them, atomically; a source that is not float32 is called what it is."""
    source = exported.path / "fp32.onnx"
    files: dict[str, Path] = {"golden.npz": (quantized or exported).path / "golden.npz", EXPORT: exported.path / EXPORT}
    if quantized is None:
        from edgekit.model import onnxops

        precision = onnxops.precision_of(source)
        files[f"{precision}.onnx"] = source
    else:
        precision = json.loads((quantized.path / RECORD).read_text(encoding="utf-8"))["precision"]
        files |= {path.name: path for path in quantized.path.iterdir() if path.name != STAGE_RECORD}
        files["fp32.onnx"] = source
    with atomic_directory(final) as folder:
        for name, file in files.items():
            shutil.copyfile(file, folder / name)
        if quantized is not None:
            # Where the frames lie is no part of the stage's result, which is the same wherever they lie.
            record = json.loads((quantized.path / RECORD).read_text(encoding="utf-8"))
            write_json(folder / RECORD, record | {"data": spec.data.calibration.model_dump(mode="json")})
        elif precision != "fp32":
            golden = Golden.read(folder / "golden.npz")
            golden.with_reference(precision, typed_outputs(source, golden)).write(folder / "golden.npz")
    models = {name.removesuffix(".onnx"): final / name for name in files if name.endswith(".onnx")}
    calibration = final / RECORD if quantized is not None else None
    return Compressed(final, target, precision, models, final / "golden.npz", calibration, exported, quantized)


def typed_outputs(model: Path, golden: Golden) -> list[dict[str, Array]]:
    """Outputs of a typed ONNX file on each golden frame, run as it is written: the reference that engines must meet.

    Raises:
        ModelError: one holds NaN or infinity.
    """
    from edgekit.engine import ort

    with ort.open(model, ort.Config(engine="ort"), optimised=False) as engine:
        found = [{name: array.copy() for name, array in engine.infer(feeds).items()} for feeds in golden.inputs]
    for outputs in found:
        for name, array in outputs.items():
            if not np.isfinite(array).all():
                raise ModelError(f"{model.name}: output {name!r} holds NaN or infinity; check weights and preprocess")
    return found
