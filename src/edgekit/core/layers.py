"""What a layer profile is made of, the same for every backend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgekit.core.errors import InputError

_BITS = {"int4": 4, "uint4": 4, "bool": 8, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "float16": 16}
_BITS |= {"bfloat16": 16, "int32": 32, "uint32": 32, "float32": 32, "int64": 64, "uint64": 64, "float64": 64}


@dataclass(frozen=True)
class LayerTensor:
    """Dtype (NumPy's name, or ``bfloat16``, ``int4``, ``uint4``) and shape of a tensor in a layer profile."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int | None:
        """Size in memory; None when the dtype has no fixed size."""
        bits = _BITS.get(self.dtype)
        return None if bits is None else -(-self.elements * bits // 8)


@dataclass(frozen=True)
class LayerEvent:
    """One run of one layer, or of what the runtime fused into one.

    ``name`` and ``op`` are the runtime's; the name is unique in the engine. ``nodes`` are the nodes of the typed ONNX
    model that it stands for, the one that computes most first, and ``module`` their PyTorch module; both are
    empty when they are not known, ``nodes`` also for what the runtime added. ``inputs`` include weights;
    ``weight`` is the filter of a convolution as the model has it. ``attributes`` are the integer ones of the
    runtime's operator. ``start_us`` counts from any fixed moment of the run.
    """

    name: str
    op: str
    query: int
    start_us: float
    duration_us: float
    inputs: tuple[LayerTensor, ...]
    outputs: tuple[LayerTensor, ...]
    provider: str = ""
    thread: int = 0
    nodes: tuple[str, ...] = ()
    module: str = ""
    weight: LayerTensor | None = None
    attributes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.query < 0 or not self.duration_us >= 0 or not math.isfinite(self.start_us + self.duration_us):
            raise InputError(
                f"layer {self.name!r}: query {self.query}, start {self.start_us} us, duration {self.duration_us} us; "
                "expected finite times, and no query or duration below 0"
            )
