"""The compress steps of a spec, one after the other: each is a stage of its own, and resumes by itself.

A step that changes the function gives another float network, which the next step goes on from: with golden outputs of
its own, and rebuilt from the user's network by the techniques that changed it.  One that changes the numbers gives the
typed models that engines are built from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core import plugins
from edgekit.core.artifacts import sha256_file, write_bytes, write_json
from edgekit.core.errors import ModelError
from edgekit.core.golden import Golden
from edgekit.core.progress import Progress
from edgekit.core.spec import CompressStep, Spec
from edgekit.core.variant import Edit, Lineage, Variant, name_of
from edgekit.core.workspace import Stage, Workspace, key_of
from edgekit.data import Dataset
from edgekit.engine import Backend
from edgekit.preprocess import Preprocess
from edgekit.runtime import sessions
from edgekit.stages import changed, keys, labels
from edgekit.stages import job as jobs
from edgekit.stages.compressed import CONTROL_GOLDEN, GOLDEN, RECORD, Compressed
from edgekit.stages.typed import typed_outputs
from edgekit.technique import Job, Quantized

if TYPE_CHECKING:
    from types import ModuleType

OWN = changed.FILES | {CONTROL_GOLDEN} | {f"{precision}.onnx" for precision in ("int8", "fp16", "bf16")}
"""What a step keeps under names of its own; the rest is what people look at, and further exports."""


@dataclass(frozen=True)
class Point:
    """Where a chain stands between two steps: a float model, and the way to its network.

    Args:
        spec: with the input shapes and the preprocessing of this model.
        model: FP32 ONNX file.
        golden: golden inputs and outputs of this model.
        lineage: how it came about.
        edits: what changed the user's network, in order.
        stages: that led here, the export first.
    """

    spec: Spec
    model: Path
    golden: Path
    lineage: Lineage
    edits: tuple[changed.Made, ...] = ()
    stages: tuple[Stage, ...] = ()

    @classmethod
    def of(cls, spec: Spec, exported: Stage) -> Point:
        """The user's own network."""
        model = exported.path / "fp32.onnx"
        return cls(spec, model, exported.path / GOLDEN, Lineage(sha256_file(model)), (), (exported,))

    def variant(self, precision: str, model: Path, golden: Path, placement: str | None, edit: Edit | None) -> Variant:
        """A model of this function."""
        lineage = self.lineage if edit is None else self.lineage.then(edit)
        sections = {name: section.model_dump(mode="json") for name, section in self.spec.preprocess.items()}
        chosen = sections if self.edits else {}
        return Variant(name_of(precision, lineage), precision, placement, lineage, model, golden, self.model, chosen)


def run(
    spec: Spec,
    target: str,
    backend: Backend,
    workspace: Workspace,
    exported: Stage,
    frames: Dataset,
    progress: Progress,
) -> Compressed:
    """Run the spec's compress steps; without any, the exported model is what there is, in its own precision."""
    point = start = Point.of(spec, exported)
    if not spec.compress:
        return _exported_alone(start, target, workspace)
    files: dict[str, Path] = {}
    for step in spec.compress:
        stage = run_step(step, target, backend, workspace, start, point, frames, progress)
        edit = Edit(step.kind, step.technique.method, step.technique.changes, stage.key)
        files |= {path.name: path for path in stage.path.iterdir() if path.name not in OWN}
        if edit.changes == "numbers":
            return _typed(start, replace(point, stages=(*point.stages, stage)), edit, stage, files, target, backend)
        point = changed.after(point, step, edit, stage)
    found = [_control(start), point.variant("fp32", point.model, point.golden, None, None)]
    variants = {variant.name: variant for variant in found}
    return Compressed(stage.path, target, variants, found[-1].name, files, exported, point.stages)


def _exported_alone(start: Point, target: str, workspace: Workspace) -> Compressed:
    """The exported model, called what it is; one that is not float32 has golden outputs of its own."""
    from edgekit.model import onnxops

    precision, (exported,) = onnxops.precision_of(start.model), start.stages
    golden = start.golden if precision == "fp32" else _own_golden(start.model, precision, start.golden, workspace)
    variant = start.variant(precision, start.model, golden, None, None)
    return Compressed(exported.path, target, {variant.name: variant}, variant.name, {}, exported, start.stages)


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


def _typed(
    start: Point, point: Point, edit: Edit, stage: Stage, files: Mapping[str, Path], target: str, backend: Backend
) -> Compressed:
    """The variants after a step that changed the numbers."""
    precision = json.loads((stage.path / RECORD).read_text(encoding="utf-8"))["precision"]
    golden = stage.path / GOLDEN
    placement = backend.quantization_profile() if precision == "int8" else None
    found = [_control(start), point.variant("fp32", point.model, golden, None, None)]
    if precision != "fp32":
        found.append(point.variant(precision, stage.path / f"{precision}.onnx", golden, placement, edit))
    final = found[-1].name
    if (stage.path / "fp16.onnx").is_file() and precision != "fp16":
        kept = golden if not point.edits else stage.path / CONTROL_GOLDEN
        found.append(start.variant("fp16", stage.path / "fp16.onnx", kept, None, edit))
    variants = {variant.name: variant for variant in found}
    return Compressed(stage.path, target, variants, final, files, point.stages[0], point.stages)


