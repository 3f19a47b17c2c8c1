"""The last stages: engines, proven, and the bundle around them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgekit import remote
from edgekit.bundle import (
    EVALUATION,
    GOLDEN,
    PLACE,
    PLACEMENT,
    Bundle,
    Contents,
    EngineFile,
    EvaluationData,
    write_bundle,
)
from edgekit.core import plugins
from edgekit.core.artifacts import sha256_file, write_json
from edgekit.core.errors import SpecError
from edgekit.core.golden import Golden
from edgekit.core.progress import Progress
from edgekit.core.reports import EngineProof
from edgekit.core.spec import ParityLimits, Spec
from edgekit.core.tensors import TensorSpec
from edgekit.core.workspace import Stage, Workspace
from edgekit.engine import Backend
from edgekit.preprocess import Preprocess
from edgekit.stages import keys, prove, race
from edgekit.stages.compressed import EXPORT, RECORD, Compressed, record_of
from edgekit.stages.golden import write_golden
from edgekit.stages.tools import tool_versions
from edgekit.verification.agreement import Judge


def build_engines(
    spec: Spec, target: str, backend: Backend, compressed: Compressed, workspace: Workspace, progress: Progress
) -> Stage:
    """Engines of the wanted precision and of its control, each proven against golden where they run."""
    config = backend.config
    wanted = config.precision or compressed.precision
    if wanted not in compressed.models:
        led = f"the compress step led to {compressed.precision}"
        steps = (
            led if compressed.calibration else f"the spec has no quantize step, and its model is {compressed.precision}"
        )
        raise SpecError(f"targets.{target}: precision {wanted} cannot be built: {steps}")
    precisions = list(dict.fromkeys((wanted, compressed.control(backend, wanted))))
    unrunnable = backend.runs_elsewhere()
    inputs = {
        "models": {p: sha256_file(compressed.models[p]) for p in precisions},
        "golden": sha256_file(compressed.golden),
        "config": keys.portable(config.model_dump(mode="json"), spec.base.resolve()),
        "device": backend.fingerprint(),
        "tools": keys.tools(),
        "plugin": plugins.code("engine", config.engine),
        "runs": not unrunnable,
        "proofs": prove.VERSION,
        "parity": spec.parity.model_dump(mode="json"),
        "task": keys.task(spec),
        "preprocess": keys.preprocess(spec),
        "calibration": compressed.exported.inputs.get("calibration"),
    }

    def fill(folder: Path) -> None:
        models = {precision: compressed.models[precision] for precision in precisions}
        judge = None if unrunnable else _judge(spec, compressed)
        make_engines(backend, models, Golden.read(compressed.golden), folder, progress, spec.parity, judge)

    return workspace.stage(f"engine-{target}", inputs, fill)


def make_engines(
    backend: Backend,
    models: Mapping[str, Path],
    golden: Golden,
    folder: Path,
    progress: Progress,
    limits: ParityLimits | None = None,
    judge: Judge | None = None,
) -> None:
    """Build engines into ``folder`` as ``<precision><suffix>``, prove each, and write ``parity.json``.

    Args:
        backend: that of the target.
        models: typed ONNX files by precision, the candidate's first.
        golden: see :func:`edgekit.verification.parity.compare`.
        folder: empty; it holds the result, and what the backend keeps beside its engines.
        progress: shows the steps.
        limits: the spec's, of the parity check.
        judge: the second judge of the candidate; None: it is not asked.

    Raises:
        CheckFailed: an engine does not compute what its typed model says.
    """
    unrunnable = backend.runs_elsewhere()
    proofs: list[EngineProof] = []
    engines = {precision: folder / f"{precision}{backend.suffix}" for precision in models}
    for precision, file in engines.items():
        backend.build(models[precision], file, progress)
        made, asked = (file, models[precision]), None if proofs else judge
        proofs.append(prove.prove(backend, made, precision, golden, unrunnable, progress, limits, asked))
    found = None if unrunnable else race.race(backend, engines, golden, progress)
    proofs[0] = replace(proofs[0], race=found)
    write_json(folder / "parity.json", [proof.to_dict() for proof in proofs])


def _judge(spec: Spec, compressed: Compressed) -> Judge:
    """The second judge over calibration frames: the reference is the model as it was exported."""
    task, preprocess = spec.task.create(), Preprocess(spec.preprocess)
    source = compressed.models["fp32" if compressed.calibration else compressed.precision]
    return prove.judge_of(task, preprocess, spec.data.calibration.open(), source, spec.parity)


def publish_bundle(
    spec: Spec,
    target: str,
    backend: Backend,
    final: Path,
    compressed: Compressed,
    built: Stage,
    judged_on: EvaluationData | None,
    origins: Mapping[str, Any],
) -> Bundle:
    """Write the bundle of one target.

    Args:
        spec: names the rest of what a bundle holds.
        target: one of its targets.
        backend: what built its engines.
        final: the folder.
        compressed: the typed models.
        built: the engines.
        judged_on: the evaluation data.
        origins: what the manifest says of the model's and the calibration's origin.

    Raises:
        SpecError: the model's outputs do not fit the task.
    """
    config = backend.config
    wanted = config.precision or compressed.precision
    control = compressed.control(backend, wanted)
    roles = {
        p: EngineFile(file=f"engines/{p}{backend.suffix}", model=f"models/{p}.onnx", precision=p)
        for p in {wanted, control}
    }
    inputs, outputs = _interface(backend, built.path / f"{wanted}{backend.suffix}", compressed)
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
        parity=spec.parity,
        engine=remote.on_target(config),
        candidate=roles[wanted],
        control=roles[control] if wanted != control else None,
    )
    files = {"parity.json": built.path / "parity.json"}
    for precision, role in roles.items():
        files |= {role.model: compressed.models[precision]} | engine_files(built.path, f"{precision}{backend.suffix}")
    facts = {
        **origins,
        PLACEMENT: backend.quantization_profile() if wanted == "int8" else None,
        EVALUATION: judged_on and asdict(judged_on),
        "export": json.loads((compressed.exported.path / EXPORT).read_text(encoding="utf-8")),
        "tools": tool_versions(),
        "device": backend.fingerprint(),
        "seed": spec.seed,
        PLACE: str(final.resolve()),
        "command": f"edgekit build edgekit.yaml --target {target}",
    }
    with tempfile.TemporaryDirectory(prefix="edgekit-bundle-") as scratch:
        frames, origin = write_golden(spec, compressed, wanted, Path(scratch))
        if compressed.calibration is not None:
            files[RECORD] = Path(scratch) / RECORD
            write_json(files[RECORD], record_of(spec, compressed))
        return write_bundle(final, contents, files | frames, facts | {GOLDEN: origin.model_dump(mode="json")})


def _interface(
    backend: Backend, engine: Path, compressed: Compressed
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of an engine; of one that runs elsewhere those of its model."""
    if backend.runs_elsewhere():
        golden = Golden.read(compressed.golden)
        return golden.interface("input"), golden.interface("output")
    with backend.engine(engine) as opened:
        return opened.inputs, opened.outputs


def engine_files(folder: Path, made: str) -> dict[str, Path]:
    """The engine ``made`` and what its backend keeps beside it, by their places in a bundle."""
    return {f"engines/{path.name}": path for path in folder.glob(f"{made}*")}


def check_interface(spec: Spec, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Raise unless preprocess makes what the engine takes and the task reads what it gives."""
    made = {s.name: s for s in Preprocess(spec.preprocess).tensor_specs()}
    for wanted in inputs:
        if made.get(wanted.name) != wanted:
            raise SpecError(f"preprocess makes {made.get(wanted.name)}, but the engine takes {wanted}")
    spec.task.create().check_outputs(outputs)
