"""Batch norms folded into the convolutions before them, as the exporter does, and the way back.

Quantization-aware training must see the weights that will be integers: those after folding (Jacob et
al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
2018, section 3.2).  The way back gives weights for the user's own, unfolded network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError
from edgekit.quantize.qat.sites import Site, Watcher

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Folded:
    """A network without the batch norms that could be folded.

    Args:
        network: in eval mode; a folded batch norm is an ``Identity``.
        pairs: names of each layer and the batch norm that went into it.
        frozen: names of the batch norms that stayed; their statistics must not move.
    """

    network: nn.Module
    pairs: tuple[tuple[str, str], ...]
    frozen: tuple[str, ...]

    def unfold(self, state: Mapping[str, Tensor], fresh: nn.Module) -> nn.Module:
        """Put folded weights into ``fresh``, an unfolded copy; its batch norms only add the biases.

        Raises:
            ModelError: the weights are of another network.
        """
        import torch

        tensors = {**dict(fresh.named_parameters()), **dict(fresh.named_buffers())}
        with torch.no_grad():
            for layer, norm in self.pairs:
                _neutral(fresh.get_submodule(norm), state[f"{layer}.bias"])
                if f"{layer}.bias" in tensors:
                    tensors[f"{layer}.bias"].zero_()
            done = {f"{layer}.bias" for layer, _ in self.pairs}
            for name, tensor in state.items():
                if name in done:
                    continue
                if name not in tensors or tensors[name].shape != tensor.shape:
                    raise ModelError(f"the trained weights do not fit the network: {name!r} differs")
                tensors[name].copy_(tensor)
        return fresh


def fold(network: nn.Module, feeds: Sequence[Tensor]) -> Folded:
    """Fold, in place, every batch norm that reads nothing but one layer's output.

    Args:
        network: positional tensors in, tuple of tensors out.
        feeds: its inputs for one frame, to see which layer feeds which batch norm.
    """
    network.eval()
    pairs = _pairs(network, feeds)
    for layer_name, norm_name in pairs:
        layer, norm = network.get_submodule(layer_name), network.get_submodule(norm_name)
        _replace(network, layer_name, _fused(layer, norm))
        _replace(network, norm_name, _identity())
    left = tuple(name for name, module in network.named_modules() if _is_norm(module))
    return Folded(network, tuple(pairs), left)


def _pairs(network: nn.Module, feeds: Sequence[Tensor]) -> list[tuple[str, str]]:
    """(layer, batch norm) by name, from one run: who read what each layer made."""
    import torch

    modules = dict(network.named_modules())
    made: dict[int, str] = {}
    kept: list[Any] = []  # alive, so that no id is given twice
    readers: dict[str, list[str]] = {}
    runs: dict[str, int] = {}
    reading: list[str] = []

    def before(site: Site, args: tuple[Any, ...]) -> tuple[Any, ...]:
        reading[:] = [made[id(value)] for value in _tensors(args) if id(value) in made]
        return args

    def after(site: Site, tensor: Tensor) -> Tensor:  # a call without a tensor as result, such as dim(), reads nothing
        for layer in reading:
            readers.setdefault(layer, []).append(site.module)
        if site.function.startswith(("conv", "linear", "batch_norm")):
            runs[site.module] = runs.get(site.module, 0) + 1
            if _is_layer(modules.get(site.module)):
                made[id(tensor)] = site.module
                kept.append(tensor)
        return tensor

    with torch.no_grad(), Watcher(network).watching(before, after):
        outputs = network(*feeds)
    final = {made[id(value)] for value in _tensors(outputs) if id(value) in made}
    shared = _shared_weights(network)
    found = []
    for layer, users in readers.items():
        norm = users[0]
        alone = len(users) == 1 and layer not in final and layer not in shared and runs[layer] == 1
        if alone and _is_norm(modules.get(norm)) and runs.get(norm) == 1:
            found.append((layer, norm))
    return found


def _tensors(values: Any) -> list[Any]:
    from torch import Tensor

    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, tuple | list):
        return [tensor for value in values for tensor in _tensors(value)]
    return []


def _shared_weights(network: nn.Module) -> set[str]:
    """Names of the layers that share a parameter with another one, or are known under two names."""
    owners: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name.rpartition(".")[0])
    return {name for names in owners.values() if len(names) > 1 for name in names}


def _is_layer(module: Any) -> bool:
    from torch import nn

    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
    return type(module) in kinds


def _is_norm(module: Any) -> bool:
    from torch import nn

    return isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) and module.running_var is not None


def _fused(layer: Any, norm: Any) -> nn.Module:
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

    if isinstance(layer, nn.Linear):
        fused: Any = fuse_linear_bn_eval(layer, norm)
    else:
        transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
        fused = fuse_conv_bn_eval(layer, norm, transpose=transposed)
    # A bias that comes from the batch norm alone is made without a gradient.
    fused.bias.requires_grad_(layer.weight.requires_grad)
    return fused  # type: ignore[no-any-return]


def _identity() -> nn.Module:
    from torch import nn

    return nn.Identity()


def _neutral(norm: Any, bias: Tensor) -> None:
    """Let a batch norm in eval mode add ``bias`` and nothing else."""
    norm.running_var.fill_(1.0 - norm.eps)
    if norm.affine:
        norm.running_mean.zero_()
        norm.weight.fill_(1.0)
        norm.bias.copy_(bias)
    else:
        norm.running_mean.copy_(-bias)


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)
