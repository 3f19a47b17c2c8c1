"""2:4 sparsity: of each four weights that follow each other along the input channels two are zero.

TensorRT has kernels that leave such zeros out on GPUs from Ampere on (Mishra et al., "Accelerating Sparse Deep Neural
Networks", 2021): half the multiplications of a layer, no other shapes.  The two smallest of each four go, and training
mends what that costs while the zeros stay (section 4 there).  Whether the engine took it is found out after the build:
``sparse_layers`` of its layer list.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from edgekit.core.errors import ModelError, SpecError
from edgekit.core.variant import Changes
from edgekit.model import handover
from edgekit.prune.channels import keeping
from edgekit.prune.channels.graph import INNER, names
from edgekit.prune.channels.groups import Group, Member
from edgekit.technique import Change, Changed, Job, TechniqueConfig
from edgekit.training import TrainingConfig, fit, packed, pick, tensors, unpacked

if TYPE_CHECKING:
    from torch import Tensor, nn

OF, STAY = 4, 2


class Config(TechniqueConfig):
    """2:4 sparse weights, for TensorRT."""

    method: Literal["sparsity24"]
    changes: ClassVar[Changes] = "function"
    keep: tuple[str, ...] = Field((), description="patterns of layers that stay dense, e.g. 'features.0*'")
    training: TrainingConfig | None = Field(None, description="with the zeros held; none: no training")
    loss: Literal["task", "teacher"] = Field("task", description="teacher needs no labels: the network as it was")
    logits: tuple[str, ...] = Field((), description="outputs that the teacher matches as distributions over axis 1")


def apply(job: Job, config: Config) -> Changed:
    """Set two of each four weights to zero, and train the others where the config says so.

    The record holds the sparse layers, why others are dense, and the training's history.

    Raises:
        SpecError: a target without sparse kernels, a name in ``keep`` that matches nothing, ``training`` without
            training frames, a loss that the task has not.
        ModelError: an ONNX file, or a network without a layer that can be sparse.
    """
    if job.profile != "tensorrt":
        raise SpecError(
            f"prune: sparsity24 gains nothing on this target: its engine (placement {job.profile}) has no kernels for "
            "2:4 sparse weights, TensorRT on a GPU from Ampere on has; use method channels, or leave the step out"
        )
    network_of, export = job.need_network("prune: sparsity24")
    if config.training is not None and job.examples is None:
        raise SpecError("prune: training needs training frames; give data.training, or leave training out")
    network = network_of()
    sparse, dense = _layers(network, config.keep)
    masks = {name: mask(layer.weight) for name, layer in sparse.items()}
    history = _trained(job, config, network, sparse, masks)
    record = {
        "method": "sparsity24",
        "config": config.model_dump(mode="json"),
        "sparse": list(sparse),
        "dense": dense,
        "share": sum(m.numel() for m in masks.values()) / sum(one.numel() for one in network.parameters()),
    } | history
    return Changed(export(network), Change(record, packed(tensors(network))))


def rebuild(network: nn.Module, change: Change) -> nn.Module:
    """``network`` with the weights of ``change``."""
    return handover.narrowed(network, {}, unpacked(change.weights))


def mask(weight: Tensor) -> Tensor:
    """1 where a weight ``(outputs, inputs, ...)`` stays: the two largest of each four along the inputs, else 0.

    Of equal ones the first stay.
    """
    import torch

    along = weight.detach().abs().movedim(1, -1)
    fours = along.reshape(-1, OF)
    first = fours.argsort(dim=1, descending=True, stable=True)[:, :STAY]
    return torch.zeros_like(fours).scatter_(1, first, 1).reshape(along.shape).movedim(-1, 1).contiguous()


def _layers(network: nn.Module, patterns: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    """Layers that become sparse, by name, and why the others do not."""
    from torch import nn

    found: dict[str, Any] = {}
    dense: dict[str, str] = {}
    for path, module in network.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            continue
        name, inputs = path.removeprefix(INNER), module.weight.shape[1]
        if getattr(module, "groups", 1) != 1:
            dense[name] = "a grouped convolution"
        elif inputs % OF:
            dense[name] = f"{inputs} inputs are no multiple of {OF}"
        else:
            found[name] = module
    groups = [Group((Member(name, len(layer.weight)),), (name,)) for name, layer in found.items()]
    for name, pattern in keeping.kept(groups, patterns, names(network)).items():
        dense[name] = f"keep: {pattern}"
        del found[name]
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(dense.items())[:8])
        raise ModelError(f"prune: sparsity24 finds no layer that can be sparse: {reasons or 'the network has none'}")
    return found, dense


def _trained(
    job: Job, config: Config, network: nn.Module, sparse: dict[str, Any], masks: dict[str, Tensor]
) -> dict[str, Any]:
    """Hold the zeros, train if that is asked for, and leave plain weights."""
    from torch import nn
    from torch.nn.utils import parametrize

    class Held(nn.Module):
        kept: Tensor

        def __init__(self, kept: Tensor) -> None:
            super().__init__()
            self.register_buffer("kept", kept, persistent=False)

        def forward(self, weight: Tensor) -> Tensor:
            return weight * self.kept

    for name, layer in sparse.items():
        parametrize.register_parametrization(layer, "weight", Held(masks[name]))
    history: dict[str, Any] = {}
    if config.training is not None:
        assert job.network is not None
        given = {"inputs": job.inputs, "outputs": job.outputs, "logits": config.logits}
        loss = pick(config.loss, task=job.loss, network=job.network, **given)
        trained = fit(job, network, loss, config.training, "prune")
        history = {
            "steps": trained.steps,
            "stopped_early": trained.stopped,
            "history": [asdict(point) for point in trained.history],
        }
    for layer in sparse.values():
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    network.eval()
    return history
