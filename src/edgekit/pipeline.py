"""The product in one file: what each command does, in order.

Every function here is a command of the CLI and a function of the Python API.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from edgekit import evaluation, profiling, report, stages
from edgekit.bundle import Bundle, open_bundle
from edgekit.core import plugins
from edgekit.core.artifacts import require_writable, write_bytes, write_json
from edgekit.core.errors import DataError, SpecError
from edgekit.core.plugins import allowed
from edgekit.core.progress import Progress, Silent
from edgekit.core.reports import EvaluateReport, GateReport, ProfileReport, SensitivityReport, VerifyReport
from edgekit.core.spec import Spec
from edgekit.core.specfile import read_spec
from edgekit.core.workspace import Workspace, alone
from edgekit.data import Dataset
from edgekit.engine import Engine
from edgekit.gate import judge, measured
from edgekit.profiling import Load
from edgekit.stages import Compressed
from edgekit.verify import compare

SILENT = Silent()


def compress(
    spec: Spec | Path, out: Path | None = None, target: str | None = None, progress: Progress = SILENT
) -> Compressed:
    """Load the model, export it, quantize it: typed ONNX, golden inputs and outputs, calibration record.

    Args:
        spec: a spec, or the path of its file.
        out: folder for the results; default ``artifacts`` beside the spec.
        target: the target to compress for; default: the first of the spec.
        progress: shows steps.
    """
    spec = _spec(spec)
    target = _target(spec, target or next(iter(spec.targets)))
    with alone(spec.base):
        return _compress(spec, target, out, progress)


def _compress(spec: Spec, target: str, out: Path | None, progress: Progress) -> Compressed:
    require_writable(_out(spec, out))
    workspace = Workspace(spec.base / ".edgekit")
    frames = stages.calibration_data(spec)
    exported = stages.export_model(spec, workspace, frames, progress)
    stages.check_task(spec, exported)
    quantized = stages.quantize_model(spec, target, workspace, exported, frames, progress) if spec.compress else None
    return stages.publish_compressed(_out(spec, out) / f"{spec.name}-compressed", target, exported, quantized)


def sensitivity(
    spec: Spec | Path,
    target: str | None = None,
    by_metric: bool = False,
    out: Path | None = None,
    progress: Progress = SILENT,
) -> SensitivityReport:
    """Quantize each layer alone and rank the layers by what that costs; writes ``sensitivity.json`` and ``.png``.

    Args:
        spec: a spec, or the path of its file.
        target: decides the Q/DQ placement; default: the first of the spec.
        by_metric: measure the loss of the task metric too, on the validation frames; much slower.
        out: folder for the results; default ``artifacts`` beside the spec.
        progress: shows steps.
    """
    spec = _spec(spec)
    target = _target(spec, target or next(iter(spec.targets)))
    folder = _out(spec, out)
    require_writable(folder)
    with alone(spec.base):
        frames = stages.calibration_data(spec)
        exported = stages.export_model(spec, Workspace(spec.base / ".edgekit"), frames, progress)
        found, picture = stages.analyse_layers(spec, target, exported, frames, by_metric, progress)
    write_json(folder / "sensitivity.json", found.to_dict())
    write_bytes(folder / "sensitivity.png", picture)
    return found


def build(spec: Spec | Path, target: str, out: Path | None = None, progress: Progress = SILENT) -> Bundle:
    """Build the target's engine and its FP32 control, prove both against golden, write the bundle."""
    spec = _spec(spec)
    config = spec.targets[_target(spec, target)]
    plugins.load("engine", config.engine).require(config)  # no work for an engine that is not here
    with alone(spec.base):
        compressed = _compress(spec, target, out, progress)
        workspace = Workspace(spec.base / ".edgekit")
        built = stages.build_engines(target, config, compressed, workspace, progress)
        return stages.publish_bundle(spec, target, _out(spec, out) / f"{spec.name}-{target}", compressed, built)


def verify(bundle: Bundle | Path, progress: Progress = SILENT) -> VerifyReport:
    """Run the bundle's engine on its golden inputs and compare the outputs."""
    bundle = _bundle(bundle)
    candidate = bundle.contents.candidate
    with bundle.engine() as engine, progress.track("verify"):
        return compare(engine, bundle.golden(), candidate.precision, bundle=bundle.identity, name=candidate.file)


def evaluate(bundle: Bundle | Path, root: Path | None = None, progress: Progress = SILENT) -> EvaluateReport:
    """Task metrics of the engine and of its FP32 control on the evaluation frames."""
    bundle = _bundle(bundle)
    dataset = bundle.dataset(root)
    with _engines(bundle) as engines, progress.track("evaluate", len(dataset)) as advance:
        metrics = evaluation.evaluate(engines, bundle.preprocess(), bundle.task(), dataset, advance)
    name = bundle.contents.evaluation.format
    return evaluation.report(
        bundle.identity, f"{name}:{dataset.fingerprint()[:16]}", len(dataset), metrics, _candidate(bundle)
    )


