"""A trained model, from a Python factory with a state_dict, a ``.pt2`` file or an ONNX file.

Weights are tensors only: nothing is unpickled, whatever a file holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import inspect
import io
import json
import math
import pickle
import re
import zipfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.errors import EdgekitError, MissingRequirement, ModelError
from edgekit.core.spec import ModelConfig
from edgekit.core.tensors import Array, Arrays, TensorSpec, check_feeds
from edgekit.model import files, flatten, onnxsource, statedict, usercode

if TYPE_CHECKING:
    import torch
    from torch import nn

_INSTALL = 'pip install "edgekit[compress]"'


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model with flat, named inputs and outputs; exactly one of ``module`` and ``onnx`` is set.

    ``module`` takes the inputs as tensors in the order of ``inputs`` and returns a tuple of
    tensors in the order of ``outputs``; the user's own network is ``module.network``.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    module: nn.Module | None = None
    onnx: Path | None = None

    def __post_init__(self) -> None:
        if (self.module is None) == (self.onnx is None):
            raise ModelError("a loaded model is either a PyTorch module or an ONNX file")

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """Outputs (the model's own dtypes; bfloat16 as float32) for one set of inputs, on the CPU.

        Raises :class:`TensorError` for feeds that do not fit ``inputs`` and
        :class:`ModelError` when the model fails or returns other outputs.
        """
        check_feeds(feeds, self.inputs)
        try:
            return self._run_onnx(feeds) if self.module is None else self._run_module(self.module, feeds)
        except EdgekitError:
            raise
        except Exception as error:  # the user's forward may raise anything
            given = ", ".join(str(spec) for spec in self.inputs)
            raise ModelError(
                f"the model failed on inputs {given}: {usercode.blame(error)}{usercode.describe(error)}"
            ) from error

    def _run_module(self, module: nn.Module, feeds: Arrays) -> dict[str, Array]:
        import torch

        tensors = [torch.tensor(feeds[spec.name]) for spec in self.inputs]  # copies: a forward may work in place
        with torch.inference_mode():
            results = module(*tensors)
        return {name: _array(value) for name, value in zip(self.outputs, results, strict=True)}

    def _run_onnx(self, feeds: Arrays) -> dict[str, Array]:
        values = self._session.run(list(self.outputs), dict(feeds))
        return dict(zip(self.outputs, values, strict=True))

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(self.onnx), options, providers=["CPUExecutionProvider"])


def load_model(config: ModelConfig) -> LoadedModel:
    """Load the model in eval mode and run it once on zeros, so that a wrong spec shows here.

    Raises :class:`ModelError` for a factory, file, weight or output that does not fit
    (NaN or Inf in a weight included), and :class:`MissingRequirement` without PyTorch.
    A factory's modules are imported once per process, as everywhere in Python.
    """
    inputs = tuple(TensorSpec(name, shape.shape, shape.dtype) for name, shape in config.inputs.items())
    if config.onnx is not None:
        onnxsource.check(config.onnx, inputs, config.outputs)
        model = LoadedModel(inputs, config.outputs, onnx=config.onnx)
    else:
        _require_torch()
        code: usercode.UserCode | None = None
        if config.exported is not None:
            network, positional, keywords = _read_exported(config.exported)
        else:
            network, code = _build(config)
            positional, keywords = [], _parameters(network)
        names = config.inputs.keys()
        if not names <= {*positional, *keywords}:
            positional, keywords = list(names), []
        call = _Call([n for n in positional if n in names], [n for n in keywords if n in names], config.outputs, code)
        module = _flatten(network, tuple(names), call)
        model = LoadedModel(inputs, config.outputs, module=module)
    model.run({spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in inputs})
    return model


def _require_torch() -> None:
    try:
        importlib.import_module("torch")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingRequirement("PyTorch", _INSTALL) from error


# --- one module with flat inputs and outputs ----------------------------------


@dataclasses.dataclass(frozen=True)
class _Call:
    """How ``forward`` takes the inputs, and what it needs while it runs."""

    positional: Sequence[str]
    keywords: Sequence[str]
    outputs: tuple[str, ...]
    code: usercode.UserCode | None


def _parameters(network: nn.Module) -> list[str]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, p in inspect.signature(network.forward).parameters.items() if p.kind in named]


def _flatten(network: nn.Module, names: tuple[str, ...], call: _Call) -> nn.Module:
    from torch import nn

    class FlatModel(nn.Module):
        # What forward needs besides the network stays in this closure: attributes would be copied with the module.
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.training = False  # set directly: a module from torch.export refuses eval()

        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            given = dict(zip(names, tensors, strict=True))
            with contextlib.nullcontext() if call.code is None else call.code.imports():
                result = self.network(*(given[n] for n in call.positional), **{n: given[n] for n in call.keywords})
            flat: list[torch.Tensor] = []
            for value in flatten.pick(result, call.outputs):
                # One tensor under two names, or an input returned as it is, would share its ONNX name.
                shared = any(value is other for other in (*tensors, *flat))
                flat.append(value.clone() if shared else value)
            return tuple(flat)

    return FlatModel()


def _array(tensor: torch.Tensor) -> Array:
    import torch

    tensor = tensor.detach().cpu()
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # NumPy has no bfloat16
    return np.array(tensor.numpy(), order="C")  # a copy: an output may be a view of the model's own buffer


# --- factory -----------------------------------------------------------------


def _build(config: ModelConfig) -> tuple[nn.Module, usercode.UserCode]:
    import torch

    assert config.factory is not None
    target, _, attribute = config.factory.partition(":")
    is_file = target.endswith(".py") or "/" in target
    file = config.base / target if is_file else None
    if file is not None and not file.is_file():
        raise files.missing("factory", file)
    if config.strip_prefix is not None and config.weights is None:
        raise ModelError("model.strip_prefix needs model.weights: it renames the keys of that file")
    code = usercode.UserCode(config.base, file)

    def make(module: ModuleType) -> Any:
        function = _callable(module, attribute, target)
        try:
            return function(**config.args)
        except TypeError as error:
            if usercode.blame(error):
                raise
            place = getattr(function, "__code__", None)
            where = f"{place.co_filename}:{place.co_firstlineno}: " if place else ""
            raise ModelError(
                f"model.factory {config.factory}: {where}{usercode.describe(error)}; see model.args"
            ) from error

    try:
        with code.imports():
            network = _import_and(make, code, target, is_file)
            if isinstance(network, torch.nn.Module):
                network = network.to("cpu").eval()
    except EdgekitError:
        raise
    except (Exception, SystemExit) as error:  # the user's module and factory may raise anything, or exit
        advice = "; install it in this environment" if isinstance(error, ModuleNotFoundError) else ""
        raise ModelError(
            f"model.factory {config.factory}: {usercode.blame(error)}{usercode.describe(error)}{advice}"
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise ModelError(
            f"model.factory {config.factory} returned {type(network).__name__}; expected a torch.nn.Module"
        )
    if config.weights is not None:
        _load_weights(network, config.weights, config.strip_prefix)
    _check_finite(network, config.weights or config.factory)
    return network, code


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


# --- weights -----------------------------------------------------------------


def _load_weights(network: nn.Module, path: Path, strip_prefix: str | None) -> None:
    state = statedict.find(_read_tensors(path), path)
    if strip_prefix:
        state = statedict.strip(state, strip_prefix, path)
    try:
        # The model's own load hooks may rename keys, so PyTorch decides what fits.
        network.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        problem = statedict.mismatch(state, network.state_dict(), strip_prefix or "") or usercode.describe(error)
        raise ModelError(f"weights {path} do not fit the model: {problem}") from error


def _read_tensors(path: Path) -> Any:
    import torch

    if not path.is_file():
        raise files.missing("weights", path)
    try:
        with usercode.quiet():
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # corrupt bytes make the unpickler raise anything, KeyError too
        what = _refused(path, error)
        if what:
            raise ModelError(
                f"weights {path} hold more than tensors ({what}), which is never unpickled; "
                "save them with torch.save(model.state_dict(), path)"
            ) from error
        size = path.stat().st_size
        raise ModelError(
            f"weights {path} ({size} bytes) are not a complete PyTorch file; "
            "copy or download it again, or save it with torch.save(model.state_dict(), path)"
        ) from error


def _refused(path: Path, error: Exception) -> str:
    """What a weights file holds besides tensors; ``""`` when it is damaged instead."""
    if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return found.group(1)
    if "TorchScript" in str(error):
        return "a TorchScript archive"
    with path.open("rb") as stream:
        head = stream.read(2)
    return "a Python pickle" if head[:1] == b"\x80" and head[1:] > b"\x02" else ""  # PyTorch writes protocol 2


def _check_finite(network: nn.Module, source: object) -> None:
    import torch

    parameters = dict(network.named_parameters())
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            continue
        bad = ~torch.isfinite(tensor.detach())
        if name not in parameters:
            bad &= tensor != -math.inf  # attention masks are buffers of -inf
        if bad.any():
            raise ModelError(
                f"{source}: {int(bad.sum())} of {tensor.numel()} values of {name!r} are NaN or Inf; "
                "use a checkpoint from before the training diverged"
            )


# --- .pt2 --------------------------------------------------------------------


def _read_exported(path: Path) -> tuple[nn.Module, list[str], list[str]]:
    """The module, and the names it takes by position and by keyword: it accepts only the way it was exported with."""
    import torch
    from torch.utils import _pytree

    if not path.is_file():
        raise files.missing("exported", path)
    _refuse_pickles(path)
    try:
        with usercode.quiet():
            program = torch.export.load(path)
            network: nn.Module = program.module()
    except Exception as error:  # the reader raises whatever a damaged or newer archive leads to
        raise ModelError(
            f"{path} cannot be read by PyTorch {torch.__version__}: {usercode.describe(error)}; "
            "write it again with torch.export.save and this version"
        ) from error
    _check_finite(network, path)
    in_spec: Any = program.call_spec.in_spec
    _, keywords = _pytree.tree_unflatten([None] * in_spec.num_leaves, in_spec)
    return network, [name for name in _parameters(network) if name not in keywords], list(keywords)


def _refuse_pickles(path: Path) -> None:
    """PyTorch unpickles parts of a ``.pt2`` that are not plain tensors; such a file could run any code."""
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pt"):
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True, map_location="cpu")
                elif name.endswith("_config.json"):
                    entries = json.loads(archive.read(name)).get("config", {}).values()
                    if any(entry.get("use_pickle") for entry in entries):
                        raise pickle.UnpicklingError(name)
                elif "custom_obj" in name.rpartition("/")[2]:
                    raise pickle.UnpicklingError(name)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds pickled Python objects, which are never unpickled; export a model of plain tensors"
        ) from error
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"{path} is not a complete .pt2 file; write it again with torch.export.save") from error
