"""The last stages: engines, proven, and the bundle around them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgekit import remote
from edgekit.bundle import (
    CONTEST,
    DIRTY,
    EVALUATION,
    GOLDEN,
    INPUT_STATISTICS,
    PLACE,
    PLACEMENT,
    REVISION,
    TRAINING,
    VARIANTS,
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
from edgekit.core.revision import revision_of
from edgekit.core.spec import InputSection, ParityLimits, Spec
from edgekit.core.tensors import TensorSpec
from edgekit.core.variant import Variant
from edgekit.core.workspace import Stage, Workspace
from edgekit.engine import Backend, EngineConfig
from edgekit.preprocess import Preprocess
from edgekit.stages import keys, prove, race
from edgekit.stages.compressed import CONTROL_GOLDEN, EXPORT, RECORD, Compressed, record_of
from edgekit.stages.compressed import GOLDEN as GOLDEN_FILE
from edgekit.stages.golden import write_golden, write_tensors
from edgekit.stages.reference import write_reference
from edgekit.stages.tools import tool_versions
from edgekit.stages.typed import TypedModel
from edgekit.verification.agreement import TaskComparison

SECTIONS: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, InputSection])


def build_engines(
    spec: Spec, target: str, backend: Backend, compressed: Compressed, workspace: Workspace, progress: Progress
) -> Stage:
    """Engines of the wanted precision and of its control, each proven against golden where they run."""
    config = backend.config
    wanted = candidate_of(target, config, compressed)
    variants = list({variant.name: variant for variant in (wanted, compressed.control(backend, wanted))}.values())
    unrunnable = backend.runs_elsewhere()
    inputs = {
        "models": {variant.name: sha256_file(variant.model) for variant in variants},
        "golden": {variant.name: sha256_file(variant.golden) for variant in variants},
        "lineage": {variant.name: variant.lineage.to_dict() for variant in variants},
        "config": keys.portable(config.model_dump(mode="json"), spec.base.resolve()),
        "device": backend.fingerprint(),
        "tools": keys.tools(),
        "plugin": plugins.code("engine", config.engine),
        "runs": not unrunnable,
        "proofs": prove.VERSION,
        "parity": spec.parity.model_dump(mode="json"),
        "task": keys.task(spec),
        "preprocess": {"spec": keys.preprocess(spec), "changed": dict(wanted.preprocess)},
        "calibration": compressed.exported.inputs.get("calibration"),
    }

    def fill(folder: Path) -> None:
        models = [TypedModel(v.name, v.precision, v.model, Golden.read(v.golden)) for v in variants]
        comparison = None if unrunnable else _comparison(spec, wanted)
        make_engines(backend, models, folder, progress, spec.parity, comparison)
        write_reference(spec, folder)  # its key covers the calibration frames, which take time to read

    one_of_several = spec.targets[target].engine != config.engine
    name = f"engine-{target}-{config.engine}" if one_of_several else f"engine-{target}"
    return workspace.stage(name, inputs, fill)


def candidate_of(target: str, config: EngineConfig, compressed: Compressed) -> Variant:
    """The model that the target's engine is built from.

    Raises:
        SpecError: the steps lead to none in the target's precision.
    """
    found = compressed.candidate(config.precision)
    if found is None:
        led = f"the compress steps lead to {compressed.precision}"
        alone = f"the spec has no quantize step, and its model is {compressed.precision}"
        steps = led if compressed.calibration else alone
        raise SpecError(f"targets.{target}: precision {config.precision} cannot be built: {steps}")
    return found


def make_engines(
    backend: Backend,
    models: Sequence[TypedModel],
    folder: Path,
    progress: Progress,
    limits: ParityLimits | None = None,
    comparison: TaskComparison | None = None,
) -> None:
    """Build engines into ``folder`` as ``<name><suffix>``, prove each, and write ``parity.json``.

    Args:
        backend: that of the target.
        models: what they are made from, the candidate's first.
        folder: empty; it holds the result, and what the backend keeps beside its engines.
        progress: shows the steps.
        limits: the spec's, of the parity check.
        comparison: the second check of the candidate; None: it is not asked.

    Raises:
        CheckFailed: an engine does not compute what its typed model says.
    """
    unrunnable = backend.runs_elsewhere()
    proofs: list[EngineProof] = []
    engines = {typed.name: folder / f"{typed.name}{backend.suffix}" for typed in models}
    for typed in models:
        file, asked = engines[typed.name], None if proofs else comparison
        backend.build(typed.model, file, progress)
        made = (file, typed.model)
        proofs.append(prove.prove(backend, made, typed.precision, typed.golden, unrunnable, progress, limits, asked))
    found = None if unrunnable else race.race(backend, engines, models, progress)
    proofs[0] = replace(proofs[0], race=found)
    write_json(folder / "parity.json", [proof.to_dict() for proof in proofs])


def _comparison(spec: Spec, wanted: Variant) -> TaskComparison:
    """The second comparison over calibration frames: the reference is the float model of the same function."""
    task, preprocess = spec.task.create(), Preprocess(sections_of(spec, wanted))
    return prove.comparison_of(task, preprocess, spec.data.calibration.open(), wanted.reference, spec.parity)


def sections_of(spec: Spec, variant: Variant) -> dict[str, Any]:
    """The preprocessing of a variant: the spec's, or what a step made of it."""
    return SECTIONS.validate_python(dict(variant.preprocess)) if variant.preprocess else dict(spec.preprocess)


