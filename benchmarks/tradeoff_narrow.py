"""A pruned network with random weights: the control of pruning, for ``compress_tradeoff.py``."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn


def build(factory: str, args: dict[str, Any], widths: str, seed: int) -> nn.Module:
    """The network of ``factory`` with the widths of a ``widths.json``, every layer initialised as PyTorch does it."""
    file, _, name = factory.partition(":")
    spec = importlib.util.spec_from_file_location("tradeoff_own_model", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = getattr(module, name)(**args)
    for layer, changed in json.loads(Path(widths).read_text()).items():
        for key, value in changed.items():
            setattr(network.get_submodule(layer), key, value)
    torch.manual_seed(seed)
    for layer in network.modules():
        reset(layer)
    return network


def reset(layer: nn.Module) -> None:
    """Fresh tensors of the sizes that the layer's numbers say."""
    if isinstance(layer, nn.Conv2d):
        fill(layer, (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size), layer.out_channels)
    elif isinstance(layer, nn.ConvTranspose2d):
        fill(layer, (layer.in_channels, layer.out_channels // layer.groups, *layer.kernel_size), layer.out_channels)
    elif isinstance(layer, nn.Linear):
        fill(layer, (layer.out_features, layer.in_features), layer.out_features)
    elif isinstance(layer, nn.BatchNorm2d):
        layer.running_mean, layer.running_var = torch.zeros(layer.num_features), torch.ones(layer.num_features)
        fill(layer, (layer.num_features,), layer.num_features)
    elif next(layer.parameters(recurse=False), None) is not None:
        raise TypeError(f"{type(layer).__name__}: this control knows convolutions, linear layers and batch norms")


def fill(layer: Any, shape: tuple[int, ...], outputs: int) -> None:
    layer.weight = nn.Parameter(torch.empty(shape))
    if layer.bias is not None:
        layer.bias = nn.Parameter(torch.empty(outputs))
    layer.reset_parameters()
