"""Post-training INT8 quantization: one pass over the calibration frames, then Q/DQ pairs where the target wants them.

Activations are 8-bit, one grid per tensor (per channel where the target's depthwise kernels take it); weights are
signed 8-bit, one scale per output channel (Krishnamoorthi, "Quantizing deep convolutional networks for efficient
inference", 2018, section 3).
What repairs accuracy without training is one switch and one file each: :mod:`edgekit.qdq.equalize`,
:mod:`edgekit.qdq.bias` and :mod:`edgekit.qdq.adaround`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgekit.core.artifacts import sha256_file
from edgekit.core.errors import ModelError, SpecError
from edgekit.core.tensors import Array
from edgekit.qdq import adaround, bias, equalize, ranges
from edgekit.qdq.calibrate import Calibration, calibrate
from edgekit.qdq.graph import Graph, simplified
from edgekit.qdq.insert import Ranges, Weights, insert
from edgekit.qdq.placement import Plan, plan
from edgekit.qdq.profiles import profile
from edgekit.qdq.rewrite import rewrite
from edgekit.technique import Job, Quantized, TechniqueConfig

Calibrator = Literal["minmax", "percentile", "entropy", "mse"]


class Config(TechniqueConfig):
    """Post-training quantization."""

    method: Literal["ptq"] = "ptq"
    calibrator: Calibrator = "percentile"
    percentile: float = Field(99.99, gt=50, le=100, description="share of activations inside the range, per cent")
    weights: Literal["per-channel", "per-tensor"] = "per-channel"
    weight_bits: Literal[8, 4] = Field(8, description="4: 15 levels in int8 storage")
    equalize: bool = Field(False, description="make the channels of neighbouring layers equally wide")
    bias_correction: bool = Field(False, description="shift biases until integer layers have the means of float ones")
    rounding: Literal["nearest", "adaround"] = Field("nearest", description="adaround: learn which weights go up")
    adaround_iterations: int = Field(200, ge=1, description="steps of adaround per layer")
    rewrite: bool = Field(True, description="replace operators without an integer kernel where that is exact")
    exclude: tuple[str, ...] = Field(
        (), description="modules, with all in them, and ONNX nodes that stay float; globs of either"
    )
    profiles: tuple[str, ...] = Field((), description="further Q/DQ placements to export from the same calibration")

    def finder(self, tensor: str, frames: int) -> ranges.RangeFinder:
        """An empty range finder for one tensor, of which ``frames`` frames will be seen."""
        sample = max(ranges.LEAST, ranges.BUDGET // max(1, frames))
        if self.calibrator == "minmax":
            return ranges.MinMax(tensor)
        if self.calibrator == "percentile":
            return ranges.Percentile(tensor, sample, self.percentile)
        return {"entropy": ranges.Entropy, "mse": ranges.MeanSquare}[self.calibrator](tensor, sample)


@dataclass(frozen=True)
class Prepared:
    """A calibrated model: everything that typed models are written from.

    ``graph`` is the FP32 model (equalized when configured), ``plans`` holds one plan per profile, ``fixed``
    the weights whose rounding was chosen, ``shifts`` what is added to the biases of integer layers, by node,
    and ``repairs`` the record of the three.
    """

    graph: Graph
    plans: Mapping[str, Plan]
    calibration: Calibration
    config: Config
    fixed: Mapping[str, Weights] = field(default_factory=dict)
    shifts: Mapping[str, Array] = field(default_factory=dict)
    repairs: Mapping[str, Any] = field(default_factory=dict)

    def model(self, profile_name: str) -> bytes:
        """The typed model of one profile."""
        placed = self.plans[profile_name]
        # A layer that stays float in this plan has nothing to make up for.
        shifts = {name: self.shifts[name] for name in placed.compute if name in self.shifts}
        graph = bias.shifted(self.graph, shifts) if shifts else self.graph
        ranges, channels = self.calibration.ranges(placed.profile), self.calibration.channel_ranges(placed.profile)
        return place_in(graph, placed, ranges, self.config, self.fixed, channels)


def apply(job: Job, config: Config) -> Quantized:
    """Quantize ``job.source`` with ranges seen on ``job.frames``.

    Raises:
        DataError: no frame.
        ModelError: NaN activations, an excluded name that means none, or nothing to quantize.
        SpecError: an unknown profile.
    """
    prepared = prepare(job, config)
    models = {name: prepared.model(name) for name in prepared.plans}
    record = {name: described(prepared, name) for name in prepared.plans}
    main, about = models.pop(job.profile), record.pop(job.profile)
    return Quantized(main, about | ({"also": record} if record else {}), also=models)


def prepare(job: Job, config: Config) -> Prepared:
    """Everything up to the typed models; raises as :func:`apply`."""
    names = tuple(dict.fromkeys((job.profile, *config.profiles)))
    graph, config = started(job.source, config)
    repairs: dict[str, Any] = {}
    if config.equalize:
        graph, repairs["equalize"] = equalized(graph, job)  # knows PRelu, so before it is rewritten
    graph, replaced = rewritten(graph, names, config)
    if replaced:
        repairs["rewritten"] = replaced
    if config.bias_correction:
        graph = bias.with_biases(graph, config.exclude)
    plans = {name: plan(graph, profile(name), config.exclude) for name in names}
    prepared = Prepared(graph, plans, ranges_seen(graph, plans.values(), job, config), config, repairs=repairs)
    if config.rounding == "adaround":
        prepared = adarounded(prepared, job)
    return bias_corrected(prepared, job) if config.bias_correction else prepared


def started(source: Path, config: Config) -> tuple[Graph, Config]:
    """The simplified model, and ``config`` with the nodes of that model that its ``exclude`` means.

    Raises:
        ModelError: ONNX Runtime refuses the file, or a name under ``exclude`` means no node.
    """
    graph = Graph(simplified(source))
    return graph, config.model_copy(update={"exclude": graph.nodes_named(config.exclude, "exclude")})


def rewritten(graph: Graph, profiles: Collection[str], config: Config) -> tuple[Graph, list[str]]:
    """The same function in operators with integer kernels, when every profile gains from it, and what was rewritten."""
    if not config.rewrite or not all(profile(name).rounds_outputs for name in profiles):
        return graph, []
    graph, names = rewrite(graph, config.exclude)
    return graph, list(names)


def equalized(graph: Graph, job: Job) -> tuple[Graph, dict[str, Any]]:
    """The same function with equally wide channels; one pass over the frames."""
    with job.progress.track("equalize", len(job.frames)) as advance:
        found = equalize.equalize(graph, equalize.peaks_seen(graph, job.frames, advance))
    return found.graph, found.summary()


def adarounded(prepared: Prepared, job: Job) -> Prepared:
    """Choose the rounding of weights, on the job's profile for all profiles."""
    config, graph, placed = prepared.config, prepared.graph, prepared.plans[job.profile]
    ranges = prepared.calibration.ranges(placed.profile)
    channels = prepared.calibration.channel_ranges(placed.profile)
    with job.progress.track("adaround", len(adaround.suitable(graph, placed.compute))) as advance:
        rounding = adaround.round_weights(
            graph,
            placed.compute,
            lambda fixed: _inserted(graph, placed, ranges, config, fixed, channels),
            job.frames,
            per_channel=config.weights == "per-channel",
            bits=placed.profile.bits(config.weight_bits),
            iterations=config.adaround_iterations,
            advance=advance,
        )
    repairs = {**prepared.repairs, "adaround": rounding.summary()}
    return replace(prepared, fixed=rounding.fixed, repairs=repairs)


