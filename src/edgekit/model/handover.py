"""A network whose layers were made narrower, for the code of the user: widths, weights, and who puts them in.

What is pruned keeps the user's code: the same modules, with other numbers in them.  So the network is told by the
integers that changed (``out_channels``, ``num_features`` and the like) and by its tensors.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

Widths = dict[str, dict[str, Any]]
"""Integers, or lists of such, by attribute, by name of a module."""

LOADER = '''"""The pruned network in your own code: needs PyTorch and the factory that edgekit was given, not edgekit.

    from load_pruned import load
    network = load(build())
"""

import json
from pathlib import Path

import torch

HERE = Path(__file__).parent


def load(network):
    """Narrow ``network``, as your factory builds it, and fill in the weights; gives it back in eval mode."""
    for name, widths in json.loads((HERE / "widths.json").read_text()).items():
        module = network.get_submodule(name)
        for key, value in widths.items():
            setattr(module, key, tuple(value) if isinstance(value, list) else value)
    for name, tensor in torch.load(HERE / "state_dict.pt", map_location="cpu", weights_only=True).items():
        owner, _, key = name.rpartition(".")
        module = network.get_submodule(owner)
        parameter = key in module._parameters
        setattr(module, key, torch.nn.Parameter(tensor) if parameter else tensor)
    return network.eval()
'''


def widths(before: nn.Module, after: nn.Module) -> Widths:
    """The integers of the modules of ``before`` that are others in ``after``, which has the same modules."""
    changed: Widths = {}
    now = dict(after.named_modules())
    for name, module in before.named_modules():
        old, new = _integers(module), _integers(now[name])
        other = {key: new[key] for key in old if key in new and new[key] != old[key]}
        if other:
            changed[name] = other
    return changed


def narrowed(network: nn.Module, changed: Mapping[str, Mapping[str, Any]], state: Mapping[str, Tensor]) -> nn.Module:
    """``network`` with these integers and tensors, changed in place; tensors that keep their shape stay shared."""
    import torch

    for name, numbers in changed.items():
        module = network.get_submodule(name)
        for key, value in numbers.items():
            setattr(module, key, tuple(value) if isinstance(value, list) else value)
    for name, tensor in state.items():
        owner, _, key = name.rpartition(".")
        module = network.get_submodule(owner)
        held = getattr(module, key)
        if held.shape == tensor.shape:
            with torch.no_grad():
                held.copy_(tensor)
        elif key in module._parameters:
            setattr(module, key, torch.nn.Parameter(tensor.clone(), requires_grad=held.requires_grad))
        else:
            setattr(module, key, tensor.clone())
    return network


def same_modules(before: nn.Module, after: nn.Module) -> bool:
    """Whether both have the same modules by name, of the same types: what :func:`widths` can tell apart."""
    # By name of the type: a factory's file that is read twice makes two types.
    first, second = ({name: type(one).__qualname__ for name, one in net.named_modules()} for net in (before, after))
    return first == second


def files(own: nn.Module, network: nn.Module, inputs: Sequence[Tensor]) -> dict[str, bytes]:
    """What lets the user's own code load ``network``, by file name.

    Args:
        own: the user's network as the loader wraps it.
        network: the changed one, in the same wrapper, in eval mode.
        inputs: positional tensors, for ``network.pt2``.

    ``network.pt2`` holds the network as :func:`torch.export.load` reads it.  Where the modules are still the user's,
    there are also ``state_dict.pt``, ``widths.json`` and ``load_pruned.py``, in the names of the user's network.
    """
    import torch

    found = {"network.pt2": _exported(network, inputs)}
    if same_modules(own, network):
        inner = "network."
        tensors = {**dict(network.named_parameters(remove_duplicate=False)), **dict(network.named_buffers())}
        file = io.BytesIO()
        torch.save({name.removeprefix(inner): one.detach().cpu().contiguous() for name, one in tensors.items()}, file)
        named = {name.removeprefix(inner): numbers for name, numbers in widths(own, network).items()}
        found |= {"state_dict.pt": file.getvalue(), "widths.json": json.dumps(named, indent=2).encode() + b"\n"}
        found["load_pruned.py"] = LOADER.encode()
    return found


def _exported(network: nn.Module, inputs: Sequence[Tensor]) -> bytes:
    import torch

    file = io.BytesIO()
    torch.export.save(torch.export.export(network, tuple(inputs), strict=False), file)
    return file.getvalue()


def _integers(module: nn.Module) -> dict[str, Any]:
    """Integers, and tuples of them (as lists), among the module's own attributes."""
    found: dict[str, Any] = {}
    for key, value in vars(module).items():
        if key.startswith("_") or isinstance(value, bool):
            continue
        if isinstance(value, int):
            found[key] = value
        elif isinstance(value, tuple) and value and all(type(one) is int for one in value):
            found[key] = list(value)
    return found
