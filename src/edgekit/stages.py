"""The cached stages behind ``compress`` and ``build``: export, quantize, engines, bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgekit import jobs, proving, remote
from edgekit.bundle import EVALUATION, Bundle, Contents, EngineFile, EvaluationData, write_bundle
from edgekit.core import plugins
from edgekit.core.artifacts import atomic_directory, sha256_file, sha256_of, write_bytes, write_json
from edgekit.core.errors import DataError, MissingRequirement, ModelError, SpecError
from edgekit.core.progress import Progress
from edgekit.core.reports import SensitivityReport
from edgekit.core.spec import Spec
from edgekit.core.tensors import Array, TensorSpec
from edgekit.core.workspace import RECORD as STAGE_RECORD
from edgekit.core.workspace import Stage, Workspace
from edgekit.data import Dataset
from edgekit.engine import Engine, EngineConfig
from edgekit.intake import files
from edgekit.preprocess import Preprocess
from edgekit.quantize import Job
from edgekit.verify import feeds_of, frames_of

GOLDEN_FRAMES = 2
RECORD = "calibration.json"
TOOLS = ("edgekit", "torch", "onnx", "onnxscript", "onnxruntime", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Compressed:
    """What ``compress`` made for one target.

    ``models`` maps a precision to its typed ONNX file, ``<precision>-<profile>`` to a further
    export for another target; ``precision`` is what the compress steps lead to.
    """

    path: Path
    target: str
    precision: str
    models: Mapping[str, Path]
    golden: Path
    calibration: Path | None
    reused: bool


def tool_versions() -> dict[str, str]:
    """Versions of the installed packages that decide results."""
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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
        "files": _model_files(spec),
        "seed": spec.seed,
        "golden": GOLDEN_FRAMES,
        "preprocess": _preprocess(spec),
        "frames": frames.fingerprint(),
        "tools": tool_versions(),
    }

    def fill(folder: Path) -> None:
        torch = _torch()
        from edgekit import export, load

        with progress.track("load model"):
            torch.manual_seed(spec.seed)  # a factory without weights keeps its random ones
            model = load.load_model(spec.model)
        with progress.track("export to ONNX"):
            export.export(model, folder / "fp32.onnx")
            feeds = jobs.Feeds(Preprocess(spec.preprocess), frames, GOLDEN_FRAMES)
            golden = export.golden(model, list(feeds))
        _write_arrays(folder / "golden.npz", golden)

    return workspace.stage("export", inputs, fill)


def quantize_model(
    spec: Spec, target: str, workspace: Workspace, exported: Stage, frames: Dataset, progress: Progress
) -> Stage:
    """Typed ONNX files, the record of how they were made, and golden outputs of the target's own."""
    source = exported.path / "fp32.onnx"
    config = spec.compress[0].quantize
    engine = plugins.load("engine", spec.targets[target].engine)
    inputs = {
        "source": sha256_file(source),
        "golden": sha256_file(exported.path / "golden.npz"),
        "step": config.model_dump(mode="json"),
        "preprocess": _preprocess(spec),
        "frames": frames.fingerprint(),
        "profile": jobs.target_profile(spec, target),
        "control": control_of(engine, "int8"),
        "tools": tool_versions(),
    }
    if config.measures:
        inputs |= _measured_inputs(spec, target)

    def fill(folder: Path) -> None:
        technique = plugins.load("quantize", config.method)
        scratch = workspace.root / f"scratch-{sha256_of(inputs)[:16]}"
        with jobs.job(spec, target, source, frames, config, scratch, progress) as job:
            quantized = technique.apply(job, config)
            control = control_of(engine, quantized.precision)
            models = {quantized.precision: quantized.model} | ({"fp16": _halved(job)} if control == "fp16" else {})
        shutil.rmtree(scratch, ignore_errors=True)
        for precision, model in models.items():
            write_bytes(folder / f"{precision}.onnx", model)
        for profile, model in quantized.also.items():
            write_bytes(folder / f"{quantized.precision}-{profile}.onnx", model)
        for name, content in quantized.files.items():
            write_bytes(folder / name, content)
        data = {"data": spec.data.calibration.model_dump(mode="json"), "fingerprint": frames.fingerprint()}
        write_json(folder / RECORD, quantized.record | {"precision": quantized.precision} | data)
        golden = _read_arrays(exported.path / "golden.npz")
        for precision in models.keys() - {"fp32"}:
            golden |= typed_outputs(folder / f"{precision}.onnx", precision, golden)
        _write_arrays(folder / "golden.npz", golden)

    return workspace.stage("quantize", inputs, fill)


