"""A PyTorch network that rounds where, and as, the exported Q/DQ model does; built with NVIDIA ModelOpt.

Weights are rounded by the quantizers that ModelOpt puts into convolutions and linear layers, to scales
that follow the weights.  Activations are rounded by quantizers on the grids of a placement plan; those
sit at the call that makes, or reads, a rounded tensor (:mod:`edgekit.quantize.qat.sites`), because in PyTorch
an addition is no module.  Gradients go straight through inside the range and are zero outside.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018, section 3; https://nvidia.github.io/TensorRT-Model-Optimizer/
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core.errors import MissingRequirement, ModelError
from edgekit.core.tensors import Array, Arrays
from edgekit.qdq.graph import Graph, module_of, run, runtime, session
from edgekit.qdq.insert import Grid
from edgekit.qdq.placement import Plan
from edgekit.quantize.qat.sites import Site, Trace, Watcher

if TYPE_CHECKING:
    from torch import Tensor, nn

INNER = "inner"  # the attribute of the fake-quantized network that holds the original one
_INSTALL = 'pip install "edgekit[qat]"'


@dataclass(frozen=True)
class Placed:
    """Where each rounding of a plan is in a PyTorch network.

    Args:
        results: grids by the call that makes the tensor.
        arguments: grids by the call that reads it, and the position among its tensor arguments.
        inputs: grids by the position of the network's input.
        weights: name of each module with integer weights, and their channel axis (None: one scale).
        biases: scale of the input, by the call of a module whose bias is an integer too.
        limits: smallest and largest integer of an activation.
        missing: rounded tensors and computing nodes that no call or module was found for; they stay float.
    """

    results: Mapping[Site, Grid]
    arguments: Mapping[tuple[Site, int], Grid]
    inputs: Mapping[int, Grid]
    weights: Mapping[str, int | None]
    biases: Mapping[Site, float]
    limits: tuple[int, int]
    missing: tuple[str, ...]


def modelopt() -> Any:
    """``modelopt.torch.quantization``.

    Raises:
        MissingRequirement: it is not installed.
    """
    try:
        import modelopt.torch.quantization as found
    except ModuleNotFoundError as error:
        raise MissingRequirement("NVIDIA ModelOpt (nvidia-modelopt)", _INSTALL) from error
    return found


def locate(
    network: nn.Module, graph: Graph, plan: Plan, grids: Mapping[str, Grid], feeds: Arrays, per_channel: bool
) -> Placed:
    """Find every rounding of ``plan`` in ``network``, by running both on the same frame.

    Args:
        network: batch norms folded, eval mode; the module names are those of the exported one, maybe
            below a wrapper.
        graph: the simplified FP32 model.
        plan: of this graph.
        grids: of its tensors.
        feeds: one frame.
        per_channel: whether weights have a scale per output channel.
    """
    import torch

    trace = Trace.of(network, [torch.from_numpy(np.array(feeds[name])) for name in graph.inputs])
    nodes = {node.name: node for node in graph.nodes}
    exact = [name for name in grids if name not in plan.replaced]  # rounded for some readers only
    reads = [(nodes[name], i) for name, i in sorted(plan.reads) if nodes[name].input[i] in exact]
    biased = [nodes[name] for name in plan.compute if plan.profile.quantized_bias and len(nodes[name].input) > 2]
    wanted = {*plan.replaced, *(node.output[0] for node in (*biased, *(reader for reader, _ in reads)))}
    ordered = [name for node in graph.nodes for name in node.output if name in wanted]
    sites = trace.find(_values(graph, ordered, feeds))
    weights, lost = _weights(network, graph, plan, per_channel)
    return Placed(
        results={sites[name]: grid for name, grid in grids.items() if name in plan.replaced and name in sites},
        arguments={(sites[n.output[0]], i): grids[n.input[i]] for n, i in reads if n.output[0] in sites},
        inputs={i: grids[name] for i, name in enumerate(graph.inputs) if name in plan.replaced},
        weights=weights,
        biases={sites[n.output[0]]: float(grids[n.input[0]].scale) for n in biased if n.output[0] in sites},
        limits=plan.profile.limits,
        missing=(*(name for name in ordered if name not in sites), *lost),
    )


def build(network: nn.Module, placed: Placed, bits: int) -> nn.Module:
    """``network`` (changed in place) as attribute :data:`INNER` of a module that rounds as ``placed`` says.

    Raises:
        MissingRequirement: ModelOpt is not installed.
        ModelError: ModelOpt has no quantized form of a layer.
    """
    _quantize_weights(network, placed.weights, bits)
    return _wrap(network, placed, 2 ** (bits - 1) - 1)


def inner_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The original network's part of a fake-quantized one's parameters and buffers."""
    start = f"{INNER}."
    held = {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}
    return {name: tensor for name, tensor in held.items() if "_quantizer." not in name}


