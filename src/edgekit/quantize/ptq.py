"""Post-training INT8 quantization: one pass over the calibration frames, then Q/DQ pairs where the target wants them.

Activations are 8-bit, one grid a tensor; weights are signed 8-bit, one scale per output channel
(Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgekit.core.errors import ModelError
from edgekit.quantize import Frames, Job, Quantized, TechniqueConfig, _ranges
from edgekit.quantize._calibrate import Calibration, calibrate
from edgekit.quantize._graph import Graph, simplified
from edgekit.quantize._placement import Plan, plan
from edgekit.quantize._profiles import profile
from edgekit.quantize._qdq import Weights, insert

Calibrator = Literal["minmax", "percentile", "entropy", "mse"]


class Config(TechniqueConfig):
    """Post-training quantization."""

    method: Literal["ptq"] = "ptq"
    calibrator: Calibrator = "percentile"
    percentile: float = Field(99.99, gt=50, le=100, description="share of activations inside the range, per cent")
    weights: Literal["per-channel", "per-tensor"] = "per-channel"
    weight_bits: Literal[8, 4] = Field(8, description="4: 15 levels in int8 storage")
    exclude: tuple[str, ...] = Field((), description="names of ONNX nodes that stay float")
    profiles: tuple[str, ...] = Field((), description="further Q/DQ placements to export from the same calibration")

    def finder(self, tensor: str, frames: int) -> _ranges.RangeFinder:
        """An empty range finder for one tensor, of which ``frames`` frames will be seen."""
        sample = max(_ranges.LEAST, _ranges.BUDGET // max(1, frames))
        if self.calibrator == "minmax":
            return _ranges.MinMax(tensor)
        if self.calibrator == "percentile":
            return _ranges.Percentile(tensor, sample, self.percentile)
        return {"entropy": _ranges.Entropy, "mse": _ranges.MeanSquare}[self.calibrator](tensor, sample)


def apply(job: Job, config: Config) -> Quantized:
    """Quantize ``job.source`` with ranges seen on ``job.frames``.

    Raises:
        DataError: no frame.
        ModelError: NaN activations, an unknown excluded node, or nothing to quantize.
        SpecError: an unknown profile.
    """
    graph = Graph(simplified(job.source))
    graph.require_nodes(config.exclude, "exclude")
    plans = {name: plan(graph, profile(name), config.exclude) for name in (job.profile, *config.profiles)}
    calibration = ranges_seen(graph, plans.values(), job.frames, config, job)
    models, record = {}, {}
    for name, placed in plans.items():
        ranges = calibration.ranges(placed.profile)
        models[name] = place_in(graph, placed, ranges, config)
        record[name] = _described(placed, ranges, config, calibration.frames)
    main = models.pop(job.profile)
    also = {name: record[name] for name in models}
    return Quantized(main, record[job.profile] | ({"also": also} if also else {}), also=models)


def ranges_seen(graph: Graph, plans: Iterable[Plan], frames: Frames, config: Config, job: Job) -> Calibration:
    """One pass over the frames for the tensors of all plans."""
    tensors = dict.fromkeys(name for placed in plans for name in placed.tensors)
    with job.progress.track("calibrate", len(frames)) as advance:
        return calibrate(graph, tensors, frames, lambda name: config.finder(name, len(frames)), advance)


def place(source: Path, ranges: Mapping[str, tuple[float, float]], profile_name: str, config: Config) -> bytes:
    """Quantize with ranges that are known already; they hold every tensor the profile rounds.

    Raises:
        ModelError: a range is missing.
    """
    graph = Graph(simplified(source))
    graph.require_nodes(config.exclude, "exclude")
    return place_in(graph, plan(graph, profile(profile_name), config.exclude), ranges, config)


def place_in(
    graph: Graph,
    placed: Plan,
    ranges: Mapping[str, tuple[float, float]],
    config: Config,
    fixed: Mapping[str, Weights] | None = None,
) -> bytes:
    """The typed model of a plan, as bytes that are equal for equal arguments."""
    missing = [name for name in placed.tensors if name not in ranges]
    if missing:
        raise ModelError(f"no range is known for tensor {missing[0]!r}; calibrate the same model with the same exclude")
    per_channel = config.weights == "per-channel"
    model = insert(graph, placed, ranges, per_channel=per_channel, bits=config.weight_bits, fixed=fixed)
    typed: bytes = model.SerializeToString(deterministic=True)
    return typed


def _described(placed: Plan, ranges: Mapping[str, tuple[float, float]], config: Config, frames: int) -> dict[str, Any]:
    symmetric = ", symmetric" if placed.profile.symmetric else ""
    return {
        "method": "ptq",
        "config": config.model_dump(mode="json"),
        "profile": placed.profile.name,
        "frames": frames,
        "activations": f"{placed.profile.activation} per tensor{symmetric}",
        "weights": f"int{config.weight_bits} {config.weights}, symmetric",
        "float_nodes": placed.float_nodes,
        "ranges": {name: [float(low), float(high)] for name, (low, high) in sorted(ranges.items())},
    }