def control_of(engine: ModuleType, precision: str) -> str:
    """The precision of the engine that one of ``precision`` is compared with, on this backend."""
    return str(getattr(engine, "INT8_CONTROL", "fp32")) if precision == "int8" else "fp32"


def _halved(job: Job) -> bytes:
    from edgekit.quantize import half

    return half.apply(job, half.Config(method="half", dtype="fp16")).model


def _measured_inputs(spec: Spec, target: str) -> dict[str, Any]:
    """What else decides the result of a technique that trains, or measures on a target."""
    engine = spec.targets[target]
    module = plugins.load("engine", engine.engine)
    module.require(engine)
    chosen = {"validation": spec.data.validation, "training": spec.data.training}
    return {
        "target": target,
        "engine": engine.model_dump(mode="json"),
        "device": module.fingerprint(engine),
        "task": spec.task.model_dump(mode="json"),
        "seed": spec.seed,
    } | {name: data.open().fingerprint() for name, data in chosen.items() if data is not None}


def analyse_layers(
    spec: Spec, target: str, exported: Stage, frames: Dataset, by_metric: bool, progress: Progress
) -> tuple[SensitivityReport, bytes]:
    """What quantizing each layer alone costs under the spec's PTQ settings, and a picture (PNG) of it."""
    from edgekit.quantize import _sensitivity, _variants, ptq

    step = spec.compress[0].quantize if spec.compress else ptq.Config()
    config = step if isinstance(step, ptq.Config) else getattr(step, "ptq", ptq.Config())
    source = exported.path / "fp32.onnx"
    with jobs.job(spec, target, source, frames, config, None, progress, measures=by_metric) as job:
        layers = _sensitivity.analyse(_variants.Variants(job, config), job.bench)
        metric = job.bench.metric.name if job.bench else None
        report = SensitivityReport(target, job.profile, metric, layers)
    return report, _sensitivity.picture(layers, f"{spec.name}: layers by output noise in INT8")


def publish_compressed(final: Path, target: str, exported: Stage, quantized: Stage | None) -> Compressed:
    """Copy the results where the user finds them, atomically."""
    sources = {"fp32.onnx": exported.path, "golden.npz": (quantized or exported).path}
    precision = "fp32"
    if quantized is not None:
        precision = json.loads((quantized.path / RECORD).read_text(encoding="utf-8"))["precision"]
        made = {path.name: quantized.path for path in quantized.path.iterdir() if path.name != STAGE_RECORD}
        sources |= {name: path for name, path in made.items() if name != "fp32.onnx"}
    with atomic_directory(final) as folder:
        for name, source in sources.items():
            shutil.copyfile(source / name, folder / name)
    models = {name.removesuffix(".onnx"): final / name for name in sources if name.endswith(".onnx")}
    calibration = final / RECORD if quantized is not None else None
    reused = exported.reused and (quantized is None or quantized.reused)
    return Compressed(final, target, precision, models, final / "golden.npz", calibration, reused)


def build_engines(
    target: str, config: EngineConfig, compressed: Compressed, workspace: Workspace, progress: Progress
) -> Stage:
    """Engines of the wanted precision and of its control, each proven against golden where they run."""
    module = remote.backend(config, progress)
    wanted = config.precision or compressed.precision
    if wanted not in compressed.models:
        led = f"the compress step led to {compressed.precision}"
        steps = led if compressed.calibration else "the spec has no quantize step"
        raise SpecError(f"targets.{target}: precision {wanted} is not to be had: {steps}")
    precisions = list(dict.fromkeys((wanted, control_of(module, wanted))))
    unrunnable = remote.not_here(config)
    inputs = {
        "models": {p: sha256_file(compressed.models[p]) for p in precisions},
        "golden": sha256_file(compressed.golden),
        "config": config.model_dump(mode="json"),
        "device": module.fingerprint(config),
        "runs": not unrunnable,
        "proofs": proving.VERSION,
    }

    def fill(folder: Path) -> None:
        golden = _read_arrays(compressed.golden)
        reports: list[dict[str, Any]] = []
        engines = {precision: folder / f"{precision}{module.SUFFIX}" for precision in precisions}
        for precision, file in engines.items():
            model = compressed.models[precision]
            module.build(model, file, config, progress)
            reports.append(proving.prove(module, config, (file, model), precision, golden, unrunnable, progress))
        found = None if unrunnable else proving.race(module, config, engines, golden, progress)
        reports[0]["race"] = None if found is None else found.to_dict()
        write_json(folder / "parity.json", reports)

    return workspace.stage(f"engine-{target}", inputs, fill)


