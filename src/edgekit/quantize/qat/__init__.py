"""Quantization-aware training: the network learns to live with the rounding of its Q/DQ model.

Starts from post-training quantization.  The network is trained with its weights and activations rounded to
the grids of the exported model (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", 2018, section 3); then the trained weights go through the same export
and the same placement.  An FP32 network trained for as long, on the same frames in the same order, shows
how much of the gain is only more training.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from edgekit.core.errors import DataError, ModelError
from edgekit.core.tensors import Arrays
from edgekit.qdq.graph import Graph
from edgekit.qdq.insert import grids
from edgekit.qdq.placement import plan
from edgekit.qdq.profiles import profile
from edgekit.quantize import ptq
from edgekit.quantize.ptq import Config as PtqConfig
from edgekit.quantize.qat import fakequant, fold
from edgekit.technique import Examples, Job, Quantized, TechniqueConfig
from edgekit.training import Trained, TrainingConfig, fit, pick, tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

_CHECKED_FRAMES = 2
_FOLLOWED = 0.5
"""Largest distance between the network that is trained and the model that is exported, as a share of what
quantization changes: above, training would fit rounding that the target does not do.  It is never zero: two
float runtimes round a few values to neighbouring integers, and depth amplifies that."""
_EXACT = 0.02  # relative L2: less is never worth a refusal


class Config(TechniqueConfig):
    """Quantization-aware training."""

    method: Literal["qat"] = "qat"
    ptq: PtqConfig = Field(PtqConfig(), description="the quantization that is trained for")
    loss: Literal["task", "teacher"] = Field("task", description="teacher needs no labels: it matches the FP32 outputs")
    logits: tuple[str, ...] = Field((), description="outputs that the teacher matches as distributions over axis 1")
    control: bool = Field(True, description="train an FP32 network for as long, to compare with")
    training: TrainingConfig = TrainingConfig(
        steps=1000, learning_rate=1e-4, warmup=50, ema=0.99, validate_every=100, patience=5
    )

    @property
    def measures(self) -> bool:  # the typed model's accuracy decides when to stop
        return True

    @model_validator(mode="after")
    def _trains_instead_of_repairing(self) -> Self:
        for key in ("equalize", "bias_correction", "rounding"):
            if getattr(self.ptq, key) != PtqConfig.model_fields[key].default:
                raise ValueError(f"ptq.{key} repairs what training repairs better, and not both can; leave it out")
        return self


def apply(job: Job, config: Config) -> Quantized:
    """Train for the rounding of post-training quantization, and quantize the result.

    The record holds that of post-training quantization and ``qat``: accuracies (with a bench), steps,
    history, and ``grid_error``, the relative L2 of the outputs between the network that is trained and
    the model that is exported.  ``job.scratch`` keeps checkpoints that a killed run continues from.

    Raises:
        ModelError: no PyTorch network, rounding that cannot be followed there, training that diverges, a
            checkpoint of another run; and whatever :func:`edgekit.quantize.ptq.apply` raises.
        DataError: no training frames.
        SpecError: ``loss: task`` for a task that has no loss.
        MissingRequirement: ModelOpt is not installed.
    """
    fakequant.modelopt()
    work = _Work.of(job, config)
    start = ptq.apply(job, config.ptq)
    folded = work.folded()
    student, placed = work.student(folded.network, start)
    error = work.check(student, work.untrained(start), placed)
    frozen = [f"{fakequant.INNER}.{name}" for name in folded.frozen]
    weights = fakequant.inner_state
    trained = work.train(student, "qat", lambda network: work.typed(weights(tensors(network)), start), frozen)
    state = weights(trained.state)
    model = work.typed(state, start)
    also = {name: work.typed(state, start, name) for name in config.ptq.profiles}
    found = {
        "metric": job.bench.metric.name if job.bench is not None else None,
        "fp32": work.accuracy(job.source.read_bytes()),
        "ptq": work.accuracy(start.model),
        "qat": work.accuracy(model),
        "grid_error": error,
        "not_trained_for": sorted(placed.missing),
        **_described(trained),
    }
    if config.control:
        found["control"] = work.control()
    record = start.record | {"method": "qat", "config": config.model_dump(mode="json"), "qat": found}
    return Quantized(model, record, also=also)


@dataclass(frozen=True)
class _Work:
    """A job whose PyTorch network, exporter and training frames are there, and what is done with them.

    Args:
        graph: the FP32 model that post-training quantization starts from.
        frames: the first calibration frames.
    """

    job: Job
    config: Config
    network: Callable[[], nn.Module]
    export: Callable[[nn.Module], bytes]
    examples: Examples
    graph: Graph
    frames: tuple[Arrays, ...]

    @classmethod
    def of(cls, job: Job, config: Config) -> _Work:
        network, export = job.need_network("method qat")
        if job.examples is None:
            raise DataError("method qat trains, and there are no training frames; give data.training")
        frames = tuple(itertools.islice(iter(job.frames), _CHECKED_FRAMES))
        if not frames:
            raise DataError("the calibration set is empty; give data.calibration at least one frame")
        names = dict.fromkeys((job.profile, *config.ptq.profiles))
        graph, started = ptq.started(job.source, config.ptq)
        config = config.model_copy(update={"ptq": started})
        graph, _ = ptq.rewritten(graph, tuple(names), config.ptq)
        return cls(job, config, network, export, job.examples, graph, frames)

    @cached_property
    def settings(self) -> PtqConfig:
        """How each profile is placed: rewritten only where all of them were."""
        names = (self.job.profile, *self.config.ptq.profiles)
        rewrite = self.config.ptq.rewrite and all(profile(name).rounds_outputs for name in names)
        return self.config.ptq.model_copy(update={"rewrite": rewrite})

    def feeds(self) -> list[Tensor]:
        """The first frame, as the network takes it."""
        import torch

        return [torch.from_numpy(np.array(self.frames[0][name])) for name in self.graph.inputs]

    def folded(self) -> fold.Folded:
        """A fresh network without batch norms."""
        return fold.fold(self.network(), self.feeds())

    def student(self, network: nn.Module, start: Quantized) -> tuple[nn.Module, fakequant.Placed]:
        """``network``, rounding where the typed model does."""
        settings = self.config.ptq
        placement = plan(self.graph, profile(self.job.profile), settings.exclude)
        found = grids(placement, _ranges(start.record))
        per_channel = settings.weights == "per-channel"
        placed = fakequant.locate(network, self.graph, placement, found, self.frames[0], per_channel)
        return fakequant.build(network, placed, placement.profile.bits(settings.weight_bits)).eval(), placed

    def check(self, student: nn.Module, typed: bytes, placed: fakequant.Placed) -> dict[str, float]:
        """Distance (relative L2) of each output of the student from that of the typed model."""
        wanted = [fakequant.outputs(typed, self.graph, feeds) for feeds in self.frames]
        fp32 = [fakequant.outputs(self.graph.model, self.graph, feeds) for feeds in self.frames]
        trained = [fakequant.results(student, self.graph, feeds) for feeds in self.frames]
        error, noise = distances(trained, wanted), distances(fp32, wanted)
        for name, found in error.items():
            limit = max(_EXACT, _FOLLOWED * noise[name])
            if not found <= limit:
                missing = f"; not found in the network: {', '.join(placed.missing[:5])}" if placed.missing else ""
                raise ModelError(
                    f"output {name!r} of the network with rounding differs from the quantized model by {found:.3f} "
                    f"(relative L2), expected at most {limit:.3f}{missing}; exclude what leads to it (ptq.exclude)"
                )
        return error

    def train(
        self, network: nn.Module, title: str, typed: Callable[[nn.Module], bytes], frozen: Sequence[str]
    ) -> Trained:
        """Train; ``typed`` gives the ONNX model that is validated."""
        inputs, outputs, config = self.graph.inputs, self.graph.outputs, self.config
        job = dataclasses.replace(self.job, inputs=inputs, outputs=outputs)
        loss = pick(
            config.loss, task=job.loss, network=self.network, inputs=inputs, outputs=outputs, logits=config.logits
        )
        return fit(job, network, loss, config.training, title, frozen, typed)

    def control(self) -> dict[str, Any]:
        """Accuracies of the FP32 network after the same training without rounding, and of its own PTQ."""
        folded = self.folded()
        trained = self.train(
            folded.network, "fp32 control", lambda network: self.exported(tensors(network)), folded.frozen
        )
        exported = self.exported(trained.state)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "fp32.onnx"
            source.write_bytes(exported)
            quantized = ptq.apply(dataclasses.replace(self.job, source=source), self.config.ptq)
        return {"fp32": self.accuracy(exported), "ptq": self.accuracy(quantized.model), **_described(trained)}

    def exported(self, state: Mapping[str, Tensor]) -> bytes:
        """FP32 ONNX of the user's network with weights of the folded one."""
        return self.export(self.blank.unfold(state, self.network()))

    @cached_property
    def blank(self) -> fold.Folded:
        """A folded network that is never trained."""
        return self.folded()

    def typed(self, state: Mapping[str, Tensor], start: Quantized, other: str | None = None) -> bytes:
        """The typed model of folded weights, on the activation grids of post-training quantization."""
        record = start.record if other is None else start.record["also"][other]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "fp32.onnx"
            source.write_bytes(self.exported(state))
            return ptq.place(source, _ranges(record), other or self.job.profile, self.settings)

    def untrained(self, start: Quantized) -> bytes:
        """The typed model before training: as all that are trained, with one grid a tensor, also before depthwise."""
        return ptq.place(self.job.source, _ranges(start.record), self.job.profile, self.settings)

    def accuracy(self, model: bytes) -> float | None:
        return None if self.job.bench is None else self.job.bench.accuracy(model)


def _ranges(record: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    return {name: (low, high) for name, (low, high) in record["ranges"].items()}


def _described(trained: Trained) -> dict[str, Any]:
    return {
        "steps": trained.steps,
        "stopped_early": trained.stopped,
        "history": [dataclasses.asdict(point) for point in trained.history],
    }


def distances(given: Sequence[Arrays], wanted: Sequence[Arrays]) -> dict[str, float]:
    """Relative L2 over all frames, by output."""
    found = {}
    for name in wanted[0]:
        first = np.concatenate([np.ravel(arrays[name]) for arrays in given]).astype(np.float64)
        second = np.concatenate([np.ravel(arrays[name]) for arrays in wanted]).astype(np.float64)
        found[name] = float(np.linalg.norm(first - second) / max(float(np.linalg.norm(second)), 1e-30))
    return found
