"""One training loop: AdamW, warm-up and cosine schedule, averaged weights, early stop, exact resume.

A run that is killed at any moment and started again ends with the weights of one that was not, bit for
bit on a CPU: the frames and the random numbers of a step follow from the seed and the step alone, and a
checkpoint holds everything else.  Why this is written here: docs/decisions/0005-training-loop.md.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.artifacts import write_json
from edgekit.core.errors import DataError, MissingRequirement, ModelError
from edgekit.core.progress import Progress, Silent
from edgekit.core.reports import CurvePoint, TrainingCurve
from edgekit.runtime.memory import kept as kept_free
from edgekit.training import _checkpoint, _events
from edgekit.training._batches import batches
from edgekit.training._precision import lowered
from edgekit.training._randomness import seed_all, undisturbed
from edgekit.training.draws import Examples
from edgekit.training.losses import Batch, Loss
from edgekit.training.settings import TrainingConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Trained:
    """The result of a run.

    Args:
        state: parameters and buffers by name, on the CPU: the averaged weights with the best metric, or
            the last ones where nothing was validated.  :func:`restore` puts them into a network.
        metric: their metric.
        history: the start, every validation, and points of the loss between them.
        steps: steps that were done.
        stopped: whether ``patience`` ended the run before its last step.
        seconds: over all parts of a resumed run.
    """

    state: Mapping[str, Tensor]
    metric: float | None
    history: tuple[CurvePoint, ...]
    steps: int
    stopped: bool
    seconds: float


def train(
    network: nn.Module,
    examples: Examples,
    loss: Loss,
    config: TrainingConfig,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    validate: Callable[[nn.Module], float] | None = None,
    higher: bool = True,
    checkpoint: Path | None = None,
    frozen: Collection[str] = (),
    title: str = "train",
    metric: str | None = None,
    trace: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train ``network`` in place; it ends on the CPU, in eval mode, with the weights of ``Trained.state``.

    Args:
        network: positional tensors in the order of ``inputs`` to a tuple of tensors in that of ``outputs``.
        examples: frames; reading one twice gives the same arrays, or differs by NumPy's, Python's and
            PyTorch's global random numbers only.
        loss: see :mod:`edgekit.training.losses`.
        config: how to train.
        validate: the metric of a network in eval mode, of the averaged weights, at step 0 too; ``higher`` is better.
        checkpoint: file to continue from and to keep up to date.
        frozen: names of modules that stay in eval mode, such as batch norms whose statistics are final.
        title: shown as progress, and part of the checkpoint.
        metric: name of what ``validate`` measures.
        trace: folder for what people look at: ``<title>.json``, the curve as
            :class:`~edgekit.core.reports.TrainingCurve`, and TensorBoard event files in ``<title>/``.
        progress: shows steps.

    Raises:
        ModelError: the loss or the metric is NaN or infinite (names the step), the network has nothing
            to train, or the checkpoint is of another configuration, network or run.
        DataError: there is no example, or one does not fit.
        MissingRequirement: CUDA is asked for and not there.
    """
    if len(examples) == 0:
        raise DataError("training needs frames with truth, found none; give data.training at least one frame")
    run = _Run(network, config, inputs, outputs, frozen, higher)
    kept = _checkpoint.Checkpoint(checkpoint, _checkpoint.identity(network, config, len(examples), title))
    run.load(kept.read())
    if run.history == []:
        run.validate(validate)
    shown = (progress or Silent()).track(title, config.steps, done=run.step, frames=config.frames)
    file = None if trace is None else trace / title.replace(" ", "-")
    with _events.opened(file, run.step) as events, shown as advance, undisturbed(), kept_free(run.on_cpu):
        while run.step < config.steps and not run.stopped:
            run.turn(examples, loss, validate)
            events.add(run.step, run.numbers(metric or "metric"))
            if run.step % config.checkpoint_every == 0 or run.step == config.steps or run.stopped:
                events.flush()  # before the checkpoint: a run that goes on from it does not write them again
                kept.write(run.save)
            advance()
    if file is not None:
        _write_curve(file, TrainingCurve(title, metric if validate else None, higher, tuple(run.history)))
    return run.finish(restored=validate is not None)


