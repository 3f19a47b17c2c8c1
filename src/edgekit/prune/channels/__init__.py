"""Structured pruning: layers lose whole channels, so that every engine computes less.

Coupled layers lose the same channels (Fang et al., "DepGraph: Towards Any Structural Pruning", 2023, by torch-pruning);
widths end on the steps that the target computes fast.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from edgekit.core.errors import SpecError
from edgekit.core.variant import Changes
from edgekit.model import handover
from edgekit.prune.channels import choice, frames, graph, keeping, statistics, timed
from edgekit.prune.channels.groups import Group
from edgekit.prune.channels.ranking import Kind, importance
from edgekit.prune.channels.staircase import step
from edgekit.technique import Change, Changed, Export, Job, TechniqueConfig
from edgekit.training import TrainingConfig, fit, packed, pick, tensors, unpacked

if TYPE_CHECKING:
    from torch import Tensor, nn


class Config(TechniqueConfig):
    """Structured pruning of channels."""

    method: Literal["channels"]
    changes: ClassVar[Changes] = "function"
    times_only: ClassVar[bool] = True
    ratio: float | None = Field(None, gt=0, lt=1, description="share of the channels that go")
    speedup: float | None = Field(None, gt=1, description="how many times as fast the engine has to become")
    budget_ms: float | None = Field(None, gt=0, description="the most milliseconds that the engine may take")
    precision: Literal["fp32", "int8"] = Field("fp32", description="of the engines that speedup and budget_ms speak of")
    scope: Literal["layer", "global"] = Field(
        "layer", description="layer: the same share everywhere; global: the least important of the whole network"
    )
    importance: Kind = Field("l2", description="what says which channels matter least")
    round_to: int | None = Field(
        None, ge=1, description="widths are multiples of it; default: the target's steps, 16 with AVX-512, else 8"
    )
    max_ratio: float = Field(0.75, gt=0, lt=1, description="largest share of the channels of one group that may go")
    keep: tuple[str, ...] = Field((), description="patterns of layers that stay as they are, e.g. 'features.0*'")
    iterations: int = Field(1, ge=1, description="prune in so many steps, each followed by training")
    training: TrainingConfig | None = Field(None, description="after each iteration; none: prune only")
    loss: Literal["task", "teacher"] = Field("task", description="teacher needs no labels: the network as it was")
    logits: tuple[str, ...] = Field((), description="outputs that the teacher matches as distributions over axis 1")
    recalibrate: bool = Field(True, description="take the statistics of batch norms anew after pruning")
    engines: int = Field(12, ge=8, description="engines that the latency table is made from, for speedup and budget_ms")
    frames: int = Field(64, ge=1, description="training frames, else calibration frames, for statistics and importance")

    @property
    def measures(self) -> bool:
        return self.ratio is None

    @property
    def goal(self) -> timed.Goal | None:
        """What is asked of the engine; None: a ratio is."""
        return None if self.ratio is not None else timed.Goal(self.speedup, self.budget_ms)

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        given = [key for key in ("ratio", "speedup", "budget_ms") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of ratio, speedup, budget_ms; found {', '.join(given) or 'none'}")
        if self.precision != "fp32" and self.ratio is not None:
            raise ValueError(f"precision: {self.precision} is of engines that are timed; give speedup or budget_ms")
        if self.scope == "global" and self.ratio is None:
            raise ValueError(f"scope: global goes with ratio; {given[0]} chooses the width of every group")
        return self

    @model_validator(mode="after")
    def _within_the_cap(self) -> Self:
        if self.scope == "layer" and self.ratio is not None and self.ratio > self.max_ratio:
            raise ValueError(
                f"ratio {self.ratio} is above max_ratio {self.max_ratio}, the most that one group may lose; "
                "raise max_ratio or lower ratio"
            )
        if self.iterations > 1 and self.training is None:
            raise ValueError(f"iterations {self.iterations} train in between; give training, or leave iterations out")
        return self


def apply(job: Job, config: Config) -> Changed:
    """Prune the network, and train it where the config says so.

    The record holds the width of every group before and after, why other layers stay, and each training's history.

    Raises:
        ModelError: an ONNX file, a network in which nothing can be pruned (layers and reasons are named), training that
            diverges.
        SpecError: a name in ``keep`` that matches nothing, a ratio too small for one step, ``training`` without
            training frames, a loss that the task has not.
        DataError: no calibration frame.
        MissingRequirement: torch-pruning is not installed.
    """
    graph.torch_pruning()
    network_of, export = _require(job, config)
    example = frames.first(job)
    found = graph.prunable(network_of, example)
    network = network_of()
    wanted = keeping.kept(found.groups, config.keep, graph.names(network))
    groups = [group for group in found.groups if group.name not in wanted]
    if not groups:
        raise SpecError(f"prune: keep: {', '.join(config.keep)} leaves no layer that can be pruned; keep fewer")
    stride = config.round_to or step(job.profile)
    times: dict[str, Any] = {}
    goals: choice.Widths | None = None
    if config.goal is not None:
        goals, times = _timed(job, config, export, network, groups, stride)
    rounds = []
    for number in range(1, config.iterations + 1):
        share = number / config.iterations
        widths = _narrow(job, config, network, groups, stride, share, goals)
        if number == config.iterations:
            choice.require_change(groups, widths, f"ratio {config.ratio}", stride)
        rounds.append(
            {"share": share, "batch_norms": _retaken(job, config, network)} | _fitted(job, config, network, number)
        )
    before = network_of()
    kept = dict(found.kept) | {name: f"keep: {pattern}" for name, pattern in wanted.items()}
    by_group = times.pop("by_group", {})
    record = {
        "method": "channels",
        "config": config.model_dump(mode="json"),
        "widths": handover.widths(before, network),
        "round_to": stride,
        "groups": [
            {"layers": list(group.layers), "before": group.width, "after": widths[group.name]}
            | by_group.get(group.name, {})
            for group in groups
        ],
        "kept": kept,
        "parameters": {"before": _count(before), "after": _count(network)},
        "rounds": rounds,
    } | times
    return Changed(export(network), Change(record, packed(tensors(network))))


def rebuild(network: nn.Module, change: Change) -> nn.Module:
    """``network`` with the widths and weights of ``change``; needs no torch-pruning."""
    return handover.narrowed(network, change.record["widths"], unpacked(change.weights))


def _require(job: Job, config: Config) -> tuple[Callable[[], nn.Module], Export]:
    """What pruning works on; refuses before any work what cannot end well."""
    editable = job.need_network("prune: channels")
    if config.training is not None and job.examples is None:
        raise SpecError("prune: training needs training frames; give data.training, or leave training out")
    if config.training is not None and config.loss == "task" and job.loss is None:
        raise SpecError("prune: loss: 'task' needs a task with a built-in loss; use loss: teacher, which needs none")
    return editable


def _timed(
    job: Job, config: Config, export: Export, network: nn.Module, groups: Sequence[Group], stride: int
) -> tuple[choice.Widths, dict[str, Any]]:
    """Widths whose engine reaches the goal, and what was measured for it."""
    assert config.goal is not None
    bench = job.need_bench(f"prune: {config.goal}")
    example = frames.first(job)
    scores = _scores(job, config, copy.deepcopy(network), groups)
    typed = job.placed if config.precision == "int8" else None
    engines = timed.Engines(bench, export, network, example, groups, scores, job.source.read_bytes(), typed)
    found = timed.choose(job, engines, config.goal, stride, config.max_ratio, config.engines)
    return found.widths, dict(found.record)


def _scores(job: Job, config: Config, network: nn.Module, groups: Sequence[Group]) -> dict[str, list[Tensor]]:
    rank = importance(config.importance, network, frames.Batches(job, config.frames), job.outputs, job.loss)
    return graph.Graph(network, frames.first(job)).scores(groups, rank)


def _narrow(
    job: Job,
    config: Config,
    network: nn.Module,
    groups: Sequence[Group],
    stride: int,
    share: float,
    goals: choice.Widths | None,
) -> choice.Widths:
    """Prune ``network`` in place by ``share`` of what it has to lose: the ratio, or what it is wider than ``goals``."""
    rank = importance(config.importance, network, frames.Batches(job, config.frames), job.outputs, job.loss)
    cutting = graph.Graph(network, frames.first(job))
    now = [cutting.now(group) for group in groups]
    scores = cutting.scores(now, rank)
    options = {
        group.name: [width for width in group.options(stride, config.max_ratio) if width <= current.width]
        for group, current in zip(groups, now, strict=True)
    }
    if goals is not None:
        widths = choice.towards(groups, options, goals, share)
    elif config.ratio is not None and config.scope == "layer":
        widths = choice.by_layer(groups, options, config.ratio * share)
    else:
        widths = choice.over_all(groups, options, (config.ratio or 0.0) * share, scores)
    cutting.cut(now, widths, scores)
    return widths


def _retaken(job: Job, config: Config, network: nn.Module) -> int:
    return statistics.retake(network, frames.Batches(job, config.frames)) if config.recalibrate else 0


def _fitted(job: Job, config: Config, network: nn.Module, number: int) -> dict[str, Any]:
    """What a training after pruning came to; nothing without one."""
    if config.training is None:
        return {}
    assert job.network is not None
    names = {"inputs": job.inputs, "outputs": job.outputs}
    loss = pick(config.loss, task=job.loss, network=job.network, logits=config.logits, **names)
    trained = fit(job, network, loss, config.training, f"prune {number}" if config.iterations > 1 else "prune")
    return {
        "steps": trained.steps,
        "stopped_early": trained.stopped,
        "history": [asdict(point) for point in trained.history],
    }


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