def _values(graph: Graph, tensors: Sequence[str], feeds: Arrays) -> dict[str, Array]:
    """The named tensors of the FP32 model on one frame."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    for name in tensors:
        if name not in graph.outputs:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return dict(zip(tensors, run(_session(model), tensors, feeds), strict=True))


def _session(model: Any) -> Any:
    """A session that computes what is written, without rewrites."""
    ort = runtime()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return session(model, options)


def _weights(
    network: nn.Module, graph: Graph, plan: Plan, per_channel: bool
) -> tuple[dict[str, int | None], list[str]]:
    from torch import nn

    modules = dict(network.named_modules())
    found: dict[str, int | None] = {}
    lost = []
    compute = set(plan.compute)
    for node in (node for node in graph.nodes if node.name in compute):
        exported = module_of(node)
        name = next((n for n in (exported, f"network.{exported}") if exported and n in modules), "")
        module = modules.get(name)
        weight = getattr(module, "weight", None)
        if weight is None or weight.numel() != graph.array(node.input[1]).size:
            lost.append(node.name)
        elif isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            found[name] = 1 if per_channel and module.groups == 1 else None
        else:
            found[name] = 0 if per_channel else None
    return found, lost


def _quantize_weights(network: nn.Module, weights: Mapping[str, int | None], bits: int) -> None:
    quantization = modelopt()
    rules: list[dict[str, Any]] = [{"quantizer_name": "*", "enable": False}]
    for name, axis in weights.items():
        settings = {"num_bits": bits, "axis": axis, "type": "dynamic"}  # the scale follows the weights
        rules.append({"quantizer_name": f"{name}.weight_quantizer", "cfg": settings})
    with contextlib.redirect_stdout(io.StringIO()):  # it prints how many quantizers it made
        quantization.quantize(network, {"quant_cfg": rules, "algorithm": None})
    plain = [name for name in weights if not hasattr(network.get_submodule(name), "weight_quantizer")]
    if plain:
        kind = type(network.get_submodule(plain[0])).__name__
        raise ModelError(f"{plain[0]}: ModelOpt cannot quantize a {kind}; name its ONNX node under ptq.exclude")


def _quantizer(grid: Grid, limits: tuple[int, int]) -> Any:
    """A ModelOpt quantizer with exactly the values of ``grid``.

    It knows symmetric integers around a bias, and unsigned ones; a grid that starts at zero is
    unsigned, so that its highest and its lowest value both pass gradients.
    """
    import torch

    quantization = modelopt()
    settings = quantization.config.QuantizerAttributeConfig
    first, last = limits
    scale = float(grid.scale)
    if grid.zero == first:
        made = quantization.nn.TensorQuantizer(settings(num_bits=8, unsigned=True, narrow_range=False))
        made.amax = torch.tensor(scale * (last - first))
        return made
    offset = (first + last + 1) // 2 - grid.zero
    bias = {"type": "static", -1: None} if offset else None
    made = quantization.nn.TensorQuantizer(settings(num_bits=8, narrow_range=False, bias=bias))
    made.amax = torch.tensor(scale * 127)
    if offset:
        made.bias_value = torch.tensor(scale * offset)
    return made


def _wrap(network: nn.Module, placed: Placed, highest: int) -> nn.Module:
    from torch import nn

    quantizer_class = modelopt().nn.TensorQuantizer

    class FakeQuantized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network
            self.quantizers = nn.ModuleList()
            self._results = self._add(placed.results)
            self._arguments = self._add(placed.arguments)
            self._inputs = self._add(placed.inputs)
            self._reading = {site for site, _ in placed.arguments}
            self._watcher = Watcher(network, lambda module: isinstance(module, quantizer_class))

        def _add(self, grids: Mapping[Any, Grid]) -> dict[Any, int]:
            made = {}
            for key, grid in grids.items():
                made[key] = len(self.quantizers)
                self.quantizers.append(_quantizer(grid, placed.limits))
            return made

        def _before(self, site: Site, args: tuple[Any, ...]) -> tuple[Any, ...]:
            if site in self._reading:
                position = itertools.count()
                args = _each_tensor(args, lambda t: self._rounded(self._arguments.get((site, next(position))), t))
            if site in placed.biases and len(args) > 2 and args[2] is not None and site.module in placed.weights:
                scale = _weight_scales(args[1], placed.weights[site.module], highest) * placed.biases[site]
                args = (*args[:2], _straight_through(args[2], scale), *args[3:])
            return args

        def _after(self, site: Site, tensor: Tensor) -> Tensor:
            rounded: Tensor = self._rounded(self._results.get(site), tensor)
            return rounded

        def _rounded(self, index: int | None, value: Any) -> Any:
            return value if index is None else _apply(self.quantizers[index], value)

        def forward(self, *tensors: Tensor) -> Any:
            given = [self._rounded(self._inputs.get(i), tensor) for i, tensor in enumerate(tensors)]
            with self._watcher.watching(self._before, self._after):
                return self.inner(*given)

    return FakeQuantized()


def _each_tensor(args: tuple[Any, ...], change: Callable[[Any], Any]) -> tuple[Any, ...]:
    """``args`` with every tensor changed, those in a list of tensors (``torch.cat``) too."""
    from torch import Tensor

    def changed(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value)
        return [changed(item) for item in value] if isinstance(value, list) else value

    return tuple(changed([*value]) if _is_tensors(value) else changed(value) for value in args)


def _is_tensors(value: Any) -> bool:
    from torch import Tensor

    return isinstance(value, tuple) and bool(value) and all(isinstance(item, Tensor) for item in value)


def _weight_scales(rounded: Tensor, axis: int | None, highest: int) -> Tensor:
    """Scales of rounded weights, one or one per channel: the largest weight is the highest integer."""
    size = rounded.detach().abs()
    peaks = size.amax() if axis is None else size.transpose(0, axis).flatten(1).amax(1)
    return peaks / highest


def _straight_through(values: Tensor, scale: Tensor) -> Tensor:
    """``values`` on multiples of ``scale``, with the gradient of no rounding."""
    scale = scale.clamp(min=2.0**-100)
    return values + ((values / scale).round() * scale - values).detach()


def _apply(quantizer: Any, tensor: Tensor) -> Tensor:
    import torch

    if quantizer.unsigned:
        tensor = tensor.clamp(min=0)  # ModelOpt refuses negative values, the runtime saturates
    if tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
        # ModelOpt would copy it to the other memory format; one grid per tensor does not care.
        channels_last: Tensor = quantizer(tensor.permute(0, 2, 3, 1))
        return channels_last.permute(0, 3, 1, 2)
    return quantizer(tensor)  # type: ignore[no-any-return]


def outputs(model: Any, graph: Graph, feeds: Arrays) -> dict[str, Array]:
    """Outputs of an ONNX model (a proto, or bytes), run as it is written."""
    import onnx

    session = _session(onnx.load_from_string(model) if isinstance(model, bytes) else model)
    return dict(zip(graph.outputs, run(session, graph.outputs, feeds), strict=True))


def results(network: nn.Module, graph: Graph, feeds: Arrays) -> dict[str, Array]:
    """Outputs of a network in eval mode."""
    import torch

    with torch.no_grad():
        given = network(*(torch.from_numpy(np.array(feeds[name])) for name in graph.inputs))
    return {name: tensor.numpy() for name, tensor in zip(graph.outputs, given, strict=True)}