def publish_bundle(
    spec: Spec, target: str, final: Path, compressed: Compressed, built: Stage, judged_on: EvaluationData | None
) -> Bundle:
    """Write the bundle of one target; ``judged_on`` are its evaluation data.

    Raises:
        SpecError: the model's outputs do not fit the task.
    """
    config: EngineConfig = spec.targets[target]
    module = remote.backend(config)
    wanted = config.precision or compressed.precision
    control = control_of(module, wanted)
    roles = {
        p: EngineFile(file=f"engines/{p}{module.SUFFIX}", model=f"models/{p}.onnx", precision=p)
        for p in {wanted, control}
    }
    if remote.not_here(config):
        inputs, outputs = _golden_specs(compressed.golden, "input"), _golden_specs(compressed.golden, "output")
    else:
        with module.open(built.path / f"{wanted}{module.SUFFIX}", config) as engine:
            inputs, outputs = engine.inputs, engine.outputs
    check_interface(spec, inputs, outputs)
    contents = Contents(
        name=spec.name,
        target=target,
        inputs=inputs,
        outputs=outputs,
        preprocess=spec.preprocess,
        task=spec.task,
        evaluation=spec.data.evaluation,
        kpis=spec.kpis,
        engine=remote.on_target(config),
        candidate=roles[wanted],
        control=roles[control] if wanted != control else None,
    )
    files = {"golden.npz": compressed.golden, "parity.json": built.path / "parity.json"}
    if compressed.calibration is not None:
        files[RECORD] = compressed.calibration
    for precision, role in roles.items():
        made = f"{precision}{module.SUFFIX}"
        files |= {role.model: compressed.models[precision]}
        # An engine, and what its backend keeps beside it.
        files |= {f"engines/{path.name}": path for path in built.path.glob(f"{made}*")}
    manifest = {
        "inputs": _model_files(spec) | {"calibration": calibration_data(spec).fingerprint()},
        "calibration": {"format": spec.data.calibration.format, "real": spec.data.calibration.real},
        EVALUATION: judged_on and asdict(judged_on),
        "tools": tool_versions(),
        "device": module.fingerprint(config),
        "seed": spec.seed,
        "command": f"edgekit build edgekit.yaml --target {target}",
    }
    return write_bundle(final, contents, files, manifest)


def check_interface(spec: Spec, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Raise unless preprocess makes what the engine takes and the task reads what it gives."""
    made = {s.name: s for s in Preprocess(spec.preprocess).tensor_specs()}
    for wanted in inputs:
        if made.get(wanted.name) != wanted:
            raise SpecError(f"preprocess makes {made.get(wanted.name)}, but the engine takes {wanted}")
    spec.task.create().check_outputs(outputs)


def check_task(spec: Spec, exported: Stage) -> None:
    """Raise :class:`SpecError` unless the task can read what the model gives, before time goes into calibration."""
    spec.task.create().check_outputs(_golden_specs(exported.path / "golden.npz", "output"))


def _golden_specs(golden: Path, role: str) -> tuple[TensorSpec, ...]:
    start = f"{role}.0."
    given = {key.removeprefix(start): a for key, a in _read_arrays(golden).items() if key.startswith(start)}
    return tuple(TensorSpec(name, array.shape, array.dtype.name) for name, array in given.items())


def typed_outputs(model: Path, precision: str, golden: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of a typed ONNX file run as it is written: the reference that engines must meet."""
    from edgekit.engine import ort

    found: dict[str, Array] = {}
    engine: Engine
    with ort.open(model, ort.Config(engine="ort"), optimised=False) as engine:
        for frame in range(frames_of(golden)):
            for name, array in engine.infer(feeds_of(golden, frame)).items():
                if not np.isfinite(array).all():
                    raise ModelError(
                        f"{model.name}: output {name!r} holds NaN or infinity; check weights and preprocess"
                    )
                found[f"{precision}.{frame}.{name}"] = array.copy()
    return found


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingRequirement("PyTorch", 'pip install "edgekit[compress]"') from error
    return torch


def _preprocess(spec: Spec) -> dict[str, Any]:
    return {name: transform.model_dump(mode="json") for name, transform in spec.preprocess.items()}


def _model_files(spec: Spec) -> dict[str, str]:
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


def _write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    write_bytes(path, buffer.getvalue())


def _read_arrays(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
