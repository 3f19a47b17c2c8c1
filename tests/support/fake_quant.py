"""What a typed ONNX model means, computed in PyTorch: an interpreter that shares no code with edgekit or a runtime.

A QuantizeLinear and DequantizeLinear pair is one ``torch.fake_quantize_per_tensor_affine``, the function that
quantization-aware training in PyTorch uses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

LIMITS = {torch.uint8: (0, 255), torch.int8: (-128, 127), torch.int32: (-(2**31), 2**31 - 1)}


@dataclass(frozen=True)
class Rounded:
    """The result of a QuantizeLinear: torch rounds where it is read."""

    value: Tensor
    scale: Tensor
    zero: Tensor


def fake_quant(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of the model, float32 arithmetic; an operator that is not known raises :class:`KeyError`."""
    known: dict[str, Any] = {t.name: torch.tensor(numpy_helper.to_array(t)) for t in model.graph.initializer}
    known |= {name: torch.tensor(array) for name, array in feeds.items()}
    with torch.no_grad():
        for node in model.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            inputs = [known[name] if name else None for name in node.input]
            if node.op_type == "Constant":
                made = torch.tensor(numpy_helper.to_array(attributes["value"]))
            else:
                made = OPERATORS[node.op_type](inputs, attributes)
            results = made if isinstance(made, list | tuple) else [made]
            known.update((name, value) for name, value in zip(node.output, results, strict=False) if name)
    return {value.name: known[value.name].numpy() for value in model.graph.output}


def _quantize(inputs: list[Any], attributes: Mapping[str, Any]) -> Rounded:
    return Rounded(*inputs)


