"""The compress steps of a spec, one after the other: each is a stage of its own, and resumes by itself.

A step that changes the function gives another float network, which the next step goes on from: with golden outputs of
its own, and rebuilt from the user's network by the techniques that changed it.  One that changes the numbers gives the
typed models that engines are built from.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core import plugins
from edgekit.core.artifacts import sha256_file, write_bytes, write_json
from edgekit.core.errors import ModelError
from edgekit.core.golden import Golden
from edgekit.core.progress import Progress
from edgekit.core.reports import TRACE
from edgekit.core.spec import CompressStep, Spec
from edgekit.core.variant import Edit, Lineage, Variant, name_of
from edgekit.core.workspace import Stage, Workspace, key_of
from edgekit.data import Dataset
from edgekit.engine import Backend
from edgekit.model import handover
from edgekit.preprocess import Preprocess
from edgekit.runtime import sessions
from edgekit.stages import changed, keys, labels
from edgekit.stages import job as jobs
from edgekit.stages.compressed import CONTROL_GOLDEN, GOLDEN, RECORD, Compressed
from edgekit.stages.typed import typed_outputs
from edgekit.technique import Job, Link, Quantized, TechniqueConfig

if TYPE_CHECKING:
    from types import ModuleType

LINKS = "chain.json"
"""The steps that a technique which chooses among chains took before its numbers: key, and what it chose."""
OWN = changed.FILES | {CONTROL_GOLDEN, LINKS, TRACE} | {f"{precision}.onnx" for precision in ("int8", "fp16", "bf16")}
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


@dataclass(frozen=True)
class Chain:
    """What every step of one run is made with; ``start`` is the user's own network.

    ``calibrations`` is shared by the chains of one target's runtimes: that of every :class:`edgekit.technique.Job`.
    """

    target: str
    backend: Backend
    workspace: Workspace
    start: Point
    frames: Dataset
    progress: Progress
    calibrations: dict[str, Any] = field(default_factory=dict)

    def after(self, point: Point, step: CompressStep) -> Point:
        """Where the chain stands after a step that changes the function."""
        stage = run_step(self, point, step)
        return changed.after(point, step, _edit(step, stage), stage)


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
    chain = Chain(target, backend, workspace, Point.of(spec, exported), frames, progress)
    return finished(chain, reached(chain))


def reached(chain: Chain) -> Point:
    """Where the steps that change the function lead to."""
    point = chain.start
    for step in point.spec.compress:
        if step.technique.changes == "function":
            point = chain.after(point, step)
    return point


def finished(chain: Chain, point: Point) -> Compressed:
    """What the last step makes of ``point``, that :func:`reached` gave: the typed models of the chain's backend."""
    start, steps = chain.start, chain.start.spec.compress
    if not steps:
        return _exported_alone(start, chain.target, chain.workspace)
    last = steps[-1]
    if last.technique.changes == "numbers":
        stage = run_step(chain, point, last)
        for link in _links(last, stage):
            point = chain.after(point, link)
        return _typed(chain, replace(point, stages=(*point.stages, stage)), _edit(last, stage), stage)
    found = [_control(start), point.variant("fp32", point.model, point.golden, None, None)]
    variants = {variant.name: variant for variant in found}
    path, exported = point.stages[-1].path, point.stages[0]
    return Compressed(path, chain.target, variants, found[-1].name, _files(point), exported, point.stages)


def _edit(step: CompressStep, stage: Stage) -> Edit:
    return Edit(step.kind, step.technique.method, step.technique.changes, stage.key)


def _files(point: Point) -> dict[str, Path]:
    """What the steps left beside their models, by name; for the user's own code, the last network alone."""
    files: dict[str, Path] = {}
    for stage in point.stages[1:]:
        if (stage.path / changed.CHANGE).exists():
            files = {name: path for name, path in files.items() if name not in handover.FILES}
        files |= {path.name: path for path in stage.path.iterdir() if path.name not in OWN}
    return files


def _links(step: CompressStep, stage: Stage) -> tuple[CompressStep, ...]:
    """The steps before the numbers of a stage that chose a chain; as the spec has them, but for what was chosen."""
    file = stage.path / LINKS
    if not file.is_file():
        return ()
    found = json.loads(file.read_text(encoding="utf-8"))
    return tuple(_linked(step.technique, Link(kind, chosen)) for kind, chosen in found)


def _linked(config: TechniqueConfig, link: Link) -> CompressStep:
    return CompressStep.model_validate({link.kind: config.linked(link)})


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
        "sessions": sessions.settings(),
        "tools": keys.tools(),
    }

    def fill(folder: Path) -> None:
        made = Golden.read(golden)
        made.with_reference(precision, typed_outputs(source, made)).write(folder / golden.name)

    return workspace.stage("golden", inputs, fill).path / golden.name


