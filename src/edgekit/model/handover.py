"""A changed network for the code of the user: as a file of its own, and as weights with what puts them in.

What is pruned keeps the user's code: the same modules, with other numbers in them.  So the network is told by the
integers that changed (``out_channels``, ``num_features`` and the like) and by its tensors.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError
from edgekit.model import usercode
from edgekit.model.export import twin

if TYPE_CHECKING:
    from torch import Tensor, nn

NETWORK, STATE, WIDTHS, LOADER_FILE = "network.pt2", "state_dict.pt", "widths.json", "load_pruned.py"
FILES = (NETWORK, STATE, WIDTHS, LOADER_FILE)
_WRAPPER = "network."
_log = logging.getLogger("edgekit")

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

    ``network.pt2`` holds the network as :func:`torch.export.load` reads it; one that cannot be written is left out, and
    the log says why.  ``state_dict.pt`` holds parameters and buffers in the names of the user's network.  Where the
    modules are still the user's, ``widths.json`` and ``load_pruned.py`` put them in.
    """
    import torch

    exported = _exported(network, inputs)
    found = {} if exported is None else {NETWORK: exported}
    tensors = {**dict(network.named_parameters(remove_duplicate=False)), **dict(network.named_buffers())}
    file = io.BytesIO()
    torch.save({name.removeprefix(_WRAPPER): one.detach().cpu().contiguous() for name, one in tensors.items()}, file)
    found[STATE] = file.getvalue()
    if same_modules(own, network):
        named = {name.removeprefix(_WRAPPER): numbers for name, numbers in widths(own, network).items()}
        found[WIDTHS] = json.dumps(named, indent=2).encode() + b"\n"
        found[LOADER_FILE] = LOADER.encode()
    return found


def _exported(network: nn.Module, inputs: Sequence[Tensor]) -> bytes | None:
    import torch

    file = io.BytesIO()
    try:
        with usercode.translated(f"{NETWORK} is not written: torch.export"), usercode.quiet(), torch.no_grad():
            torch.export.save(torch.export.export(twin(network), tuple(inputs), strict=False), file)
    except ModelError as error:
        _log.warning("%s", error)
        return None
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
