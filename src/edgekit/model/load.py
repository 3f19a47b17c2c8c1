"""A trained model, from a Python factory with a state_dict, a ``.pt2`` file or an ONNX file.

Weights are tensors only: nothing is unpickled, whatever a file holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.errors import EdgekitError, MissingRequirement, ModelError
from edgekit.core.spec import ModelConfig
from edgekit.core.tensors import Array, Arrays, TensorSpec, check_feeds
from edgekit.model import exported, factory, flatten, onnxsource, signature, usercode, weights
from edgekit.runtime import sessions
from edgekit.runtime.denormals import flushed

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
        except (Exception, SystemExit) as error:  # the user's forward may raise anything, or exit
            given = ", ".join(str(spec) for spec in self.inputs)
            place = "" if self.module is None else usercode.blame(error)
            raise ModelError(f"the model failed on inputs {given}: {place}{usercode.describe(error)}") from error

    def _run_module(self, module: nn.Module, feeds: Arrays) -> dict[str, Array]:
        import torch

        tensors = [torch.tensor(feeds[spec.name]) for spec in self.inputs]  # copies: a forward may work in place
        with torch.inference_mode():
            results = module(*tensors)
        return {name: _array(value) for name, value in zip(self.outputs, results, strict=True)}

    def _run_onnx(self, feeds: Arrays) -> dict[str, Array]:
        with flushed():
            values = self._session.run(list(self.outputs), dict(feeds))
        return dict(zip(self.outputs, values, strict=True))

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # As it is written: what optimisers do to integers differs from processor to processor.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        sessions.configure(options)
        try:
            with flushed():
                return onnxruntime.InferenceSession(str(self.onnx), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no class
            raise ModelError(
                f"{self.onnx}: ONNX Runtime {onnxruntime.__version__} does not take it: {usercode.describe(error)}"
            ) from error


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
            network = exported.read(config.exported)
        else:
            network, code = factory.build(config)
        positional, keywords = signature.taken(network)
        names = config.inputs.keys()
        if not names <= {*positional, *keywords}:
            positional, keywords = list(names), []
        call = _Call([n for n in positional if n in names], [n for n in keywords if n in names], config.outputs, code)
        module = _flatten(network, tuple(names), call)
        model = LoadedModel(inputs, config.outputs, module=module)
        if code is not None:
            _fill(network, module, config)
    model.run({spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in inputs})
    return model


def _fill(network: nn.Module, module: nn.Module, config: ModelConfig) -> None:
    """Sizes for lazy layers, from a call; then the weights."""
    import torch

    if factory.is_lazy(network):
        zeros = [torch.zeros(shape.shape, dtype=getattr(torch, shape.dtype)) for shape in config.inputs.values()]
        # Not inference mode, whose tensors can never be trained.
        with usercode.translated("the first call, which gives lazy layers their sizes, failed"), torch.no_grad():
            module(*zeros)
        if factory.is_lazy(network):
            raise ModelError(
                f"model.factory {config.factory}: a lazy layer of the network is not reached by forward, and has no "
                "sizes; leave it out, or make it with its sizes"
            )
    if config.weights is not None:
        weights.load_weights(network, config)
    weights.check_finite(network, config.weights or config.factory)


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
            for name, value in zip(call.outputs, flatten.pick(result, call.outputs), strict=True):
                _require_dense(name, value)
                # One tensor under two names, or an input returned as it is, would share its ONNX name.
                shared = any(value is other for other in (*tensors, *flat))
                flat.append(value.clone() if shared else value)
            return tuple(flat)

    return FlatModel()


def _require_dense(name: str, value: Any) -> None:
    """Raise :class:`ModelError` for what is no plain tensor of real numbers."""
    import torch

    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if not isinstance(value, torch.Tensor):
        problem = f"is {kind}, which torch.export cannot follow; return a torch.Tensor"
    elif value.is_complex():
        problem = "is complex, which ONNX has no operators for; return torch.view_as_real of it"
    elif value.is_quantized:
        problem = "is a quantized tensor; return its dequantize()"
    elif value.layout != torch.strided or value.is_nested:
        problem = "is sparse or nested; return a dense tensor (to_dense(), to_padded_tensor())"
    else:
        return
    raise ModelError(f"model output {name!r} {problem}")


def _array(tensor: torch.Tensor) -> Array:
    import torch

    tensor = tensor.detach().cpu()
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # NumPy has no bfloat16
    return np.array(tensor.numpy(), order="C")  # a copy: an output may be a view of the model's own buffer