def _typed(chain: Chain, point: Point, edit: Edit, stage: Stage) -> Compressed:
    """The variants after a step that changed the numbers."""
    start, backend = chain.start, chain.backend
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
    return Compressed(stage.path, chain.target, variants, final, _files(point), point.stages[0], point.stages)


def _control(start: Point) -> Variant:
    """The user's own network in FP32."""
    return start.variant("fp32", start.model, start.golden, None, None)


def run_step(chain: Chain, point: Point, step: CompressStep) -> Stage:
    """The stage of one step that begins at ``point``."""
    spec, config, workspace = point.spec, step.technique, chain.workspace
    inputs = _inputs(chain, point, step)

    def fill(folder: Path) -> None:
        require_float32(spec, point.model)
        scratch = workspace.root / f"scratch-{key_of(inputs)}"
        if workspace.fresh:
            shutil.rmtree(scratch, ignore_errors=True)
        with contextlib.ExitStack() as stack:
            job = stack.enter_context(_job(chain, point, config, scratch))
            job = replace(job, after=partial(_job_after, chain, point, config, stack))
            made = technique_of(step).apply(job, config)
            if (scratch / TRACE).is_dir():
                shutil.copytree(scratch / TRACE, folder / TRACE)
            if config.changes == "function":
                changed.write(folder, point, step, made, chain.frames)
            else:
                _write_typed(folder, chain, *_reached(chain, point, config, job, made), made)
        shutil.rmtree(scratch, ignore_errors=True)

    return workspace.stage(step.kind, inputs, fill)


def _job(
    chain: Chain, point: Point, config: TechniqueConfig, scratch: Path | None
) -> contextlib.AbstractContextManager[Job]:
    given = jobs.Given(chain.start.spec, chain.start.model, point.edits)
    return jobs.job(
        point.spec,
        chain.target,
        chain.backend,
        point.model,
        chain.frames,
        config,
        scratch,
        chain.progress,
        given=given,
        calibrations=chain.calibrations,
    )


def _job_after(
    chain: Chain, point: Point, config: TechniqueConfig, stack: contextlib.ExitStack, links: Sequence[Link]
) -> Job:
    """The job of ``config`` behind further steps, which are made where they are not there yet."""
    for link in links:
        point = chain.after(point, _linked(config, link))
    return stack.enter_context(_job(chain, point, config, None))


def _reached(chain: Chain, point: Point, config: TechniqueConfig, job: Job, made: Quantized) -> tuple[Point, Job]:
    """The point and the job that ``made`` was made at."""
    if not made.links:
        return point, job
    for link in made.links:
        point = chain.after(point, _linked(config, link))
    model, frames = point.model, jobs.Feeds(Preprocess(point.spec.preprocess), chain.frames)
    return point, replace(job, source=model, frames=frames)


def technique_of(step: CompressStep) -> ModuleType:
    """The module of a step's technique."""
    if step.kind == "auto":
        from edgekit import ladder

        return ladder
    return plugins.load(step.kind, step.technique.method)


def _inputs(chain: Chain, point: Point, step: CompressStep) -> dict[str, Any]:
    """What decides the result of a step."""
    start, backend, frames = chain.start, chain.backend, chain.frames
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
        "sessions": sessions.settings(),
        "tools": keys.tools(),
        "plugins": {step.kind: code, "engine": plugins.code("engine", backend.config.engine)},
    }
    if config.measures or config.changes == "function" or code:
        inputs |= _measured_inputs(spec, chain)
    return inputs


def _measured_inputs(spec: Spec, chain: Chain) -> dict[str, Any]:
    """What else decides the result of a technique that trains, edits the network, or measures on a target."""
    backend = chain.backend
    backend.require()
    chosen = [role for role in ("validation", "training") if getattr(spec.data, role) is not None]
    base = spec.base.resolve()
    return {
        "network": chain.start.stages[0].key,  # the technique may train the network itself, not only the graph
        "target": chain.target,
        "engine": keys.portable(backend.config.model_dump(mode="json"), base),
        "device": backend.fingerprint(),
        "task": keys.task(spec),
        "loss": keys.loss(spec.task.kind),
        "seed": spec.seed,
    } | {role: keys.frames(getattr(spec.data, role), labels.of(spec, role).dataset, labelled=True) for role in chosen}


def _write_typed(folder: Path, chain: Chain, point: Point, job: Job, made: Quantized) -> None:
    """Typed ONNX files, the record of how they were made, and golden outputs of theirs."""
    from edgekit.model import opset

    start, backend, frames = chain.start, chain.backend, chain.frames
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
    if made.links:
        write_json(folder / LINKS, [[link.kind, dict(link.chosen)] for link in made.links])
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
