"""The network that a user's factory makes."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgekit.core import files
from edgekit.core.errors import EdgekitError, ModelError
from edgekit.core.spec import ModelConfig
from edgekit.core.suggest import allowed
from edgekit.model import signature, usercode

if TYPE_CHECKING:
    from torch import nn

_SCRIPTED = (
    "a TorchScript module, which torch.export cannot follow: make the Python network and load its state_dict (that of "
    "torch.jit.load(file).state_dict() fits the network it was made from), or give an ONNX file with onnx:"
)


def build(config: ModelConfig) -> tuple[nn.Module, usercode.UserCode]:
    """The network of ``config.factory`` on the CPU in eval mode, and the code that its ``forward`` may import later.

    Raises:
        ModelError: no such file or callable, code or ``args`` that fail, or what it returns is no network that
            PyTorch can export.
    """
    assert config.factory is not None
    target, _, attribute = config.factory.partition(":")
    is_file = target.endswith(".py") or "/" in target
    file = config.base / target if is_file else None
    if file is not None and not file.is_file():
        raise files.missing("factory", file)
    for key in ("weights_key", "strip_prefix", "ignore"):
        if getattr(config, key) and config.weights is None:
            raise ModelError(f"model.{key} needs model.weights: it says how the keys of that file are read")
    code = usercode.UserCode(config.base, file, config.args)

    def make(module: ModuleType) -> Any:
        function = _callable(module, attribute, target)
        try:
            return function(**config.args)
        except TypeError as error:
            if usercode.blame(error):
                raise
            raise ModelError(f"model.factory {config.factory}: {_misfit(function, config.args, error)}") from error

    try:
        with code.imports():
            network = _usable(_import_and(make, code, target, is_file), config.factory)
    except EdgekitError:
        raise
    except (Exception, SystemExit) as error:  # the user's module and factory may raise anything, or exit
        advice = "; install it in this environment" if isinstance(error, ModuleNotFoundError) else ""
        if shadow := code.shadowed(error):
            advice = f": {shadow} has the name of that package; rename the file"
        raise ModelError(
            f"model.factory {config.factory}: {usercode.blame(error)}{usercode.describe(error)}{advice}"
        ) from error
    return network, code


def is_lazy(network: nn.Module) -> bool:
    """Whether parameters or buffers get their sizes from the first call only."""
    import torch

    tensors = [*network.parameters(), *network.buffers()]
    return any(torch.nn.parameter.is_lazy(tensor) for tensor in tensors)


def _usable(made: object, factory: str) -> nn.Module:
    import torch

    if isinstance(made, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        raise ModelError(f"model.factory {factory} returned {_SCRIPTED}")
    if not isinstance(made, torch.nn.Module):
        raise ModelError(
            f"model.factory {factory} returned {type(made).__name__}; expected a torch.nn.Module{_way_out(made)}"
        )
    for name, module in made.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(f"model.factory {factory}: the part {name!r} of the network is {_SCRIPTED}")
    # Not by what these return: a train() of the user's own may forget to return the network.
    made.to("cpu")
    if signature.is_exported(made):
        made.training = False  # of torch.export, which refuses eval() and is in the mode that it was exported in
    else:
        made.eval()
    return made


def _way_out(made: object) -> str:
    import torch

    if made is None:
        return ": does it end with return?"
    if isinstance(made, type) and issubclass(made, torch.nn.Module):
        return f": return an object of it, {made.__name__}(...)"
    if isinstance(made, torch.export.ExportedProgram):
        return ": write it with torch.export.save and name the file with exported:"
    if isinstance(made, tuple | list | dict):
        items = made.items() if isinstance(made, dict) else enumerate(made)
        at = [key for key, value in items if isinstance(value, torch.nn.Module)]
        return f": return its item {at[0]!r} alone" if len(at) == 1 else ""
    return ""


def _misfit(function: Callable[..., Any], args: Mapping[str, Any], error: TypeError) -> str:
    """What is wrong with ``model.args``, with the place of the callable where it is known."""
    place = getattr(function, "__code__", None) or getattr(getattr(function, "__init__", None), "__code__", None)
    where = f"{place.co_filename}:{place.co_firstlineno}: " if place else ""
    try:
        taken = inspect.signature(function).parameters
    except (ValueError, TypeError):  # functions in C have no signature
        return f"{where}{usercode.describe(error)}; see model.args"
    named = {name: p for name, p in taken.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    unknown = [name for name in args if name not in named]
    if unknown and not any(p.kind == p.VAR_KEYWORD for p in taken.values()):
        known = allowed(unknown[0], tuple(named)) if named else "it takes none"
        return f"{where}model.args: no argument {unknown[0]!r}; {known}"
    missing = [name for name, p in named.items() if p.default is p.empty and name not in args]
    if missing:
        return f"{where}model.args lacks {', '.join(missing)}, which has no default"
    return f"{where}{usercode.describe(error)}; see model.args"


def _import_and(make: Callable[[ModuleType], Any], code: usercode.UserCode, target: str, is_file: bool) -> Any:
    if not is_file:
        importlib.invalidate_caches()
        return make(importlib.import_module(target))
    names = list(code.import_candidates())
    for name in names[:-1]:
        try:
            return make(code.import_file(name))
        except ImportError as error:
            if "relative import" not in str(error):
                raise
    return make(code.import_file(names[-1]))


def _callable(module: ModuleType, attribute: str, target: str) -> Callable[..., Any]:
    found = getattr(module, attribute, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    if found is not None:
        raise ModelError(f"model.factory: {attribute!r} in {target} is {type(found).__name__}; expected a callable")
    names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    near = difflib.get_close_matches(attribute, names, n=1, cutoff=0.0)
    advice = f"; did you mean {near[0]!r}?" if near else ": it defines no callable"
    raise ModelError(f"model.factory: no callable {attribute!r} in {target}{advice}")