def _write_curve(events: Path, curve: TrainingCurve) -> None:
    """The curve beside the folder of its event files."""
    write_json(events.with_name(f"{events.name}.json"), dataclasses.asdict(curve))


def restore(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy parameters and buffers into the network, in place, whatever its device and memory format.

    Raises:
        ModelError: a tensor is missing, unknown or of another shape.
    """
    import torch

    tensors = _checkpoint.tensors(network)
    wrong = next((name for name in (*tensors, *state) if name not in tensors or name not in state), None)
    wrong = wrong or next((name for name in tensors if tensors[name].shape != state[name].shape), None)
    if wrong is not None:
        raise ModelError(f"the trained weights do not fit the network: {wrong!r} differs; use the network they are of")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(state[name])


class _Run:
    """The state of a run between two steps, and what changes it."""

    def __init__(
        self,
        network: nn.Module,
        config: TrainingConfig,
        inputs: Sequence[str],
        outputs: Sequence[str],
        frozen: Collection[str],
        higher: bool,
    ) -> None:
        import torch

        self.network, self.config, self.higher = network, config, higher
        self.inputs, self.outputs, self.frozen = tuple(inputs), tuple(outputs), frozenset(frozen)
        self.device = _device(config.device)
        self.on_cpu = self.device.type == "cpu"
        network.to(self.device)
        if config.channels_last:
            for parameter in network.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        if not self.parameters:
            raise ModelError("the network has no parameter to train; set requires_grad of those that may change")
        groups = [
            {"params": [p for p in self.parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in self.parameters if p.dim() < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=config.learning_rate)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.average, self.best = _clone(network), _clone(network)
        self.metric: float | None = None
        self.since_best, self.step, self.seconds, self.stopped = 0, 0, 0.0, False
        self.losses: list[float] = []
        self.last = math.nan
        self.history: list[CurvePoint] = []
        self._to_training()

    # --- one step ----------------------------------------------------------------

    def turn(self, examples: Examples, loss: Loss, validate: Callable[[nn.Module], float] | None) -> None:
        """A step, validated where it is time, and its seconds."""
        began = time.monotonic()
        self.one_step(examples, loss)
        self.look(validate)
        self.seconds += time.monotonic() - began

    def one_step(self, examples: Examples, loss: Loss) -> None:
        """Learn from the frames of the current step; afterwards ``step`` is one more."""
        import torch

        config = self.config
        seed_all(config.seed, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate(self.step)
        self._to_training()
        self.optimizer.zero_grad(set_to_none=True)
        values = [self._learn(batch, loss) for batch in batches(examples, config, self.step, self.inputs, self.device)]
        self.last = math.fsum(values) / len(values)
        self.losses.append(self.last)
        if config.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.parameters, config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self._update_average()

    def _learn(self, batch: Batch, loss: Loss) -> float:
        """Add the gradients of a batch, which is one of the step's equal parts; gives its loss."""
        config = self.config
        with lowered(config.precision, self.device.type):
            results = self.network(*(batch.inputs[name] for name in self.inputs))
        value = loss({name: r.float() for name, r in zip(self.outputs, results, strict=True)}, batch)
        found = self._finite("loss", float(value.detach()))
        self.scaler.scale(value / config.accumulate).backward()  # type: ignore[no-untyped-call]
        return found

    def _to_training(self) -> None:
        try:
            self.network.train()
        except NotImplementedError as error:
            raise ModelError("a .pt2 program cannot be trained; load the network with model.factory") from error
        for name, module in self.network.named_modules():
            if name in self.frozen:
                module.eval()

    def _update_average(self) -> None:
        """Exponential moving average whose memory grows with the run: decay min(ema, (1 + t) / (10 + t))."""
        import torch

        decay = min(self.config.ema, (1 + self.step) / (10 + self.step)) if self.config.ema else 0.0
        with torch.no_grad():
            for name, tensor in _checkpoint.tensors(self.network).items():
                kept = self.average[name]
                if kept.is_floating_point():
                    kept.lerp_(tensor, 1 - decay)
                else:
                    kept.copy_(tensor)

    # --- validation --------------------------------------------------------------

    def look(self, metric_of: Callable[[nn.Module], float] | None) -> None:
        """Validate where it is time to, or add a point of the loss alone."""
        if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
            self.validate(metric_of)
        elif self.step % self.config.curve_every == 0:
            self.point(None)

    def validate(self, metric_of: Callable[[nn.Module], float] | None) -> None:
        """Add a point; with a metric, keep the average when it is the best so far, and see whether to stop."""
        if metric_of is None:
            self.point(None)
            return
        raw = _clone(self.network)
        restore(self.network, self.average)
        self.network.eval()
        metric = self._finite("validation metric", float(metric_of(self.network)))
        restore(self.network, raw)
        self.point(metric)
        if self.metric is None or (metric > self.metric if self.higher else metric < self.metric):
            self.best, self.metric, self.since_best = {n: t.clone() for n, t in self.average.items()}, metric, 0
            return
        self.since_best += 1
        self.stopped = self.config.patience is not None and self.since_best >= self.config.patience

    def point(self, metric: float | None) -> None:
        """Add a point to the curve: the mean loss since the one before, and the metric where it was measured."""
        loss = math.fsum(self.losses) / len(self.losses) if self.losses else None
        self.losses.clear()
        self.history.append(CurvePoint(self.step, loss, metric))

    def _finite(self, what: str, value: float) -> float:
        if not math.isfinite(value):
            raise ModelError(
                f"training: the {what} is {value} at step {self.step}; lower training.learning_rate, "
                "set training.clip_norm, or use precision fp32"
            )
        return value

    def numbers(self, metric: str) -> dict[str, float]:
        """What there is to see of the last step, by TensorBoard tag."""
        found = {
            "loss": self.last,
            "learning_rate": self.config.rate(self.step - 1),
            "seconds": self.seconds,
            "frames_per_s": self.step * self.config.frames / max(self.seconds, 1e-9),
        }
        last = self.history[-1]
        if last.step == self.step and last.metric is not None:
            found[f"validation/{metric}"] = last.metric
        return found

    # --- checkpoints -------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Everything that the next steps depend on."""
        return {
            "step": self.step,
            "network": _clone(self.network),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average,
            "best": self.best,
            "metric": self.metric,
            "since_best": self.since_best,
            "stopped": self.stopped,
            "losses": list(self.losses),
            "history": [[point.step, point.loss, point.metric] for point in self.history],
            "seconds": self.seconds,
        }

    def load(self, saved: Mapping[str, Any] | None) -> None:
        """Continue from what :meth:`save` gave; None starts at step 0."""
        if saved is None:
            return
        restore(self.network, saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        for kept, stored in ((self.average, saved["average"]), (self.best, saved["best"])):
            for name, tensor in kept.items():
                tensor.copy_(stored[name])
        self.metric, self.since_best, self.stopped = saved["metric"], saved["since_best"], saved["stopped"]
        self.step, self.seconds, self.losses = saved["step"], saved["seconds"], list(saved["losses"])
        self.history = [CurvePoint(*point) for point in saved["history"]]

    def finish(self, restored: bool) -> Trained:
        """The result; the network gets the weights of it."""
        best = self.best if restored else self.average
        restore(self.network, best)
        self.network.to("cpu").eval()
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in best.items()}
        return Trained(state, self.metric, tuple(self.history), self.step, self.stopped, self.seconds)


def _device(wanted: str) -> torch.device:
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise MissingRequirement("a CUDA device for training", "the NVIDIA driver and a CUDA build of torch")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def _clone(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in _checkpoint.tensors(network).items()}
