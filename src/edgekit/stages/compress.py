"""What ``compress`` leaves where the user finds it, and the analysis of a model's layers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.bundle import TRAINING
from edgekit.core.artifacts import atomic_directory, write_json
from edgekit.core.progress import Progress
from edgekit.core.reports import GroupCost, SensitivityReport
from edgekit.core.spec import Spec
from edgekit.core.variant import Variant
from edgekit.core.workspace import Stage
from edgekit.data import Dataset
from edgekit.engine import Backend
from edgekit.stages import job as jobs
from edgekit.stages import steps
from edgekit.stages.compressed import CONTROL_GOLDEN, EXPORT, GOLDEN, RECORD, Compressed, record_of

VARIANTS = "variants.json"
"""Where every model comes from: precision, placement, lineage and digest by name."""


def publish_compressed(
    spec: Spec, made: Compressed, final: Path, others: Mapping[str, Compressed] | None = None
) -> Compressed:
    """Copy the models where the user finds them, atomically; the places in the result are those of the copies.

    ``others`` are those of further runtimes of the target, by name: of each its INT8 model in its own placement, and
    the report of its ladder.
    """
    further = [_further(engine, other) for engine, other in (others or {}).items()]
    made = replace(made, files={name: file for found in (*further, made.files) for name, file in found.items()})
    candidate = made.variants[made.final]
    files = {EXPORT: made.exported.path / EXPORT, **made.files}
    variants = {name: _published(variant, final, candidate) for name, variant in made.variants.items()}
    for name, variant in made.variants.items():
        files |= {f"{name}.onnx": variant.model, variants[name].golden.name: variant.golden}
    files[GOLDEN] = candidate.golden  # it has the references of its float variant too
    with atomic_directory(final) as folder:
        for name, file in files.items():
            shutil.copyfile(file, folder / name)
        if made.calibration is not None:
            write_json(folder / RECORD, record_of(spec, made))
        write_json(folder / VARIANTS, made.lineage())
        if (trained := made.training()) is not None:
            write_json(folder / TRAINING, trained.to_dict())
    return replace(made, path=final, variants=variants, files={name: final / name for name in made.files})


def _further(engine: str, other: Compressed) -> dict[str, Path]:
    """What is kept of a runtime that is not the one the models are for."""
    from edgekit import ladder

    last = other.variants[other.final]
    found = {f"{last.precision}-{last.placement}.onnx": last.model} if last.placement else {}
    if (report := other.files.get(ladder.REPORT)) is not None:
        found[f"report-{engine}.json"] = report
    return found


def _published(variant: Variant, final: Path, candidate: Variant) -> Variant:
    """The variant with its files where the user finds them."""
    own = candidate.changed and not variant.changed
    reference = variant.name if variant.reference == variant.model else steps.float_name(variant.lineage)
    return replace(
        variant,
        model=final / f"{variant.name}.onnx",
        golden=final / (CONTROL_GOLDEN if own else GOLDEN),
        reference=final / f"{reference}.onnx",
    )


def analyse_layers(
    spec: Spec, target: str, backend: Backend, exported: Stage, frames: Dataset, by_metric: bool, progress: Progress
) -> tuple[SensitivityReport, bytes]:
    """What quantizing each layer alone costs under the spec's PTQ settings, and a picture (PNG) of it."""
    from edgekit.quantize import ptq
    from edgekit.quantize.mixed import sensitivity, variants

    config = next((found for step in spec.compress if (found := _ptq_of(step.technique)) is not None), ptq.Config())
    source = exported.path / "fp32.onnx"
    steps.require_float32(spec, source)
    with jobs.job(spec, target, backend, source, frames, config, None, progress, measures=by_metric) as job:
        layers = sensitivity.analyse(variants.Variants(job, config), job.bench)
        metric = job.bench.metric.name if job.bench else None
        report = SensitivityReport(target, job.profile, metric, layers)
    return report, sensitivity.picture(layers, f"{spec.name}: layers by output noise in INT8")


def analyse_groups(
    spec: Spec, target: str, backend: Backend, exported: Stage, frames: Dataset, root: Path, progress: Progress
) -> tuple[GroupCost, ...]:
    """What pruning each group of channels alone costs and saves; the latency table is kept in ``root``."""
    from edgekit.prune import channels
    from edgekit.prune.channels import sensitivity

    config = channels.Config(method="channels", speedup=2.0)
    source = exported.path / "fp32.onnx"
    with jobs.job(spec, target, backend, source, frames, config, root / "scratch-sensitivity", progress) as job:
        return sensitivity.analyse(job)


def _ptq_of(config: Any) -> Any:
    """The PTQ settings of a technique that has some: its own, or those that it starts from."""
    from edgekit import ladder
    from edgekit.quantize import mixed, ptq, qat

    if isinstance(config, ptq.Config):
        return config
    return config.ptq if isinstance(config, ladder.Config | mixed.Config | qat.Config) else None