def profile(
    bundle: Bundle | Path, load: Load | None = None, root: Path | None = None, progress: Progress = SILENT
) -> ProfileReport:
    """Latency by stage, engine and control timed in turn; memory in a process of its own for each."""
    bundle, load = _bundle(bundle), load or Load()
    dataset = bundle.dataset(root)
    samples = [dataset[i * len(dataset) // min(16, len(dataset))] for i in range(min(16, len(dataset)))]
    preprocess, task = bundle.preprocess(), bundle.task()
    with _engines(bundle) as engines, progress.track("time", load.warmup + load.queries) as advance:
        latency = profiling.measure_latency(engines, samples, preprocess, task, load, advance)
        described = engines[_candidate(bundle)].describe()
    memory, size = {}, {}
    feeds = preprocess(samples[0].images).feeds
    config = bundle.contents.engine
    with progress.track("measure memory", len(latency)) as advance:
        for name in latency:
            memory[name] = profiling.measure_memory(
                config.engine, bundle.path / name, config.model_dump(mode="json"), feeds
            )
            size[name] = (bundle.path / name).stat().st_size / 2**20
            advance()
    candidate = _candidate(bundle)
    control = next((name for name in latency if name != candidate), None)
    beside = None
    if control is not None:
        beside = {
            "engine": control,
            "latency_ms": asdict(latency[control]["infer"]),
            "memory_mib": memory[control],
            "size_mib": size[control],
        }
    return ProfileReport(
        bundle=bundle.identity,
        engine=candidate,
        latency_ms=latency[candidate]["infer"],
        stages_ms=latency[candidate],
        memory_mib=memory[candidate],
        size_mib=size[candidate],
        control=beside,
        speedup_p50=latency[control]["infer"].p50 / latency[candidate]["infer"].p50 if control else None,
        settings={"queries": load.queries, "warmup": load.warmup, "frames": len(samples)} | described,
        machine=profiling.machine(),
    )


def gate(
    bundle: Bundle | Path,
    evaluated: EvaluateReport | None = None,
    profiled: ProfileReport | None = None,
    root: Path | None = None,
    progress: Progress = SILENT,
) -> GateReport:
    """Judge the bundle's KPIs on fresh measurements, or on the reports given."""
    bundle = _bundle(bundle)
    evaluated = evaluated or evaluate(bundle, root, progress)
    profiled = profiled or profile(bundle, None, root, progress)
    task = bundle.task()
    numbers = measured(evaluated, profiled, (*task.metrics, *task.sequence_metrics))
    return judge(bundle.contents.kpis, bundle.contents.target, numbers, bundle.identity)


def run(bundle: Bundle | Path, images: Dataset, out: Path, progress: Progress = SILENT) -> list[Path]:
    """Run the engine over frames and write an overlay picture of each; returns their paths.

    A frame that has truth shows it beside the prediction.
    """
    bundle = _bundle(bundle)
    if len(images) == 0:
        raise DataError("--images: no frame to run")
    preprocess, task, written = bundle.preprocess(), bundle.task(), []
    with bundle.engine() as engine, progress.track("run", len(images)) as advance:
        for sample in images:
            prepared = preprocess(sample.images)
            prediction = task.decode(engine.infer(prepared.feeds), prepared.geometry)
            picture = task.draw(next(iter(sample.images.values())), prediction, sample.truth)
            written.append(out / f"{sample.id}.png")
            report.write_picture(written[-1], picture)
            advance()
    return written


@contextlib.contextmanager
def _engines(bundle: Bundle) -> Iterator[dict[str, Engine]]:
    """The open engines of a bundle by file name: the candidate, and the control if it has one."""
    roles = [role for role in (bundle.contents.candidate, bundle.contents.control) if role is not None]
    with contextlib.ExitStack() as stack:
        yield {role.file: stack.enter_context(bundle.engine(role)) for role in roles}


def _candidate(bundle: Bundle) -> str:
    return bundle.contents.candidate.file


def _spec(spec: Spec | Path) -> Spec:
    return spec if isinstance(spec, Spec) else read_spec(Path(spec))


def _target(spec: Spec, name: str) -> str:
    if name not in spec.targets:
        raise SpecError(f"--target: no target {name!r} in the spec; {allowed(name, tuple(spec.targets))}")
    return name


def _bundle(bundle: Bundle | Path) -> Bundle:
    return bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))


def _out(spec: Spec, out: Path | None) -> Path:
    return out or spec.base / "artifacts"
