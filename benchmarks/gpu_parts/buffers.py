"""The places of an engine's inputs and outputs: ``edgekit.engine.trt.buffers``."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.core.tensors import TensorSpec
from edgekit.engine.trt.buffers import Buffers
from edgekit.engine.trt.cuda import Cuda

IMAGE = TensorSpec("image", (None, 3, 8, 8), "float32")
SCORES = TensorSpec("scores", (None, 5), "float16")
SIZES = TensorSpec("sizes", (2,), "int64")


def check(cuda: Cuda) -> dict[str, Any]:
    """Raise AssertionError unless tensors keep their values to the device and back, in any order of sizes."""
    buffers, stream = Buffers(cuda), cuda.open_stream()
    buffers.add(IMAGE)
    buffers.add(SCORES)
    buffers.add(SIZES, on_host=True)
    buffers.take("sizes", (2,))
    free = cuda.free_bytes()
    try:
        for turn, batch in enumerate((1, 4, 2, 64, 1)):
            buffers.take("image", (batch, 3, 8, 8))
            buffers.take("scores", (batch, 5))
            _round_trip(cuda, buffers, stream, turn)
        addresses = buffers.addresses()
        assert len(set(addresses.values())) == 3, f"two tensors have one place: {addresses}"
        held = buffers.device_bytes()
        assert held == 64 * (3 * 8 * 8 * 4 + 5 * 2), f"{held} bytes are held for the largest batch"
    finally:
        buffers.close()
        cuda.close_stream(stream)
    assert buffers.device_bytes() == 0
    return {"device_bytes": held, "left_bytes": max(0, free - cuda.free_bytes())}


def _round_trip(cuda: Cuda, buffers: Buffers, stream: int, seed: int) -> None:
    specs, random = (IMAGE, SCORES), np.random.default_rng(seed)
    views = buffers.views(specs)
    sent = {name: random.standard_normal(view.shape).astype(view.dtype) for name, view in views.items()}
    for name, view in views.items():
        view[...] = sent[name]
    buffers.copy_in(specs, stream)
    cuda.wait(stream)
    for view in views.values():
        view[...] = 0
    buffers.copy_out(specs, stream)
    cuda.wait(stream)
    for name, view in views.items():
        assert np.array_equal(view, sent[name]), f"{name} {view.shape} came back changed"
