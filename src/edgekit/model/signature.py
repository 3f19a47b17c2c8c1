"""How a network's ``forward`` takes its inputs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from edgekit.model import usercode

if TYPE_CHECKING:
    from torch import nn


def taken(network: nn.Module) -> tuple[list[str], list[str]]:
    """Names that ``forward`` takes by position, and by keyword; both empty when there is no signature.

    A module of torch.export accepts only the way it was exported with; others take every named parameter by keyword.
    """
    named = _named(network)
    if not is_exported(network):
        return [], named
    from torch.utils import _pytree

    spec: Any = network._in_spec
    _, keywords = _pytree.tree_unflatten([None] * spec.num_leaves, spec)
    return [name for name in named if name not in keywords], list(keywords)


def is_exported(network: nn.Module) -> bool:
    """Whether the network is the module of an exported program."""
    import torch

    return isinstance(network, torch.fx.GraphModule) and hasattr(network, "_in_spec")


def _named(network: nn.Module) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    with usercode.translated("the network's forward cannot be looked at"):
        try:
            found = inspect.signature(network.forward).parameters
        except (ValueError, TypeError):  # code in C and some wrappers
            return []
        return [name for name, parameter in found.items() if parameter.kind in kinds]