def _records(spec: Spec, compressed: Compressed, folder: Path) -> dict[str, Path]:
    """How the ranges were found and how it trained, where it did: written into ``folder``."""
    documents: dict[str, dict[str, Any]] = {}
    if compressed.calibration is not None:
        documents[RECORD] = record_of(spec, compressed)
    if (trained := compressed.training()) is not None:
        documents[TRAINING] = trained.to_dict()
    for name, document in documents.items():
        write_json(folder / name, document)
    return {name: folder / name for name in documents}


def publish_bundle(
    spec: Spec,
    target: str,
    backend: Backend,
    final: Path,
    compressed: Compressed,
    built: Stage,
    evaluation_data: EvaluationData | None,
    origins: Mapping[str, Any],
    contest: Stage | None = None,
) -> Bundle:
    """Write the bundle of one target.

    Args:
        spec: names the rest of what a bundle holds.
        target: one of its targets.
        backend: what built its engines.
        final: the folder.
        compressed: the typed models.
        built: the engines.
        evaluation_data: the evaluation data.
        origins: what the manifest says of the model's and the calibration's origin.
        contest: which runtimes it was chosen among; None: the target names it.

    Raises:
        SpecError: the model's outputs do not fit the task.
    """
    wanted = candidate_of(target, backend.config, compressed)
    control = compressed.control(backend, wanted)
    sections = sections_of(spec, wanted)
    roles = {variant.name: _role(variant, backend.suffix, spec, wanted) for variant in (control, wanted)}
    inputs, outputs = _interface(backend, built.path / f"{wanted.name}{backend.suffix}", wanted)
    check_interface(spec, sections, inputs, outputs)
    contents = _contents(
        spec, target, backend.config, sections, (inputs, outputs), roles[wanted.name], roles[control.name]
    )
    kept = ("parity.json", INPUT_STATISTICS)
    files = {name: built.path / name for name in kept if (built.path / name).exists()}
    if contest is not None:
        files[CONTEST] = contest.path / CONTEST
    for variant in (control, wanted):
        files |= {roles[variant.name].model: variant.model}
        files |= engine_files(built.path, f"{variant.name}{backend.suffix}")
    facts = {
        **origins,
        PLACEMENT: wanted.placement,
        EVALUATION: evaluation_data and asdict(evaluation_data),
        VARIANTS: {name: document for name, document in compressed.lineage().items() if name in roles},
        PLACE: str(final.resolve()),
        **_made_by(spec, target, compressed),
        "device": backend.made_for(built.path / f"{wanted.name}{backend.suffix}"),
    }
    with tempfile.TemporaryDirectory(prefix="edgekit-bundle-") as scratch:
        frames, origin = write_golden(spec, sections, compressed, wanted, Path(scratch))
        if roles[control.name].golden != roles[wanted.name].golden:
            files[roles[control.name].golden] = write_tensors(control, Path(scratch) / roles[control.name].golden)
        files |= frames | _records(spec, compressed, Path(scratch))
        return write_bundle(final, contents, files, facts | {GOLDEN: origin.model_dump(mode="json")})


def _made_by(spec: Spec, target: str, compressed: Compressed) -> dict[str, Any]:
    """What a manifest says of the command, the tools and the commit that made the bundle."""
    return {
        "export": json.loads((compressed.exported.path / EXPORT).read_text(encoding="utf-8")),
        "tools": tool_versions(),
        "seed": spec.seed,
        "command": f"edgekit build edgekit.yaml --target {target}",
        **_revision(spec),
    }


def _revision(spec: Spec) -> dict[str, Any]:
    """The commit of the project; no key of a stage, since what decides results is covered by the files themselves."""
    found = revision_of(spec.base)
    return {} if found is None else {REVISION: found.commit, DIRTY: found.dirty}


def _contents(
    spec: Spec,
    target: str,
    config: EngineConfig,
    sections: dict[str, Any],
    interface: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
    candidate: EngineFile,
    control: EngineFile,
) -> Contents:
    """``bundle.json``; a control that is the candidate itself is none."""
    return Contents(
        name=spec.name,
        target=target,
        inputs=interface[0],
        outputs=interface[1],
        preprocess=sections,
        task=spec.task,
        evaluation=spec.data.evaluation,
        kpis=spec.kpis,
        parity=spec.parity,
        engine=remote.on_target(config),
        candidate=candidate,
        control=control if control != candidate else None,
    )


def _interface(
    backend: Backend, engine: Path, wanted: Variant
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of an engine; of one that runs elsewhere those of its model."""
    if backend.runs_elsewhere():
        golden = Golden.read(wanted.golden)
        return golden.interface("input"), golden.interface("output")
    with backend.engine(engine) as opened:
        return opened.inputs, opened.outputs


def engine_files(folder: Path, made: str) -> dict[str, Path]:
    """The engine ``made`` and what its backend keeps beside it, by their places in a bundle."""
    return {f"engines/{path.name}": path for path in folder.glob(f"{made}*")}


def _role(variant: Variant, suffix: str, spec: Spec, candidate: Variant) -> EngineFile:
    """How a bundle names a variant's files; a control of another function has golden arrays and inputs of its own."""
    own = candidate.changed and not variant.changed
    return EngineFile(
        file=f"engines/{variant.name}{suffix}",
        model=f"models/{variant.name}.onnx",
        precision=variant.precision,
        golden=CONTROL_GOLDEN if own else GOLDEN_FILE,
        preprocess=dict(spec.preprocess) if own else None,
    )


def check_interface(
    spec: Spec, sections: Mapping[str, Any], inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> None:
    """Raise unless preprocess makes what the engine takes and the task reads what it gives."""
    made = {s.name: s for s in Preprocess(sections).tensor_specs()}
    for wanted in inputs:
        if made.get(wanted.name) != wanted:
            raise SpecError(f"preprocess makes {made.get(wanted.name)}, but the engine takes {wanted}")
    spec.task.create().check_outputs(outputs)