def _control(start: Point) -> Variant:
    """The user's own network in FP32."""
    return start.variant("fp32", start.model, start.golden, None, None)


def run_step(
    step: CompressStep,
    target: str,
    backend: Backend,
    workspace: Workspace,
    start: Point,
    point: Point,
    frames: Dataset,
    progress: Progress,
) -> Stage:
    """The stage of one step: ``point`` is where it begins, ``start`` the user's own network."""
    spec, config = point.spec, step.technique
    inputs = _inputs(step, target, backend, start, point, frames)

    def fill(folder: Path) -> None:
        require_float32(spec, point.model)
        scratch = workspace.root / f"scratch-{key_of(inputs)}"
        if workspace.fresh:
            shutil.rmtree(scratch, ignore_errors=True)
        given = jobs.Given(start.spec, start.model, point.edits)
        with jobs.job(spec, target, backend, point.model, frames, config, scratch, progress, given=given) as job:
            made = technique_of(step).apply(job, config)
            if config.changes == "function":
                changed.write(folder, point, step, made, frames)
            else:
                _write_typed(folder, backend, start, point, job, made, frames, progress)
        shutil.rmtree(scratch, ignore_errors=True)

    return workspace.stage(step.kind, inputs, fill)


def technique_of(step: CompressStep) -> ModuleType:
    """The module of a step's technique."""
    if step.kind == "auto":
        from edgekit import ladder

        return ladder
    return plugins.load(step.kind, step.technique.method)


def _inputs(
    step: CompressStep, target: str, backend: Backend, start: Point, point: Point, frames: Dataset
) -> dict[str, Any]:
    """What decides the result of a step."""
    spec, config = point.spec, step.technique
    code = "" if step.kind == "auto" else plugins.code(step.kind, config.method)
    inputs: dict[str, Any] = {
        "source": sha256_file(point.model),
        "golden": sha256_file(point.golden),
        "control golden": sha256_file(start.golden),
        "lineage": point.lineage.to_dict(),
        "step": keys.portable(config.model_dump(mode="json"), spec.base.resolve()),
        "reads": [sha256_file(path) for path in config.reads()],
        "preprocess": keys.preprocess(spec),
        "calibration": keys.frames(spec.data.calibration, frames),
        "profile": backend.quantization_profile(),
        "control": backend.control("int8"),
        "sessions": sessions.SETTINGS,
        "tools": keys.tools(),
        "plugins": {step.kind: code, "engine": plugins.code("engine", spec.targets[target].engine)},
    }
    if config.measures or config.changes == "function" or code:
        inputs |= _measured_inputs(spec, target, backend, start)
    return inputs


def _measured_inputs(spec: Spec, target: str, backend: Backend, start: Point) -> dict[str, Any]:
    """What else decides the result of a technique that trains, edits the network, or measures on a target."""
    backend.require()
    chosen = [role for role in ("validation", "training") if getattr(spec.data, role) is not None]
    base = spec.base.resolve()
    return {
        "network": start.stages[0].key,  # the technique may train the network itself, not only the graph
        "target": target,
        "engine": keys.portable(backend.config.model_dump(mode="json"), base),
        "device": backend.fingerprint(),
        "task": keys.task(spec),
        "loss": keys.loss(spec.task.kind),
        "seed": spec.seed,
    } | {role: keys.frames(getattr(spec.data, role), labels.of(spec, role).dataset, labelled=True) for role in chosen}


def _write_typed(
    folder: Path,
    backend: Backend,
    start: Point,
    point: Point,
    job: Job,
    made: Quantized,
    frames: Dataset,
    progress: Progress,
) -> None:
    """Typed ONNX files, the record of how they were made, and golden outputs of theirs."""
    from edgekit.model import opset

    models = {made.precision: made.model}
    halved = backend.control(made.precision) == "fp16" != made.precision
    if halved:  # the control's: of the user's own network, on the frames as they go into that
        own = jobs.Feeds(Preprocess(start.spec.preprocess), frames)
        models["fp16"] = _halved(replace(job, source=start.model, frames=own))
    for precision, model in models.items():
        write_bytes(folder / f"{precision}.onnx", opset.lowered(model))
    for profile, model in made.also.items():
        write_bytes(folder / f"{made.precision}-{profile}.onnx", opset.lowered(model))
    for name, content in made.files.items():
        write_bytes(folder / name, content)
    data = {"fingerprint": frames.fingerprint()}
    write_json(folder / RECORD, dict(made.record) | {"precision": made.precision} | data)
    golden, control = Golden.read(point.golden), Golden.read(start.golden)
    for precision in sorted(models.keys() - {"fp32"}):
        file = folder / f"{precision}.onnx"
        if point.edits and halved and precision == "fp16":
            control = control.with_reference(precision, typed_outputs(file, control))
        else:
            golden = golden.with_reference(precision, typed_outputs(file, golden))
    golden.write(folder / GOLDEN)
    if point.edits and halved:
        control.write(folder / CONTROL_GOLDEN)


def require_float32(spec: Spec, source: Path) -> None:
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


def float_name(lineage: Lineage) -> str:
    """The name of the float variant of the same function."""
    return name_of("fp32", lineage)
