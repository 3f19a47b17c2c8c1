"""Small, seeded networks of the kinds that edge perception uses, as FP32 ONNX bytes.

Those written in PyTorch go through :func:`edgekit.model.export.export`, so that their graphs look like a user's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name everybody knows

from edgekit.core.tensors import TensorSpec
from edgekit.model.export import export
from edgekit.model.load import LoadedModel
from tests.support.graphs import node, normal, write

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Frames:
    """Seeded model inputs that can be read again and again."""

    shapes: Shapes
    count: int = 6
    first: int = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for seed in range(self.first, self.first + self.count):
            yield {name: normal(seed * 16 + k, *shape) for k, (name, shape) in enumerate(self.shapes.items())}


@dataclass(frozen=True)
class Reference:
    """An FP32 model and the shapes of its inputs."""

    name: str
    model: bytes
    shapes: Shapes

    def frames(self, count: int = 6, first: int = 0) -> Frames:
        """Frames of which equal arguments give equal values."""
        return Frames(self.shapes, count, first)

    def write(self, folder: Path) -> Path:
        """The model as a file in ``folder``."""
        path = folder / f"{self.name}.onnx"
        path.write_bytes(self.model)
        return path


@cache
def reference(name: str) -> Reference:
    """The model of :data:`MODELS` with this name, made once per process."""
    model, shapes = MODELS[name]()
    return Reference(name, model, shapes)


class Named(nn.Module):
    """A network as :mod:`edgekit.model.load` wraps it: tensors in, tuple of tensors out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *feeds: Tensor) -> tuple[Tensor, ...]:
        made = self.network(*feeds)
        return tuple(made) if isinstance(made, list | tuple) else (made,)


def exported(network: nn.Module, shapes: Shapes, outputs: Sequence[str]) -> bytes:
    """FP32 ONNX of ``network`` in eval mode."""
    inputs = tuple(TensorSpec(name, shape, "float32") for name, shape in shapes.items())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fp32.onnx"
        export(LoadedModel(inputs, tuple(outputs), module=Named(network.eval())), path)
        return path.read_bytes()


def seeded(make: Callable[[], nn.Module], shapes: Shapes, seed: int = 0) -> nn.Module:
    """A network whose batch norms have seen data, so that folding them changes the weights, and slopes are learnt."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make()
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(-0.5, 0.5)
                    module.momentum = 0.5
                elif isinstance(module, nn.PReLU):
                    # Every second result of the initial slope, 1/4, is a tie that each kernel rounds its own way.
                    module.weight.uniform_(0.1, 0.4)
            for _ in range(4):
                network.train()(*(torch.randn(4, *shape[1:]) for shape in shapes.values()))
    return network.eval()


@dataclass(frozen=True)
class Network:
    """A network written in PyTorch, the shapes of its inputs, and the names of its outputs."""

    make: Callable[[], nn.Module]
    shapes: Shapes
    outputs: str

    def export(self) -> tuple[bytes, Shapes]:
        return exported(seeded(self.make, self.shapes), self.shapes, self.outputs.split()), self.shapes


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: Any = nn.ReLU6) -> Any:
    """Convolution, batch norm, activation."""
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs), *([act()] if act else []))


class InvertedResidual(nn.Module):
    """Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * 4
        self.body = nn.Sequential(
            conv(inputs, hidden, 1), conv(hidden, hidden, 3, stride, hidden), conv(hidden, outputs, 1, act=None)
        )
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


class MobileNet(nn.Module):
    """Inverted residuals, global average, classifier."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [InvertedResidual(8, 8, 1), InvertedResidual(8, 16, 2), InvertedResidual(16, 16, 1)]
        self.features = nn.Sequential(conv(3, 8, 3, 2), *blocks, conv(16, 32, 1))
        self.classifier = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


class Yolox(nn.Module):
    """Ge et al., "YOLOX", 2021: Focus slices, SiLU, SPP, nearest upsampling, decoupled heads."""

    def __init__(self) -> None:
        super().__init__()
        self.focus = conv(12, 16, act=nn.SiLU)
        self.down = conv(16, 24, stride=2, act=nn.SiLU)
        self.deep = nn.Sequential(conv(24, 32, stride=2, act=nn.SiLU), conv(32, 16, 1, act=nn.SiLU))
        self.pools = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in (3, 5, 7))
        self.spp = conv(64, 24, 1, act=nn.SiLU)
        self.merge = conv(48, 24, 1, act=nn.SiLU)
        self.heads = nn.ModuleList(
            nn.ModuleList((conv(24, 16, act=nn.SiLU), nn.Conv2d(16, 4, 1), nn.Conv2d(16, 1, 1), nn.Conv2d(16, 3, 1)))
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        middle = self.down(self.focus(x))
        deep = self.deep(middle)
        deep = self.spp(torch.cat([deep, *(pool(deep) for pool in self.pools)], 1))
        fine = self.merge(torch.cat([F.interpolate(deep, scale_factor=2.0, mode="nearest"), middle], 1))
        made = []
        for (stem, box, score, label), scale in zip(self.heads, (fine, deep), strict=True):
            scale = stem(scale)
            made.append(torch.cat([box(scale), score(scale).sigmoid(), label(scale).sigmoid()], 1))
        return made


class Vit(nn.Module):
    """Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021: one block."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.position = nn.Parameter(torch.randn(1, 17, width) * 0.2)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.2)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        x = x + self.attention(self.norms[0](x))
        x = x + self.mlp(self.norms[1](x))
        return self.head(self.norms[2](x)[:, 0])

    def attention(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, count, width))


