"""Typed models written by hand: rounding between nodes, without calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.support.graphs import node, normal, write

GRID = {"scale": np.float32(0.05), "zero": np.uint8(120)}


@dataclass
class Rounded:
    """An INT8 convolution of an image (1, planes, 9, 11), what follows it, and an INT8 convolution to the output ``y``.

    Args:
        middle: nodes from ``a`` (the rounded output of the first convolution, as floats) to ``b``, which is rounded.
        weights: of the middle.
        channels: between the convolutions.
        dtype: of all activations.
        made: scale and zero point of ``b``.
        extra: nodes behind the middle, with their outputs.
        planes: of the image.
        first: attributes of the first convolution.
        last: depthwise, the second convolution is (height and width); else it is 1x1 with four outputs.
        cells: whether SpaceToDepth is before it; the image is then (1, planes, 18, 22).
    """

    middle: Sequence[onnx.NodeProto]
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    channels: int = 8
    dtype: str = "uint8"
    made: tuple[Any, Any] = (np.float32(0.04), 9)
    extra: Sequence[tuple[onnx.NodeProto, str]] = ()
    planes: int = 5
    first: Mapping[str, Any] = field(default_factory=lambda: {"pads": [1, 1, 1, 1]})
    cells: bool = False
    last: tuple[int, int] | None = None

    def write(self, path: Path) -> Path:
        kind = np.dtype(self.dtype)
        scale, zero = self.made
        kernel = (4, self.channels, 1, 1) if self.last is None else (self.channels, 1, *self.last)
        behind: dict[str, Any] = (
            {} if self.last is None else {"group": self.channels, "pads": [1, 0, 2, 1], "strides": [1, 2]}
        )
        read = self.planes * (4 if self.cells else 1)
        weights: dict[str, np.ndarray] = {
            "sx": np.float32(1 / 64), "zx": np.array(0 if kind == np.int8 else 128, kind),
            "sa": GRID["scale"], "za": np.array(int(GRID["zero"]) - (128 if kind == np.int8 else 0), kind),
            "sb": np.asarray(scale, np.float32), "zb": np.asarray(zero).astype(kind),
            "sy": np.float32(0.1), "zy": np.array(0 if kind == np.int8 else 128, kind),
            "w1": np.random.default_rng(1).integers(-127, 128, (self.channels, read, 3, 3)).astype(np.int8),
            "w2": np.random.default_rng(2).integers(-127, 128, kernel).astype(np.int8),
            "sw1": np.float32(0.01), "zw1": np.int8(0), "sw2": np.float32(0.01), "zw2": np.int8(0),
        }  # fmt: skip
        cells = [
            node("SpaceToDepth", "x_f", "x_c", blocksize=2), node("QuantizeLinear", "x_c sx zx", "x_ci"),
            node("DequantizeLinear", "x_ci sx zx", "x_cf"),
        ] if self.cells else []  # fmt: skip
        axis = {"axis": 1} if np.ndim(scale) else {}
        # ONNX Runtime refuses an integer convolution of such an input only when it runs.
        rounds = np.ndim(scale) == 0 or self.last is not None
        last = [node("DequantizeLinear", "w2 sw2 zw2", "w2_f")] if rounds else []
        weights |= {} if last else {"w2_f": normal(2, 4, self.channels, 1, 1)}
        nodes = [
            node("QuantizeLinear", "x sx zx", "x_i"), node("DequantizeLinear", "x_i sx zx", "x_f"),
            *cells, node("DequantizeLinear", "w1 sw1 zw1", "w1_f"),
            node("Conv", "x_cf w1_f" if cells else "x_f w1_f", "c", **self.first),
            node("QuantizeLinear", "c sa za", "a_i"), node("DequantizeLinear", "a_i sa za", "a"),
            *self.middle,
            node("QuantizeLinear", "b sb zb", "b_i", **axis), node("DequantizeLinear", "b_i sb zb", "b_f", **axis),
            *last, node("Conv", "b_f w2_f", "y_c", **behind),
            node("QuantizeLinear", "y_c sy zy", "y_i"), node("DequantizeLinear", "y_i sy zy", "y"),
            *(one for one, _ in self.extra),
        ]  # fmt: skip
        outputs = [("y", (1, kernel[0], "h", "w"), "float32")]
        outputs += [(name, (1, self.channels, "h", "w"), "float32") for _, name in self.extra]
        return write(path, nodes, [("x", self.shape, "float32")], outputs, {**weights, **self.weights})

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (1, self.planes, 18, 22) if self.cells else (1, self.planes, 9, 11)

    def feed(self, seed: int = 0) -> dict[str, np.ndarray]:
        return {"x": normal(seed, *self.shape)}


SILU = [node("Sigmoid", "a", "s"), node("Mul", "a s", "b")]
SILU_ROUNDED = [
    node("Sigmoid", "a", "s"),
    node("QuantizeLinear", "s ss zs", "s_i"),
    node("DequantizeLinear", "s_i ss zs", "s_f"),
    node("Mul", "a s_f", "b"),
]
S = {"ss": np.float32(1 / 255), "zs": np.uint8(0)}
GELU = [
    node("Div", "a root", "d"),
    node("Erf", "d", "e"),
    node("Add", "e one", "f"),
    node("Mul", "a f", "g"),
    node("Mul", "g half", "b"),
]
G = {"root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
MISH = [node("Softplus", "a", "p"), node("Tanh", "p", "t"), node("Mul", "a t", "b")]
SLOPES = {"slope": normal(5, 8, 1, 1)}
CASES = {
    "silu": Rounded(SILU),
    "silu with all its roundings": Rounded(SILU_ROUNDED, S),
    "silu, int8": Rounded(SILU, dtype="int8", made=(np.float32(0.04), -100)),
    "gelu": Rounded(GELU, G),
    "mish": Rounded(MISH),
    "hard-swish": Rounded([node("HardSwish", "a", "b")]),
    "sigmoid": Rounded([node("Sigmoid", "a", "b")], made=(np.float32(1 / 255), 0)),
    "prelu": Rounded([node("PRelu", "a slope", "b")], SLOPES),
    "prelu of one slope": Rounded([node("PRelu", "a slope", "b")], {"slope": np.full(1, 0.2, np.float32)}),
    "leaky": Rounded([node("LeakyRelu", "a", "b", alpha=0.1)]),
    "relu6 after silu": Rounded([*SILU[:1], node("Mul", "a s", "m"), node("Clip", "m low high", "b")],
                                {"low": np.float32(0), "high": np.float32(6)}),
    "silu, a grid per channel": Rounded(SILU, made=(np.linspace(0.01, 0.05, 8), np.arange(3, 11))),
}  # fmt: skip
"""Each is one table, or one a channel."""

STEMS = {
    "with its table": replace(CASES["silu"], planes=3),
    "strides and sides": replace(CASES["gelu"], planes=3, first={"strides": [2, 3], "pads": [0, 1, 2, 3]}),
    "one plane, a table a channel": replace(CASES["prelu"], planes=1),
    "without a table": Rounded([node("MaxPool", "a", "b", kernel_shape=[1, 1])], planes=4, made=(GRID["scale"], 120)),
    "behind SpaceToDepth": replace(CASES["silu"], planes=3, cells=True),
    "other channels": replace(CASES["silu"], planes=3, channels=19),
}
"""Each begins with a convolution of few planes."""

DEPTHWISE = {
    "3x3": replace(CASES["silu"], last=(3, 3)),
    "5x5": replace(CASES["silu"], last=(5, 5), channels=24),
    "a grid for each channel": replace(CASES["silu, a grid per channel"], last=(3, 3)),
}
"""Each ends with a depthwise convolution."""

_TWICE = {"roi": np.zeros(0, np.float32), "factors": np.float32([1, 1, 2, 2])}
_SIZES = {"roi": np.zeros(0, np.float32), "factors": np.zeros(0, np.float32), "sizes": np.int64([1, 8, 13, 30])}
_FLOAT = (node("Resize", "b_f roi factors", "up", mode="linear"), "up")
RESIZES = {
    "rounded behind it": Rounded([node("Resize", "a roi factors", "b", mode="linear")], _TWICE),
    "int8": Rounded([node("Resize", "a roi factors", "b", mode="linear")], _TWICE, dtype="int8"),
    "to a size, corners aligned": Rounded([node("Resize", "a roi factors sizes", "b", mode="linear",
                                                coordinate_transformation_mode="align_corners")], _SIZES),
    "to floats": Rounded(SILU, _TWICE, extra=[_FLOAT]),
    "to floats, int8": Rounded(SILU, _TWICE, extra=[_FLOAT], dtype="int8", made=(np.float32(0.04), -100)),
}  # fmt: skip
"""Each has a bilinear Resize of a rounded tensor."""