def bias_corrected(prepared: Prepared, job: Job) -> Prepared:
    """Find the shifts of the biases, on the job's profile for all profiles."""
    config, graph, placed = prepared.config, prepared.graph, prepared.plans[job.profile]
    ranges = prepared.calibration.ranges(placed.profile)
    channels = prepared.calibration.channel_ranges(placed.profile)

    def typed(shifted: Graph) -> Any:
        return _inserted(shifted, placed, ranges, config, prepared.fixed, channels)

    with job.progress.track("bias correction", min(bias.FRAMES, len(job.frames))) as advance:
        correction = bias.correct(graph, placed.compute, typed, job.frames, advance)
    repairs = {**prepared.repairs, "bias_correction": correction.summary()}
    return replace(prepared, shifts=correction.shifts, repairs=repairs)


def ranges_seen(graph: Graph, plans: Iterable[Plan], job: Job, config: Config) -> Calibration:
    """One pass over the frames for the tensors of all plans; none for those of one before it."""
    plans = tuple(plans)
    tensors = dict.fromkeys(name for placed in plans for name in placed.tensors)
    by_channel = {name for placed in plans for name in placed.by_channel}
    count, key = len(job.frames), _seen_key(job, config)
    known = job.calibrations.get(key, Calibration({}, count))
    left = [
        name
        for name in tensors
        if name not in known.finders or (name in by_channel and known.finders[name].channels is None)
    ]
    if left or not count:
        with job.progress.track("calibrate", count) as advance:
            found = calibrate(graph, left, job.frames, lambda name: config.finder(name, count), advance, by_channel)
        known = Calibration({**known.finders, **found.finders}, found.frames, known.unseen | found.unseen)
    job.calibrations.clear()  # the histograms of one kind of range at a time
    job.calibrations[key] = known
    return Calibration({name: known.finders[name] for name in tensors}, known.frames, known.unseen & tensors.keys())


