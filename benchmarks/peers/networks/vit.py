"""A small vision transformer that segments CamVid: patches, encoder, linear head, interpolation.

Input ``float32 (N, 3, 352, 480)``: R, G, B planes, 0..1, less the ImageNet mean, by
the ImageNet deviation; no other size, positions are learnt.  Output ``float32 (N, 11,
352, 480)``: logits.  The head gives 4x4 cells a patch, hence stride 4 before the
interpolation.

Sources: Dosovitskiy et al., "An Image is Worth 16x16 Words" (ICLR 2021), at the width
of DeiT-Ti (Touvron et al., 2021) and half its depth; linear head of Strudel et al.,
"Segmenter" (ICCV 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 11
SIZE = (352, 480)
PATCH = 16
CELLS = 4  # cells a patch, along each side


class Attention(nn.Module):
    """Multi-head self-attention of tokens ``(N, T, C)``, written out as two matrix products."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        parts = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        scale = (dim // self.heads) ** -0.5
        weights = ((query * scale) @ key.transpose(-2, -1)).softmax(-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    """Attention, then a GELU network, each on normalised tokens and added to its input."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class ViTSegmenter(nn.Module):
    """See the module for input and output; ``cells`` gives the logits at stride 4."""

    def __init__(self, dim: int = 192, depth: int = 6, heads: int = 3) -> None:
        super().__init__()
        self.grid = (SIZE[0] // PATCH, SIZE[1] // PATCH)
        self.patch_embed = nn.Conv2d(3, dim, PATCH, PATCH)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], dim))
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, CLASSES * CELLS**2)
        self.pos_embed.data.copy_(waves(self.grid, dim))

    def cells(self, image: Tensor) -> Tensor:
        """Logits ``(N, 11, 88, 120)``."""
        tokens = self.patch_embed(image).flatten(2).transpose(1, 2) + self.pos_embed
        maps = self.head(self.norm(self.blocks(tokens))).transpose(1, 2).unflatten(2, self.grid)
        return functional.pixel_shuffle(maps, CELLS)

    def forward(self, image: Tensor) -> Tensor:
        return functional.interpolate(self.cells(image), size=SIZE, mode="bilinear", align_corners=False)


def waves(grid: tuple[int, int], dim: int) -> Tensor:
    """Sines and cosines ``(1, rows * columns, dim)``, where the positions start from (Vaswani et al., 2017)."""
    rows, columns = torch.meshgrid(*(torch.arange(float(size)) for size in grid), indexing="ij")
    rates = 1000.0 ** (-torch.arange(dim // 4) / (dim // 4))
    angles = [axis.flatten()[:, None] * rates for axis in (rows, columns)]
    return 0.5 * torch.cat([wave for a in angles for wave in (a.sin(), a.cos())], 1)[None]


def build() -> nn.Module:
    """The network in training mode, randomly initialised."""
    return ViTSegmenter()