def _dequantize(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    held, scale, zero = inputs
    if isinstance(held, Rounded):
        assert torch.equal(held.scale, scale), "a pair reads and writes one grid"
        assert torch.equal(held.zero, zero), "a pair reads and writes one grid"
        low, high = LIMITS[zero.dtype]
        if scale.ndim:
            return torch.fake_quantize_per_channel_affine(held.value, scale, zero.int(), attributes["axis"], low, high)
        return torch.fake_quantize_per_tensor_affine(held.value, float(scale), int(zero), low, high)
    shape = [-1 if axis == attributes.get("axis", 1) else 1 for axis in range(held.ndim)] if scale.ndim else []
    return ((held.to(torch.float64) - zero.reshape(shape).double()) * scale.reshape(shape).double()).float()


def _maximum(inputs: list[Any], attributes: Mapping[str, Any]) -> Any:
    """Integers of one grid compare as their values do."""
    if not isinstance(inputs[0], Rounded):
        return functools.reduce(torch.maximum, inputs)
    scale, zero = inputs[0].scale, inputs[0].zero
    assert all(torch.equal(held.scale, scale) and torch.equal(held.zero, zero) for held in inputs), "one grid for all"
    return Rounded(functools.reduce(torch.maximum, (held.value for held in inputs)), scale, zero)


def _padded(x: Tensor, attributes: Mapping[str, Any], kernel: list[int], value: float = 0.0) -> Tensor:
    rank = len(kernel)
    mode = attributes.get("auto_pad", b"NOTSET")
    pads = attributes.get("pads", [0] * 2 * rank)
    if mode in (b"SAME_UPPER", b"SAME_LOWER"):
        strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
        total = [
            max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
            for size, s, k, d in zip(x.shape[2:], strides, kernel, dilations, strict=True)
        ]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = [*small, *large] if mode == b"SAME_UPPER" else [*large, *small]
    reversed_pairs = [p for axis in reversed(range(rank)) for p in (pads[axis], pads[axis + rank])]
    return F.pad(x, reversed_pairs, value=value)


def _conv(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x, weight, bias = (*inputs, None)[:3]
    rank = weight.ndim - 2
    function: Any = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    x = _padded(x, attributes, list(weight.shape[2:]))
    return function(x, weight, bias, strides, 0, dilations, attributes.get("group", 1))


def _transposed(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x, weight, bias = (*inputs, None)[:3]
    rank = weight.ndim - 2
    pads = attributes.get("pads", [0] * 2 * rank)
    assert pads[:rank] == pads[rank:], "torch pads both sides alike"
    function: Any = (F.conv_transpose1d, F.conv_transpose2d)[rank - 1]
    extra, group = attributes.get("output_padding", [0] * rank), attributes.get("group", 1)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    return function(x, weight, bias, strides, pads[:rank], extra, group, dilations)


def _gemm(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    a, b, c = (*inputs, None)[:3]
    a, b = (a.T if attributes.get("transA", 0) else a), (b.T if attributes.get("transB", 0) else b)
    made = attributes.get("alpha", 1.0) * (a @ b)
    return made if c is None else made + attributes.get("beta", 1.0) * c


def _pooled(function: Callable[..., Tensor], fill: float) -> Callable[..., Tensor]:
    def pool(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
        kernel = list(attributes["kernel_shape"])
        assert not attributes.get("ceil_mode", 0)
        return function(
            _padded(inputs[0], attributes, kernel, fill), kernel, attributes.get("strides", [1] * len(kernel))
        )

    return pool


def _max_pool(x: Tensor, kernel: list[int], strides: list[int]) -> Tensor:
    return (F.max_pool1d if len(kernel) == 1 else F.max_pool2d)(x, kernel, strides)


def _average_pool(x: Tensor, kernel: list[int], strides: list[int]) -> Tensor:
    return F.avg_pool1d(x, kernel, strides) if len(kernel) == 1 else F.avg_pool2d(x, kernel, strides)


def _resize(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x, _, scales, sizes = (*inputs, None, None)[:4]
    size = (
        [int(n) for n in sizes[2:]]
        if sizes is not None
        else [int(n * s) for n, s in zip(x.shape[2:], scales[2:], strict=True)]
    )
    if attributes.get("mode", b"nearest") == b"nearest":
        return F.interpolate(x, size, mode="nearest")
    assert attributes.get("coordinate_transformation_mode", b"half_pixel") in (b"half_pixel", b"pytorch_half_pixel")
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def _slice(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x, starts, ends, axes, steps = (*inputs, None, None)[:5]
    axes = axes.tolist() if axes is not None else range(len(starts))
    steps = steps.tolist() if steps is not None else [1] * len(starts)
    where: list[Any] = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        where[axis] = torch.arange(x.shape[axis])[slice(start, end)].numpy()[::step]
        x = x.index_select(axis, torch.tensor(where[axis]))
    return x


def _split(inputs: list[Any], attributes: Mapping[str, Any]) -> Any:
    x, sizes = (*inputs, None)[:2]
    axis = attributes.get("axis", 0)
    return x.chunk(2, axis) if sizes is None else x.split(sizes.tolist(), axis)


def _reduced(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduce(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
        axes = inputs[1].tolist() if len(inputs) > 1 else list(attributes["axes"])
        return function(inputs[0], axes, keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _reshape(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x, shape = inputs
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])


def _axes(inputs: list[Any], attributes: Mapping[str, Any]) -> list[int]:
    return inputs[1].tolist() if len(inputs) > 1 else list(attributes["axes"])


def _unsqueeze(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x = inputs[0]
    for axis in sorted(_axes(inputs, attributes)):
        x = x.unsqueeze(axis)
    return x


def _clip(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x, low, high = (*inputs, None, None)[:3]
    return torch.clamp(x, low, high)


def _normalised(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x, scale, bias = (*inputs, None)[:3]
    axis = attributes.get("axis", -1) % x.ndim
    return F.layer_norm(x, x.shape[axis:], scale, bias, attributes.get("epsilon", 1e-5))


def _gelu(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    return F.gelu(inputs[0], approximate=attributes.get("approximate", b"none").decode())


def _prelu(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x, slope = inputs
    return torch.where(x < 0, slope * x, x)


def _gather(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    x, index = inputs
    axis = attributes.get("axis", 0) % x.ndim
    picked = x.index_select(axis, index.reshape(-1) % x.shape[axis])
    return picked.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _space_to_depth(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    (x,), block = inputs, attributes["blocksize"]
    cells = x.unflatten(3, (-1, block)).unflatten(2, (-1, block))  # batch, channel, row, y, column, x
    return cells.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)


def _depth_to_space(inputs: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    (x,), block = inputs, attributes["blocksize"]
    if attributes.get("mode", b"DCR") == b"DCR":
        x = x.unflatten(1, (block * block, -1)).transpose(1, 2).flatten(1, 2)
    return F.pixel_shuffle(x, block)


def _moved(move: Callable[[list[Any], Mapping[str, Any]], Tensor]) -> Callable[..., Any]:
    """A move of integers is the move of the values that will be rounded."""

    def apply(inputs: list[Any], attributes: Mapping[str, Any]) -> Any:
        first, *rest = inputs
        if not isinstance(first, Rounded):
            return move(inputs, attributes)
        return replace(first, value=move([first.value, *rest], attributes))

    return apply


def _plain(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda inputs, attributes: function(*inputs)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": _plain(torch.add),
    "AveragePool": _pooled(_average_pool, 0.0),
    "Clip": _clip,
    "Concat": lambda inputs, attributes: torch.cat(inputs, attributes["axis"]),
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "DepthToSpace": _depth_to_space,
    "DequantizeLinear": _dequantize,
    "Div": _plain(torch.div),
    "Erf": _plain(torch.erf),
    "Flatten": lambda inputs, attributes: inputs[0].flatten(attributes.get("axis", 1)),
    "Gather": _moved(_gather),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda inputs, attributes: inputs[0].mean(tuple(range(2, inputs[0].ndim)), keepdim=True),
    "LayerNormalization": _normalised,
    "LeakyRelu": lambda inputs, attributes: F.leaky_relu(inputs[0], attributes.get("alpha", 0.01)),
    "MatMul": _plain(torch.matmul),
    "Max": _maximum,
    "MaxPool": _pooled(_max_pool, float("-inf")),
    "Mul": _plain(torch.mul),
    "PRelu": _prelu,
    "QuantizeLinear": _quantize,
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "Relu": _plain(torch.relu),
    "Reshape": _moved(_reshape),
    "Resize": _resize,
    "Sigmoid": _plain(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda inputs, attributes: inputs[0].softmax(attributes.get("axis", -1)),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": lambda inputs, attributes: inputs[0].squeeze(_axes(inputs, attributes)),
    "Sub": _plain(torch.sub),
    "Transpose": _moved(lambda inputs, attributes: inputs[0].permute(*attributes["perm"])),
    "Unsqueeze": _unsqueeze,
}