def _seen_key(job: Job, config: Config) -> str:
    """What decides the values of a tensor and how its range is found; rewriting an operator changes neither."""
    source = sha256_file(job.source) if job.source.is_file() else str(job.source)
    return f"{source} {len(job.frames)} {config.equalize} {config.calibrator} {config.percentile}"


def place(source: Path, ranges: Mapping[str, tuple[float, float]], profile_name: str, config: Config) -> bytes:
    """Quantize with ranges that are known already; they hold every tensor the profile rounds.

    Weights are rounded to nearest and biases stay: their repairs take frames.

    Raises:
        ModelError: a range is missing.
        SpecError: equalize, after which the ranges are of another model.
    """
    if config.equalize:
        raise SpecError("equalize: true changes the ranges of the model, and here they are known already; leave it out")
    graph, config = started(source, config)
    graph, _ = rewritten(graph, (profile_name,), config)
    return place_in(graph, plan(graph, profile(profile_name), config.exclude), ranges, config)


def place_in(
    graph: Graph,
    placed: Plan,
    ranges: Mapping[str, tuple[float, float]],
    config: Config,
    fixed: Mapping[str, Weights] | None = None,
    channels: Mapping[str, Array] | None = None,
) -> bytes:
    """The typed model of a plan, as bytes that are equal for equal arguments."""
    missing = [name for name in placed.tensors if name not in ranges]
    if missing:
        raise ModelError(f"no range is known for tensor {missing[0]!r}; calibrate the same model with the same exclude")
    typed: bytes = _inserted(graph, placed, ranges, config, fixed, channels).SerializeToString(deterministic=True)
    return typed


def _inserted(
    graph: Graph,
    placed: Plan,
    ranges: Ranges,
    config: Config,
    fixed: Mapping[str, Weights] | None,
    channels: Mapping[str, Array] | None,
) -> Any:
    per_channel, bits = config.weights == "per-channel", config.weight_bits
    return insert(graph, placed, ranges, per_channel=per_channel, bits=bits, fixed=fixed, channels=channels)


def described(prepared: Prepared, name: str) -> dict[str, Any]:
    """The record of one profile's model, JSON-ready."""
    config, placed = prepared.config, prepared.plans[name]
    symmetric = ", symmetric" if placed.profile.symmetric else ""
    apart = f", {len(placed.by_channel)} of depthwise convolutions per channel" if placed.by_channel else ""
    ranges = prepared.calibration.ranges(placed.profile)
    return {
        "method": "ptq",
        "config": config.model_dump(mode="json"),
        "profile": name,
        "frames": prepared.calibration.frames,
        "activations": f"{placed.profile.activation} per tensor{symmetric}{apart}",
        "weights": f"int{placed.profile.bits(config.weight_bits)} {config.weights}, symmetric",
        "repairs": dict(prepared.repairs),
        "float_nodes": placed.float_nodes,
        "ranges": {tensor: [float(low), float(high)] for tensor, (low, high) in sorted(ranges.items())},
    }