class Segmenter(nn.Module):
    """Dilated convolutions, PReLU, spatial attention (Woo et al., "CBAM", 2018), a learnt and a bilinear upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16, stride=2, act=lambda: nn.PReLU(16))
        self.down = conv(16, 24, stride=2, act=nn.PReLU)
        self.wide = nn.Conv2d(24, 24, 3, padding=2, dilation=2)
        self.attend = nn.Conv2d(2, 1, 5, padding=2)
        self.up = nn.ConvTranspose2d(24, 16, 2, 2)
        self.refine = conv(16, 16, act=nn.ReLU)
        self.head = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        early = self.stem(x)
        x = F.relu(self.wide(self.down(early)))
        x = x * torch.sigmoid(self.attend(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))
        x = self.refine(F.relu(self.up(x)) + early)
        return F.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)


class Plain(nn.Module):
    """Convolutions with batch norm and ReLU, max pooling, a dense head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(3, 16, act=nn.ReLU), nn.MaxPool2d(2), conv(16, 24, act=nn.ReLU), nn.MaxPool2d(2), conv(24, 16, 1)
        )
        self.dense = nn.Linear(16 * 8 * 8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.body(x).flatten(1))


class Tiny(nn.Module):
    """Two convolutions and a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 8, act=nn.ReLU), conv(8, 8, act=None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x + self.second(x)


class Fusion(nn.Module):
    """A camera image and a coarse depth map."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.depth = conv(3, 16, stride=2, act=nn.ReLU), conv(1, 16, act=nn.ReLU)
        self.both = conv(32, 16, act=nn.ReLU)
        self.mask, self.height = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 1, 1)

    def forward(self, image: Tensor, depth: Tensor) -> list[Tensor]:
        x = self.both(torch.cat([self.image(image), self.depth(depth)], 1))
        return [self.mask(x), self.height(x)]


def _mlp() -> tuple[bytes, Shapes]:
    weights = {f"w{k}": normal(k, n, m, scale=m**-0.5) for k, (n, m) in enumerate(((32, 16), (32, 32), (6, 32)))}
    weights |= {f"b{k}": normal(9 + k, n, scale=0.2) for k, n in enumerate((32, 32, 6))}
    nodes = [
        node("Gemm", "x w0 b0", "g0", transB=1),
        node("Relu", "g0", "r0"),
        node("Gemm", "r0 w1 b1", "g1", transB=1),
        node("Relu", "g1", "r1"),
        node("Gemm", "r1 w2 b2", "y", transB=1),
    ]
    return _written(nodes, {"x": (4, 16)}, (4, 6), weights)


def _signal() -> tuple[bytes, Shapes]:
    weights = {"w0": normal(1, 16, 4, 5, scale=0.3), "w1": normal(2, 16, 16, 3, scale=0.2), "b0": normal(3, 16)}
    nodes = [
        node("Conv", "x w0 b0", "c0", pads=[2, 2]),
        node("LeakyRelu", "c0", "l0", alpha=0.1),
        node("Conv", "l0 w1", "c1", pads=[1, 1], strides=[2]),
        node("Relu", "c1", "r1"),
        node("AveragePool", "r1", "y", kernel_shape=[4], strides=[4]),
    ]
    return _written(nodes, {"x": (1, 4, 64)}, (1, 16, 8), weights)


def _written(nodes: list[Any], shapes: Shapes, output: tuple[int, ...], weights: Any) -> tuple[bytes, Shapes]:
    inputs = [(name, shape, "float32") for name, shape in shapes.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "m.onnx", nodes, inputs, [("y", output, "float32")], weights)
        return path.read_bytes(), shapes


_IMAGE: Shapes = {"x": (1, 3, 32, 32)}
NETWORKS: dict[str, Network] = {
    "mobilenet": Network(MobileNet, _IMAGE, "logits"),
    "yolox": Network(Yolox, {"x": (1, 3, 64, 64)}, "fine coarse"),
    "plain": Network(Plain, _IMAGE, "logits"),
    "vit": Network(Vit, _IMAGE, "logits"),
    "segmenter": Network(Segmenter, _IMAGE, "logits"),
    "fusion": Network(Fusion, {"image": (1, 3, 32, 32), "depth": (1, 1, 16, 16)}, "mask height"),
}
MODELS: dict[str, Callable[[], tuple[bytes, Shapes]]] = {
    **{name: network.export for name, network in NETWORKS.items()},
    "mlp": _mlp,
    "signal": _signal,
}
